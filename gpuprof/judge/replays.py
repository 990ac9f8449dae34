"""Training steps that ran as captured graphs: what a step takes, and what each of its kernels takes of that."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpuprof.hooks.replays import Kind, Replays
from gpuprof.judge.account import Account
from gpuprof.judge.busy import busy_ns
from gpuprof.judge.stats import Interval, median_interval
from gpuprof.record.calls import Calls, Scope
from gpuprof.record.clocks import MISSING, Ints
from gpuprof.record.launches import Kernels
from gpuprof.record.schedule import Mode
from gpuprof.record.tape import RETURNED

Floats = NDArray[np.float64]

_HELD_NS = 1_000_000
_WAITED = 0.1
"""A share of the time: of less, waits for the host decide nothing."""


class Part(NamedTuple):
    """A kernel's part of a step; seconds and numbers are a step's."""

    kernel: str
    row: Scope
    """All that it does."""
    seconds: float
    """Of a step that was not recorded."""
    busy: float
    """As recorded; kernels that ran at the same time share it."""
    launches: float
    threads: int
    registers: int


@dataclass(frozen=True)
class ReplayFigures:
    """The steps of a cell that ran as graphs. Times are seconds of one step."""

    launches: int
    """Of graphs, or of single steps."""
    steps: int
    """In them."""
    in_a_graph: int
    """Steps of the longest graph."""
    step: Interval
    """From events around graphs that were not recorded."""
    samples: int
    """How many graphs that is the median of; where `recorded_only`, of those that were."""
    recorded_only: bool
    traced: float
    """A step of graphs that were recorded; NaN where none was."""
    host: float
    """What launching takes the host."""
    waited: float
    """The share of the time in which the device had no graph to run, between two that follow each other."""
    held: float
    """Seconds of the cell in which the device had nothing to do while records began or ended."""
    parts: tuple[Part, ...] = ()
    """In the order of the first launch; none where kernels are not known."""
    verified: int = 0
    """Graphs whose kernels were recorded, and were those that the model said, in its order."""
    refused: int = 0
    """Those whose kernels were others."""
    why: str = ""
    """How the first of them differed."""

    @property
    def bound(self) -> str:
        """What sets the pace: "host" where the device is now and then without a graph to run, else "device"."""
        return "host" if self.waited >= _WAITED else "device"

    @property
    def busy(self) -> float:
        """What all kernels run of a step; NaN where they are not known."""
        return sum(part.busy for part in self.parts) if self.parts else math.nan

    @property
    def idle(self) -> float:
        """What of a step no kernel runs; NaN where they are not known."""
        run = sum(part.seconds for part in self.parts)
        return max(0.0, round(self.step.median - run, 12)) if self.parts else math.nan

    @property
    def longest(self) -> Part:
        """The part that takes most."""
        return max(self.parts, key=lambda part: part.seconds)


def replay_figures(calls: Calls, account: Account, kernels: Kernels, replays: Replays) -> ReplayFigures | None:
    """What is known of the steps that ran as graphs; None where there were none."""
    at = calls.positions(replays.call)
    there = np.flatnonzero(at >= 0)
    at, kind, steps = at[there], replays.kind[there], replays.steps[there]
    if not len(at) or not steps.any():
        return None
    each = np.where(account.call_own_ns[at] == MISSING, np.nan, account.call_own_ns[at]) / steps * 1e-9
    mode, graph = calls["mode"][at], np.array([each.graph for each in replays.kinds])[kind]
    known = ~np.isnan(each) & (calls["status"][at] == RETURNED)
    known &= graph | ~graph.any()
    recorded = mode & int(Mode.RECORDS) > 0
    free = _but_first(np.flatnonzero(known & ~recorded & (mode & int(Mode.TURNING) == 0)))
    seen = _seen(kernels, at, kind, replays, np.flatnonzero(recorded))
    traced = _lengths(seen)
    chosen = free if len(free) else np.flatnonzero(known)
    samples = each[chosen] if len(free) or not len(traced) else traced
    step = median_interval(samples)
    return ReplayFigures(
        launches=len(replays),
        steps=int(replays.steps.sum()),
        in_a_graph=int(steps[graph].max(initial=1)),
        step=step,
        samples=len(samples),
        recorded_only=not len(free) and bool(recorded.any()),
        traced=float(np.median(traced)) if len(traced) else math.nan,
        host=_host(calls, at, steps, free),
        waited=_waited(calls, at, chosen),
        held=_held(calls, at),
        parts=_parts(seen, step.median),
        verified=len(seen.launches),
        refused=seen.refused,
        why=seen.why,
    )


def _but_first(chosen: Ints) -> Ints:
    """Without the cell's first launch, where there are others."""
    return chosen[chosen > 0] if len(chosen) > 1 else chosen


def _lengths(seen: _Seen) -> Floats:
    """Seconds of a step in each graph recorded, from the beginning of its first kernel to the end of its last.

    Marks tell it less well: the first launch in a recording takes the host long.
    """
    start, end = seen.kernels["start"], seen.kernels["end"]
    any_graph = any(kind.graph for kind, _ in seen.launches)
    used = [(kind, chosen) for kind, chosen in seen.launches if kind.graph or not any_graph]
    return np.array([(end[chosen].max() - start[chosen].min()) / kind.steps * 1e-9 for kind, chosen in used])


def _held(calls: Calls, at: Ints) -> float:
    """The device's time before launches that the log held up: from what was called before to the launch, seconds."""
    held = at[calls["own"][at] > _HELD_NS]
    outer = np.flatnonzero(calls.parents < 0)
    before = np.append(outer, -1)[np.searchsorted(outer, held) - 1]
    since = np.where(before >= 0, calls["end"][before], calls.window[0])
    gaps = np.where(since == MISSING, 0, calls["start"][held] - since)
    return float(np.maximum(0, gaps).sum()) * 1e-9


def _host(calls: Calls, at: Ints, steps: Ints, chosen: Ints) -> float:
    """The host's time for launching, of launches for which no graph had to be made; NaN where there are none."""
    used = chosen[~np.isin(at[chosen], calls.parents)]
    took = (calls["host_end"] - calls["host_start"])[at]
    return float(np.median(took[used] / steps[used])) * 1e-9 if len(used) else math.nan


def _waited(calls: Calls, at: Ints, chosen: Ints) -> float:
    """The share of the time that lies between launches with nothing called between them, of those chosen."""
    outer = np.flatnonzero(calls.parents < 0)
    following = np.append(outer, -1)[np.searchsorted(outer, at, side="right")]
    next_one = np.append(at[1:], -2)
    pairs = np.flatnonzero((following == next_one) & np.isin(np.arange(len(at)), chosen))
    pairs = pairs[np.isin(pairs + 1, chosen)]
    if not len(pairs):
        return math.nan
    start, end = calls["start"][at], calls["end"][at]
    between = float((start[pairs + 1] - end[pairs]).sum())
    return between / (between + float((end[pairs] - start[pairs]).sum()))


class _Seen(NamedTuple):
    """What was recorded of launches."""

    launches: list[tuple[Kind, Ints]]
    """Of those that were as the model said: their kernels, by position."""
    kernels: Kernels
    refused: int
    why: str


def _seen(kernels: Kernels, at: Ints, kind: Ints, replays: Replays, recorded: Ints) -> _Seen:
    by_call = np.lexsort((kernels["node"], kernels["correlation"], kernels["call"]))
    sorted_calls = kernels["call"][by_call]
    found: list[tuple[Kind, Ints]] = []
    refused, why = 0, ""
    for launch in recorded:
        low, high = np.searchsorted(sorted_calls, [at[launch], at[launch] + 1])
        chosen, expected = by_call[low:high], replays.kinds[kind[launch]]
        differs = unlike([kernels.names[name] for name in kernels["name"][chosen]], expected.kernels)
        if not differs:
            found.append((expected, chosen))
        elif len(chosen):
            refused, why = refused + 1, why or differs
    if len(recorded) and not found and not refused:
        why = "CUPTI gave no records of them"
    return _Seen(found, kernels, refused, why)


def unlike(recorded: Sequence[str], expected: Sequence[str]) -> str:
    """How the kernels recorded, in the order of launching, differ from those that were to come; "" for not at all."""
    if len(recorded) != len(expected):
        return f"{len(recorded)} kernels where {len(expected)} were to run"
    places = (i for i, pair in enumerate(zip(recorded, expected, strict=True)) if pair[0] != pair[1])
    first = next(places, None)
    return "" if first is None else f"kernel {first + 1} was {recorded[first]} and was to be {expected[first]}"


def _parts(seen: _Seen, step: float) -> tuple[Part, ...]:
    """Each kernel's part of a step; where they ran longer than a step that was not recorded takes, all less alike."""
    if not seen.launches:
        return ()
    kernels, busy = seen.kernels, busy_ns(seen.kernels)
    order = list(dict.fromkeys(name for kind, _ in seen.launches for name in kind.kernels))
    rows = {name: row for kind, _ in seen.launches for name, row in kind.rows.items()}
    number = {kernels.names.index(name): i for i, name in enumerate(order)}
    times, counts = (np.zeros((len(seen.launches), len(order))) for _ in range(2))
    threads, registers = np.zeros(len(order), dtype=np.int64), np.zeros(len(order), dtype=np.int64)
    for i, (kind, chosen) in enumerate(seen.launches):
        which = np.array([number[name] for name in kernels["name"][chosen].tolist()])
        np.add.at(times[i], which, busy[chosen] * 1e-9 / kind.steps)
        counts[i] = np.bincount(which, minlength=len(order)) / kind.steps
        for column, most in (("threads", threads), ("registers", registers)):
            np.maximum.at(most, which, kernels[column][chosen])
    a_step = np.median(times, axis=0)
    fits = min(1.0, step / a_step.sum()) if a_step.sum() > 0 else 1.0
    return tuple(
        Part(name, rows[name], float(a_step[i] * fits), float(a_step[i]), float(np.median(counts[:, i])),
             int(threads[i]), int(registers[i]))
        for i, name in enumerate(order)
    )  # fmt: skip
