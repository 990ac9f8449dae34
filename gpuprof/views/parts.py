"""The pieces that pages are made of, as static HTML: every text escaped, legible in light and dark."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

from gpuprof.views.grid import Cell, Grid

CELL = "text-align:right;padding:2px 10px;white-space:nowrap;font-variant-numeric:tabular-nums"
NAME = CELL.replace("right", "left")
PRE = "margin:.3em 0;padding:.5em .7em;overflow-x:auto;background:rgba(128,128,128,.12);color:inherit;line-height:1.35"
MONO = "font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace"
_BEFORE, _AFTER = "padding-right:2px", "text-align:left;padding-left:2px"
_CODE = f"{MONO};font-size:92%"
_UNIT = re.compile(r"(?<=\d) (?=%|×|[µmn]?s\b|[kMGT]?B\b|\d{3}\b)")  # a number and its unit stay on one line
_SMALL = "font-size:85%;opacity:.75;margin:.3em 0"
_LONG = 64


def page(*parts: str) -> str:
    """The parts that are there, one under the other, no wider than is read with ease."""
    return "\n".join(['<div style="max-width:70em">', *filter(None, parts), "</div>"])


def prose(text: str) -> str:
    """A sentence: what stands in backticks is set as code, and no line breaks between a number and its unit."""
    whole = _UNIT.sub("\N{NO-BREAK SPACE}", escape(text))
    return re.sub("`([^`]+)`", rf'<span style="{_CODE}">\1</span>', whole)


def headline(text: str) -> str:
    """What it all comes to."""
    return f'<p style="margin:.3em 0"><b>{prose(text)}</b></p>' if text else ""


def warned(texts: Iterable[str]) -> list[str]:
    """What must be known before the figures are trusted."""
    return [f'<p style="margin:.3em 0">⚠ {prose(text)}</p>' for text in texts]


def small_print(notes: Iterable[str]) -> str:
    """Notes in one paragraph."""
    text = " · ".join(filter(None, notes))
    return f'<p style="{_SMALL}">{prose(text)}</p>' if text else ""


def folded(summary: str, body: str) -> str:
    """A summary; what is behind it shows when it is clicked."""
    return f'<details style="margin:.3em 0"><summary style="cursor:pointer">{escape(summary)}</summary>{body}</details>'


def scrolled(head: str, body: str) -> str:
    """A table of these rows, which scrolls where it is wider than the page."""
    table = f"<table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>"
    return f'<div style="overflow-x:auto">{table}</div>'


def shortened(name: str, most: int = _LONG) -> str:
    """A long name without its middle."""
    return name if len(name) <= most else f"{name[: most // 2]}…{name[-most // 2 + 1 :]}"


def shade(share: float) -> str:
    """A style: a bar behind the text, from the left; both themes' text stays legible on it."""
    if not share > 0:
        return ""
    end = f"{100 * min(share, 1.0):.1f}%"
    return f";background:linear-gradient(to right,rgba(230,120,0,.42) {end},transparent {end})"


def grid_table(grid: Grid) -> str:
    """The grid as an HTML table that scrolls; warm cells are tinted so that either text colour stays legible."""
    halved = {i for row in grid.rows for i, cell in enumerate(row) if cell.after}
    head = "".join(
        f'<th style="{NAME if i in grid.words else CELL}"{" colspan=2" if i in halved else ""}>{escape(name)}</th>'
        for i, name in enumerate(grid.head)
    )
    body = "\n".join(
        f"<tr>{''.join(_cell(cell, i, grid, i in halved) for i, cell in enumerate(row))}</tr>" for row in grid.rows
    )
    return scrolled(head, body)


def cell(text: str, column: int) -> str:
    """A cell of a table whose first column holds names."""
    return f'<th style="{NAME}">{escape(text)}</th>' if column == 0 else f'<td style="{CELL}">{escape(text)}</td>'


def _cell(cell: Cell, column: int, grid: Grid, halved: bool) -> str:
    tag, style = ("th" if column == 0 else "td"), (NAME if column in grid.words else CELL)
    if column in grid.code:
        tag, style = "td", f"{style};{MONO};white-space:pre"
    title = f' title="{escape(cell.whole)}"' if cell.whole else ""
    tint = f";background:rgba(230,120,0,{0.05 + 0.4 * cell.heat:.2f})" if cell.heat > 0.01 else shade(cell.share)
    if not halved:
        return f'<{tag} style="{style}{tint}"{title}>{escape(cell.text)}</{tag}>'
    after = f'<span style="opacity:.65">{escape(cell.after)}</span>'
    return (
        f'<td style="{style};{_BEFORE}{tint}"{title}>{escape(cell.text)}</td>'
        f'<td style="{style};{_AFTER}{tint}">{after}</td>'
    )
