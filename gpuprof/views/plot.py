"""A profile's bars: forward to the left, backward to the right of one line, the update apart; a table in, Axes out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from gpuprof.units import unit_for
from gpuprof.views.axes import axes, ink, paper, plain, print_small, time_text, width_of
from gpuprof.views.colours import PHASES, SKY, mixed
from gpuprof.views.mirror import Bar, Zones, ordered, ways, zones
from gpuprof.views.names import distinct

_LONG = 32  # characters of a layer's name that leave room for the bars
_MOST = 40  # layers that are drawn; of more those that take longest
_WIDE, _ROW = 7.5, 0.27  # inches: the figure, a bar
_THICK = 0.72  # of that
_PALE = 0.45  # of its colour has the part of a bar in which the GPU does not work
_TITLES = {"": "(outside)", "region": "regions", "call": "calls"}


def bars(
    table: Any,
    order: Sequence[str],
    *,
    clock: str,
    small_print: Sequence[str] = (),
    ax: Any = None,
    log: bool = False,
    what: str = "A call of each layer",
) -> Any:
    """Time a call of each layer on the Axes returned (`ax`, or a new one): forward to the left, backward to the right.

    The update, regions and what lies outside stand apart, at the same scale. Without both a forward and a backward
    nothing is mirrored. Where kernels were recorded a bar is solid as far as the GPU works. Evaluations are left out:
    their calls take many more images; of more than 40 layers those that take longest are drawn. `clock` is named in
    the title, so that host-clock bars are never taken for GPU time. `log` draws powers of ten, for times that lie far
    apart; lengths are then no proportions.
    """
    stepping = table[table["phase"] != "evaluate"]
    there = [path for path in order if (stepping["path"] == path).any()]
    paths = _longest(stepping, there)
    found, places = _bars(stepping, paths)
    height = max([bar.y + 1 for bar in found], default=1.0)
    named = distinct(paths, _LONG)
    names = 0.085 * max(map(len, named), default=0)
    wide = _WIDE - 0.2 - names if ax is None else width_of(ax)
    ax = axes(ax, (_WIDE, 1.05 + _ROW * height))
    parts = zones(found, wide, log)
    for bar in found:
        _draw(ax, bar, parts)
    _name(ax, named, places, height)
    _measure(ax, parts, log)
    works = "; solid: the GPU works" if stepping["busy_us"].notna().any() else ""
    ax.set_title(f"{what}, {clock}{works}", fontsize="medium", loc="left", pad=22)
    left_out = [
        "evaluations are left out" if (table["phase"] == "evaluate").any() else "",
        f"the {len(paths)} of {len(there)} rows that take longest" if len(paths) < len(there) else "",
    ]
    print_small(ax, ["" if found else "nothing was measured", *small_print, *left_out])
    return ax


def _longest(table: Any, paths: Sequence[str]) -> list[str]:
    """As many of the paths as there is room for, in their order."""
    takes = (table["median_us"] * table["calls"]).groupby(table["path"]).sum()
    kept = set(takes.sort_values(ascending=False, kind="stable").index[:_MOST])
    return [path for path in paths if path in kept]


def _bars(table: Any, paths: Sequence[str]) -> tuple[list[Bar], list[float]]:
    """A bar a row of the table, those of a layer that go one way one under the other; where each layer's middle is."""
    rows = {(row.path, row.phase): row for row in table.itertuples()}
    found, places, top = [], [], 0.0
    for path in paths:
        going = ways(phase for each, phase in rows if each == path)
        deepest = max(map(len, going))
        for way in going:
            for i, phase in enumerate(way):
                row = rows[path, phase]
                median, low, high, busy = (t * 1e-6 for t in (row.median_us, row.low_us, row.high_us, row.busy_us))
                found.append(Bar(top + (deepest - len(way)) / 2 + i, phase, median, low, high, busy))
        places.append(top + (deepest - 1) / 2)
        top += deepest
    return found, places


def _colour(phase: str) -> str:
    return PHASES.get(phase, SKY)


def _draw(ax: Any, bar: Bar, parts: Zones) -> None:
    """A bar, its solid part, its interval, and what it amounts to behind it."""
    if math.isnan(bar.median):
        return
    scale, (line, way) = parts.scale, parts.place(bar.phase)
    colour, y, known = _colour(bar.phase), bar.y, not math.isnan(bar.busy)
    solid = {"height": _THICK, "left": line, "lw": 0}
    ax.barh(y, way * scale(bar.median), color=mixed(colour, paper(ax), _PALE if known else 1.0), **solid)
    if known:
        ax.barh(y, way * scale(min(bar.busy, bar.median)), color=colour, **solid)
    reach = min(bar.reach, parts.furthest[parts.sides[bar.phase]])
    if bar.low == bar.low and bar.high == bar.high:
        ends = [line + way * scale(bar.low), line + way * scale(reach)]
        cut = {"marker": ">" if way > 0 else "<", "ms": 4, "markevery": [1]} if bar.reach > reach else {}
        ax.plot(ends, [y, y], color=ink(ax), lw=0.9, **cut)
    end, side = line + way * (scale(reach) + 0.06), "left" if way > 0 else "right"
    ax.text(end, y, plain(bar.text), ha=side, va="center", fontsize=8, color=ink(ax))


def _name(ax: Any, names: Sequence[str], places: Sequence[float], height: float) -> None:
    """The layers, from the top."""
    ax.set_yticks(places, [plain(name) for name in names])
    ax.set_ylim(height - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left", "bottom"]].set_visible(False)


def _measure(ax: Any, parts: Zones, log: bool) -> None:
    """The lines from which times are drawn, ticks, headings, and the unit."""
    size, unit = unit_for([parts.scale.longest])
    label: Callable[[float], str] = time_text if log else lambda seconds: f"{seconds / size:.4g}"
    ticks: dict[float, str] = {}
    for side, line, way, length in parts.lines():
        ax.axvline(line, color=ink(ax, 0.7), lw=0.9)
        within = [t for t in parts.scale.ticks() if parts.scale(t) <= length - 0.3 or t == 0]
        ticks |= {line + way * parts.scale(t): label(t) for t in within}
        drawn = ordered(phase if phase in PHASES else "call" for phase, its in parts.sides.items() if its == side)
        named = [phase for phase in drawn if phase]  # "(outside)" is the name of its row already
        _head(ax, named or drawn, side, line)
    ax.set_xticks(list(ticks), list(ticks.values()), fontsize="small")
    ax.set_xlim(-parts.left, parts.apart + parts.beyond or 1.0)
    ax.grid(axis="x", color=ink(ax, 0.13), lw=0.8)
    ax.set_axisbelow(True)
    ax.tick_params(axis="x", length=0)
    ax.set_xlabel("time a call, median with 95 % interval" + (", logarithmic" if log else f" ({unit})"))


def _head(ax: Any, phases: Sequence[str], side: int, at: float) -> None:
    """Above a part: which phases are drawn there, each with its colour."""
    from matplotlib.offsetbox import AnnotationBbox, DrawingArea, HPacker, TextArea
    from matplotlib.patches import Rectangle

    pieces: list[Any] = [TextArea("◂", textprops={"fontsize": "small"})] if side < 0 else []
    for phase in phases:
        swatch = DrawingArea(8, 8)
        swatch.add_artist(Rectangle((0, 0), 8, 8, facecolor=_colour(phase), lw=0))
        pieces += [swatch, TextArea(_TITLES.get(phase, phase), textprops={"fontsize": "small", "weight": "bold"})]
    packed = HPacker(children=pieces, pad=0, sep=4, align="center")
    corner, offset = ((1.0, 0.0), (-4, 4)) if side < 0 else ((0.0, 0.0), (0, 4))
    place = {"xycoords": ax.get_xaxis_transform(), "boxcoords": "offset points", "box_alignment": corner}
    ax.add_artist(AnnotationBbox(packed, (at, 1.0), offset, frameon=False, pad=0, annotation_clip=False, **place))
