"""Pairs of bars: what each layer took before and after; times in, an Axes out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from gpuprof.units import seconds_text, unit_for
from gpuprof.views.axes import axes, ink, paper, plain, print_small, time_text
from gpuprof.views.colours import GPU, HOST, OTHER, mixed
from gpuprof.views.names import distinct, shortened

_LONG = 32  # characters of a name that leave room for the bars
_WIDE, _ROW = 7.5, 0.42  # inches: the figure, a pair
_HEIGHT = 0.36  # of a row has each bar
_ROOM = 1.22  # of the longest bar, with the time behind it

Ends = tuple[float, float]
_UNKNOWN: Ends = (math.nan, math.nan)


class Pair(NamedTuple):
    """One thing before and after, in seconds; NaN for what was not measured."""

    name: str
    before: float
    after: float
    before_ends: Ends = _UNKNOWN
    """Its interval, from low to high."""
    after_ends: Ends = _UNKNOWN
    word: str = ""
    """What the difference comes to: "2.1× faster", "unclear"."""
    sure: bool = True
    """False for a difference that is not told from noise, whatever its size."""


def paired(
    pairs: Sequence[Pair],
    names: tuple[str, str] = ("before", "after"),
    *,
    title: str = "",
    label: str = "time a call",
    small_print: Sequence[str] = (),
    ax: Any = None,
    log: bool = False,
) -> Any:
    """A pair of bars a thing on the Axes returned (`ax`, or a new one): grey before, in colour after.

    Blue is faster, vermilion slower; what is not sure is pale and stands beside an outline. The word behind a pair
    says it without colour. `names` are those of the two, `label` what the times are of; `log` takes powers of ten.
    """
    ax = axes(ax, (_WIDE, 1.15 + _ROW * max(1, len(pairs))))
    times = [t for pair in pairs for t in (pair.before, pair.after) if t == t]
    size, unit = unit_for(times)
    low = 10.0 ** math.floor(math.log10(min((t for t in times if t > 0), default=1e-6)) - 0.1) if log else 0.0
    for y, pair in enumerate(pairs):
        _draw(ax, y, pair, low, size)
    ax.set_yticks(range(len(pairs)), [plain(name) for name in distinct([pair.name for pair in pairs], _LONG)])
    ax.set_ylim(len(pairs) - 0.4, -0.6)
    _measure(ax, max(times, default=0.0) or 1e-6, low, size)
    ax.set_xlabel(f"{plain(label)}, logarithmic" if log else f"{plain(label)} ({unit})")
    _explain(ax, names, title)
    ax.spines[["top", "right", "bottom"]].set_visible(False)
    ax.spines["left"].set_color(ink(ax, 0.7))
    print_small(ax, small_print)
    return ax


def _draw(ax: Any, y: int, pair: Pair, low: float, size: float) -> None:
    """Both bars with their intervals and times; what they come to stands at the right."""
    colour = _colour(pair)
    after = {"color": colour} if pair.sure else {"color": mixed(colour, paper(ax), 0.4), "edgecolor": colour, "lw": 1}
    for time, ends, above, style in (
        (pair.before, pair.before_ends, -0.5, {"color": mixed(OTHER, paper(ax), 0.6)}),
        (pair.after, pair.after_ends, 0.5, after),
    ):
        at = y + above * _HEIGHT
        if time != time:
            ax.annotate("not measured", (low / size, at), (5, 0), **_BEHIND, color=ink(ax, 0.72))
            continue
        ax.barh(at, max(0.0, time - low) / size, 0.92 * _HEIGHT, left=low / size, **style)
        if ends[0] == ends[0]:
            ax.plot([end / size for end in ends], [at, at], color=ink(ax), lw=0.9)
        reach = max(time, low, ends[1]) if ends[1] == ends[1] else max(time, low)
        ax.annotate(seconds_text(time) if time else "0", (reach / size, at), (5, 0), **_BEHIND, color=ink(ax))
    weight = "bold" if pair.sure and pair.word else "normal"
    end = {"ha": "left", "va": "center", "fontsize": "small", "transform": ax.get_yaxis_transform()}
    ax.text(1.01, y, plain(pair.word), weight=weight, color=ink(ax, 1.0 if pair.sure else 0.72), **end)


_BEHIND: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": "x-small"}


def _colour(pair: Pair) -> str:
    """Blue for faster, vermilion for slower; grey where nothing is claimed."""
    if not pair.sure or pair.before == pair.after or math.isnan(pair.before + pair.after):
        return OTHER
    return GPU if pair.after < pair.before else HOST


def _measure(ax: Any, longest: float, low: float, size: float) -> None:
    """The x axis, with room behind the longest bar."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    if low:
        ax.set_xscale("log")
        ax.set_xlim(low / size, (longest / low) ** _ROOM * low / size)
        ax.xaxis.set_major_locator(LogLocator(numticks=9))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: time_text(value * size)))
        ax.xaxis.set_minor_locator(NullLocator())
    else:
        ax.set_xlim(0, _ROOM * longest / size)
        ax.xaxis.set_major_locator(MaxNLocator(6))
    ax.grid(axis="x", color=ink(ax, 0.13), lw=0.8)
    ax.set_axisbelow(True)
    ax.tick_params(length=0)
    ax.tick_params(axis="x", labelsize="small")


def _explain(ax: Any, names: tuple[str, str], title: str) -> None:
    """Above: the title, and whose each bar of a pair is."""
    before, after = (plain(shortened(name, _LONG)) for name in names)
    place = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "left", "va": "bottom"}
    ax.annotate(f"above: {before}, below: {after}", (0, 1), (0, 5), fontsize="small", **place)
    if title:
        ax.set_title(plain(title), fontsize="medium", loc="left", pad=23)
