"""Static HTML: no script, no server, no outside file; every text escaped. It reads in light and dark."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from gpuprof.views.grid import Cell, Grid

_CELL = "text-align:right;padding:2px 10px;white-space:nowrap;font-variant-numeric:tabular-nums"
_NAME = _CELL.replace("right", "left")
_SMALL = "font-size:85%;opacity:.75;margin:.3em 0"


def report(verdict: str, grid: Grid | None, notes: Iterable[str], warnings: Iterable[str] = ()) -> str:
    """A verdict, the grid under it, warnings, and the small print."""
    parts = [f'<div style="max-width:70em"><p style="margin:.3em 0"><b>{escape(verdict)}</b></p>']
    if grid is not None:
        parts.append(f'<div style="overflow-x:auto">{grid_table(grid)}</div>')
    parts += [f'<p style="margin:.3em 0">⚠ {escape(warning)}</p>' for warning in warnings]
    parts.append(f'<p style="{_SMALL}">{escape(" · ".join(notes))}</p></div>')
    return "\n".join(parts)


def grid_table(grid: Grid) -> str:
    """The grid as an HTML table; warm cells are tinted so that either text colour stays legible."""
    head = "".join(f'<th style="{_CELL if i else _NAME}">{escape(name)}</th>' for i, name in enumerate(grid.head))
    rows = "\n".join(f"<tr>{''.join(_cell(cell, i) for i, cell in enumerate(row))}</tr>" for row in grid.rows)
    return f"<table><thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table>"


def _cell(cell: Cell, column: int) -> str:
    if column == 0:
        return f'<th style="{_NAME}">{escape(cell.text)}</th>'
    tint = f";background:rgba(230,120,0,{0.05 + 0.4 * cell.heat:.2f})" if cell.heat > 0.01 else ""
    return f'<td style="{_CELL}{tint}">{escape(cell.text)}</td>'
