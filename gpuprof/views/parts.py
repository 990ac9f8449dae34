"""The pieces that pages are made of, as static HTML: every text escaped, legible in light and dark."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

from gpuprof.units import digits
from gpuprof.views.colours import rgb
from gpuprof.views.grid import Cell, Grid

CELL = "text-align:right;padding:2px clamp(3px,.6vw,10px);white-space:nowrap;font-variant-numeric:tabular-nums"
NAME = CELL.replace("right", "left")
PRE = "margin:.3em 0;padding:.5em .7em;overflow-x:auto;background:rgba(128,128,128,.12);color:inherit;line-height:1.35"
MONO = "font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace"
FAINT = "opacity:.75"  # of small print: still read on all grounds, though not on a tint
# the first column stays in sight where the table is scrolled, and leaves the figures room there
_FIRST = (
    "overflow-wrap:anywhere;position:sticky;left:0;z-index:1;backdrop-filter:blur(12px);"
    "background:var(--jp-layout-color0,var(--vscode-editor-background,transparent))"  # the notebook's own ground
)
_HEADED = re.compile(r"(.*) \((.{1,3})\)")  # a heading and its unit
_JOINT = re.compile(r"(?<=[./])(?=[^\W\d])")  # where a layer's long name may break
_SHORT = 12  # characters of a name that need not
_SENTENCE = 24  # characters of words that may go on for several lines
_BEHIND = "display:inline-block;text-align:left;font-size:90%"
# sentences within a table are no wider than the page, however wide the table is
_BENEATH = f"max-width:min(62em,80vw);overflow-wrap:anywhere;font-size:90%;{FAINT}"
_WARM = "#E67800"
_TINT = 0.36  # of a bar behind text: the most through which the text of all themes is read
_COOL = 0.05  # of the coolest phase
_CODE = f"{MONO};font-size:92%"
_UNIT = re.compile(r"(?<=\d) (?=%|×|[µmn]?s\b|[kMGT]?B\b|\d{3}\b)")  # a number and its unit stay on one line
_SUMMARY = "cursor:pointer;display:list-item"  # with its triangle, also where a page's style takes it away
_SMALL = f"font-size:85%;{FAINT};margin:.3em 0"


def page(*parts: str) -> str:
    """The parts that are there, one under the other, no wider than is read with ease."""
    return "\n".join(['<div style="max-width:70em;overflow-wrap:anywhere">', *filter(None, parts), "</div>"])


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
    return f'<details style="margin:.3em 0"><summary style="{_SUMMARY}">{escape(summary)}</summary>{body}</details>'


def scrolled(head: str, body: str) -> str:
    """A table of these rows, which scrolls where it is wider than the page."""
    table = f"<table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>"
    return f'<div style="overflow-x:auto;margin-top:.5em">{table}</div>'


def shade(share: float, colour: str = "") -> str:
    """A style: a bar behind the text, from the left; both themes' text stays legible on it."""
    if not share > 0:
        return ""
    end = f"{100 * min(share, 1.0):.1f}%"
    return f";background:linear-gradient(to right,{_tint(colour, _TINT)} {end},transparent {end})"


def _tint(colour: str, share: float) -> str:
    """So much of a colour over whatever is beneath."""
    red, green, blue = (round(255 * part) for part in rgb(colour or _WARM))
    return f"rgba({red},{green},{blue},{digits(share, 2).lstrip('0')})"


def _warmth(cell: Cell) -> str:
    """A style: the tint of a phase, and a bar under its text."""
    end = f"{100 * cell.heat:.1f}%"
    line = f"linear-gradient(to right,{cell.colour or _WARM} {end},transparent {end}) 0 100%/100% 3px no-repeat"
    return f";background:{line},{_tint('', _COOL + (_TINT - _COOL) * cell.heat)}"


def grid_table(grid: Grid) -> str:
    """The grid as an HTML table that scrolls; warm cells are tinted so that either text colour stays legible."""
    styles = [_style(i, grid) for i in range(len(grid.head))]
    columns = list(zip(*grid.rows, strict=True)) or [()] * len(grid.head)
    behind = [max((len(cell.after) for cell in column), default=0) for column in columns]
    widest = [max((len(cell.text) + len(cell.after) for cell in column), default=0) for column in columns]
    beside = [i for i in range(len(grid.head)) if i not in grid.beneath]
    head = "".join(_heading(grid.head[i], styles[i], widest[i]) for i in beside)
    body = "\n".join(
        f"<tr>{''.join(_cell(row[i], i, grid, styles[i], behind[i]) for i in beside)}</tr>{_beneath(row, grid)}"
        for row in grid.rows
    )
    return scrolled(head, body)


def _beneath(row: Sequence[Cell], grid: Grid) -> str:
    """What is told of a row in sentences, as a row of its own."""
    text = "; ".join(filter(None, (row[i].whole or row[i].text for i in sorted(grid.beneath))))
    if not text:
        return ""
    within = f'<div style="{_BENEATH}">{prose(text)}</div>'
    style = NAME.replace("nowrap", "normal")
    return f'\n<tr><td colspan="{len(grid.head) - len(grid.beneath)}" style="{style}">{within}</td></tr>'


def _style(column: int, grid: Grid) -> str:
    """How a column's cells are set."""
    style = NAME if column in grid.words else CELL
    longest = max([len(grid.head[column]), *(len(row[column].text) for row in grid.rows)])
    if column == 0:
        style = f"{style.replace('nowrap', 'normal')};{_FIRST};min-width:min({longest + 2}ch,30vw)"
    elif column in grid.words - grid.code and longest > _SENTENCE:
        style = f"{style.replace('nowrap', 'normal')};overflow-wrap:anywhere;min-width:{_SENTENCE // 2}em"
    return f"{style};{MONO}" if column in grid.code else style


def _heading(name: str, style: str, widest: int) -> str:
    """A column's name; its unit stands below, or the last word of one longer than what is in the column."""
    found = _HEADED.fullmatch(name)
    unit = f'<br><span style="{FAINT};font-weight:normal">{escape(found[2])}</span>' if found else ""
    words = name.rsplit(" ", 1) if not found and len(name) > widest else [found[1] if found else name]
    text = "<br>".join(map(escape, words))
    style = style.replace(f";{MONO}", "")
    return f'<th style="{style};vertical-align:bottom">{text}{unit}</th>'


def cell(text: str, column: int) -> str:
    """A cell of a table whose first column holds names."""
    return f'<th style="{NAME}">{escape(text)}</th>' if column == 0 else f'<td style="{CELL}">{escape(text)}</td>'


def _cell(cell: Cell, column: int, grid: Grid, style: str, behind: int) -> str:
    """A cell; in a column where something stands behind the text, in all of its cells so much room is left for it."""
    tag = "th" if column == 0 and column not in grid.code else "td"
    title = f' title="{escape(cell.whole)}"' if cell.whole else ""
    tint = _warmth(cell) if cell.heat > 0.01 else shade(cell.share, cell.colour)
    tint += ";min-width:4.5em" if cell.share == cell.share else ""
    room = f"{_BEHIND};min-width:{behind}ch"
    after = f' <span style="{room}">{escape(cell.after)}</span>' if behind else ""
    text = escape(cell.text)
    text = _JOINT.sub("<wbr>", text) if tag == "th" and len(cell.text) > _SHORT else text
    return f'<{tag} style="{style}{tint}"{title}>{text}{after}</{tag}>'
