"""One accounting: each instant between two marks belongs to exactly one row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gpuprof.hooks.methods import OUTSIDE_PATH
from gpuprof.record.calls import Calls, Scope
from gpuprof.record.clocks import MISSING, Ints
from gpuprof.record.leftout import LeftOut
from gpuprof.record.schedule import KERNELS, Mode
from gpuprof.record.tape import NO, UNSAID, YES

OUTSIDE = Scope(OUTSIDE_PATH, "")
"""The row of what no layer was open for."""
_UNSPLIT = -2
_FORWARD, _BACKWARD = 1, 2
_PHASE_NUMBERS = {"forward": _FORWARD, "backward": _BACKWARD}


@dataclass(frozen=True)
class Account:
    """A log's time, divided up. Rows are numbered as in `rows`; the last one is `OUTSIDE`.

    The columns of a call: row, step, own_ns (its time less that of the calls inside it; MISSING where not marked,
    or where calls inside it were not).
    The columns of a segment, the time between two neighbouring marks: row (-1 in steps that were not marked inside),
    step, the device's times and the host's at its begin and end, and the time the host had for itself.
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
    host_own: Ints
    """The host's time of each segment, less what the log itself took."""
    step_mode: Ints
    """How each step was measured, by its number: see gpuprof.record.schedule."""
    around: Ints
    """Of segments in steps that were not marked inside, the row of the innermost marked call around; -1 of others."""
    call_around: Ints
    """The same of calls."""
    left_out: LeftOut = field(default_factory=LeftOut)
    """What is known of steps that are not among these, and whose time is in none of the segments."""

    @property
    def modes(self) -> Ints:
        """How each step was measured, those left out too; in no order."""
        there = self.left_out.modes
        return np.concatenate([self.step_mode, np.repeat(list(there), list(there.values()))]).astype(np.int64)

    @property
    def steps(self) -> int:
        """How many steps there were, those left out too."""
        return len(self.step_mode) + self.left_out.steps

    @property
    def outside(self) -> int:
        """The number of the row `OUTSIDE`."""
        return len(self.rows) - 1

    @property
    def spans(self) -> Ints:
        """How long each segment lasted on the device (on the host clock, on the host), ns."""
        return self.end - self.begin

    def closure(self, calls: Calls) -> float:
        """How far the rows' sum is from the host's wall clock over the drained cell, as a share of the latter."""
        opened, _, done = calls.host_window
        rows = int(self.spans.sum()) + self.left_out.ns
        return abs(rows - (done - opened)) / max(1, done - opened)

    def steps_of(self, *modes: Mode) -> Ints:
        """The steps measured in one of these ways, and in no other."""
        return np.flatnonzero(np.isin(self.step_mode, [int(mode) for mode in modes]))

    def marked_steps(self) -> Ints:
        """The steps of the purest pass in which calls were marked: events alone, else beside something else."""
        events = (self.step_mode >= 0) & (self.step_mode & int(Mode.EVENTS) > 0)
        for mode in (Mode.EVENTS, KERNELS):
            if (self.step_mode == mode).any():
                return np.flatnonzero(self.step_mode == mode)
        return np.flatnonzero(events)


def account(calls: Calls) -> Account:
    """The time of every instant of the log's window, given to the innermost call open then."""
    rows, call_row = phases(calls)
    gaps = calls.left_out.gaps
    call_step = np.where(_in_gaps(calls), -1, steps(calls, call_row, rows))
    order, owner, begun = _owners(calls)
    marks = np.concatenate([calls["start"], calls["end"], calls.window])[order]
    hosts = np.concatenate([calls["host_start"], calls["host_end"], calls.host_window[:2]])[order]
    begin, host_begin = marks[:-1], hosts[:-1]
    skipped = _within(begin, marks[1:], [gap[:2] for gap in gaps])
    end = marks[1:] - skipped
    host_end = hosts[1:] - _within(host_begin, hosts[1:], [gap[2:4] for gap in gaps])
    inside = owner >= 0
    begins = order[1:] < len(calls)  # the log's own work lies before the call that a segment ends with
    logging = np.where(begins, calls["own"][np.where(begins, order[1:], 0)], 0) if len(calls) else 0
    own_ns = np.zeros(len(calls), dtype=np.int64)
    np.add.at(own_ns, owner[inside], (end - begin)[inside])
    own_ns[(calls["end"] == MISSING) | ~_split(calls)] = MISSING
    unsplit = owner == _UNSPLIT
    around = _marked_around(calls, begun, _taken(calls)[order[:-1]])
    own_ns[np.setdiff1d(np.concatenate([around[unsplit], owner[inside & (skipped > 0)]]), [-1])] = MISSING
    outer = np.append(call_row, len(rows) - 1)
    return Account(
        rows=rows,
        call_row=call_row,
        call_step=call_step,
        call_own_ns=own_ns,
        row=np.where(unsplit, -1, outer[np.maximum(owner, -1)]),
        step=_segment_steps(order, call_step),
        begin=begin,
        end=end,
        host_begin=host_begin,
        host_end=host_end,
        host_own=np.maximum(0, host_end - host_begin - logging),
        step_mode=_step_modes(calls, np.where(_evaluates(rows, call_row), -1, call_step)),
        around=np.where(unsplit, outer[around], -1),
        call_around=np.where(_split(calls), -1, outer[calls.around(_split(calls))]),
        left_out=calls.left_out,
    )


def _in_gaps(calls: Calls) -> NDArray[np.bool_]:
    """Which calls began in a step that is left out, and ended in another one."""
    gaps = np.array([gap[2:4] for gap in calls.left_out.gaps], dtype=np.int64).reshape(-1, 2)
    before = np.searchsorted(gaps[:, 0], calls["host_start"], side="right")
    return np.asarray(calls["host_start"] < np.append(np.iinfo(np.int64).min, gaps[:, 1])[before])


def _within(begin: Ints, end: Ints, spans: Sequence[tuple[int, ...]]) -> Ints:
    """How much of the time between each `begin` and `end` lies in the spans, which follow each other."""
    if not spans:
        return np.zeros(len(begin), dtype=np.int64)
    opens, closes = np.array(spans, dtype=np.int64).T
    before = np.concatenate([[0], np.cumsum(closes - opens)])

    def until(when: Ints) -> Ints:
        number = np.searchsorted(opens, when, side="right")
        return np.asarray(before[number] - np.where(number > 0, np.maximum(0, closes[number - 1] - when), 0))

    return until(end) - until(begin)


def _step_modes(calls: Calls, call_step: Ints) -> Ints:
    """The mode of each step's calls, evaluations aside, which are always marked; -1 for a step of more than one."""
    last = int(call_step.max(initial=-1))
    modes = np.full(last + 1, -1, dtype=np.int64)
    known = call_step >= 0
    modes[call_step[known][::-1]] = calls["mode"][known][::-1]
    mixed = known & (calls["mode"] != modes[np.where(known, call_step, 0)]) if last >= 0 else known
    modes[np.unique(call_step[mixed])] = -1
    return modes


def _evaluates(rows: Sequence[Scope], call_row: Ints) -> NDArray[np.bool_]:
    """Which calls are evaluations."""
    return np.array([row.phase == "evaluate" for row in rows], dtype=bool)[call_row]


def phases(calls: Calls) -> tuple[tuple[Scope, ...], Ints]:
    """The rows of the table, in the order first called, and each call's row.

    A forward with train=False is "evaluate" where other forwards of the log said train=True; one that says nothing
    goes with the pass it is in. A forward inside a backward is "recompute" (checkpointing runs it again).
    """
    phase = np.array([_PHASE_NUMBERS.get(scope.phase, 0) for scope in calls.scopes], dtype=np.int64)[calls["scope"]]
    inside = _within_backward(calls.parents, phase == _BACKWARD)
    forward = phase == _FORWARD
    names = [calls.scopes[scope] for scope in calls["scope"]]
    for call in np.flatnonzero(forward & inside):
        names[call] = Scope(names[call].path, "recompute")
    if (calls["train"] == YES).any():
        for call in np.flatnonzero(forward & ~inside & (_said_in_pass(calls, phase) == NO)):
            names[call] = Scope(names[call].path, "evaluate")
    rows = list(dict.fromkeys([*names, *(Scope(*row) for row in calls.left_out.calls)]))
    number = {scope: i for i, scope in enumerate(rows)}
    return (*rows, OUTSIDE), np.array([number[name] for name in names], dtype=np.int64)


def _within_backward(parents: Ints, backward: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which calls have a backward above them."""
    inside = np.zeros(len(parents), dtype=bool)
    above = parents
    while (above >= 0).any():
        inside |= (above >= 0) & backward[above]
        above = np.where(above >= 0, parents[above], -1)
    return inside


def _said_in_pass(calls: Calls, phase: Ints) -> Ints:
    """What each call said about `train=`, and where it said nothing, what its pass did.

    A pass ends at a call that is no forward, or where a scope comes again.
    """
    said = calls["train"].copy()
    if not ((said == UNSAID) & (phase == _FORWARD)).any():
        return said
    members: list[int] = []
    scopes: set[int] = set()
    for call in range(len(calls) + 1):
        ends = call == len(calls) or phase[call] != _FORWARD or int(calls["scope"][call]) in scopes
        if ends:
            spoken = said[members]
            mode = spoken[spoken != UNSAID]
            if len(mode):
                said[members] = np.where(spoken == UNSAID, mode[0], spoken)
            members, scopes = [], set()
        if call < len(calls) and phase[call] == _FORWARD:
            members.append(call)
            scopes.add(int(calls["scope"][call]))
    return said


def steps(calls: Calls, call_row: Ints, rows: Sequence[Scope]) -> Ints:
    """Each call's step, counted from 0; -1 before the first.

    A step begins at the outermost forward that came first in the log, where a backward or an update has come since
    the last step began; in a log without those, each time it recurs. Regions do not count as calls around it.
    """
    if not len(calls):
        return np.zeros(0, dtype=np.int64)
    kinds = np.array([rows[row].phase for row in range(len(rows))])[call_row]
    outermost = _outermost(calls, kinds == "region")
    trained = outermost & ~np.isin(kinds, ("evaluate", "recompute", "region"))
    candidates = next(c for c in (trained & (kinds == "forward"), trained, outermost) if c.any())
    begins = candidates & (call_row == call_row[np.argmax(candidates)])
    back = trained & np.isin(kinds, ("backward", "update"))
    if back.any() and kinds[np.argmax(begins)] == "forward":
        before = np.cumsum(back)[begins]  # how many backwards and updates had come by each beginning
        begins[np.flatnonzero(begins)[1:][np.diff(before) == 0]] = False
    return np.cumsum(begins) - 1


def _outermost(calls: Calls, region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which calls have none above them but regions, and are none themselves unless nothing else was called."""
    above = calls.around(~region)
    return (above < 0) & (~region | region.all())


def _owners(calls: Calls) -> tuple[Ints, Ints, Ints]:
    """The marks in the order of time; after each but the last the call open (-1: none, -2: not split), and begun last.

    A mark's number: the call's position for its start, n + that for its end, 2n and 2n + 1 for the window's.
    """
    n = len(calls)
    taken = _taken(calls)
    times = np.concatenate([calls["start"], calls["end"], calls.window])
    order = np.lexsort((taken, times))
    order = order[(order < 2 * n) & (times[order] != MISSING)]
    order = np.concatenate([[2 * n], order, [2 * n + 1]])
    marked = calls["end"] != MISSING
    side_by_side = any(len(np.unique(calls[column][marked])) > 1 for column in ("thread", "stream", "device"))
    if side_by_side or _outlasting(calls).any():
        owner = _newest_open(order, n, marked)
    else:
        owner = np.concatenate([np.arange(n), calls.parents, [-1, -1]])[order[:-1]]
    begun = np.maximum.accumulate(np.where(order < n, order, -1))[:-1]
    split = np.concatenate([_split(calls), [True]])[begun]
    return order, np.where(split, owner, _UNSPLIT), begun


def _taken(calls: Calls) -> Ints:
    """The running numbers of the boundaries, by the marks' numbers."""
    return np.concatenate([calls["first"], calls["last"], [-1, np.iinfo(np.int64).max]])


def _marked_around(calls: Calls, begun: Ints, now: Ints) -> Ints:
    """From each of these calls on upwards, the first of a step marked inside that was open at that boundary, or -1."""
    split, last = np.append(_split(calls), True), np.append(calls["last"], np.iinfo(np.int64).max)
    above = begun
    while (passed := ~split[above] | (last[above] <= now)).any():
        above = np.where(passed, calls.parents[above] if len(calls) else -1, above)
    return above


def _split(calls: Calls) -> NDArray[np.bool_]:
    """Which calls are of steps that were marked inside; on the host's clock all of them are."""
    return np.asarray((calls["mode"] & int(Mode.EVENTS) > 0) | (not calls.on_device))


def _outlasting(calls: Calls) -> NDArray[np.bool_]:
    """Which calls ended after the one around them: regions that were not left in the order they were entered."""
    last = np.append(calls["last"], np.iinfo(np.int64).max)
    return np.asarray(last[:-1] > last[calls.parents])


def _newest_open(order: Ints, n: int, marked: NDArray[np.bool_]) -> Ints:
    """With several threads or streams, or calls that overlap: of all calls open after each mark the one begun last.

    Of a call that begins a step without marks only the beginning was marked: it is none of them.
    """
    opened: set[int] = set()
    owners = []
    for mark in order[:-1].tolist():
        if mark < n and not marked[mark]:
            pass
        elif mark < n:
            opened.add(mark)
        else:
            opened.discard(mark - n)
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
