"""The calls of a typical step, in their order: those that most of a log's steps have."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpuprof.judge.account import Account
from gpuprof.record.calls import Calls, Scope
from gpuprof.record.tape import RAISED


class StepCall(NamedTuple):
    """An outermost call of a step."""

    row: int
    """Of the account."""
    scope: Scope
    """What was called; its row may be another, as that of a recomputation is."""
    shape: tuple[int, ...] | None
    """Of its first argument."""
    train: int
    """What it said about `train=`."""


def usual_step(calls: Calls, account: Account) -> tuple[StepCall, ...]:
    """The outermost calls of the steps that are most alike, in the order they began; none without steps.

    Evaluations are no part of a step. Left out are steps in which a call raised and, where there are others, the
    first one.
    """
    chosen = np.flatnonzero(outermost(calls) & ~_evaluations(account) & (account.call_step >= 0))
    steps = account.call_step[chosen]
    raised = np.unique(account.call_step[calls["status"] == RAISED])
    kinds = np.stack([account.call_row, calls["shape"], calls["train"]], axis=1)[chosen]
    ends = np.flatnonzero(np.diff(steps)) + 1
    groups = np.split(np.arange(len(chosen)), ends) if len(chosen) else []
    found = {int(steps[places[0]]): places for places in groups if steps[places[0]] not in raised}
    later = {step: places for step, places in found.items() if step > 0} or found
    if not later:
        return ()
    alike = Counter(kinds[places].tobytes() for places in later.values())
    usual = max(alike, key=alike.__getitem__)
    places = next(places for places in later.values() if kinds[places].tobytes() == usual)
    return tuple(_step_call(calls, account, int(call)) for call in chosen[places])


def outermost(calls: Calls) -> NDArray[np.bool_]:
    """Which calls have none around them but regions, and are no regions."""
    region = np.array([*(scope.phase == "region" for scope in calls.scopes), False], dtype=bool)[calls["scope"]]
    return np.asarray((calls.around(~region) < 0) & ~region)


def _evaluations(account: Account) -> NDArray[np.bool_]:
    return np.array([scope.phase == "evaluate" for scope in account.rows], dtype=bool)[account.call_row]


def _step_call(calls: Calls, account: Account, call: int) -> StepCall:
    shape = int(calls["shape"][call])
    return StepCall(
        row=int(account.call_row[call]),
        scope=calls.scopes[calls["scope"][call]],
        shape=calls.shapes[shape] if shape >= 0 else None,
        train=int(calls["train"][call]),
    )
