"""A profile's charts: a table in, an Axes out. Units on the axes; colours that the colour-blind can tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpuprof.units import unit_for
from gpuprof.views.axes import axes, plain

# Okabe and Ito, Color Universal Design (2008)
COLOURS = {
    "forward": "#0072B2",
    "backward": "#D55E00",
    "update": "#009E73",
    "recompute": "#CC79A7",
    "region": "#56B4E9",
    "": "#999999",
}
EVALUATION = {"evaluate": "#E69F00"}


def bars(table: Any, order: Sequence[str], *, clock: str, ax: Any = None, log: bool = False) -> Any:
    """Time a call of each layer, one bar a phase of the step, on the Axes returned (`ax`, or a new one).

    Evaluations are left out: their calls take many more images. `clock` is named in the title, so that host-clock
    bars are never taken for GPU time.
    """
    stepping = table[table["phase"].isin(COLOURS)]
    shown = [phase for phase in COLOURS if (stepping["phase"] == phase).any()]
    paths = [path for path in order if (stepping["path"] == path).any()]
    ax = axes(ax, (7.5, 0.9 + 0.13 * len(paths) * max(1, len(shown))))
    size, unit = unit_for(stepping["median_us"].dropna() * 1e-6)
    height = 0.8 / max(1, len(shown))
    for i, phase in enumerate(shown):
        rows = stepping[stepping["phase"] == phase]
        position = [paths.index(path) + (i - (len(shown) - 1) / 2) * height for path in rows["path"]]
        median, low, high = (rows[name] * 1e-6 / size for name in ("median_us", "low_us", "high_us"))
        error = [(median - low).fillna(0), (high - median).fillna(0)]
        style = {"color": COLOURS[phase], "label": phase or "(outside)", "error_kw": {"lw": 0.8}}
        ax.barh(position, median, height, xerr=error, **style)
    ax.set_yticks(range(len(paths)), [plain(path) for path in paths])
    ax.invert_yaxis()
    ax.set_xscale("log" if log else "linear")
    ax.set_xlabel(f"time a call ({unit}), median with 95 % interval")
    ax.set_title(f"Layers by phase, {clock}", fontsize="medium", loc="left")
    ax.legend(frameon=False, fontsize="small")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def lanes(calls: Any, step: int, *, clock: str, ax: Any = None) -> Any:
    """One step as a timeline: the host's lane over the device's; what lies between bars is outside the layers.

    `calls` is a profile's `.calls`; on the host clock there is one lane. Bars wide enough carry their layer's name.
    """
    ax = axes(ax, (9, 2.2))
    chosen = calls[calls["step"] == step]
    origin = chosen["host_start_us"].min()
    tracks = [("host", chosen["host_start_us"] - origin, chosen["host_us"])]
    if chosen["start_us"].notna().any():
        tracks.append((clock, chosen["start_us"] - origin, chosen["span_us"]))
    extent = max((start + length).max() for _, start, length in tracks)
    size, unit = unit_for([extent * 1e-6])
    colours = COLOURS | EVALUATION
    for y, (_, starts, lengths) in enumerate(tracks):
        for path, phase, start, length in zip(chosen["path"], chosen["phase"], starts, lengths, strict=True):
            left, width = (value * 1e-6 / size for value in (start, length))
            ax.broken_barh([(left, width)], (y - 0.4, 0.8), color=colours[phase], edgecolor="white", lw=0.4)
            if length > 0.012 * len(path) * extent:
                middle = {"ha": "center", "va": "center", "clip_on": True}
                ax.text(left + width / 2, y, plain(path), color="white", fontsize="small", **middle)
    for phase in colours:
        if (chosen["phase"] == phase).any():
            ax.bar(0, 0, color=colours[phase], label=phase)
    ax.set_yticks(range(len(tracks)), [name for name, *_ in tracks])
    ax.invert_yaxis()
    ax.set_xlim(left=0)
    ax.set_xlabel(f"time in step {step} ({unit})")
    ax.legend(frameon=False, fontsize="small", ncols=6, loc="lower right", bbox_to_anchor=(1, 1))
    ax.spines[["top", "right"]].set_visible(False)
    return ax
