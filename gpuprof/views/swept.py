"""Times against the values of a variable: of a statement, and of a model's step; where launch-bound ends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from gpuprof.judge.crossing import crossing
from gpuprof.units import count
from gpuprof.views.axes import axes, ink, plain, print_small, time_text
from gpuprof.views.colours import GPU, HOST, QUANTITIES, SKY


class _Line(NamedTuple):
    """A column of the table, told apart on grey paper, too; "" for the colour of the text."""

    column: str
    label: str
    colour: str
    marker: str
    dashes: str


_OF_A_CALL = (
    _Line("host", "host", HOST, "o", "-"),
    _Line("device", "device (GPU)", GPU, "s", "-"),
    _Line("kernels", "kernels (GPU)", SKY, "^", "--"),
    _Line("latency", "latency", QUANTITIES["latency"], "D", ":"),
)
_OF_A_STEP = (
    _Line("step", "step", "", "D", "-"),
    _Line("host", "host, to issue it", HOST, "o", "--"),
    _Line("busy", "GPU busy", GPU, "s", "-"),
)
_ROOM = 0.16  # of the axis above the lines, for the words there


def sweep(table: Any, variable: str, *, small_print: Sequence[str], ax: Any = None) -> Any:
    """Time against `variable`, a line a quantity, on the Axes returned; "launch-bound" where the host takes longer.

    `table` is a DataFrame with columns `variable`, host_us, device_us, kernels_us, latency_us; those missing or all
    NaN are left out, and those with host_low_us and host_high_us and so on get a band. Both axes are logarithmic
    where the values of `variable` are positive numbers; other numbers are on a linear axis, words side by side.
    """
    return _drawn(table, variable, _OF_A_CALL, "time a call", small_print, ax)


def steps(table: Any, variable: str, *, small_print: Sequence[str], ax: Any = None) -> Any:
    """The same for a model's step: how long it is, what the host takes to issue it, and how long the GPU is busy.

    `table` has step_us, host_us and busy_us; hatched between step and busy the GPU is idle.
    """
    ax = _drawn(table, variable, _OF_A_STEP, "time a step", small_print, ax)
    x, words = _positions(table[variable])
    if _measured(table, "busy_us") and not words:
        idle = {"facecolor": "none", "edgecolor": ink(ax, 0.35), "hatch": "////", "lw": 0, "zorder": 0.5}
        busy, whole = (table[name].to_numpy(float) * 1e-6 for name in ("busy_us", "step_us"))
        ax.fill_between(x, busy, whole, where=whole > busy, label="GPU idle", **idle)
        _explain(ax)
    return ax


def _drawn(
    table: Any, variable: str, lines: Sequence[_Line], label: str, small_print: Sequence[str], ax: Any = None
) -> Any:
    ax = axes(ax, (7, 4.2))
    x, words = _positions(table[variable])
    for line in lines:
        if _measured(table, f"{line.column}_us"):
            _draw(ax, x, table, line, bool(words))
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    ax.set_ylim(low, high * max(1.5, (high / low) ** _ROOM))
    _time_ticks(ax.yaxis)
    _ticks(ax, x, words)
    _shade(ax, x, table, bool(words))
    ax.set_xlabel(plain(variable))
    ax.set_ylabel(label)
    ax.grid(which="major", color=ink(ax, 0.13), lw=0.8)
    ax.set_axisbelow(True)
    _explain(ax)
    ax.spines[["top", "right"]].set_visible(False)
    print_small(ax, small_print)
    return ax


def _draw(ax: Any, x: Sequence[float], table: Any, line: _Line, words: bool) -> None:
    """A line, and its intervals as a band."""
    name, colour = line.column, line.colour or ink(ax)
    size = {"lw": 3.0, "ms": 6.5} if not line.colour else {"ms": 5}  # what lies on it is seen
    style = {"color": colour, "marker": line.marker, "ls": "" if words else line.dashes, **size}
    ax.plot(x, table[f"{name}_us"] * 1e-6, label=line.label, **style)
    if not (_measured(table, f"{name}_low_us") and _measured(table, f"{name}_high_us")):
        return
    low, high = (table[f"{name}_{end}_us"] * 1e-6 for end in ("low", "high"))
    if words:
        ax.vlines(x, low, high, color=colour, alpha=0.4, lw=4)
    else:
        ax.fill_between(x, low, high, color=colour, alpha=0.25, lw=0)


def _explain(ax: Any) -> None:
    """The legend, above."""
    place = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.2}
    ax.legend(frameon=False, fontsize="small", ncols=4, columnspacing=1.4, **place)


def _measured(table: Any, column: str) -> bool:
    return column in table and bool(table[column].notna().any())


def _positions(values: Any) -> tuple[list[float], list[str]]:
    """Where the values stand on the x axis; and their names, where they are no numbers."""
    try:
        return [float(value) for value in values], []
    except (TypeError, ValueError):
        return [float(i) for i in range(len(values))], [plain(str(value)) for value in values]


def _ticks(ax: Any, x: Sequence[float], words: Sequence[str]) -> None:
    """The x axis: words side by side; positive numbers on a logarithmic axis, with powers of two as such."""
    if words:
        ax.set_xticks(x, words)
    elif all(value > 0 for value in x) and len(set(x)) > 1:
        binary = all(math.log2(value).is_integer() for value in x)
        ax.set_xscale("log", base=2 if binary else 10)
        if binary or len(set(x)) <= 12:
            shown = sorted(set(x))[:: -(-len(set(x)) // 12)]
            ax.set_xticks(shown, [_power(value) if binary and max(x) > 99_999 else _number(value) for value in shown])
            ax.minorticks_off()


def _power(value: float) -> str:
    return f"$2^{{{math.log2(value):.0f}}}$"


def _number(value: float) -> str:
    return f"{value:,.10g}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def _time_ticks(axis: Any) -> None:
    """Ticks such as 20 µs and 1 ms on a logarithmic axis of seconds."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    low, high = axis.get_view_interval()
    wide = high > 1000 * low
    axis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0), numticks=15))
    axis.set_major_formatter(FuncFormatter(lambda seconds, _: time_text(seconds)))
    axis.set_minor_locator(NullLocator())


def _shade(ax: Any, x: Sequence[float], table: Any, words: bool) -> None:
    """Grey behind where the host's time exceeds the GPU's, by straight lines between the points as they are drawn."""
    gpu = next((name for name in ("device_us", "kernels_us", "busy_us") if _measured(table, name)), None)
    if gpu is None or not _measured(table, "host_us"):
        return
    known = table.assign(x=x).dropna(subset=["host_us", gpu])
    known = known[(known["host_us"] > 0) & (known[gpu] > 0)].sort_values("x")
    if known.empty:
        return
    log = ax.get_xscale() == "log"
    over = np.log(known["host_us"].to_numpy(float) / known[gpu].to_numpy(float))
    places = np.log(known["x"].to_numpy(float)) if log else known["x"].to_numpy(float)
    margin = 0.5 if words else 0.0
    fine = np.linspace(places.min() - margin, places.max() + margin, 2000)
    bound = over[np.abs(fine[:, None] - places).argmin(1)] if words else np.interp(fine, places, over)
    if not (bound > 0).any():
        return
    fine = np.exp(fine) if log else fine
    upright = {"transform": ax.get_xaxis_transform()}
    ax.fill_between(fine, 0, 1, where=bound > 0, color=ink(ax, 0.5), alpha=0.2, lw=0, zorder=0, **upright)
    stretches = np.split(np.flatnonzero(bound > 0), np.flatnonzero(np.diff(np.flatnonzero(bound > 0)) > 1) + 1)
    widest = max(stretches, key=len)
    label = {"ha": "center", "va": "top", "fontsize": "small", "style": "italic", "color": ink(ax, 0.8)}
    ax.text(fine[widest[len(widest) // 2]], 0.985, "launch-bound", **label, **upright)
    if not words:
        end = crossing(places, known["host_us"].to_list(), known[gpu].to_list())
        _mark(ax, math.exp(end) if log and end == end else end)


def _mark(ax: Any, end: float) -> None:
    """Where launch-bound ends."""
    if end != end:
        return
    upright = {"transform": ax.get_xaxis_transform()}
    ax.axvline(end, color=ink(ax, 0.8), lw=1, ls=(0, (4, 3)), zorder=1)
    left, right = ax.get_xlim()
    log = ax.get_xscale() == "log"
    share = math.log(end / left) / math.log(right / left) if log else (end - left) / (right - left)
    side = "left" if share < 0.75 else "right"
    text = f" ends near {count(float(f'{end:.2g}'))} "
    ax.text(end, 0.90, text, ha=side, va="top", fontsize="small", color=ink(ax, 0.8), **upright)
