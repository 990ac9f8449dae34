"""A timing's and a comparison's charts: numbers in, an Axes out. Units on the axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gpuprof.units import digits, percent, seconds_text, unit_for
from gpuprof.views.axes import axes, fine, ink, paper, plain, print_small
from gpuprof.views.colours import GPU, HOST, OTHER, QUANTITIES
from gpuprof.views.svg import Bins, binned


def histograms(quantities: Sequence[tuple[str, Sequence[float]]], small_print: Sequence[str], ax: Any = None) -> Any:
    """A histogram of each quantity's batches, one strip under the other, on the Axes returned (`ax`, or a new one).

    `quantities` has names and samples in seconds; `small_print` goes below. Each strip has its own scale in its own
    unit (they are the Axes' `child_axes`): of 14 µs ± 1 % beside 84 µs nothing could be seen on a common one. The
    bars at the left compare the sizes.
    """
    drawn = [(name, binned(samples)) for name, samples in quantities if len(samples)]
    ax = axes(ax, (7.5, 0.2 + 0.95 * max(1, len(drawn))))
    ax.set_axis_off()
    longest = max((bins.middle for _, bins in drawn), default=0.0)
    for i, (name, bins) in enumerate(drawn):
        top, height = 1 - i / len(drawn), 1 / len(drawn)
        _size_of(ax, name, bins, longest, top, height)
        _strip(ax.inset_axes((0.28, top - 0.72 * height, 0.72, 0.68 * height)), name, bins)
    print_small(ax, small_print if drawn else ["nothing was measured", *small_print], 0)
    return ax


def _size_of(ax: Any, name: str, bins: Bins, longest: float, top: float, height: float) -> None:
    """A quantity's name, its median, and a bar as long as it is beside the longest."""
    colour, at = QUANTITIES.get(name, OTHER), {"transform": ax.transAxes}
    size = sum(bins.counts) + bins.beyond
    ax.text(0, top - 0.16 * height, plain(name), va="center", **at)
    ax.text(0.24, top - 0.16 * height, seconds_text(bins.middle), va="center", ha="right", weight="bold", **at)
    batches = f"median of {size} batches" if size > 1 else "one batch"
    ax.text(0, top - 0.64 * height, batches, va="center", **at, **fine(ax))
    for length, shade in ((1.0, ink(ax, 0.12)), (bins.middle / longest if longest > 0 else 0.0, colour)):
        ax.plot([0, 0.24 * length], [top - 0.4 * height] * 2, color=shade, lw=4, solid_capstyle="butt", **at)


def _strip(ax: Any, name: str, bins: Bins) -> None:
    """One quantity's histogram with its median, in its own unit."""
    scale, unit = unit_for([bins.middle])
    low, high = bins.low / scale, bins.high / scale
    width = (high - low) or 1.0
    edges = np.linspace(low, high, len(bins.counts) + 1) if high > low else [low - 0.03, low + 0.03]
    ax.stairs(bins.counts, edges, fill=True, color=QUANTITIES.get(name, OTHER))
    ax.axvline(bins.middle / scale, color=ink(ax), lw=1.4)
    ax.set_xlim(edges[0] - 0.02 * width, edges[-1] + 0.02 * width)
    ax.set_ylim(0, 1.12 * max(bins.counts))
    ax.set_yticks([])
    if high > low:
        ax.locator_params(axis="x", nbins=7)
        ax.ticklabel_format(axis="x", useOffset=False)
    else:
        ax.set_xlim(low - 0.5, low + 0.5)
        ax.set_xticks([low], [digits(low)])
    ax.tick_params(axis="x", labelsize="small")
    ax.xaxis.set_label_text(unit, fontsize="small")
    ax.xaxis.set_label_coords(1.015, 0.02)
    ax.xaxis.label.set(ha="left", va="center")
    if bins.beyond:
        ax.text(1, 0.97, f"{bins.beyond} beyond →", ha="right", va="top", transform=ax.transAxes, **fine(ax))
    ax.spines[["top", "right", "left"]].set_visible(False)


def ratio(
    names: tuple[str, str],
    quantities: Sequence[Mapping[str, Any]],
    *,
    floor: float,
    small_print: Sequence[str] = (),
    ax: Any = None,
) -> Any:
    """How many times faster the second of `names` is: a dot and its interval a quantity, on the Axes returned.

    Each of `quantities` has quantity, ratio (old / new: above 1 the second is faster), low, high, verdict; it may
    have a floor of its own. `floor` (0.01 is 1 %) is the grey band around 1 in which nothing is claimed; what is not
    wholly outside is drawn hollow.
    """
    rows = [row for row in quantities if math.isfinite(row["ratio"])]
    ax = axes(ax, (7.5, 1.1 + 0.42 * len(rows)))
    ax.axvline(1, color=ink(ax, 0.7), lw=1)
    floors = [max(0.0, row.get("floor", floor)) for row in rows]  # NaN, where it is unknown, becomes 0
    for y, (row, own) in enumerate(zip(rows, floors, strict=True)):
        ax.fill_betweenx([y - 0.5, y + 0.5], 1 / (1 + own), 1 + own, color=ink(ax, 0.5), alpha=0.25, lw=0)
        _interval(ax, y, row, own)
    ax.set_yticks(range(len(rows)), [plain(row["quantity"]) for row in rows])
    ax.set_ylim(len(rows) - 0.4, -0.6)
    same = f"±{percent(floors[0])}, " if len(set(floors)) == 1 else ""
    ax.set_xlabel(f"times faster (grey: {same}not told apart)")
    _times_axis(ax, rows, max(floors, default=0.0))
    _sides(ax, names)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)
    print_small(ax, small_print)
    return ax


def _times_axis(ax: Any, rows: Sequence[Mapping[str, Any]], floor: float) -> None:
    """A logarithmic x axis about 1, wide enough for all intervals and three floors."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    ax.set_xscale("log")
    ends = [end for row in rows for end in (row["low"], row["high"], row["ratio"]) if end > 0 and math.isfinite(end)]
    reach = 1.15 * max([abs(math.log(end)) for end in ends] + [3 * math.log1p(floor), 0.01])
    ax.set_xlim(math.exp(-reach), math.exp(reach))
    ax.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]) if reach < 1 else LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda times, _: f"{times:.4g}×"))
    ax.xaxis.set_minor_locator(NullLocator())


def _interval(ax: Any, y: int, row: Mapping[str, Any], floor: float) -> None:
    """One quantity's dot and interval; what it comes to stands at the right."""
    low, high = row["low"], row["high"]
    sure = low > 1 + floor or high < 1 / (1 + floor)
    colour = OTHER if not sure else GPU if row["ratio"] > 1 else HOST
    if math.isfinite(low) and math.isfinite(high):
        ax.plot([low, high], [y, y], color=colour, lw=3, solid_capstyle="butt")
    ax.plot([row["ratio"]], [y], "o", ms=8, color=colour, mfc=colour if sure else paper(ax), mew=2)
    times = f"{row['ratio']:.3f}" if 0.95 < row["ratio"] < 1.05 else digits(row["ratio"])
    words = f"{times}×  {row['verdict']}"
    ax.text(1.02, y, plain(words), va="center", transform=ax.get_yaxis_transform(), weight="bold" if sure else "normal")


def _sides(ax: Any, names: tuple[str, str]) -> None:
    """Above the plot: which side is whose."""
    old, new = (plain(name if len(name) <= 32 else f"{name[:20]}…{name[-11:]}") for name in names)
    ax.text(0, 1.02, f"← {old} is faster", ha="left", va="bottom", color=HOST, transform=ax.transAxes)
    ax.text(1, 1.02, f"{new} is faster →", ha="right", va="bottom", color=GPU, transform=ax.transAxes)
