"""The call log: what happens at the boundaries of calls, written while the code runs, read when it has ended."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Container
from typing import Any, Protocol

import numpy as np

from gpuprof.record.calls import LINE, REPLAY, Bearing, Calls, Scope
from gpuprof.record.clocks import MISSING, Clock
from gpuprof.record.finished import finished
from gpuprof.record.kernels import NoRecordsError
from gpuprof.record.longrun import Edge, Fold, LongRun
from gpuprof.record.ranges import Ranges
from gpuprof.record.schedule import Mode, Schedule, spoken
from gpuprof.record.taken import Taken, Taking
from gpuprof.record.tape import (
    FAILED,
    NO,
    NO_MARK,
    RETURNED,
    TOGETHER_NS,
    UNSAID,
    YES,
    Flag,
    Here,
    Opened,
    Tape,
)
from gpuprof.record.taped import TapedCall, Way
from gpuprof.record.taperows import packed
from gpuprof.units import several

_MOST_MARKS, _MOST_ROWS, _FEW_ROWS = 1 << 14, 1 << 14, 1 << 11  # within a block: reading and packing them takes a while
_ENOUGH_RECORDS = 500_000  # some 50 MB
_TELL_NS = 500_000_000
_PATIENCE = 2  # steps between two passes after which the device is waited for, where a pass was asked for
STATEMENT, REGION, FORWARD, OTHER, GRAPH = 0, 1, 2, 3, 4  # what a scope is to the counting of steps
_ALWAYS_MARKED = (REGION, GRAPH)
_KINDS = {"region": REGION, LINE: STATEMENT, "forward": FORWARD, REPLAY: GRAPH}


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


class CallLog:
    """`with CallLog(clock) as log:` records the calls between `enter` and `leave`; then `log.calls` has them.

    Entering drains the device, so that earlier work is not billed here; leaving waits once and reads the marks.
    `schedule` says which steps are measured how; `watchers` are made anew for each block of steps of their mode; `fold`
    sums up the calls that a long run leaves out.
    """

    def __init__(
        self,
        clock: Clock,
        schedule: Schedule | None = None,
        watchers: dict[Mode, Callable[[], Attached]] | None = None,
        fold: Fold | None = None,
    ) -> None:
        self.clock = clock
        self.scopes: list[Scope] = []
        self.taken: list[Taken] = []
        self.no_records = ""
        """Why there are no kernel records, where they were wanted."""
        self.begun: Counter[int] = Counter()
        """The steps that began in each mode."""
        self._schedule = schedule
        self._watchers = watchers or {}
        self._host = clock.host
        self._on_device = clock.on_device
        self._scope_ids: dict[Scope, int] = {}
        self._kinds: list[int] = []
        self._tapes: list[Tape] = []
        self._shapes: dict[tuple[int, ...], int] = {}
        self.next_number = itertools.count().__next__
        self.here = Here(self._tapes, self._shapes)
        self.mark = clock.marker()
        self.taped: list[TapedCall] = []
        """Those whose calls are written down."""
        self.gone_back = Flag()
        """Whether anything but a forward has been called since the last step began."""
        self._turns: list[tuple[int, int]] = []
        self.long_run = LongRun(clock, self._tapes, self._turns, self.scopes, self._shapes, fold)
        self._leader = self.leading = -1
        self._led: set[int] = set()
        """The scopes that have been leaders: layer by layer, and through graphs."""
        self._ever_back = self._trained = False
        self._attached: list[Attached] = []
        self._observers: list[Attached] = []
        self._leaving: list[tuple[Attached, int]] = []
        self._several = False
        self._turning = 0
        self.graphs: Any = None
        """Who is told of launches of graphs of whole steps: see gpuprof.hooks.replays."""
        self.ranges: Ranges | None = None
        """NVTX ranges around each call, where they are wanted; before the callables are made."""
        self.telling: Callable[[str], None] | None = None
        """Is told between steps, twice a second once the log has been open for one, how far it is."""
        self._tell_at = 0
        self._regular = True
        """Whether each call of the leader has begun a step."""
        self._granted = 0
        self._quiet: TapedCall | None = None
        """Which may begin so many steps without asking."""
        self._set(Mode.EVENTS)

    def __enter__(self) -> CallLog:
        self.clock.wait()
        self._open_bearing = self._bearing()
        self._host_open = self.clock.host()
        self._tell_at = self._host_open + 2 * _TELL_NS
        self._first = self.clock.mark()
        self.long_run.open(self._first, self._host_open, self._open_bearing[1])
        if self._schedule:
            self._begin(self._schedule.mode)
        return self

    def __exit__(self, *_: object) -> None:
        issued = self.clock.host()
        last = self._last_mark()
        done = self.clock.host()  # host code is done with the last mark; ours that follows is no part of the cell
        self._stop()
        bearings, failure = [self._open_bearing], ""
        try:
            self.clock.wait()
            done = self.clock.host() if self._on_device else done
            bearings.append(self._bearing())
        except RuntimeError as error:  # CUDA reports an error of the measured code only now
            done, failure = self.clock.host(), str(error)
        self._finish()
        self.calls = self._read((self._first, last), (self._host_open, issued, done), bearings, failure)
        self.long_run.close()

    @property
    def mode(self) -> Mode:
        """What is done at boundaries now."""
        return self._mode

    def switch(self, mode: Mode) -> None:
        """Between calls: go on in this mode, and by no schedule any more. Waits for the device."""
        self._schedule = None
        self._stop()
        self.clock.wait()
        self._finish()
        self._begin(mode)

    def scope(self, path: str, phase: str) -> int:
        """The id of the scope (path, phase): the same for the same pair."""
        key = Scope(path, phase)
        if key not in self._scope_ids:
            self._scope_ids[key] = len(self.scopes)
            self.scopes.append(key)
            self._kinds.append(_KINDS.get(phase, OTHER))
        return self._scope_ids[key]

    def inside(self, scopes: Container[int]) -> bool:
        """Whether a call of one of these scopes is open on this thread."""
        return any(call.scope in scopes for call in self.here.tape.open.values())

    def goes_back(self, scope: int) -> bool:
        """Whether a call of this scope means that a step has gone beyond its forward."""
        return self._kinds[scope] >= OTHER

    def dispatch(self, call: TapedCall) -> None:
        """Tell a callable how its next calls are to be written down."""
        leads = call.scope in self._led
        special = bool(self._mode & Mode.LINES) or self._leader < 0 or leads or not call.seen
        call.set_way(Way(special, 0, self._on_device and leads, self._marking, bool(self._observers)))

    def enter(self, scope: int, train: int = UNSAID, shape: object = None) -> int:
        """Begin a call on this thread, right before the measured code; the call's number."""
        began = self._host()
        tape = self.here.tape
        number = self.next_number()
        kind = self._kinds[scope]
        mark = NO_MARK
        if kind > REGION:
            if not tape.depth and (scope in self._led or self._leader < 0 or kind == GRAPH):
                mark = self._lead(tape, scope, number, train, began)
                if kind == GRAPH:  # records may have begun or ended meanwhile: a graph's time is without that
                    mark = NO_MARK
            tape.depth += 1
            self.gone_back.up |= kind >= OTHER
        if mark == NO_MARK and (self._marking or (kind in _ALWAYS_MARKED and self._on_device)):
            mark = self.mark_now(tape, self._host() if kind == GRAPH else began)
        if self._observers:
            self.tell_begun(number)
        start = self._host()
        tape.inside = number
        if mark != NO_MARK:
            tape.done = start
        tape.open[number] = Opened(kind, scope, train, shape, began, start, mark)
        return number

    def leave(self, call: int, status: int = RETURNED) -> None:
        """End the call numbered `call`, right after the measured code.

        With a layer's end what an interrupt left open inside it, with a statement's the statements inside it; a
        region, which a generator may hold open, ends by itself alone.
        """
        end = self._host()
        tape = self.here.tape
        opened = tape.open.get(call)
        if opened is None:  # ended already with one around it, or begun on another thread: a generator's region
            return
        mark = NO_MARK
        if self._marking or (self._on_device and opened.kind in _ALWAYS_MARKED):
            mark = self.mark_now(tape, end, fresh=tape.inside == call or opened.kind == GRAPH)
        if self._observers:
            self.tell_ended(call)
        tape.depth -= tape.open.pop(call).kind > REGION
        if opened.kind != REGION:
            for left in [number for number, inner in tape.open.items() if number > call and inner.kind != REGION]:
                if opened.kind > REGION or tape.open[left].kind == STATEMENT:
                    tape.depth -= tape.open.pop(left).kind > REGION
        done = self._host()
        tape.inside = -1
        if mark != NO_MARK:
            tape.done = done
        begun = (opened.scope, opened.train, opened.shape, opened.began, opened.start)
        tape.add((call, self.next_number(), *begun, end, done, opened.mark, mark, status))

    def mark_now(self, tape: Tape, now: int, fresh: bool = False) -> int:
        """A mark, or the last one where it is so near, unless it has to be a `fresh` one; -1 where CUDA takes none.

        Fresh is the end of a call in which no other began: between its two marks the layer worked, however briefly.
        """
        try:
            place = self.clock.place()
            if not fresh and now - tape.done < TOGETHER_NS and place == tape.place:
                return tape.mark
            tape.mark, tape.place = self.clock.mark(place), place
        except RuntimeError:  # the error of the measured code, which rises there
            tape.mark, tape.place = FAILED, None
        return tape.mark

    def _last_mark(self) -> int:
        try:
            return self.clock.mark()
        except RuntimeError:
            return FAILED

    def _lead(self, tape: Tape, scope: int, number: int, train: int, began: int) -> int:
        """The scope that was called first is called again, or a graph: a step may begin, and with it another mode."""
        first = self._leader < 0
        if first or (scope != self._leader and train != NO):
            self._change_leader(scope, tape, (began - self._host_open) * 1e-9)
        if tape.number != self.leading:
            if self._tapes[self.leading].depth:
                return NO_MARK
            self.leading = tape.number  # the thread that led has nothing open: this one goes on
        if self._on_device and self._capturing():
            return NO_MARK  # in a capture nothing may be asked of the device
        self._count_quiet()
        if self.telling and began >= self._tell_at:
            self._tell(self.telling, began)
        self.clock.tidy(_MOST_MARKS)
        packed(tape, _MOST_ROWS)
        mark = self.mark_now(tape, began) if self._on_device else NO_MARK
        self._trained |= train == YES
        evaluates = train == NO and self._trained
        back = self.gone_back.up
        self.gone_back.up &= evaluates  # an evaluation is no step: the next one has the update before it to begin by
        self._ever_back |= back
        begins = first or back or not self._ever_back
        if not first and self._schedule and (begins or evaluates):
            try:
                self._turn(self._schedule, (began - self._host_open) * 1e-9, mark, evaluates)
            except Exception as error:  # ours, not the measured code's: that goes on, with marks alone
                self._give_up(error)
        self.begun[int(self._mode)] += begins and not evaluates
        self._regular &= begins and not evaluates
        self._let_be((began - self._host_open) * 1e-9)
        if not self._turns or self._turns[-1][1] != self._mode:
            self._turns.append((number, int(self._mode)))
        if begins and not evaluates:
            self.long_run.step(Edge(number, mark, began), self._mode, self._enough)
        return mark

    def _change_leader(self, scope: int, tape: Tape, now: float) -> None:
        """Steps begin with calls of this scope from now on."""
        self._count_quiet()
        if self._leader < 0:
            self.leading = tape.number
        graphs = self._kinds[scope] == GRAPH
        if graphs and scope not in self._led and self._schedule:
            self._schedule.for_graphs(now)
        self._leader = scope
        self._led.add(scope)
        self._dispatch_all()

    def _tell(self, tell: Callable[[str], None], now: int) -> None:
        """Say how far it is; where nobody listens any more, no more."""
        self._tell_at = now + _TELL_NS
        steps, seconds = several(sum(self.begun.values()), "step"), (now - self._host_open) * 1e-9
        try:
            tell(f"{steps}, {seconds:.0f} s ({spoken(self._mode, self._on_device)})")
        except Exception:  # a stdout that was closed
            self.telling = None

    def _enough(self) -> None:
        if self._schedule:
            self._schedule.enough()

    def _let_be(self, now: float) -> None:
        """Let the next steps begin without asking, as many as are sure to be of this mode."""
        quiet = self._mode & ~Mode.TURNING in (Mode.EVENTS, Mode.PLAIN) and not self._leaving
        leaders = [call for call in self.taped if call.scope == self._leader]
        if self._regular and self._schedule and quiet and len(leaders) == 1:
            (self._quiet,) = leaders
            self._granted = self._schedule.sure(now)
            self._quiet.set_way(Way(True, self._granted, self._on_device, self._marking))

    def _count_quiet(self) -> None:
        """Count the steps that began without asking."""
        if self._granted and self._schedule and self._quiet:
            begun = self._granted - self._quiet.left_quiet()
            self._schedule.passed(begun)
            self.begun[int(self._mode)] += begun
        self._granted = 0

    def _capturing(self) -> bool:
        """Whether the stream in use is being captured into a graph."""
        asked = getattr(self.clock, "capturing", None)
        return bool(asked and asked())

    def _turn(self, schedule: Schedule, now: float, mark: int, evaluates: bool) -> None:
        """At the beginning of a step: go on to the next mode, where it is time and nothing is in the way."""
        if evaluates:  # no step of the training, but a row of its own: always marked, never recorded
            if self._attached:
                schedule.skip(now)
                self._stop(mark)
                self._turning = 0
            self._set(Mode.EVENTS | (Mode.TURNING if self._leaving else Mode.PLAIN))
        elif self._leaving:
            self._turning += 1
            if self._turning > _PATIENCE and schedule.asked:
                self.clock.wait()  # the queue is longer than the cell: else what was asked for would never come
            if not self._pending():
                self._finish()
                schedule.delayed(now, self._turning)
                self._begin(schedule.mode)
            else:
                self._set(Mode.TURNING)
        elif not schedule.turn(now):
            if self._mode != schedule.mode:
                self._begin(schedule.mode)
        elif self._attached and self._kinds[self._leader] == GRAPH:
            self._stop(mark)
            self.clock.wait()  # so that no graph is launched while records are neither taken nor off; it is soon done
            self._finish()
            self._begin(schedule.mode)
        elif self._attached:
            self._stop(mark)
            self._turning = 0
            self._set(Mode.TURNING)
        else:
            self._begin(schedule.mode)

    def tell_begun(self, call: int) -> None:
        """Tell those that watch of a call's beginning; what fails there must not end the measured code."""
        try:
            for observer in self._observers:
                observer.entered(call)
        except Exception as error:
            self._give_up(error)

    def tell_ended(self, call: int) -> None:
        """Tell those that watch of its end."""
        try:
            for observer in self._observers:
                observer.left(call)
        except Exception as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        """Take no more turns at anything: marks alone from here on."""
        self.no_records = f"it failed: {type(error).__name__}: {error}"
        self._schedule = None
        try:
            self._stop()
        finally:
            self._set(Mode.EVENTS | Mode.TURNING)

    def _pending(self) -> bool:
        """Whether the device has yet to do what is still being recorded."""
        clock: Any = self.clock
        return any(mark >= 0 and clock.pending(mark) for _, mark in self._leaving)

    def _begin(self, mode: Mode) -> None:
        """Take up a mode, with what watches in it; without what cannot be had."""
        self.clock.tidy()
        packed(self.here.tape, _FEW_ROWS)
        if mode & Mode.RECORDS:
            try:
                launches = self._several or not self.taken
                self._attached.append(Taking(self.clock, self._tapes, launches, self._keep))
            except (NoRecordsError, RuntimeError, AttributeError) as error:  # the last: a host clock has no records
                self.no_records = str(error)
                mode &= ~Mode.RECORDS
                if self._schedule:
                    self._schedule.without_records()
        self._attached += [make() for wanted, make in self._watchers.items() if mode & wanted]
        self._observers = [attached for attached in self._attached if hasattr(attached, "entered")]
        self._set(mode)

    def _keep(self, taken: Taken) -> None:
        """Keep a block of records; where one thread launched in the first, the next do not record threads."""
        self.taken.append(taken)
        if sum(len(each.launched.records.start) for each in self.taken) > _ENOUGH_RECORDS:
            self._enough()
        self._several |= len(self._tapes) > 1 or len(np.unique(taken.launched.threads)) > 1

    def _set(self, mode: Mode) -> None:
        self._mode = mode
        self._marking = self._on_device and bool(mode & Mode.EVENTS)
        self._dispatch_all()

    def _dispatch_all(self) -> None:
        for call in self.taped:
            self.dispatch(call)

    def _stop(self, mark: int = NO_MARK) -> None:
        """Let nothing watch any more; it comes off once the device has passed `mark`."""
        self._observers = []
        for attached in reversed(self._attached):
            self._leaving.append((attached, mark))
            try:
                attached.stop()
            except Exception as error:
                self.no_records = str(error)
        self._attached = []

    def _finish(self) -> None:
        """Take off what has been stopped."""
        for attached, _ in self._leaving:
            try:
                attached.finish()
            except Exception as error:
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
        tapes, marks = self.long_run.kept()
        columns, lost = finished(tapes, self._turns, marks, self._on_device)
        ends = marks.times(np.array(window, dtype=np.int64))
        met = marks.times(np.array([mark for _, mark in bearings], dtype=np.int64))
        # what was on another stream than the last mark's may have ended after it; MISSING is before all times
        close = max(int(ends[1]), int(columns["end"].max(initial=ends[0])))
        return Calls(
            columns=columns,
            scopes=tuple(self.scopes),
            shapes=tuple(self._shapes),
            window=(int(ends[0]), int(close)),
            host_window=host_window,
            bearings=tuple(
                Bearing(host, int(device)) for (host, _), device in zip(bearings, met, strict=True) if device != MISSING
            ),
            on_device=self._on_device,
            lost=lost,
            failure=failure,
            left_out=self.long_run.left_out,
        )
