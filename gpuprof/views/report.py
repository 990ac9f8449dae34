"""A profile, and the lines of a function, as they are shown: what to know first, the rest behind it."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import NamedTuple

from gpuprof.views.grid import Grid
from gpuprof.views.parts import MONO, folded, grid_table, headline, page, prose, small_print, warned
from gpuprof.views.source import Listing

_MOST = 3  # pieces of advice that are shown; the others are folded away, in text left out
_FIRST_ROWS = 3  # of a section in plain text
_ROWS = 40  # of the grid that are shown at once; those of the greatest weights
_COMMAND = f"{MONO};padding:.1em .4em;background:rgba(128,128,128,.15);user-select:all;overflow-wrap:anywhere"


class Advice(NamedTuple):
    """What could be mended, and the next thing to type or to do; "" for nothing."""

    sentence: str
    next: str

    def text(self) -> str:
        """Both, one under the other."""
        return f"• {self.sentence}" + (f"\n    Next:  {self.next}" if self.next else "")

    def html(self) -> str:
        """Both; a command is set as code, and one click selects it whole."""
        step = f'<span style="{_COMMAND}">{escape(self.next)}</span>' if self.next[:1] == "%" else prose(self.next)
        further = f"<br>Next: {step}" if self.next else ""
        return f'<li style="margin:.25em 0">{prose(self.sentence)}{further}</li>'


@dataclass(frozen=True)
class Section:
    """A table of details, which HTML folds away."""

    title: str
    grid: Grid
    total: int
    """How many rows the DataFrame has that the grid shows the first of."""
    where: str
    """What that is called: ".waits"."""
    note: str = ""
    """What its figures are of."""

    def text(self) -> str:
        """Its first rows."""
        rows = min(_FIRST_ROWS, len(self.grid.rows))
        return f"{self.title}{self._rest(rows)}\n{self.grid.text(rows)}"

    def html(self) -> str:
        """Its rows, behind the title."""
        return folded(self.title + self._rest(len(self.grid.rows)), grid_table(self.grid) + small_print([self.note]))

    def _rest(self, shown: int) -> str:
        return f" (the first {shown} of {self.total}; all: {self.where})" if self.total > shown else ""


@dataclass(frozen=True)
class Lines:
    """A function's lines: what they come to, its code with figures, and that of what it calls."""

    verdict: str
    listing: Listing
    inside: tuple[tuple[str, Listing], ...] = ()
    """A heading and the lines, of each function called in it that is worth a look."""
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def text(self, alone: bool = True) -> str:
        """All of it; within a profile, which has small print of its own, without its own machine."""
        parts = [self.verdict, "", self.listing.text()]
        for heading, listing in self.inside:
            parts += ["", heading, "", listing.text()]
        parts += ["", *(f"! {warning}" for warning in self.warnings)] if alone or self.warnings else []
        return "\n".join([*parts, " · ".join(self.notes)] if alone else parts)

    def html(self, alone: bool = True) -> str:
        """The same as static HTML."""
        beneath = [f'<p style="margin:.6em 0 .2em">{prose(name)}</p>{code.html()}' for name, code in self.inside]
        notes = small_print(self.notes) if alone else ""
        parts = [page(headline(self.verdict)), self.listing.html(), *beneath, *warned(self.warnings), notes]
        return "\n".join(['<div style="margin:.8em 0">', *filter(None, parts), "</div>"])  # code may be wide


@dataclass(frozen=True)
class Report:
    """A profile: the verdict, advice, layers × phases, lines that were asked for, details, the small print."""

    verdict: str
    advice: tuple[Advice, ...] = ()
    grid: Grid | None = None
    note: str = ""
    """What the grid's figures are of."""
    lines: tuple[Lines, ...] = ()
    sections: tuple[Section, ...] = ()
    warnings: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    """What could not be had, and why."""
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """All of it but the advice beyond the first, and what sections have beyond their first rows."""
        more = len(self.advice) - _MOST
        advice = [each.text() for each in self.advice[:_MOST]]
        advice += [f"  ({more} more: .advice)"] if more > 0 else []
        end = [*(f"! {each}" for each in self.warnings), *(f"Not measured: {each}" for each in self.missing)]
        blocks = [
            self.verdict,
            "\n".join(advice),
            _table_text(self.grid, self.note) if self.grid else "",
            *(each.text(alone=False) for each in self.lines),
            *(each.text() for each in self.sections),
            "\n".join([*end, " · ".join(self.notes)]),
        ]
        return "\n\n".join(filter(None, blocks))

    def html(self) -> str:
        """All of it as static HTML; details are folded."""
        more = len(self.advice) - _MOST
        first = page(
            _verdict(self.verdict),
            _listed(self.advice[:_MOST]),
            folded(f"{more} more", _listed(self.advice[_MOST:])) if more > 0 else "",
            _table_html(self.grid, self.note) if self.grid else "",
            *warned(self.warnings),
        )
        rest = page(
            *(each.html() for each in self.sections),
            *(small_print([f"Not measured: {each}"]) for each in self.missing),
            small_print(self.notes),
        )
        return "\n".join([first, *(each.html(alone=False) for each in self.lines), rest])


def _verdict(text: str) -> str:
    """The verdict, of which the first sentence is what there is to know."""
    first, dot, rest = text.partition(". ")
    body = f"<b>{prose(first + dot.rstrip())}</b> {prose(rest)}".rstrip()
    return f'<p style="margin:.3em 0">{body}</p>'


def _table_text(grid: Grid, note: str) -> str:
    """The grid, of a long one the rows that matter most, and what its figures are of."""
    shown = grid.heaviest(_ROWS)
    rest = f"The {_part(shown, grid)}; all: .table." if shown is not grid else ""
    return "\n".join(filter(None, [shown.text(), rest, note]))


def _table_html(grid: Grid, note: str) -> str:
    """The same; all rows of a long grid can be unfolded."""
    shown = grid.heaviest(_ROWS)
    whole = folded(f"The {_part(shown, grid)}; all of them", grid_table(grid)) if shown is not grid else ""
    return grid_table(shown) + whole + small_print([note])


def _part(shown: Grid, grid: Grid) -> str:
    return f"{len(shown.rows)} of {len(grid.rows)} rows that matter most"


def _listed(advice: tuple[Advice, ...]) -> str:
    items = "".join(each.html() for each in advice)
    return f'<ul style="margin:.3em 0;padding-left:1.3em">{items}</ul>' if items else ""
