"""What each row took of each step that was marked inside: the samples that comparisons stand on."""

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
    """Seconds of each row in each step: (steps, rows). NaN where a step has no call of the row."""

    rows: tuple[Scope, ...]
    times: Floats

    @property
    def often(self) -> Floats:
        """In which share of the steps each row is; 0 for evaluations, which are no part of a step."""
        if not len(self.times):
            return np.zeros(len(self.rows))
        share = np.asarray((~np.isnan(self.times)).mean(axis=0))
        return np.where([row.phase == "evaluate" for row in self.rows], 0.0, share)

    def of(self, rows: Sequence[Scope]) -> Floats:
        """The columns of these rows; NaN for one that is not here."""
        at = {row: i for i, row in enumerate(self.rows)}
        nothing = np.full(len(self.times), np.nan)
        columns = [self.times[:, at[row]] if row in at else nothing for row in rows]
        return np.stack(columns, axis=1) if columns else np.zeros((len(self.times), 0))


def step_times(account: Account, group: Ints | None = None, number: int = 0) -> StepTimes:
    """The times of the purest pass whose steps were marked inside, in the order of the steps.

    The first step is left out, and the last, whose end no mark tells. `group` has for each step the number of the
    longer step it is a part of, or -1 for one to be left out: then the steps are these, so many in `number`, all NaN
    where one is missing.
    """
    steps = account.marked_steps()
    if group is None:
        steps = np.setdiff1d(steps, [0, len(account.step_mode) - 1])
        group = np.full(len(account.step_mode), -1, dtype=np.int64)
        group[steps], number = np.arange(len(steps)), len(steps)
    else:
        group = np.where(np.isin(np.arange(len(group)), steps), group, -1)
    shape = number, len(account.rows)
    times, called = np.zeros(shape), np.zeros(shape, dtype=bool)
    of_call, of_segment = np.append(group, -1)[account.call_step], np.append(group, -1)[account.step]
    owned = (of_call >= 0) & (account.call_own_ns != MISSING)
    called[of_call[owned], account.call_row[owned]] = True
    inside = (of_segment >= 0) & (account.row >= 0)
    np.add.at(times, (of_segment[inside], account.row[inside]), account.spans[inside] * 1e-9)
    called[group[group >= 0], account.outside] = True
    return StepTimes(account.rows, np.where(called, times, np.nan))
