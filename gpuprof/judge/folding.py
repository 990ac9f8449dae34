"""Steps of a long run to sums, as exact as the table is where all steps are kept."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from gpuprof.judge.account import OUTSIDE, Account, account
from gpuprof.record.calls import Calls
from gpuprof.record.clocks import Ints
from gpuprof.record.leftout import LeftOut, Row, Unmarked
from gpuprof.record.tape import RAISED


def folded(calls: Calls, counted: NDArray[np.bool_]) -> LeftOut:
    """What these calls come to, row by row; those not counted are of other steps, too, and have only their time."""
    found = account(calls)
    marked = found.row >= 0
    own = np.bincount(found.row[marked], found.spans[marked], len(found.rows))
    number = np.bincount(found.call_row[counted], minlength=len(found.rows))
    return LeftOut(
        calls={row: n for row, n in _by_row(found, number).items() if row != OUTSIDE},
        own_ns=_by_row(found, own.astype(np.int64)),
        unmarked={found.rows[row]: _unmarked(found, int(row), counted) for row in np.unique(found.around[~marked])},
        modes=Counter(found.step_mode.tolist()),
        raised=int((calls["status"][counted] == RAISED).sum()),
        lost=calls.lost,
    )


def _unmarked(found: Account, row: int, counted: NDArray[np.bool_]) -> Unmarked:
    """The steps within a row that were not marked inside."""
    segments = (found.row < 0) & (found.around == row)
    inside = counted & (found.call_around == row)
    number = np.bincount(found.call_row[inside], minlength=len(found.rows))
    number[row] = 0
    steps = len(np.unique(np.where(found.step[segments] < 0, len(found.step_mode) - 1, found.step[segments])))
    return Unmarked(int(found.spans[segments].sum()), steps, _by_row(found, number))


def _by_row(found: Account, values: Ints) -> dict[Row, int]:
    return {row: int(value) for row, value in zip(found.rows, values, strict=True) if value}
