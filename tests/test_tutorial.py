"""docs/tutorial.md: its cells run in one IPython, print what the page shows, and its commands run on what they kept."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import chdir
from pathlib import Path
from typing import NamedTuple

import pytest

from benchmarks import tutorial

from .conftest import CUPY

ROOT = Path(__file__).parent.parent
TEXT = tutorial.PAGE.read_text(encoding="utf-8")
CELLS = tutorial.cells(TEXT)


class Played(NamedTuple):
    """What the cells printed, and where they left their files."""

    printed: list[str]
    folder: Path


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    folder = tmp_path_factory.mktemp("tutorial")
    with chdir(folder), tutorial.shell() as ip:
        return Played([tutorial.played(ip, cell.source) for cell in CELLS], folder)


def _words(table: str) -> set[str]:
    """The words of a printed table's heads and rows: what stands in columns, without figures and sentences."""
    lines = [line for line in table.split("\n") if re.search(r"\S  +\S", line) and ". " not in line]
    return {word for line in lines for word in re.findall(r"[A-Za-z_.]{3,}", line) if word != "no"}


@pytest.mark.skipif(CUPY is not None, reason="the outputs shown are of a machine without a GPU")
@pytest.mark.parametrize("number", [number for number, cell in enumerate(CELLS) if cell.shown is not None])
def test_the_tables_shown_are_those_printed(number: int, played: Played) -> None:
    printed = set(re.findall(r"[A-Za-z_.]{3,}", played.printed[number]))
    assert _words(CELLS[number].shown) - {"real", "unclear", "noise"} <= printed


@pytest.mark.skipif(CUPY is not None, reason="a GPU has other answers")
def test_the_sentences_that_the_page_speaks_of_are_printed(played: Played) -> None:
    said = dict(zip((cell.source.partition("\n")[0] for cell in CELLS), played.printed, strict=True))
    assert "Maxout1.backward is" in said["%%layertime -v before --no-chart net"]
    assert "`groups[:, self.winner] = dy" in said["%%layertime --lines Maxout1.backward --no-chart net"]
    assert "No verdict: one run a side" in said["%%layertime --no-chart net --vs before"]
    compared = next(text for text in played.printed if "in turns: " in text)
    assert "The two do not compute the same: Dense0 dW differs" in compared
    assert re.search(r"Maxout1\.backward .* real", compared)


@pytest.mark.parametrize("command", tutorial.commands(TEXT), ids=" ".join)
def test_what_is_typed_in_a_terminal_runs(command: list[str], played: Played) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "gpuprof", *command],
        cwd=played.folder,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout or (played.folder / command[-1]).stat().st_size


def test_a_cell_that_raises_fails_the_page() -> None:
    with tutorial.shell() as ip, pytest.raises(ZeroDivisionError):
        tutorial.played(ip, "1 / 0")


def test_outputs_are_written_where_the_page_shows_some() -> None:
    page = "```python\nx = 6\n```\n\nIt is:\n\n```python\nprint(7 * x)\n```\n\n```text\nold\n```\n\nThen.\n"
    assert tutorial.written(page) == page.replace("old", "42")
