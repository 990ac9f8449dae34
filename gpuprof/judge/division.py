"""How a log's time falls to its rows, where some steps were not marked inside: by what their calls take elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpuprof.judge.account import Account
from gpuprof.record.clocks import Ints
from gpuprof.record.leftout import Row, Unmarked

Floats = NDArray[np.float64]
Chosen = NDArray[np.bool_]


class Each(NamedTuple):
    """What a marked call of each row took, ns; NaN where there was none."""

    mean: Floats
    """Without the first."""
    first: Floats


def totals(account: Account, each: Each) -> Floats:
    """Each row's time in the log, ns; they add up to all of it.

    What was marked is known, and so is the length of each step that was not, and how many calls of each row it had.
    Each of those is taken to be as long as the row's marked ones were on average. What is left of the steps then is
    that of the call around them, mostly `OUTSIDE`; where less is left than it usually has, for steps are longer with
    marks in them, all are made shorter alike. Where only a row's first call was marked, which may have compiled, the
    others are taken to be as long at most, as far as there is room. NaN for a row of which no call was marked.
    """
    return _divided(account, each, np.ones(len(account.row), dtype=bool), np.ones(len(account.call_row), dtype=bool))


def shares(account: Account, each: Each) -> Floats:
    """Each row's share of the log's time, without the first step and what came before it where there are others.

    The last step counts as far as marks tell where it ended.
    """
    last = account.call_step.max(initial=-1)
    whole = found = totals(account, each)
    segments = (account.step > 0) & ((account.step < last) | (account.around < 0))
    if account.spans[segments].any():
        calls = (account.call_step > 0) & ((account.call_step < last) | (account.call_around < 0))
        found = _divided(account, each, segments, calls)
    return np.where(np.isnan(whole), np.nan, found / max(1.0, float(np.nansum(found))))


def _divided(account: Account, each: Each, segments: Chosen, calls: Chosen) -> Floats:
    marked = segments & (account.row >= 0)
    found = np.bincount(account.row[marked], account.spans[marked], len(account.rows)).astype(float)
    found += _in_rows(account, account.left_out.own_ns)
    apart = {account.rows.index(row): each for row, each in account.left_out.unmarked.items()}
    for row in np.union1d(account.around[segments & ~marked], list(apart)).astype(int):
        inside = calls & (account.call_around == row)
        number = np.bincount(account.call_row[inside], minlength=len(account.rows))
        number[row] = 0
        part = _unmarked(account, row, segments & (account.around == row), number, each, apart.get(row))
        found += np.where(found > 0, np.nan_to_num(part), part)
    return found


def _in_rows(account: Account, values: Mapping[Row, int]) -> Floats:
    return np.array([values.get(row, 0) for row in account.rows], dtype=float)


def _unmarked(
    account: Account, row: int, segments: Chosen, number: Ints, each: Each, left_out: Unmarked | None
) -> Floats:
    """The time of these segments, which lie in `row` and in so many calls of the other rows; and of what is left out.

    That was the same of steps which are no longer there.
    """
    whole = float(account.spans[segments].sum())
    last = len(account.step_mode) - 1
    steps = len(np.unique(np.where(account.step[segments] < 0, last, account.step[segments])))
    if left_out:
        whole, steps = whole + left_out.ns, steps + left_out.steps
        number = number + _in_rows(account, left_out.calls).astype(np.int64)
    around = steps * _usual(account, row)
    sure = np.where((number > 0) & ~np.isnan(each.mean), number * each.mean, 0.0)
    sure *= min(1.0, whole / (sure.sum() + around)) if sure.any() else 1.0
    unsure = np.where((number > 0) & np.isnan(each.mean), number * each.first, 0.0)
    room, wanted = max(0.0, whole - float(sure.sum()) - around), float(np.nansum(unsure))
    found = sure + unsure * (min(1.0, room / wanted) if wanted else 1.0)
    found[row] = max(0.0, whole - float(np.nansum(found)))
    return np.asarray(found)


def _usual(account: Account, row: int) -> float:
    """What a marked step has of this row: the mean, but no more than the median, so that rare events do not count."""
    marked = account.marked_steps()
    steps: Ints = np.setdiff1d(marked, [0]) if len(marked) > 1 else marked
    if not len(steps):
        return 0.0
    inside = (account.row == row) & (account.step >= 0)
    sums = np.bincount(account.step[inside], account.spans[inside], len(account.step_mode))[steps]
    return float(min(sums.mean(), np.median(sums)))
