"""Markdown tables of what was measured, and what was asked for beside it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from benchmarks.results import load

YES, NO = "yes", "**no**"


class Claim(NamedTuple):
    """One thing asked for."""

    what: str
    least: str
    found: str
    reached: str


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table."""
    cells = [list(head), *([str(cell) for cell in row] for row in rows)]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells]
    return "\n".join([lines[0], "|---" * len(cells[0]) + "|", *lines[1:]])


def word(reached: bool) -> str:
    return YES if reached else NO


def tenths(share: float) -> str:
    """A share in tenths of a per cent."""
    return f"{100 * share:.1f} %"


def about(name: str) -> str:
    """Where, with what and from which commit a file of results is; {results} stands for their folder."""
    found = load(name)
    machine = found["machine"]
    parts = [
        machine.get("gpu") or machine["processor"],
        machine.get("driver") and f"driver {machine['driver']}",
        machine.get("cuda") and f"CUDA {machine['cuda']}",
        machine.get("cupy") and f"CuPy {machine['cupy']}",
        f"commit {found['commit']}",
        found["date"],
    ]
    return f"[{name}.json]({{results}}/{name}.json): {', '.join(filter(None, parts))}."
