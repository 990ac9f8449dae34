"""Every page: links lead somewhere, each magic can be typed; those of the README and of which-number.md are run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpuprof
from benchmarks import tutorial
from cnn import LayerManager, load_mnist
from gpuprof.results import tables
from gpuprof.words import call_words, layertime_words, timeit_words

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NUMBERS = ROOT / "docs" / "which-number.md"
MAGIC = re.compile(r"(?:`|^    (?:In \[\d+\]: )?|^)(%%?(?:gpu_timeit|layertime)\b[^`\n]*)", re.MULTILINE)
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def _anchors(page: Path) -> set[str]:
    """The headings' anchors, as GitHub makes them."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


def _magics(page: Path) -> list[str]:
    """What is typed on a page, without comments; `%gpu_timeit` named in passing is none."""
    typed = [found.split("  #")[0].strip() for found in MAGIC.findall(page.read_text(encoding="utf-8"))]
    return [line for line in typed if " " in line]


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#\s]*)(?:#([^)]+))?\)", page.read_text(encoding="utf-8"))
    missing = [file for file, _ in links if file and not (page.parent / file).exists()]
    assert missing == []
    targets = [(page.parent / file if file else page, anchor) for file, anchor in links if anchor]
    assert [(to.name, anchor) for to, anchor in targets if anchor not in _anchors(to)] == []


@every_page
def test_each_magic_can_be_typed(page: Path) -> None:
    for line in _magics(page):
        name, _, rest = line.partition(" ")
        if name.endswith("gpu_timeit"):
            timeit_words(rest)
        elif name == "%layertime":
            call_words(rest)
        else:
            layertime_words(rest)


def test_the_readme_leads_to_every_page() -> None:
    text = PAGES[0].read_text(encoding="utf-8")
    linked = set(re.findall(r"\(docs/([\w-]+\.md)\)", text))
    assert {page.name for page in PAGES[1:]} - linked == {"cnn-onnx.md"}  # of cnn.md


class Coder:
    def encode(self, x: Any) -> Any:
        return x + 1

    def decode(self, x: Any) -> Any:
        return x - 1


def _names() -> dict[str, Any]:
    """What the pages' commands name."""
    (x_train, t_train), (x_test, t_test) = load_mnist(sample=True)
    lm = LayerManager((x_train[:64], x_test[:16]), (t_train[:64], t_test[:16]), mode="cpu", seed=0)
    lm.append(name="c", F_shape=(2, 3, 3))
    lm.append(name="p", pool=2)
    lm.append(name="o", n=10)

    def step(n: int) -> None:
        lm.forward(lm.x_train[:n], train=True)
        lm.backward(lm.y_train[:n])
        lm.update()

    step(8)
    names = {"lm": lm, "step": step, "dy": np.ones((8, *lm[1].O_shape), dtype="float32"), "net": Coder()}
    arrays = {"x": np.ones((9, 9)), "w": np.ones((9, 9)), "a": np.ones(9), "make": lambda: np.ones((9, 9))}
    return {**names, **arrays, "f": np.cos, "g": lambda x: np.cos(x), "gpuprof": gpuprof}


@pytest.fixture
def shell() -> Iterator[Any]:
    """An IPython in which the pages' commands can be typed."""
    with tutorial.shell() as ip:
        ip.push(_names())
        ip.ex("def augment(x): return x[::-1]")
        tutorial.played(ip, "%load_ext gpuprof")
        tutorial.played(ip, "%%layertime -v before lm\nfor _ in range(12): step(8)")
        yield ip


def _run(ip: Any, command: str) -> str:
    """What a command prints; a cell magic has a cell that does what it asks for."""
    if command.startswith("%%gpu_timeit"):
        return tutorial.played(ip, f"{command}\nx + 1")
    if command.startswith("%%"):
        work = "augment(net.decode(net.encode(x)))" if "net." in command else "step(8)"
        return tutorial.played(ip, f"{command}\nfor _ in range(12): {work}")
    return tutorial.played(ip, command)


def test_every_command_of_which_number_runs(shell: Any) -> None:
    rows = re.findall(r"^\| [^|]*\? \|[^|]*\| `([^`]+)` \|$", NUMBERS.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) == 21
    for command in dict.fromkeys(rows):
        assert _run(shell, command), command


def test_every_command_of_the_readme_runs(shell: Any) -> None:
    (block,) = re.findall(r"## In a notebook\n\n((?:    .*\n|\n)+)", PAGES[0].read_text(encoding="utf-8"))
    commands = [line.split("  #")[0].strip() for line in block.split("\n") if line.strip()]
    assert len(commands) == 16
    for command in commands:
        if command != "%load_ext gpuprof" and command != "%%layertime model":  # torch: in recipes.md
            assert _run(shell, command.replace("2**24", "2**12")), command  # fewer sizes


def test_which_number_explains_what_a_table_shows() -> None:
    text = NUMBERS.read_text(encoding="utf-8").partition("## Every number")[2]
    told = {"host_us": "host", "span_us": "span", "busy_us": "busy", "idle_us": "idle"}
    named = {"path", "layer", "phase", "calls", "mean_us", "low_us", "high_us", "clock"}  # said by their names
    assert [column for column in tables.COLUMNS if column not in named and told.get(column, column) not in text] == []
