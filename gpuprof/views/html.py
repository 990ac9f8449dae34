"""Static HTML: no script, no server, no outside file; every text escaped. It reads in light and dark."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from gpuprof.units import seconds_text, several
from gpuprof.views.colours import OTHER, QUANTITIES
from gpuprof.views.grid import Grid
from gpuprof.views.names import shortened
from gpuprof.views.parts import (
    CELL,
    FAINT,
    NAME,
    PRE,
    cell,
    folded,
    grid_table,
    headline,
    page,
    scrolled,
    small_print,
    warned,
)
from gpuprof.views.svg import Bins, binned, histogram

_HEAD = CELL.replace("nowrap", "normal") + ";overflow-wrap:anywhere;min-width:6em"
_CARDS = "display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5em,1fr));gap:.6em;margin:.4em 0 .6em"
_CARD = (
    "border:1px solid rgba(128,128,128,.35);border-top-width:4px;border-radius:4px;padding:.45em .7em .4em;min-width:0"
)
_FIGURE = "font-size:170%;font-weight:600;line-height:1.25;white-space:nowrap;font-variant-numeric:tabular-nums"
_ENDS = "display:flex;justify-content:space-between;gap:.5em;white-space:nowrap"
_FINE = f"font-size:80%;{FAINT}"
_TRACK = "height:3px"
_EMPTY, _THIN = "\N{NO-BREAK SPACE}", "\N{NARROW NO-BREAK SPACE}"
_KERNEL = "text-align:left;padding:2px 10px;min-width:14em;overflow-wrap:anywhere;font-family:monospace"
_WORDS = {
    "host": "until it returns",
    "device": "GPU time",
    "kernels": "GPU, kernels alone",
    "cold": "GPU, cold cache",
    "graph": "as a CUDA graph",
    "latency": "until all is done",
}


def report(verdict: str, grid: Grid | None, notes: Iterable[str], warnings: Iterable[str] = ()) -> str:
    """A verdict, the grid under it, warnings, and the small print."""
    body = grid_table(grid) if grid is not None else ""
    return page(headline(verdict), body, *warned(warnings), small_print(notes))


def timing_report(
    *,
    line: str,
    spread: str,
    verdict: str,
    cautions: list[str],
    histograms: list[tuple[str, tuple[float, ...], str]],
    kernels: list[tuple[str, float, str, int]],
    snippet: str,
    notes: list[str],
) -> str:
    """One statement's times: a card a quantity, the verdict, cautions, kernels and snippet to unfold, small print.

    `histograms` has (name, samples in seconds, text such as "12.3 µs"; what follows a line break in it is put small);
    `kernels` has (name, launches a call, time a call, threads); `line` is all figures in one line, to be copied.
    """
    return page(
        _cards(histograms),
        headline(verdict),
        *warned(cautions),
        _kernels(kernels),
        folded("Replay it from a CUDA graph", f'<pre style="{PRE}">{escape(snippet)}</pre>') if snippet else "",
        small_print([line, spread]),
        small_print(notes),
    )


def comparison_report(
    *, verdict: str, rows: list[tuple[str, ...]], head: tuple[str, ...], cautions: list[str], notes: list[str]
) -> str:
    """A against B: the verdict, a table whose first column holds names, cautions, the small print."""
    first, *others = head
    names = "".join(f'<th style="{_HEAD}" title="{escape(name)}">{escape(shortened(name))}</th>' for name in others)
    body = "\n".join(f"<tr>{''.join(cell(text, i) for i, text in enumerate(row))}</tr>" for row in rows)
    table = scrolled(f'<th style="{NAME}">{escape(first)}</th>{names}', body) if rows else ""
    return page(headline(verdict), table, *warned(cautions), small_print(notes))


def _cards(histograms: Sequence[tuple[str, tuple[float, ...], str]]) -> str:
    """The cards side by side as far as there is room."""
    drawn = [(name, binned(samples), len(samples), text) for name, samples, text in histograms if samples]
    longest = max((bins.middle for _, bins, _, _ in drawn), default=0.0)
    cards = "\n".join(_card(name, bins, size, text, longest) for name, bins, size, text in drawn)
    return f'<div style="{_CARDS};max-width:{14.5 * len(drawn)}em">\n{cards}\n</div>' if drawn else ""


def _card(name: str, bins: Bins, size: int, text: str, longest: float) -> str:
    """A quantity's name, its figure, a bar that compares it with the longest, and its batches."""
    colour = QUANTITIES.get(name, OTHER)
    figure, _, detail = text.partition("\n")
    detail = f"{detail} a call" if name == "kernels" and detail else detail  # how many there are
    share = 100 * bins.middle / longest if longest > 0 else 0
    beyond = f"{bins.beyond} of {size} beyond" if bins.beyond else ""
    ends = f"{seconds_text(bins.low)} to {seconds_text(bins.high)}"
    label = ", ".join(filter(None, [f"{name} {figure}", f"{size} batches" if size > 1 else "one batch", ends, beyond]))
    return (
        f'<div style="{_CARD};border-top-color:{colour}">'
        f"<div><b>{escape(name)}</b></div>{_fine(_WORDS.get(name, _EMPTY))}"
        f'<div style="{_FIGURE}">{escape(figure)}</div>'
        f'<div style="{_TRACK};margin:.1em 0 .5em;background:rgba(128,128,128,.2)" title="beside the longest">'
        f'<div style="{_TRACK};width:{share:.1f}%;background:{colour}"></div></div>'
        f"{histogram(bins, colour, label)}"
        f'<div style="{_ENDS};{_FINE}">{_ends(bins, size)}</div>{_fine(beyond)}{_fine(detail)}</div>'
    )


def _ends(bins: Bins, size: int) -> str:
    """The least and the greatest time under the histogram; of equal ones, how many there are."""
    if bins.high > bins.low:
        return f"<span>{seconds_text(bins.low)}</span><span>{seconds_text(bins.high)}</span>"
    return f'<span style="margin:auto">{"one batch" if size == 1 else f"{sum(bins.counts)} alike"}</span>'


def _fine(text: str) -> str:
    return f'<div style="{_FINE};white-space:nowrap">{escape(text)}</div>' if text else ""


def _kernels(kernels: Sequence[tuple[str, float, str, int]]) -> str:
    """The kernels, to unfold."""
    if not kernels:
        return ""
    head = "".join(f'<th style="{_HEAD}">{name}</th>' for name in ("launches a call", "time a call", "threads"))
    body = "\n".join(_kernel(*kernel) for kernel in kernels)
    launches = several(sum(kernel[1] for kernel in kernels), "launch", "launches")
    table = scrolled(f'<th style="{NAME}">kernel</th>{head}', body)
    return folded(f"{several(len(kernels), 'kernel')}, {launches} a call", table)


def _kernel(name: str, launches: float, time: str, threads: int) -> str:
    """A row; a long name goes without its middle, and is whole under the pointer."""
    count = f"{threads:,}".replace(",", _THIN) if threads else "–"
    cells = "".join(f'<td style="{CELL}">{escape(text)}</td>' for text in (f"{launches:.3g}", time, count))
    return f'<tr><td style="{_KERNEL}" title="{escape(name)}">{escape(shortened(name))}</td>{cells}</tr>'
