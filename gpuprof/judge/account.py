"""One accounting: each instant between two marks belongs to exactly one row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from gpuprof.record.clocks import Ints
from gpuprof.record.log import NO, YES, Calls, Scope

OUTSIDE = Scope("(outside)", "")
"""The row of what no layer was open for."""


@dataclass(frozen=True)
class Account:
    """A log's time, divided up. Rows are numbered as in `rows`; the last one is `OUTSIDE`.

    The columns of a call: row, step, own_ns (its time less that of the calls inside it).
    The columns of a segment, the time between two neighbouring marks: row, step, the device's times and the
    host's at its begin and end.
    """

    rows: tuple[Scope, ...]
    call_row: Ints
    call_step: Ints
    call_own_ns: Ints
    row: Ints
    step: Ints
    begin: Ints
    end: Ints
    host_begin: Ints
    host_end: Ints

    @property
    def outside(self) -> int:
        """The number of the row `OUTSIDE`."""
        return len(self.rows) - 1

    def closure(self, calls: Calls) -> float:
        """How far the rows' sum is from the host's wall clock over the drained cell, as a share of the latter."""
        opened, _, done = calls.host_window
        return abs(int((self.end - self.begin).sum()) - (done - opened)) / max(1, done - opened)


def account(calls: Calls) -> Account:
    """The time of every instant of the log's window, given to the innermost call open then."""
    rows, call_row = phases(calls)
    call_step = steps(calls, call_row, rows)
    order, owner = _owners(calls)
    marks = np.concatenate([calls["start"], calls["end"], calls.window])[order]
    hosts = np.concatenate([calls["host_start"], calls["host_end"], calls.host_window[:2]])[order]
    begin, end = marks[:-1], marks[1:]
    inside = owner >= 0
    own_ns = np.zeros(len(calls), dtype=np.int64)
    np.add.at(own_ns, owner[inside], (end - begin)[inside])
    return Account(
        rows=rows,
        call_row=call_row,
        call_step=call_step,
        call_own_ns=own_ns,
        row=np.where(inside, call_row[owner] if len(calls) else -1, len(rows) - 1),
        step=_segment_steps(order, call_step),
        begin=begin,
        end=end,
        host_begin=hosts[:-1],
        host_end=hosts[1:],
    )


def phases(calls: Calls) -> tuple[tuple[Scope, ...], Ints]:
    """The rows of the table, in the order first called, and each call's row.

    A forward with train=False is "evaluate" where other forwards of the log said train=True; a forward inside a
    backward is "recompute" (checkpointing runs it again).
    """
    parents = _parent_rows(calls)
    forward = np.array([scope.phase == "forward" for scope in calls.scopes], dtype=bool)[calls["scope"]]
    backward = np.array([scope.phase == "backward" for scope in calls.scopes], dtype=bool)[calls["scope"]]
    inside = np.zeros(len(calls), dtype=bool)
    for i, parent in enumerate(parents):  # a parent comes before its children
        inside[i] = parent >= 0 and (backward[parent] or inside[parent])
    training = bool((calls["train"] == YES).any())
    names = [calls.scopes[scope] for scope in calls["scope"]]
    for call in np.flatnonzero(forward & inside):
        names[call] = Scope(names[call].path, "recompute")
    if training:
        for call in np.flatnonzero(forward & ~inside & (calls["train"] == NO)):
            names[call] = Scope(names[call].path, "evaluate")
    rows = list(dict.fromkeys(names))
    number = {scope: i for i, scope in enumerate(rows)}
    return (*rows, OUTSIDE), np.array([number[name] for name in names], dtype=np.int64)


def steps(calls: Calls, call_row: Ints, rows: Iterable[Scope]) -> Ints:
    """Each call's step: how often the outermost call that came first had come before. -1 before it first came.

    The first outermost forward is what recurs; without one, the first outermost call.
    """
    if not len(calls):
        return np.zeros(0, dtype=np.int64)
    trained = np.array([scope.phase not in ("evaluate", "recompute") for scope in rows], dtype=bool)[call_row]
    forward = np.array([scope.phase == "forward" for scope in rows], dtype=bool)[call_row]
    outermost = calls["parent"] < 0
    for candidates in (outermost & forward, outermost & trained, outermost):
        if candidates.any():
            anchor = call_row[np.argmax(candidates)]
            break
    return np.cumsum(outermost & (call_row == anchor)) - 1


def _parent_rows(calls: Calls) -> Ints:
    """The position of each call's parent; -1 for none, or for one that was left out."""
    where = np.searchsorted(calls["call"], calls["parent"])
    found = np.minimum(where, max(0, len(calls) - 1))
    known = (calls["parent"] >= 0) & (calls["call"][found] == calls["parent"]) if len(calls) else calls["parent"] >= 0
    return np.where(known, found, -1)


def _owners(calls: Calls) -> tuple[Ints, Ints]:
    """The marks in the order of time, and the call open after each but the last (-1: none).

    A mark's number: the call's position for its start, n + that for its end, 2n and 2n + 1 for the window's.
    """
    n = len(calls)
    times = np.concatenate([calls["start"], calls["end"], calls.window])
    taken = np.concatenate([calls["first"], calls["last"], [-1, np.iinfo(np.int64).max]])
    order = np.lexsort((taken, times))
    order = np.concatenate([[2 * n], order[order < 2 * n], [2 * n + 1]])
    if len(np.unique(calls["thread"])) > 1:
        return order, _newest_open(order, n)
    after = np.concatenate([np.arange(n), _parent_rows(calls), [-1, -1]])
    return order, after[order[:-1]]


def _newest_open(order: Ints, n: int) -> Ints:
    """With several threads: of all the calls open after each mark, the one that began last."""
    opened: set[int] = set()
    owners = []
    for mark in order[:-1]:
        if mark < n:
            opened.add(int(mark))
        else:
            opened.discard(int(mark) - n)
        owners.append(max(opened, default=-1))
    return np.array(owners, dtype=np.int64)


def _segment_steps(order: Ints, call_step: Ints) -> Ints:
    """The step of each segment: that of the call begun last; -1 before the first call and after the last mark."""
    n = len(call_step)
    if not n:
        return np.full(len(order) - 1, -1, dtype=np.int64)
    begun = np.maximum.accumulate(np.where(order < n, order, -1))[:-1]
    result = np.where(begun >= 0, call_step[begun], -1)
    result[-1] = -1
    return result
