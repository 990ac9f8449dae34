"""One step of a profile as lanes: the host's calls, the device's spans, the kernels; hatched where the GPU is idle."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, NamedTuple

from gpuprof.units import percent, seconds_text, unit_for
from gpuprof.views.axes import axes, ink, paper, plain, print_small
from gpuprof.views.colours import GREY, LAYERS, PHASES, mixed, text_on
from gpuprof.views.names import distinct

_LONG = 32  # characters of a name in the legend
_LEGEND = 12  # layers; more are not told apart by colour, and their phases are
_UPRIGHT = 8  # characters of a name that stands upright in a narrow bar
_AROUND = 0.35  # of its colour has a call around others
_BEHIND = 0.25  # of all there is to draw: a longer gap between the host's calls and the device's work is cut out


class _Lane(NamedTuple):
    name: str
    paths: Sequence[str]
    phases: Sequence[str]
    starts: Any
    lengths: Any
    around: Sequence[bool]
    """Which calls have others inside."""
    named: bool = True
    """Whether bars wide enough carry their layer's name."""


class _Colours(NamedTuple):
    """A colour a layer, or, where there are many, a phase."""

    of: dict[str, str]
    by_phase: bool

    def __call__(self, path: str, phase: str) -> str:
        return self.of.get(phase if self.by_phase else path, GREY)


def lanes(
    calls: Any,
    kernels: Any,
    step: int,
    *,
    clock: str,
    small_print: Sequence[str] = (),
    ax: Any = None,
    inside: Sequence[str] = (),
) -> Any:
    """One step on the Axes returned (`ax`, or a new one): the host's lane, the device's below it, then the kernels'.

    `calls` and `kernels` are a profile's; on the host clock there is one lane. A colour is a layer, or of more than a
    dozen a phase; the phases stand above. What lies between bars is outside the layers; in the kernels' lane the GPU
    is idle there. Where the device is far behind the host its lanes are drawn earlier by what their names say. `inside`
    are the paths of kernels that are called otherwise than what launched them: those of a graph of many steps.
    """
    chosen = calls[(calls["step"] == step) & calls["host_us"].notna()]  # of others it is only known that they came
    tracks = _tracks(chosen, kernels[kernels["step"] == step], clock)
    extent = max(1e-3, *((track.starts + track.lengths).max() for track in tracks))
    size, unit = unit_for([extent * 1e-6])
    ax = axes(ax, (9, 1.15 + 0.62 * len(tracks)))
    colours = _colours(chosen, inside)
    for y, track in enumerate(tracks):
        _draw(ax, y, track, colours, extent, 1e-6 / size)
    _name_phases(ax, chosen, tracks[0], extent, 1e-6 / size)
    ax.set_yticks(range(len(tracks)), [track.name for track in tracks])
    ax.set_ylim(len(tracks) - 0.5, -0.85)
    ax.set_xlim(0, extent * 1e-6 / size)
    ax.set_xlabel(f"time in {'graph' if inside else 'step'} {step} ({unit})")
    _explain(ax, colours, idle=len(tracks) == 3 and not tracks[2].name.startswith("kernels\n100 %"))
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)
    print_small(ax, small_print)
    return ax


def _tracks(calls: Any, kernels: Any, clock: str) -> list[_Lane]:
    """The lanes there are, in µs from the host's first call."""
    origin = calls["host_start_us"].min()
    around = calls["call"].isin(calls["parent"])
    found = [_lane("host", calls, calls["host_start_us"] - origin, calls["host_us"], around)]
    marked = calls["start_us"].notna()
    if marked.any():
        there = calls[marked]
        found.append(_lane(clock, there, there["start_us"] - origin, there["span_us"], around[marked]))
    if len(kernels):
        starts, lengths = kernels["start_us"] - origin, kernels["span_us"]
        lasted = (starts + lengths).max() - starts.min()
        works = f"\n{percent(kernels['busy_us'].sum() / lasted)} busy" if lasted > 0 else ""
        found.append(_lane(f"kernels{works}", kernels, starts, lengths, [False] * len(kernels))._replace(named=False))
    return [found[0], *_caught_up(found[0], found[1:])]


def _lane(name: str, rows: Any, starts: Any, lengths: Any, around: Sequence[bool]) -> _Lane:
    return _Lane(name, list(rows["path"]), list(rows["phase"]), starts, lengths, list(around))


def _caught_up(host: _Lane, device: Sequence[_Lane]) -> list[_Lane]:
    """The device's lanes; of a device far behind the host, as though it had begun with it, which their names say."""
    if not device:
        return []
    begins = min(lane.starts.min() for lane in device)
    ends = max((lane.starts + lane.lengths).max() for lane in device)
    gap = begins - (host.starts + host.lengths).max()
    if gap < _BEHIND * ends:
        return list(device)
    later = f"\n{seconds_text(begins * 1e-6)} later"
    return [lane._replace(name=lane.name + later, starts=lane.starts - begins) for lane in device]


def _colours(calls: Any, inside: Sequence[str]) -> _Colours:
    """A colour for each layer, in the order of their first calls; of many layers, for each phase."""
    paths = dict.fromkeys([*calls["path"], *inside])
    if len(paths) > _LEGEND:
        there = set(calls["phase"])
        return _Colours({phase: colour for phase, colour in PHASES.items() if phase in there}, True)
    return _Colours({path: LAYERS[i % len(LAYERS)] for i, path in enumerate(paths)}, False)


def _draw(ax: Any, y: int, track: _Lane, colours: _Colours, extent: float, scale: float) -> None:
    """One lane: bars of a colour all at once, so that thousands of kernels are drawn in no time."""
    ground, gap = paper(ax), 0.4 if len(track.paths) <= 60 else 0.1
    bars: dict[tuple[bool, str], list[tuple[float, float]]] = {}
    rows = zip(track.paths, track.phases, track.starts, track.lengths, track.around, strict=True)
    for path, phase, start, length, around in rows:
        colour = colours(path, phase)
        colour = mixed(colour, ground, _AROUND) if around else colour
        bars.setdefault((around, colour), []).append((start * scale, length * scale))
        name = path.rpartition("/")[2]
        turn = _turned(name, length / extent) if track.named and not around else None
        if turn is not None:
            middle = {"ha": "center", "va": "center", "clip_on": True, "zorder": 4, "fontsize": "x-small"}
            ax.text((start + length / 2) * scale, y, plain(name), color=text_on(colour), rotation=turn, **middle)
    if not track.named:
        ends = (track.starts + track.lengths).max()
        extents = [(track.starts.min() * scale, (ends - track.starts.min()) * scale)]
        ax.broken_barh(extents, (y - 0.4, 0.8), zorder=1, **_idle(ax))
    for (around, colour), spans in bars.items():
        # a kernel of 2 µs in a step of 3 ms is less than a pixel: an outline of its own colour keeps it in sight
        edge = {"edgecolor": ground, "lw": gap} if track.named else {"edgecolor": colour, "lw": 0.5}
        ax.broken_barh(spans, (y - 0.4, 0.8), facecolor=colour, zorder=2 if around else 3, **edge)


def _turned(name: str, share: float) -> int | None:
    """By how many degrees a name is turned within a bar of so much of the Axes; None where there is no room for it."""
    if share > 0.0115 * len(name):
        return 0
    return 90 if share > 0.02 and len(name) <= _UPRIGHT else None


def _idle(ax: Any) -> dict[str, Any]:
    """The style of time in which the GPU has nothing to do."""
    return {"facecolor": ink(ax, 0.06), "edgecolor": ink(ax, 0.45), "hatch": "/////", "lw": 0}


def _explain(ax: Any, colours: _Colours, idle: bool) -> None:
    """The legend, above: the colours, and what is hatched."""
    for name, colour in zip(distinct(list(colours.of), _LONG), colours.of.values(), strict=True):
        ax.bar(0, 0, color=colour, label=plain(name) or "(outside)")
    if idle:
        ax.bar(0, 0, label="GPU idle", **_idle(ax))
    longest = max([len(label) for label in ax.get_legend_handles_labels()[1]], default=0)
    place = {"loc": "lower right", "bbox_to_anchor": (1, 1), "ncols": 7 if longest <= 14 else 3 if longest <= 24 else 2}
    ax.legend(frameon=False, fontsize="small", columnspacing=1.2, handlelength=1.4, **place)


def _name_phases(ax: Any, calls: Any, host: _Lane, extent: float, scale: float) -> None:
    """Above the host's lane: which phase it is in, where there is room."""
    bars = zip(calls["phase"], host.starts, host.starts + host.lengths, strict=True)
    for phase, group in groupby(bars, key=lambda each: each[0]):
        found = list(group)
        left, right = found[0][1], max(end for *_, end in found) - 0.003 * extent
        ax.plot([left * scale, right * scale], [-0.5, -0.5], color=ink(ax, 0.7), lw=1, solid_capstyle="butt")
        if right - left > 0.011 * len(phase) * extent:
            label = {"ha": "center", "va": "bottom", "fontsize": "small", "color": ink(ax, 0.8)}
            ax.text((left + right) / 2 * scale, -0.53, phase, **label)
