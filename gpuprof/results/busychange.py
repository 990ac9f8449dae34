"""What two profiles' kernels run, held against each other: it says what a change did where the host sets the pace."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gpuprof.judge.floors import FEWEST_CONTROLS, LEAST, held_to_controls
from gpuprof.judge.simultaneous import Estimates, Floats, Middle, middles, repeats, two_samples, whole
from gpuprof.record.calls import LINE, Scope
from gpuprof.results.changerows import Judged
from gpuprof.results.kerneltable import busy_times
from gpuprof.results.measured import Measured
from gpuprof.results.sides import Sides

_FEWEST = 4  # steps
_TICK_S = 3.2e-8  # of the records, as they come from an H200


def by_controls(sides: Sides, *, alone: bool = False) -> Judged | None:
    """Of one profile a side, beside the rows that launch the same kernels; `alone`: also where these are too few."""
    old, new = (_middle(each.profile, sides.common) for each in (sides.old, sides.new))
    controls = sides.controls & (old.value > 0) & (new.value > 0)
    enough = controls.sum() >= FEWEST_CONTROLS
    if not enough and not alone:
        return None
    found = two_samples(old, new, controls if enough else None)
    floor = held_to_controls(found, controls, LEAST[True]).floor if enough else np.full(len(found.value), LEAST[True])
    return _judged(found, floor, old.value)


def by_repeats(sides: Sides, old: Sequence[Measured], new: Sequence[Measured]) -> Judged | None:
    """Of three profiles a side or more."""
    seconds = [np.array([_middle(run, sides.common).value for run in runs]) for runs in (old, new)]
    logs = [np.log(np.where(runs > 0, runs, np.nan)) for runs in seconds]
    controls = sides.controls & ~np.isnan(np.concatenate(logs)).any(axis=0)
    if controls.sum() >= FEWEST_CONTROLS:
        logs = [runs - np.median(runs[:, controls], axis=1, keepdims=True) for runs in logs]
    found = repeats(logs[0], logs[1], sides.layers)
    return _judged(found, np.full(len(found.value), LEAST[True]), seconds[0][0])


def _judged(found: Estimates, floor: Floats, seconds: Floats) -> Judged | None:
    """None where there is no estimate; two ticks of the records are no difference."""
    if np.isnan(found.half).all():
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        return Judged(found, np.fmax(floor, 2 * _TICK_S / seconds))


def _middle(run: Measured, rows: Sequence[Scope]) -> Middle:
    """Seconds that the kernels of a call of each row run, and those of a step."""
    calls, moved = run.log.without(LINE)
    times = busy_times(calls, run.account, run.seen.kernels.moved(moved))
    every = whole(middles(times.of([*times.rows]), _FEWEST), times.often)
    at = [times.rows.index(row) if row in times.rows else -2 for row in rows]
    value = np.append(every.value, np.nan)[[*at, -2]]
    return Middle(value, np.column_stack([every.parts, np.zeros(len(every.parts))])[:, [*at, -2]])
