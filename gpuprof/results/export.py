"""What all results have: they show themselves, as text and in a notebook, are pickled, and go to CSV and Markdown."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any


class Exported:
    """A result: `str()` and a notebook show it, `to_csv` and `to_markdown` write it."""

    table: Any
    """Its DataFrame."""
    shown: Any
    """The `Report` of it that people see."""

    _brief: Any
    """On one line."""

    def __repr__(self) -> str:
        """In the same class as `_repr_pretty_`, or IPython would take this one."""
        return f"<{type(self).__name__}: {self._brief}>"

    def __str__(self) -> str:
        return str(self.shown.text())

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(f"{type(self).__name__}(...)" if cycle else str(self))

    def _repr_html_(self) -> str:
        return str(self.shown.html())

    def __getstate__(self) -> dict[str, Any]:
        """For pickle and copies: what was measured, without what has been made of it."""
        return {each.name: vars(self)[each.name] for each in fields(self)}  # type: ignore[arg-type] # dataclasses all

    def tables(self) -> dict[str, Any]:
        """Its DataFrames by name, the one to look at first first; those without rows too."""
        return {"table": self.table}

    def to_csv(self, path: str | Path) -> list[Path]:
        """The files written: a CSV file for each table that has rows, into the folder `path`, which is made.

        For a path that ends in .csv (or .csv.gz) it is that file, with the first table alone. Numbers are written in
        full, and units are in the columns' names.
        """
        path, tables = Path(path), self.tables()
        main = next(iter(tables))
        if path.name.lower().endswith((".csv", ".csv.gz")):
            return [_written(tables[main], path)]
        path.mkdir(parents=True, exist_ok=True)
        names = {name: table for name, table in tables.items() if name == main or len(table)}
        return [_written(names[name], path / f"{file}.csv") for name, file in _files(names).items()]

    def to_markdown(self) -> str:
        """What is shown of it as GitHub's Markdown, to paste into an issue or a page."""
        from gpuprof.views.markdown import report

        return report(self.shown)


def _written(table: Any, path: Path) -> Path:
    table.to_csv(path, index=False, errors="backslashreplace")
    return path


def _files(names: Any) -> dict[str, str]:
    """A file's name for each, of letters that any system takes; no two are alike where capitals do not count."""
    found: dict[str, str] = {}
    for name in names:
        whole = base = re.sub(r"[^\w.-]+", "_", name, flags=re.ASCII).strip("._") or "table"
        number = 1
        while whole.lower() in {other.lower() for other in found.values()}:
            number += 1
            whole = f"{base}_{number}"
        found[name] = whole
    return found
