"""What a usual call of each row does, from a profile's log, kernel records and watched steps."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable
from typing import TypeVar

import numpy as np

from gpuprof.judge.account import OUTSIDE, Account
from gpuprof.judge.changes import Launched, Traits
from gpuprof.record.calls import Calls, Scope
from gpuprof.record.clocks import Ints
from gpuprof.record.launches import OUTSIDE as NO_CALL
from gpuprof.record.launches import Kernels
from gpuprof.results.kerneltable import recorded_calls
from gpuprof.results.seen import Seen

_MOST = 64  # calls looked at, the last ones

_T = TypeVar("_T", bound=Hashable)


def traits(calls: Calls, account: Account, kernels: Kernels, seen: Seen) -> dict[Scope, Traits]:
    """By row; "(outside)" of a step. `kernels` are by the calls of this log."""
    launched = _launched(calls, account, kernels)
    memory = _memory(calls, account, seen)
    steps = max(1, account.steps)
    found = {}
    for row, scope in enumerate(account.rows[: account.outside]):
        chosen = np.flatnonzero(account.call_row == row)
        number = len(chosen) + account.left_out.calls.get(scope, 0)
        shape = _usual(calls["shape"][chosen].tolist())
        found[scope] = Traits(
            launched.get(row),
            *memory.get(row, (math.nan, math.nan)),
            shape=calls.shapes[shape] if shape is not None and shape >= 0 else None,
            calls=number / steps if scope.phase != "evaluate" else math.nan,
        )
    return found | {OUTSIDE: Traits(launched.get(account.outside))}


def _launched(calls: Calls, account: Account, kernels: Kernels) -> dict[int, tuple[Launched, ...]]:
    """What the usual call of each row launches, by the rows' numbers; the first call left out where there are others.

    Of "(outside)" what the usual step does; the first step left out, and the last, which may be without its end.
    """
    recorded = recorded_calls(calls, kernels)
    owner = np.maximum(kernels["call"], NO_CALL)
    found = {}
    for row in range(account.outside):
        of_row = np.flatnonzero(account.call_row == row)
        chosen = of_row[recorded[of_row]]
        later = chosen[chosen != of_row[0]] if len(chosen) > 1 else chosen
        if len(later):
            found[row] = _of_owners(kernels, owner, later[-_MOST:])
    steps = np.unique(account.call_step[recorded])
    steps = np.setdiff1d(steps, [-1, 0, int(account.call_step.max(initial=0))])[-_MOST:]
    if len(steps):
        after = kernels["after"]
        step = np.where((after >= 0) & (kernels["call"] == NO_CALL), np.append(account.call_step, -1)[after], -1)
        found[account.outside] = _of_owners(kernels, step, steps)
    return found


def _of_owners(kernels: Kernels, owner: Ints, owners: Ints) -> tuple[Launched, ...]:
    """The kernels of the most usual of these calls or steps."""
    chosen = np.flatnonzero(np.isin(owner, owners))
    columns = np.stack([owner[chosen], kernels["name"][chosen], kernels["threads"][chosen]])
    kinds, times = np.unique(columns, axis=1, return_counts=True)
    each: dict[int, list[Launched]] = {int(number): [] for number in owners}
    for (number, name, threads), many in zip(kinds.T.tolist(), times.tolist(), strict=True):
        each[number].append(Launched(kernels.names[name], threads, many))
    return _usual(tuple(sorted(found)) for found in each.values()) or ()


def _memory(calls: Calls, account: Account, seen: Seen) -> dict[int, tuple[float, float]]:
    """How often the usual watched call of each row allocates, and how many bytes, with those inside it."""
    memory = seen.memory
    at = calls.positions(memory["call"])
    rows = np.append(account.call_row, -1)[at]
    found = {}
    for row in np.unique(rows[rows >= 0]):
        chosen = np.flatnonzero(rows == row)
        first = np.flatnonzero(account.call_row == row)[0]
        later = chosen[at[chosen] != first] if len(chosen) > 1 else chosen
        found[int(row)] = tuple(float(np.median(memory[name][later])) for name in ("allocations", "allocated"))
    return found  # type: ignore[return-value] # pairs


def _usual(values: Iterable[_T]) -> _T | None:
    """The most frequent; None of none."""
    counted = Counter(values).most_common(1)
    return counted[0][0] if counted else None
