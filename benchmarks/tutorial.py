"""docs/tutorial.md is a notebook written as a page: its Python blocks are cells, a text block after one is its output.

`python -m benchmarks.tutorial` runs the cells in one IPython and writes what they print into the page. A test runs
them, too, and holds the words of the tables shown to those printed; figures are of a day.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl

from benchmarks.shown import wrapped

PAGE = Path(__file__).parent.parent / "docs" / "tutorial.md"
BLOCK = re.compile(r"```python\n(?P<cell>.*?)```\n(?P<shown>\n```text\n(?P<output>.*?)```)?", re.DOTALL)
COMMAND = re.compile(r"^    python -m gpuprof ([^#\n]+)", re.MULTILINE)


class Cell(NamedTuple):
    """A cell, and what the page shows of its output; None where it shows nothing."""

    source: str
    shown: str | None


def cells(text: str) -> list[Cell]:
    """The page's cells, in order."""
    return [Cell(found["cell"], found["output"]) for found in BLOCK.finditer(text)]


def commands(text: str) -> list[list[str]]:
    """The arguments of each `python -m gpuprof` on the page."""
    return [shlex.split(found) for found in COMMAND.findall(text)]


@contextmanager
def shell() -> Iterator[Any]:
    """An IPython of its own, whose displays are kept in `display_pub.outputs`."""
    from IPython.core.displaypub import CapturingDisplayPublisher
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    mpl.use("Agg")
    config = Config()
    config.HistoryManager.enabled = False
    ip = InteractiveShell.instance(config=config)
    ip.display_pub = CapturingDisplayPublisher()
    try:
        yield ip
    finally:
        if "gpuprof" in ip.extension_manager.loaded:
            ip.extension_manager.unload_extension("gpuprof")
        InteractiveShell.clear_instance()


def played(ip: Any, source: str) -> str:
    """What a cell prints and displays, as text; an error in it is raised."""
    from IPython.utils.capture import capture_output

    ip.display_pub.outputs.clear()
    with capture_output(display=False) as printed:
        result = ip.run_cell(source)
    result.raise_error()
    texts = [
        re.sub(r"[^\n]*\r", "", printed.stdout),
        *(o["data"].get("text/plain", "") for o in ip.display_pub.outputs),
    ]
    return re.sub(r"Out\[\d+\]: \n?", "", "\n".join(text.strip("\n") for text in texts if text.strip()))


def written(text: str) -> str:
    """The page with the outputs of this machine."""
    with tempfile.TemporaryDirectory() as folder, chdir(folder), shell() as ip:

        def filled(found: re.Match[str]) -> str:
            output = played(ip, found["cell"])
            return found[0].removesuffix(found["shown"] or "") + (
                f"\n```text\n{wrapped(output).strip()}\n```" if found["shown"] else ""
            )

        page = BLOCK.sub(filled, text)
        for command in commands(text):
            subprocess.run([sys.executable, "-m", "gpuprof", *command], check=True, capture_output=True)
    return page


def main() -> None:
    """Write the page."""
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
