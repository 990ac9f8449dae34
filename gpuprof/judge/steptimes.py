"""What a call of each row took in each step that was marked inside: the samples that comparisons stand on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpuprof.judge.account import Account
from gpuprof.record.calls import Scope
from gpuprof.record.clocks import MISSING, Ints

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class StepTimes:
    """Seconds of a call of each row in each step: (steps, rows). NaN where a step has none."""

    rows: tuple[Scope, ...]
    times: Floats
    calls: Floats
    """How many a step has."""

    @property
    def often(self) -> Floats:
        """How many calls of each row a step has on average; 0 of evaluations, which are no part of it."""
        if not len(self.calls):
            return np.zeros(len(self.rows))
        return np.where([row.phase == "evaluate" for row in self.rows], 0.0, self.calls.mean(axis=0))

    def of(self, rows: Sequence[Scope]) -> Floats:
        """The columns of these rows; NaN for one that is not here."""
        at = {row: i for i, row in enumerate(self.rows)}
        nothing = np.full(len(self.times), np.nan)
        columns = [self.times[:, at[row]] if row in at else nothing for row in rows]
        return np.stack(columns, axis=1) if columns else np.zeros((len(self.times), 0))


def step_times(account: Account, group: Ints | None = None, number: int = 0) -> StepTimes:
    """The times of the purest pass whose steps were marked inside, in the order of the steps.

    Of several calls in a step the mean; what lies outside the layers is one call of each step. The first step is left
    out, and the last, whose end no mark tells. `group` has for each step the number of the longer step it is a part
    of, or -1 for one to be left out: then the steps are these, so many in `number`, all NaN where one is missing.
    """
    steps = account.marked_steps()
    if group is None:
        steps = np.setdiff1d(steps, [0, len(account.step_mode) - 1])
        group = np.full(len(account.step_mode), -1, dtype=np.int64)
        group[steps], number = np.arange(len(steps)), len(steps)
    else:
        group = np.where(np.isin(np.arange(len(group)), steps), group, -1)
    shape = number, len(account.rows)
    times, calls = np.zeros(shape), np.zeros(shape)
    of_call, of_segment = np.append(group, -1)[account.call_step], np.append(group, -1)[account.step]
    owned = (of_call >= 0) & (account.call_own_ns != MISSING)
    np.add.at(calls, (of_call[owned], account.call_row[owned]), 1)
    inside = (of_segment >= 0) & (account.row >= 0)
    np.add.at(times, (of_segment[inside], account.row[inside]), account.spans[inside] * 1e-9)
    calls[group[group >= 0], account.outside] = 1
    return StepTimes(account.rows, np.where(calls > 0, times, np.nan) / np.maximum(1, calls), calls)
