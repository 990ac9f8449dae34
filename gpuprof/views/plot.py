"""A profile's charts: a table in, an Axes out. Units on the axes; colours that the colour-blind can tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpuprof.units import unit_for
from gpuprof.views.axes import axes, plain
from gpuprof.views.parts import shortened

_LONG = 32  # characters of a layer's name that leave room for the bars
# Okabe and Ito, Color Universal Design (2008)
COLOURS = {
    "forward": "#0072B2",
    "backward": "#D55E00",
    "update": "#009E73",
    "recompute": "#CC79A7",
    "region": "#56B4E9",
    "": "#999999",
}


def bars(table: Any, order: Sequence[str], *, clock: str, ax: Any = None, log: bool = False) -> Any:
    """Time a call of each layer, one bar a phase of the step, on the Axes returned (`ax`, or a new one).

    Where kernels were recorded the part of a bar in which the GPU works is darker. Evaluations are left out: their
    calls take many more images. `clock` is named in the title, so that host-clock bars are never taken for GPU time.
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
        if rows["busy_us"].notna().any():
            ax.barh(position, rows["busy_us"].fillna(0) * 1e-6 / size, height, color="black", alpha=0.35, lw=0)
    ax.set_yticks(range(len(paths)), [plain(shortened(path, _LONG)) for path in paths])
    ax.invert_yaxis()
    ax.set_xscale("log" if log else "linear")
    ax.set_xlabel(f"time a call ({unit}), median with 95 % interval")
    works = "; dark: the GPU works" if stepping["busy_us"].notna().any() else ""
    ax.set_title(f"Layers by phase, {clock}{works}", fontsize="medium", loc="left")
    ax.legend(frameon=False, fontsize="small")
    ax.spines[["top", "right"]].set_visible(False)
    return ax
