"""The rows of a comparison of profiles: figures, verdicts, and what changed for certain."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from gpuprof.judge.account import OUTSIDE
from gpuprof.judge.changes import Traits, changes
from gpuprof.judge.simultaneous import Estimates, Floats
from gpuprof.record.calls import Scope
from gpuprof.results.rowchange import (
    ADDED,
    NOISE,
    PACE,
    REAL,
    REMOVED,
    STEP_PATH,
    UNCLEAR,
    UNJUDGED,
    RowChange,
    word,
)
from gpuprof.results.sides import STEP, Side, Sides

_RANKS = {REAL: 0, ADDED: 1, REMOVED: 1}
_LAST = (OUTSIDE.path, STEP_PATH)
_OF_TIMES = (REAL, NOISE, UNCLEAR)


class Judged(NamedTuple):
    """What the times of the common rows and, last, of the step come to; or what their kernels run."""

    estimates: Estimates
    floor: Floats
    how: str = ""
    note: str = ""
    figures: tuple[Floats, Floats] | None = None
    """Seconds, old and new, where they are of more than two profiles; NaN for what they do not tell."""


def change_rows(sides: Sides, judged: Judged | None, busy: Judged | None) -> tuple[RowChange, ...]:
    """A row for each of either side, the most telling first; "(outside)" and the step last.

    `judged` is of the times, `busy` of what the kernels run.
    """
    known = _figures(sides, judged)
    at = {row: i for i, row in enumerate([*sides.common, STEP])}
    found = [_row(sides, row) for row in sides.rows]
    if len(sides.old.times.times) and len(sides.new.times.times):
        found.append(_row(sides, STEP))
    timed = [
        _worked(_timed(row, at[scope], known, judged), at[scope], busy) if scope in at else _alone(row, scope, sides)
        for row, scope in zip(found, [*sides.rows, STEP], strict=False)
    ]
    if judged and sides.pace_changed:
        timed = [
            row._replace(verdict=PACE) if row.verdict in _OF_TIMES and row.path != STEP_PATH else row for row in timed
        ]
    return tuple(sorted(timed, key=_place))


def _figures(sides: Sides, judged: Judged | None) -> tuple[Floats, Floats]:
    """Seconds of the common rows and of the step, old and new."""
    old, new = (side.middle(sides.common, 1).value for side in (sides.old, sides.new))
    if judged is None or judged.figures is None:
        return old, new
    known = ~np.isnan(judged.figures[0] + judged.figures[1])
    return np.where(known, judged.figures[0], old), np.where(known, judged.figures[1], new)


def _row(sides: Sides, row: Scope) -> RowChange:
    old, new = (side.traits.get(row, Traits()) for side in (sides.old, sides.new))
    return RowChange(
        *row,
        old_busy_us=sides.old.busy(row) * 1e6,
        new_busy_us=sides.new.busy(row) * 1e6,
        old_launches=old.launches,
        new_launches=new.launches,
        old_bytes=old.allocated,
        new_bytes=new.allocated,
        old_steps=sides.old.steps(row),
        new_steps=sides.new.steps(row),
        changed=changes(old, new),
    )


def _alone(change: RowChange, row: Scope, sides: Sides) -> RowChange:
    """A row that only one side has."""
    added = row in sides.new.traits

    def us(side: Side) -> float:
        return side.seconds(row) * 1e6 if row in side.traits else math.nan

    return change._replace(old_us=us(sides.old), new_us=us(sides.new), verdict=ADDED if added else REMOVED)


def _timed(change: RowChange, at: int, figures: tuple[Floats, Floats], judged: Judged | None) -> RowChange:
    old, new = (float(side[at]) for side in figures)
    change = change._replace(old_us=old * 1e6, new_us=new * 1e6)
    if judged is None or np.isnan(judged.estimates.value[at]):
        ratio = old / new if min(old, new) > 0 else math.nan
        return change._replace(ratio=ratio, verdict=_unestimated(old, new) if judged else UNJUDGED)
    ratio, low, high, verdict = _said(change, at, judged)
    return change._replace(ratio=ratio, low=low, high=high, floor=float(judged.floor[at]), verdict=verdict)


def _worked(change: RowChange, at: int, busy: Judged | None) -> RowChange:
    if busy is None or np.isnan(busy.estimates.half[at]):
        return change
    ratio, low, high, verdict = _said(change, at, busy)
    return change._replace(busy_ratio=ratio, busy_low=low, busy_high=high, busy_verdict=verdict)


def _said(change: RowChange, at: int, judged: Judged) -> tuple[float, float, float, str]:
    """The ratio with its interval, and the word for it."""
    value, half, floor = (float(part[at]) for part in (judged.estimates.value, judged.estimates.half, judged.floor))
    verdict = word(value, half, floor, change.path == STEP_PATH)
    return math.exp(value), math.exp(value - half), math.exp(value + half), verdict


def _unestimated(old: float, new: float) -> str:
    """What is to be said of a row without an estimate: nothing twice is no difference; what has no time, no verdict."""
    if math.isnan(old) or math.isnan(new):
        return UNJUDGED
    return NOISE if old == new == 0 else UNCLEAR


def _place(row: RowChange) -> tuple[int, int, float]:
    """The real differences by their size, what came and went, what changed for certain; the others in their order."""
    last = _LAST.index(row.path) + 1 if row.path in _LAST else 0
    rank = 0 if row.busy_verdict == REAL else _RANKS.get(row.verdict, 2 if row.changed else 3)
    return last, rank, -abs(row.apart_us) if rank < 3 else 0.0
