"""A listing of code with figures beside each line, as text and as static HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from gpuprof.units import bar, percent

_MONO = "font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:92%;line-height:1.45"
_CELL = "text-align:right;padding:0 8px;white-space:nowrap;font-variant-numeric:tabular-nums"
_HEAD = (
    "text-align:right;padding:2px 8px;white-space:nowrap;font-weight:600;border-bottom:1px solid rgba(128,128,128,.4)"
)
_CODE = "text-align:left;padding:0 8px;white-space:pre"
_FAINT = "opacity:.55"
_WIDTH = 8  # of a bar in text


@dataclass(frozen=True)
class CodeLine:
    """A line of the listing."""

    number: int
    code: str
    figures: tuple[str, ...] = ()
    """A text a column of the listing; () for a line that was never hit."""
    share: float = float("nan")
    note: str = ""


@dataclass(frozen=True)
class Listing:
    """Lines of code, and the headings of their figures."""

    head: tuple[str, ...]
    lines: tuple[CodeLine, ...]

    def text(self) -> str:
        """The listing in aligned plain text: figures, share with a bar, code, note."""
        rows = [("line", *self.head, "share", "")]
        rows += [(str(line.number), *self._figures(line), percent(line.share), _bar(line)) for line in self.lines]
        rows[0] = (*rows[0][:-1], " " * _WIDTH)
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        code = ["", *(f"{line.code}   <- {line.note}" if line.note else line.code for line in self.lines)]
        return "\n".join(
            "  ".join(
                [*(cell.rjust(w) for cell, w in zip(row[:-1], widths, strict=False)), row[-1].ljust(_WIDTH), text]
            ).rstrip()
            for row, text in zip(rows, code, strict=True)
        )

    def html(self) -> str:
        """The listing as an HTML table; the share is a bar in its cell. No script, no style but its own."""
        names = "".join(f'<th style="{_HEAD}">{escape(name)}</th>' for name in ("line", *self.head, "share"))
        head = f'{names}<th style="{_HEAD.replace("right", "left")}">source</th>'
        body = "\n".join(self._row(line) for line in self.lines)
        table = (
            f'<table style="{_MONO};border-collapse:collapse"><thead><tr>{head}</tr></thead>\n'
            f"<tbody>\n{body}\n</tbody></table>"
        )
        return f'<div style="overflow-x:auto;margin:.4em 0">{table}</div>'

    def _figures(self, line: CodeLine) -> Sequence[str]:
        return line.figures or ("",) * len(self.head)

    def _row(self, line: CodeLine) -> str:
        hit = bool(line.figures)
        figures = "".join(f'<td style="{_CELL}">{escape(text)}</td>' for text in self._figures(line))
        note = f'<span style="{_FAINT}">   ← {escape(line.note)}</span>' if line.note else ""
        return (
            f'<tr><td style="{_CELL};{_FAINT}">{line.number}</td>{figures}'
            f'<td style="{_CELL};min-width:7em{_shade(line.share)}">{escape(percent(line.share))}</td>'
            f'<td style="{_CODE}{"" if hit else f";{_FAINT}"}">{escape(line.code)}{note}</td></tr>'
        )


def listing(head: Sequence[str], lines: Sequence[CodeLine]) -> Listing:
    """The listing of these lines, without the columns that are empty in all, and with the code's common indent off."""
    kept = [i for i in range(len(head)) if any(line.figures and line.figures[i] for line in lines)]
    indent = min((len(line.code) - len(line.code.lstrip()) for line in lines if line.code.strip()), default=0)
    return Listing(
        tuple(head[i] for i in kept),
        tuple(
            CodeLine(
                line.number,
                line.code[indent:] if not line.code[:indent].strip() else line.code.lstrip(),
                tuple(line.figures[i] for i in kept) if line.figures else (),
                line.share,
                line.note,
            )
            for line in lines
        ),
    )


def _bar(line: CodeLine) -> str:
    return bar(line.share, _WIDTH)


def _shade(share: float) -> str:
    """A bar behind the text, from the left: both text colours stay legible on it."""
    if not share > 0:
        return ""
    end = f"{100 * min(share, 1.0):.1f}%"
    return f";background:linear-gradient(to right,rgba(230,120,0,.42) {end},transparent {end})"
