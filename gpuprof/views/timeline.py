"""One step of a profile as lanes: the host's calls, the device's spans, the kernels; idle is what lies between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from gpuprof.units import percent, unit_for
from gpuprof.views.axes import axes, plain
from gpuprof.views.parts import shortened

# Okabe and Ito, Color Universal Design (2008): neighbours in this order are told apart by the colour-blind, too
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#8A6D3B")
_LIGHT = ("#E69F00", "#56B4E9", "#CC79A7")  # black is read on them, white on the others
_OUTSIDE = "#666666"
_IDLE = "0.93"
_LONG = 32  # characters of a name in the legend
_LEGEND = 12  # more layers are not named beside the colours


class _Lane(NamedTuple):
    name: str
    paths: Sequence[str]
    starts: Any
    lengths: Any
    named: bool
    """Whether bars wide enough carry their layer's name."""


def lanes(calls: Any, kernels: Any, step: int, *, clock: str, ax: Any = None) -> Any:
    """One step on the Axes returned (`ax`, or a new one): the host's lane, the device's below it, then the kernels'.

    `calls` and `kernels` are a profile's; on the host clock there is one lane. A colour is a layer; the phases stand
    above. What lies between bars is outside the layers; in the kernels' lane the GPU is idle there.
    """
    chosen = calls[calls["step"] == step]
    tracks = _tracks(chosen, kernels[kernels["step"] == step], clock)
    extent = max(1e-3, *((track.starts + track.lengths).max() for track in tracks))
    size, unit = unit_for([extent * 1e-6])
    ax = axes(ax, (9, 0.9 + 0.62 * len(tracks)))
    colours = _colours(chosen["path"])
    for y, track in enumerate(tracks):
        _draw(ax, y, track, colours, extent, 1e-6 / size)
    _name_phases(ax, chosen, tracks[0], extent, 1e-6 / size)
    ax.set_yticks(range(len(tracks)), [track.name for track in tracks])
    ax.set_ylim(len(tracks) - 0.5, -0.85)
    ax.set_xlim(0, extent * 1e-6 / size)
    ax.set_xlabel(f"time in step {step} ({unit})")
    if len(colours) <= _LEGEND:
        for path, colour in colours.items():
            ax.bar(0, 0, color=colour, label=plain(shortened(path, _LONG)))
        ax.legend(frameon=False, fontsize="small", ncols=6, loc="lower right", bbox_to_anchor=(1, 1))
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)
    return ax


def _tracks(calls: Any, kernels: Any, clock: str) -> list[_Lane]:
    """The lanes there are, in µs from the host's first call."""
    origin = calls["host_start_us"].min()
    found = [_Lane("host", list(calls["path"]), calls["host_start_us"] - origin, calls["host_us"], True)]
    if calls["start_us"].notna().any():
        marked = calls[calls["start_us"].notna()]
        found.append(_Lane(clock, list(marked["path"]), marked["start_us"] - origin, marked["span_us"], True))
    if len(kernels):
        starts, lengths = kernels["start_us"] - origin, kernels["span_us"]
        lasted = (starts + lengths).max() - starts.min()
        works = f"\n{percent(kernels['busy_us'].sum() / lasted)} busy" if lasted > 0 else ""
        found.append(_Lane(f"kernels{works}", list(kernels["path"]), starts, lengths, False))
    return found


def _colours(paths: Any) -> dict[str, str]:
    """A colour for each layer, in the order of their first calls."""
    return {path: _COLOURS[i % len(_COLOURS)] for i, path in enumerate(dict.fromkeys(paths))}


def _draw(ax: Any, y: int, track: _Lane, colours: Mapping[str, str], extent: float, scale: float) -> None:
    """One lane: bars of a layer all at once, so that thousands of kernels are drawn in no time."""
    bars: dict[str, list[tuple[float, float]]] = {}
    for path, start, length in zip(track.paths, track.starts, track.lengths, strict=True):
        bars.setdefault(path, []).append((start * scale, length * scale))
        if track.named and length > 0.012 * len(name := path.rpartition("/")[2]) * extent:
            ink = "black" if colours.get(path) in _LIGHT else "white"
            middle = {"ha": "center", "va": "center", "clip_on": True, "zorder": 3}
            ax.text((start + length / 2) * scale, y, plain(name), color=ink, fontsize="small", **middle)
    if not track.named:
        ends = (track.starts + track.lengths).max()
        ax.broken_barh([(track.starts.min() * scale, (ends - track.starts.min()) * scale)], (y - 0.4, 0.8), color=_IDLE)
    for path, spans in bars.items():
        colour = colours.get(path, _OUTSIDE)
        # a kernel of 2 µs in a step of 3 ms is less than a pixel: an outline of its own colour keeps it in sight
        edge = {"edgecolor": "white", "lw": 0.4} if track.named else {"edgecolor": colour, "lw": 0.5}
        ax.broken_barh(spans, (y - 0.4, 0.8), facecolor=colour, zorder=2, **edge)


def _name_phases(ax: Any, calls: Any, host: _Lane, extent: float, scale: float) -> None:
    """Above the host's lane: which phase it is in, where there is room."""
    bars = zip(calls["phase"], host.starts, host.starts + host.lengths, strict=True)
    for phase, group in groupby(bars, key=lambda each: each[0]):
        found = list(group)
        left, right = found[0][1], max(end for *_, end in found) - 0.003 * extent
        ax.plot([left * scale, right * scale], [-0.5, -0.5], color="0.4", lw=1, solid_capstyle="butt")
        if right - left > 0.011 * len(phase) * extent:
            label = {"ha": "center", "va": "bottom", "fontsize": "small", "color": "0.3"}
            ax.text((left + right) / 2 * scale, -0.53, phase, **label)
