"""The same tables as GitHub's Markdown: a text to paste into an issue or a page."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from gpuprof.units import digits
from gpuprof.views.grid import Grid
from gpuprof.views.report import Lines, Report, Section
from gpuprof.views.source import Listing

_SIGNS = re.compile(r"[\\`*\[\]<|~]|(?<![^\W_])_|_(?![^\W_])")


def plain(text: str) -> str:
    """`text` so that it reads as it is, on one line, in a cell too."""
    return _SIGNS.sub(lambda sign: f"\\{sign[0]}", " ".join(str(text).split()))


def prose(text: str) -> str:
    """A sentence: what stands in backticks is code, and stays so."""
    parts = re.split("(`[^`]+`)", text)
    return "".join(part if part[:1] == "`" and len(part) > 2 else _spaced(part) for part in parts)


def _spaced(text: str) -> str:
    """As `plain`, with the blanks at its ends, which belong to the sentence."""
    before, after = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    return f"{' ' * bool(before)}{plain(text)}{' ' * bool(after and text.strip())}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], words: frozenset[int] = frozenset({0})) -> str:
    """A table of texts; the columns in `words` are aligned on the left."""
    lines = [[plain(name) for name in head], [":--" if i in words else "--:" for i in range(len(head))]]
    lines += [[plain(text) for text in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def frame(data: Any) -> str:
    """A DataFrame: numbers with four digits, empty cells for NaN."""
    words = frozenset(i for i, kind in enumerate(data.dtypes) if kind.kind not in "iufb")
    rows = ([_text(value) for value in row] for row in data.itertuples(index=False))
    return table([str(name) for name in data.columns], rows, words)


def grid(shown: Grid) -> str:
    """A grid as people see it; bars are left out."""
    rows = ([f"{cell.whole or cell.text} {cell.after}".strip() for cell in row] for row in shown.rows)
    return table(shown.head, rows, shown.words)


def listing(code: Listing) -> str:
    """Code with its figures, in a block of its own."""
    text = code.text()
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`{3,}", text))])
    return f"{fence}text\n{text}\n{fence}"


def _next(text: str) -> str:
    """What to do next: a command as code, a sentence as one."""
    return f" Next: {f'`{text}`' if text[:1] == '%' else prose(text)}" if text else ""


def report(shown: Report) -> str:
    """A profile, all of it."""
    return joined(
        f"**{prose(shown.verdict)}**",
        "\n".join(f"- {prose(each.sentence)}{_next(each.next)}" for each in shown.advice),
        grid(shown.grid) if shown.grid else "",
        prose(shown.note) if shown.grid else "",
        *(lines(each, alone=False).rstrip() for each in shown.lines),
        *(_section(each) for each in shown.sections),
        *warned(shown.warnings),
        *(f"Not measured: {prose(each)}" for each in shown.missing),
        small(shown.notes),
    )


def lines(shown: Lines, alone: bool = True) -> str:
    """A function's lines."""
    inside = [part for heading, code in shown.inside for part in (prose(heading), listing(code))]
    notes = small(shown.notes) if alone else ""
    return joined(f"**{prose(shown.verdict)}**", listing(shown.listing), *inside, *warned(shown.warnings), notes)


def warned(texts: Iterable[str]) -> list[str]:
    """What must be known before the figures are trusted."""
    return [f"⚠ {prose(text)}" for text in texts]


def small(notes: Iterable[str]) -> str:
    """The small print."""
    text = " · ".join(filter(None, notes))
    return f"<sub>{prose(text)}</sub>" if text else ""


def joined(*parts: str) -> str:
    """The parts that are there, with a line between them."""
    return "\n\n".join(filter(None, parts)) + "\n"


def _section(shown: Section) -> str:
    rest = f" (the first {len(shown.grid.rows)} of {shown.total})" if shown.total > len(shown.grid.rows) else ""
    return joined(f"{prose(shown.title)}{rest}:", grid(shown.grid), prose(shown.note)).rstrip()


def _text(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else digits(value, 4)
    return "" if value is None else str(value)
