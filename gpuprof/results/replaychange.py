"""Profiles of which one or both ran steps as captured graphs, held against each other: by the whole step."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gpuprof.judge.floors import LEAST
from gpuprof.judge.simultaneous import Floats, repeats
from gpuprof.results.alike import unlike
from gpuprof.results.measured import Measured
from gpuprof.results.profilecomparison import ProfileComparison
from gpuprof.results.rowchange import ADDED, REMOVED, UNJUDGED, RowChange, word
from gpuprof.results.sides import STEP, Side
from gpuprof.units import several

_ENOUGH = 3
_WAYS = {True: "through captured graphs", False: "layer by layer"}
_THRICE = "gpuprof.compare([a1, a2, a3], [b1, b2, b3])"


def compare_replays(
    old: Sequence[Measured],
    new: Sequence[Measured],
    names: tuple[str, str] = ("old", "new"),
    why: str = "",
    warnings: Sequence[str] = (),
) -> ProfileComparison:
    """New profiles against old ones by the seconds of a step, and kernel by kernel where both ran graphs.

    With three runs a side there is a verdict on the step; `why` says why there can be none. The kernels' rows have
    none: their times are shares of the step.
    """
    before, now = old[0], new[0]
    seconds = [np.array([_seconds(run) for run in runs]) for runs in (old, new)]
    told = min(len(old), len(new)) >= _ENOUGH and not why
    rows = [*_kernels(before, now), _step(before, now, seconds, told)]
    ways = [bool(run.replays) for run in (before, now)]
    differs = f"the old one trained {_WAYS[ways[0]]} and the new one {_WAYS[ways[1]]}: their rows are not of one kind"
    others = tuple(each for runs in (old, new) for each in runs[1:])
    mixed = any(bool(each.replays) != ways[0] for each in others) and ways[0] == ways[1]
    return ProfileComparison(
        names=names,
        rows=tuple(rows),
        how="repeats" if told else "",
        why=why or ("" if told else f"{several(len(old), 'run')} and {several(len(new), 'run')}"),
        next="" if told or why else f"three profiles a side, {_THRICE}",
        unlike=(*unlike(before, now, {}, {}), *([differs] if ways[0] != ways[1] else [])),
        clock=now.clock,
        warnings=(*warnings, *(["Some runs of a side trained in another way than its first."] if mixed else [])),
        notes=(" and ".join(several(run.steps, "step") for run in (before, now)),),
        about=now.about,
    )


def _seconds(run: Measured) -> float:
    """Of a step."""
    if run.replays:
        return run.replays.step.median
    return float(Side.of(run).middle((), 1).value[-1]) if run.account.steps else math.nan


def _step(old: Measured, new: Measured, seconds: Sequence[Floats], told: bool) -> RowChange:
    logs = [np.log(np.where(each > 0, each, np.nan)) for each in seconds]
    first, second = (float(np.exp(np.mean(each))) for each in logs)
    change = RowChange(
        *STEP,
        old_us=first * 1e6,
        new_us=second * 1e6,
        ratio=first / second,
        old_steps=old.steps,
        new_steps=new.steps,
    )
    if not told or math.isnan(change.ratio):
        return change
    found = repeats(logs[0][:, None], logs[1][:, None], np.zeros(1, dtype=bool))
    value, half, floor = float(found.value[0]), float(found.half[0]), LEAST[new.log.on_device]
    low, high = math.exp(value - half), math.exp(value + half)
    return change._replace(low=low, high=high, floor=floor, verdict=word(value, half, floor, step=True))


def _kernels(old: Measured, new: Measured) -> list[RowChange]:
    """A row for each kernel of either, where both ran graphs."""
    if not (old.replays and new.replays):
        return []
    before, now = ({part.row: part for part in run.replays.parts} for run in (old, new) if run.replays)
    rows = []
    for row in dict.fromkeys([*now, *before]):
        one, other = before.get(row), now.get(row)
        change = RowChange(*row, verdict=UNJUDGED if one and other else ADDED if other else REMOVED)
        if one:
            change = change._replace(old_us=one.seconds * 1e6, old_busy_us=one.busy * 1e6, old_launches=one.launches)
        if other:
            change = change._replace(
                new_us=other.seconds * 1e6, new_busy_us=other.busy * 1e6, new_launches=other.launches
            )
        ratio = change.old_us / change.new_us if change.new_us > 0 else math.nan
        rows.append(
            change._replace(ratio=ratio, old_steps=old.steps if one else 0, new_steps=new.steps if other else 0)
        )
    return rows
