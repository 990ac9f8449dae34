"""A listing of code with figures beside each line, as text and as static HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape

from gpuprof.units import bar, percent
from gpuprof.views.parts import FAINT, MONO, shade

_TABLE = f"{MONO};font-size:92%;line-height:1.45;color:inherit;border-collapse:collapse"
_CELL = "text-align:right;padding:0 8px;white-space:nowrap;font-variant-numeric:tabular-nums"
_HEAD = (
    "text-align:right;padding:2px 8px;white-space:nowrap;font-weight:600;border-bottom:1px solid rgba(128,128,128,.4)"
)
_CODE = "text-align:left;padding:0 8px;white-space:pre"
_WIDTH = 8  # of a bar in text


@dataclass(frozen=True)
class CodeLine:
    """A line of the listing."""

    number: int
    code: str
    figures: tuple[str, ...] = ()
    """A text a column before the code; () for a line that was never hit."""
    share: float = float("nan")
    details: tuple[str, ...] = ()
    """A text a column behind the code."""
    note: str = ""


@dataclass(frozen=True)
class Listing:
    """Lines of code, the headings of the figures before it, and of those behind it."""

    figures: tuple[str, ...]
    details: tuple[str, ...]
    lines: tuple[CodeLine, ...]

    def text(self) -> str:
        """The listing in aligned plain text: figures, share with a bar, code with its note, details."""
        rows = [("line", *self.figures, "share", "", "source", *self.details)]
        for line in self.lines:
            code = f"{line.code}   <- {line.note}" if line.note else line.code
            before, behind = self._cells(line)
            rows.append((str(line.number), *before, percent(line.share), bar(line.share, _WIDTH), code, *behind))
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        left = {len(self.figures) + 2: _WIDTH, len(self.figures) + 3: 0}  # the bar and the code, and their least widths
        return "\n".join(
            "  ".join(
                cell.ljust(max(width, left[i])) if i in left else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        )

    def html(self) -> str:
        """The listing as an HTML table; the share is a bar in its cell. No script, no style but its own."""
        before, behind = (
            "".join(f'<th style="{_HEAD}">{escape(name)}</th>' for name in names)
            for names in (("line", *self.figures, "share"), self.details)
        )
        head = f'{before}<th style="{_HEAD.replace("right", "left")}">source</th>{behind}'
        body = "\n".join(self._row(line) for line in self.lines)
        table = f'<table style="{_TABLE}"><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>'
        return f'<div style="overflow-x:auto;margin:.4em 0">{table}</div>'

    def _cells(self, line: CodeLine) -> tuple[Sequence[str], Sequence[str]]:
        return line.figures or ("",) * len(self.figures), line.details or ("",) * len(self.details)

    def _row(self, line: CodeLine) -> str:
        before, behind = (
            "".join(f'<td style="{_CELL}">{escape(text)}</td>' for text in texts) for texts in self._cells(line)
        )
        note = f'<span style="{FAINT}">   ← {escape(line.note)}</span>' if line.note else ""
        return (
            f'<tr><td style="{_CELL};{FAINT}">{line.number}</td>{before}'
            f'<td style="{_CELL};min-width:7em{shade(line.share)}">{escape(percent(line.share))}</td>'
            f'<td style="{_CODE}{"" if line.figures else f";{FAINT}"}">{escape(line.code)}{note}</td>{behind}</tr>'
        )


def listing(figures: Sequence[str], details: Sequence[str], lines: Sequence[CodeLine]) -> Listing:
    """The listing of these lines, without the columns that are empty in all, and with the code's common indent off."""
    before = _filled([line.figures for line in lines], len(figures))
    behind = _filled([line.details for line in lines], len(details))
    indent = min((len(line.code) - len(line.code.lstrip()) for line in lines if line.code.strip()), default=0)
    shown = (
        replace(
            line,
            code=line.code[indent:],
            figures=tuple(line.figures[i] for i in before if line.figures),
            details=tuple(line.details[i] for i in behind if line.details),
        )
        for line in lines
    )
    return Listing(tuple(figures[i] for i in before), tuple(details[i] for i in behind), tuple(shown))


def _filled(rows: Sequence[Sequence[str]], columns: int) -> list[int]:
    """The columns in which a row has something."""
    return [i for i in range(columns) if any(row and row[i] for row in rows)]
