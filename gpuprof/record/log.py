"""The call log: what happens at the boundaries of calls, written while the code runs, read when it has ended."""

from __future__ import annotations

import itertools
import threading
from array import array
from collections.abc import Callable, Container
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np

from gpuprof.record.clocks import MISSING, Clock, Ints
from gpuprof.record.kernels import Launched, NoRecordsError, Recorder
from gpuprof.record.schedule import Mode, Schedule

RETURNED, RAISED = 0, 1
UNSAID, NO, YES = -1, 0, 1  # what a call said about `train=`
STATEMENT, REGION, FORWARD, OTHER = 0, 1, 2, 3  # what a scope is to the counting of steps
LINE = "line"
"""The phase of a statement of a function that is followed; its path ends with the line's number."""

_NO_MARK, _FAILED = -2, -1
_TOGETHER_NS = 2_500  # boundaries this near share a mark: no library launches anything in less
_TIDY_AT = 0xFF
_ROW = 7

COLUMNS = (
    "call", "parent", "scope", "train", "shape", "thread", "host_start", "host_end", "first", "last", "status",
    "own", "mode", "start", "end", "device", "stream",
)  # fmt: skip
"""The columns of finished calls."""


class Scope(NamedTuple):
    """What a row of the table is about: the path of a layer, and a phase."""

    path: str
    phase: str


class Bearing(NamedTuple):
    """A moment on both axes, ns: a mark on a drained device, and the host's time just before it."""

    host: int
    device: int


class Taken(NamedTuple):
    """A block of kernel records, and what puts them on the host's axis."""

    launched: Launched
    bearings: tuple[tuple[int, int], tuple[int, int]]
    """(host's time, records' time) at its beginning and its end, ns."""
    threads: dict[int, int]
    """The log's numbers of threads by what CUPTI calls them."""


class Attached(Protocol):
    """Something that watches some steps, and must come off again without anybody waiting."""

    def entered(self, call: int) -> None:
        """A call begins."""

    def left(self, call: int) -> None:
        """It ends."""

    def stop(self) -> None:
        """Watch no more; does not wait."""

    def finish(self) -> None:
        """Come off; what was watched is done on the device."""


@dataclass(frozen=True)
class Calls:
    """Finished calls as columns of int64, in the order they began.

    call, parent (a call, or -1), scope, train, shape, thread, host_start, host_end, first, last (the running numbers
    of its boundaries), status, own (the host time that the log itself took since the call before began), mode (of its
    step), start, end (the device's times; MISSING where that boundary was not marked), device, stream. Times are ns.
    """

    columns: dict[str, Ints]
    scopes: tuple[Scope, ...]
    shapes: tuple[tuple[int, ...], ...]
    window: tuple[int, int]
    """Device times of the log's opening and closing marks."""
    host_window: tuple[int, int, int]
    """Host times: opened, on a drained device; everything issued; everything done."""
    bearings: tuple[Bearing, ...]
    """From the log's opening and its end; fewer than two where a CUDA error ended it."""
    on_device: bool
    lost: int = 0
    """Calls left out because a mark of theirs could not be read."""
    failure: str = ""
    """What CUDA said, where the end of the work could not be waited for."""

    def __len__(self) -> int:
        return len(self.columns["call"])

    def __getitem__(self, column: str) -> Ints:
        return self.columns[column]

    @cached_property
    def parents(self) -> Ints:
        """The position of each call's parent; -1 for none, or for one that was left out."""
        return self.positions(self["parent"])

    def without(self, phase: str) -> tuple[Calls, Ints]:
        """The log without the calls of a phase, as if nobody had asked for them; and where each old position went.

        A call left out goes to the innermost one around it that stayed, or to -1.
        """
        kinds = np.array([scope.phase == phase for scope in self.scopes], dtype=bool)
        stays = ~kinds[self["scope"]] if len(self) else np.zeros(0, dtype=bool)
        if stays.all():
            return self, np.arange(len(self))
        above = np.arange(len(self))
        while (leaving := (above >= 0) & ~stays[above]).any():
            above = np.where(leaving, self.parents[above], above)
        new = np.where(stays, np.cumsum(stays) - 1, -1)
        moved = np.where(above >= 0, new[above], -1)
        columns = {name: column[stays] for name, column in self.columns.items()}
        numbers = np.concatenate([self["call"], [-1]])
        around = self.parents[stays]
        while (leaving := (around >= 0) & ~stays[around]).any():
            around = np.where(leaving, self.parents[around], around)
        columns["parent"] = numbers[around]
        return replace(self, columns=columns), moved

    def positions(self, numbers: Ints) -> Ints:
        """The positions of calls by their numbers; -1 for one that is not here."""
        if not len(self):
            return np.full(len(numbers), -1, dtype=np.int64)
        found = np.minimum(np.searchsorted(self["call"], numbers), len(self) - 1)
        return np.where((numbers >= 0) & (self["call"][found] == numbers), found, -1)


class _Tape:
    """One thread's boundaries, in rows of seven: see `CallLog.enter` and `leave`."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.ident = threading.get_ident()
        self.rows = array("q")
        self.layers: list[tuple[int, int]] = []
        """The calls of layers that are open, with their scopes."""
        self.others: dict[int, int] = {}
        """Those of statements and regions, with their kinds."""
        self.mark = _NO_MARK
        self.place: object = None
        self.done = 0
        self.inside = -1
        """The call that began last."""


class _Here(threading.local):
    """The calling thread's tape."""

    def __init__(self, tapes: list[_Tape]) -> None:
        self.tape = _Tape(len(tapes))
        tapes.append(self.tape)


class CallLog:
    """`with CallLog(clock) as log:` records the calls between `enter` and `leave`; then `log.calls` has them.

    Entering drains the device, so that earlier work is not billed here; leaving waits once and reads the marks.
    `schedule` says which steps are measured how; `watchers` are made anew for each block of steps of their mode.
    """

    def __init__(
        self,
        clock: Clock,
        schedule: Schedule | None = None,
        watchers: dict[Mode, Callable[[], Attached]] | None = None,
    ) -> None:
        self.clock = clock
        self.scopes: list[Scope] = []
        self.taken: list[Taken] = []
        self.no_records = ""
        """Why there are no kernel records, where they were wanted."""
        self._schedule = schedule
        self._watchers = watchers or {}
        self._host = clock.host
        self._on_device = clock.on_device
        self._scope_ids: dict[Scope, int] = {}
        self._kinds: list[int] = []
        self._shape_ids: dict[tuple[int, ...], int] = {}
        self._numbers = itertools.count()
        self._tapes: list[_Tape] = []
        self._here = _Here(self._tapes)
        self._turns: list[tuple[int, int]] = []
        self._leader = self._leading = -1
        self._went_back = self._ever_back = self._trained = False
        self._attached: list[Attached] = []
        self._leaving: list[tuple[Attached, int]] = []
        self._observers: list[Attached] = []
        self._several = self._verified = False
        self._set(Mode.EVENTS)

    def __enter__(self) -> CallLog:
        self.clock.wait()
        self._open_bearing = self._bearing()
        self._host_open = self.clock.host()
        self._first = self.clock.mark()
        if self._schedule:
            self._begin(self._schedule.mode)
        return self

    def __exit__(self, *_: object) -> None:
        issued = self.clock.host()
        last = self._mark_now()
        self._stop()
        bearings, failure = [self._open_bearing], ""
        try:
            self.clock.wait()
            done = self.clock.host()
            bearings.append(self._bearing())
        except RuntimeError as error:  # CUDA reports an error of the measured code only now
            done, failure = self.clock.host(), str(error)
        self._finish()
        self.calls = self._read((self._first, last), (self._host_open, issued, done), bearings, failure)

    @property
    def mode(self) -> Mode:
        """What is done at boundaries now."""
        return self._mode

    def scope(self, path: str, phase: str) -> int:
        """The id of the scope (path, phase): the same for the same pair."""
        key = Scope(path, phase)
        if key not in self._scope_ids:
            self._scope_ids[key] = len(self.scopes)
            self.scopes.append(key)
            self._kinds.append({"region": REGION, LINE: STATEMENT, "forward": FORWARD}.get(phase, OTHER))
        return self._scope_ids[key]

    def inside(self, scopes: Container[int]) -> bool:
        """Whether a call of one of these scopes is open on this thread."""
        return any(scope in scopes for _, scope in self._here.tape.layers)

    def enter(self, scope: int, train: int = UNSAID, shape: tuple[int, ...] | None = None) -> int:
        """Begin a call on this thread, right before the measured code; the call's number."""
        began = self._host()
        tape = self._here.tape
        number = next(self._numbers)
        kind = self._kinds[scope]
        mark = _NO_MARK
        if kind > REGION:
            if not tape.layers and (scope == self._leader or self._leader < 0):
                mark = self._lead(tape, scope, number, train, began)
            tape.layers.append((number, scope))
            if kind == OTHER:
                self._went_back = True
        else:
            tape.others[number] = kind
        if mark == _NO_MARK and (self._marking or (kind == REGION and self._on_device)):
            mark = self._mark(tape, began)
        for observer in self._observers:
            observer.entered(number)
        shape_id = -1 if shape is None else self._shape_ids.setdefault(shape, len(self._shape_ids))
        if not number & _TIDY_AT:
            self.clock.tidy()
        start = self._host()
        tape.rows.extend((number, scope, train, shape_id, began, start, mark))
        tape.done, tape.inside = start, number
        return number

    def leave(self, call: int, status: int = RETURNED) -> None:
        """End the call numbered `call`, right after the measured code; with it what an interrupt left open."""
        end = self._host()
        tape = self._here.tape
        mark = _NO_MARK
        if tape.inside == call:  # between its two marks the layer worked, however briefly
            tape.mark = _NO_MARK
        if self._marking or (self._on_device and tape.others.get(call) == REGION):
            mark = self._mark(tape, end)
        for observer in self._observers:
            observer.left(call)
        if tape.others.pop(call, None) is None:
            while tape.layers and tape.layers.pop()[0] != call:
                pass
        done = self._host()
        tape.rows.extend((~call, status, 0, 0, end, done, mark))
        tape.done = done

    def _mark(self, tape: _Tape, now: int) -> int:
        """A mark, or the last one where it is so near; -1 where CUDA takes none: its error rises elsewhere."""
        try:
            place = self.clock.place()
            if now - tape.done < _TOGETHER_NS and tape.mark >= 0 and place == tape.place:
                return tape.mark
            tape.mark, tape.place = self.clock.mark(), place
        except RuntimeError:
            tape.mark = _FAILED
        return tape.mark

    def _mark_now(self) -> int:
        try:
            return self.clock.mark()
        except RuntimeError:
            return _FAILED

    def _lead(self, tape: _Tape, scope: int, number: int, train: int, began: int) -> int:
        """The scope that was called first is called again: a step may begin, and with it another mode."""
        first = self._leader < 0
        if first:
            self._leader, self._leading = scope, tape.number
        elif tape.number != self._leading:
            return _NO_MARK
        mark = self._mark(tape, began) if self._on_device else _NO_MARK
        back, self._went_back = self._went_back, False
        self._trained |= train == YES
        self._ever_back |= back
        evaluates = train == NO and self._trained
        if not first and self._schedule and (back or evaluates or not self._ever_back):
            self._turn(self._schedule, (began - self._host_open) * 1e-9, mark, evaluates)
        if not self._turns or self._turns[-1][1] != self._mode:
            self._turns.append((number, int(self._mode)))
        return mark

    def _turn(self, schedule: Schedule, now: float, mark: int, evaluates: bool) -> None:
        """At the beginning of a step: go on to the next mode, where it is time and nothing is in the way."""
        if evaluates:  # no step of the training, but a row of its own: always marked, never recorded
            if self._attached:
                schedule.skip(now)
                self._stop(mark)
            self._set(Mode.EVENTS | (Mode.TURNING if self._leaving else Mode.PLAIN))
        elif self._leaving:
            if not self._pending():
                self._finish()
                schedule.delayed(now)
                self._begin(schedule.mode)
            else:
                self._set(Mode.TURNING)
        elif not schedule.turn(now):
            if self._mode != schedule.mode:
                self._begin(schedule.mode)
        elif self._attached:
            self._stop(mark)
            self._set(Mode.TURNING)
        else:
            self._begin(schedule.mode)

    def _pending(self) -> bool:
        """Whether the device has yet to do what is still being recorded."""
        clock: Any = self.clock
        return any(mark >= 0 and clock.pending(mark) for _, mark in self._leaving)

    def _begin(self, mode: Mode) -> None:
        """Take up a mode, with what watches in it; without what cannot be had."""
        self.clock.tidy()
        if mode & Mode.RECORDS:
            try:
                self._attached.append(_Records(self, launches=self._several or not self._verified))
            except (NoRecordsError, RuntimeError) as error:
                self.no_records = str(error)
                mode &= ~Mode.RECORDS
                if self._schedule:
                    self._schedule.without_records()
        self._attached += [make() for wanted, make in self._watchers.items() if mode & wanted]
        self._observers = [attached for attached in self._attached if hasattr(attached, "entered")]
        self._set(mode)

    def _set(self, mode: Mode) -> None:
        self._mode = mode
        self._marking = self._on_device and bool(mode & Mode.EVENTS)

    def _stop(self, mark: int = _NO_MARK) -> None:
        """Let nothing watch any more; it comes off once the device has passed `mark`."""
        self._observers = []
        for attached in reversed(self._attached):
            attached.stop()
            self._leaving.append((attached, mark))
        self._attached = []

    def _finish(self) -> None:
        """Take off what has been stopped."""
        for attached, _ in self._leaving:
            try:
                attached.finish()
            except (NoRecordsError, RuntimeError) as error:
                self.no_records = str(error)
        self._leaving = []

    def _bearing(self) -> tuple[int, int]:
        """The host's time, and a mark taken then on a drained device."""
        now = self.clock.host()
        mark = self.clock.mark()
        self.clock.wait()
        return now, mark

    def _read(
        self, window: tuple[int, int], host_window: tuple[int, int, int], bearings: list[tuple[int, int]], failure: str
    ) -> Calls:
        columns, first, last = _paired(self._tapes)
        columns["mode"] = self._modes(columns["call"])
        if self._on_device:
            columns["start"], columns["end"] = self.clock.resolve(first), self.clock.resolve(last)
        else:
            columns["start"], columns["end"] = columns["host_start"].copy(), columns["host_end"].copy()
        columns["device"], columns["stream"] = self.clock.where(first)
        unread = (columns["start"] == MISSING) | (columns["end"] == MISSING)
        lost = unread & (first != _NO_MARK) & (last != _NO_MARK)
        columns["end"][columns["start"] == MISSING] = MISSING
        columns = {name: columns[name][~lost] for name in COLUMNS}
        ends = self.clock.resolve(np.array(window, dtype=np.int64))
        met = self.clock.resolve(np.array([mark for _, mark in bearings], dtype=np.int64))
        close = ends[1] if ends[1] != MISSING else columns["end"].max(initial=ends[0])
        return Calls(
            columns=columns,
            scopes=tuple(self.scopes),
            shapes=tuple(self._shape_ids),
            window=(int(ends[0]), int(close)),
            host_window=host_window,
            bearings=tuple(
                Bearing(host, int(device)) for (host, _), device in zip(bearings, met, strict=True) if device != MISSING
            ),
            on_device=self._on_device,
            lost=int(lost.sum()),
            failure=failure,
        )

    def _modes(self, numbers: Ints) -> Ints:
        """The mode of each call: that of the step it is in."""
        if not self._turns:
            return np.full(len(numbers), int(Mode.EVENTS), dtype=np.int64)
        begins, modes = np.array(self._turns, dtype=np.int64).T
        return np.asarray(modes[np.maximum(0, np.searchsorted(begins, numbers, side="right") - 1)])


class _Records:
    """The kernel records of a block of steps."""

    def __init__(self, log: CallLog, launches: bool) -> None:
        clock: Any = log.clock
        self._log = log
        self._recorder: Recorder = clock.recorder(launches)
        self._began = self._now()

    def entered(self, call: int) -> None:
        self._recorder.mark(2 * call)

    def left(self, call: int) -> None:
        self._recorder.mark(2 * call + 1)

    def stop(self) -> None:
        self._recorder.stop()
        self._ended = self._now()

    def finish(self) -> None:
        launched = self._recorder.collect()
        log = self._log
        threads = {tape.ident & 0xFFFFFFFF: tape.number for tape in log._tapes}
        log.taken.append(Taken(launched, (self._began, self._ended), threads))
        log._verified = True
        log._several |= len(log._tapes) > 1 or len(np.unique(launched.threads)) > 1

    def _now(self) -> tuple[int, int]:
        """The same moment on the host's axis and on the records'; of some tries the one that took least."""
        tries = []
        for _ in range(5):
            before = self._log.clock.host()
            now = self._recorder.now()
            after = self._log.clock.host()
            tries.append((after - before, (before + after) // 2, now))
        return min(tries)[1:]


def _paired(tapes: list[_Tape]) -> tuple[dict[str, Ints], Ints, Ints]:
    """The calls that began and ended, in the order they began, and their marks."""
    parts = [_tape_calls(tape) for tape in tapes if len(tape.rows)]
    names = ("call", "parent", "scope", "train", "shape", "thread", "host_start", "host_end", "status", "own")
    columns = {n: np.concatenate([part[n] for part in parts] or [np.zeros(0, dtype=np.int64)]) for n in names}
    marks = [np.concatenate([part[n] for part in parts] or [np.zeros(0, dtype=np.int64)]) for n in ("first", "last")]
    order = np.argsort(columns["call"], kind="stable")
    columns = {name: column[order] for name, column in columns.items()}
    times = np.concatenate([columns["host_start"], columns["host_end"]])
    ranks = np.empty(len(times), dtype=np.int64)
    depth_first = np.concatenate([part["rank"] for part in parts] or [np.zeros(0, dtype=np.int64)])
    first_rank, last_rank = depth_first.reshape(-1, 2)[order].T if len(order) else (times, times)
    ranks[np.lexsort((np.concatenate([first_rank, last_rank]), times))] = np.arange(len(times))
    columns["first"], columns["last"] = ranks[: len(order)], ranks[len(order) :]
    return columns, marks[0][order], marks[1][order]


def _tape_calls(tape: _Tape) -> dict[str, Ints]:
    """A thread's calls: what began is joined to what ended by its number."""
    rows = np.array(tape.rows, dtype=np.int64).reshape(-1, _ROW)
    code, begins = rows[:, 0], rows[:, 0] >= 0
    own = np.cumsum(rows[:, 5] - rows[:, 4])  # the log's own time up to each boundary
    at_begin, at_end = np.flatnonzero(begins), np.flatnonzero(~begins)
    _, entered, left = np.intersect1d(code[at_begin], ~code[at_end], return_indices=True)
    entered, left = at_begin[entered], at_end[left]
    own_until = own[at_begin]
    since = np.diff(own_until, prepend=0)
    return {
        "call": code[entered],
        "parent": _parents(code, entered),
        "scope": rows[entered, 1],
        "train": rows[entered, 2],
        "shape": rows[entered, 3],
        "thread": np.full(len(entered), tape.number, dtype=np.int64),
        "host_start": rows[entered, 5],
        "host_end": rows[left, 4],
        "status": rows[left, 1],
        "own": since[np.searchsorted(at_begin, entered)],
        "first": rows[entered, 6],
        "last": rows[left, 6],
        "rank": np.stack([entered, left], axis=1).reshape(-1),
    }


def _parents(codes: Ints, entered: Ints) -> Ints:
    """The innermost call open when each of those at `entered` began; -1 for none."""
    parents, stack = {}, [-1]
    for place, code in enumerate(codes.tolist()):
        if code >= 0:
            parents[place] = stack[-1]
            stack.append(code)
        elif ~code in stack:
            while stack.pop() != ~code:  # what an interrupt left open ends with it
                pass
    return np.array([parents[place] for place in entered.tolist()], dtype=np.int64)
