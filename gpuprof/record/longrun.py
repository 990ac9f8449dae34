"""A run of hours in bounded memory: calls are kept up to a bound; then units of steps are drawn, the rest summed."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from gpuprof.record.calls import Calls, Scope
from gpuprof.record.clocks import MISSING, Clock
from gpuprof.record.finished import NOTHING, Known, Marks, finished
from gpuprof.record.interrupts import undisturbed
from gpuprof.record.leftout import Gap, LeftOut
from gpuprof.record.schedule import Mode
from gpuprof.record.tape import NO_MARK, NO_SHAPE, RETURNED, Opened, Tape
from gpuprof.record.taperows import FIELDS, Rowed, Rows, apart, joined, parted, put_back, rows_of

MOST = 300_000
"""So many calls are kept whole, besides those of steps in which more than times was taken."""
UNIT = 8192  # calls: they are summed up within some milliseconds
_ENOUGH = 100_000  # calls of steps that are always kept
_SPECIAL = Mode.RECORDS | Mode.LINES | Mode.INSPECT
_PATIENCE = 3
_STILL_OPEN = 1 << 62
_MARKS = ("first", "last")


class Edge(NamedTuple):
    """A step's beginning: the number that its first call has, the mark taken there, the host's time."""

    number: int
    mark: int
    host: int


@dataclass(frozen=True, eq=False)
class Unit:
    """Steps that follow each other, up to the edge of the next unit."""

    begin: Edge
    end: Edge
    rows: dict[int, Rowed]
    """By the number of the tape, the calls that began and ended in it."""
    around: dict[int, Rowed]
    """The calls that began or ended in another one, as if they were no longer than it."""
    known: Known
    pinned: bool
    draw: float
    """Of the units that are not pinned the lowest draws go."""

    @property
    def size(self) -> int:
        """How many calls."""
        return sum(len(rows["call"]) for rows in self.rows.values())


_ASKED: WeakKeyDictionary[Clock, dict[int, int]] = WeakKeyDictionary()
"""From which mark on each open log of a clock may still ask: profiles within each other may share one."""


class Held(NamedTuple):
    """All that was taken off the tapes; put in the place of what was before at once, as an interrupt may come."""

    begin: Edge
    """Of the unit that is yet to come: what ended before it is here, and no more on the tapes."""
    units: tuple[Unit, ...] = ()
    across: tuple[tuple[int, Rowed], ...] = ()
    """By thread, calls of more than one unit, which have ended; all stay."""
    known: tuple[Known, ...] = ()
    """Their marks."""
    early: Known = NOTHING
    """Marks that are still asked for when the clock has forgotten them."""
    left_out: LeftOut = LeftOut()


Fold = Callable[[Calls, NDArray[np.bool_]], LeftOut]
"""What sums up the calls of a unit, given which of them began and ended in it."""


class LongRun:
    """What a log's tapes held before the last edge: the units kept, and the sums of those left out.

    Below `MOST` calls it does nothing. Above, what lies before an edge goes from the tapes into a unit, once the
    device has passed that; with too many calls in the units one of them is summed up by `fold` and left out. Each has
    the same chance to stay, whenever it was; the first step, and steps with kernel records, followed lines or watched
    waits, always stay. `turns`, `scopes` and `shapes` are the log's own.
    """

    def __init__(
        self,
        clock: Clock,
        tapes: list[Tape],
        turns: list[tuple[int, int]],
        scopes: list[Scope],
        shapes: dict[tuple[int, ...], int],
        fold: Fold | None = None,
    ) -> None:
        self.why = ""
        """Why nothing is left out any more, where that failed."""
        self._clock = clock
        self._tapes = tapes
        self._turns = turns
        self._scopes = scopes
        self._shapes = shapes
        self._fold = fold
        self._random = random.Random(0)  # noqa: S311 - which units are drawn
        self._edges: deque[Edge] = deque()
        self._held = Held(Edge(-1, NO_MARK, 0))
        self._always = (NO_MARK, NO_MARK)
        self._last, self._special, self._aborted, self._forgotten = -1, False, 0, 0

    def open(self, mark: int, host: int, also: int) -> None:
        """The log begins, at a mark; `also` is another one that will be asked for at its end."""
        self._held = Held(Edge(-1, mark, host))
        self._always = (mark, also)
        _ASKED.setdefault(self._clock, {})[id(self)] = min(mark, also)

    def close(self) -> None:
        """The log has ended, and been read."""
        _ASKED.get(self._clock, {}).pop(id(self), None)

    @property
    def left_out(self) -> LeftOut:
        """What is known of the units that are not kept."""
        return self._held.left_out

    def step(self, edge: Edge, mode: Mode, enough: Callable[[], None]) -> None:
        """A step begins in this mode; `enough` is called where so much is always kept that less should be recorded.

        What fails here must not end the measured code: then all is kept from here on.
        """
        if self._fold is None:
            return
        special = bool(mode & _SPECIAL)
        marked = edge.mark >= 0 or not self._clock.on_device
        if marked and (edge.number - self._last >= 2 * UNIT or special != self._special):
            self._edges.append(edge)
            self._last, self._special = edge.number, special
        if edge.number < 2 * MOST or self.why:
            return
        ready = []
        while self._edges and edge.number - self._edges[0].number >= UNIT and not self._pending(self._edges[0].mark):
            ready.append(self._edges.popleft())
        if not ready:
            return
        try:
            with undisturbed():
                self._cut(ready)
                self._thin()
            if sum(unit.size for unit in self._held.units if unit.pinned) > _ENOUGH:
                enough()
        except Exception as error:
            self.why = f"{type(error).__name__}: {error}"

    def kept(self) -> tuple[list[Any], Marks]:
        """All that is kept, by thread as tapes are, and the times of its marks."""
        held = self._held
        marks = Marks(self._clock, [held.early, *held.known, *(unit.known for unit in held.units)])
        if held.begin.number < 0:
            return list(self._tapes), marks
        found = []
        for tape in self._tapes:
            parts = [unit.rows[tape.number] for unit in held.units if tape.number in unit.rows]
            parts += [rows for number, rows in held.across if number == tape.number]
            found.append(Rows(tape.number, joined([*parts, parted(rows_of(tape), held.begin.number)[1]])))
        return found, marks

    def _pending(self, mark: int) -> bool:
        clock: Any = self._clock
        return bool(clock.on_device and clock.pending(mark))

    def _cut(self, edges: list[Edge]) -> None:
        """What lies before each edge goes from the tapes into a unit; what cannot be read yet, with the next."""
        held, marks = self._held, Marks(self._clock, [self._held.early])
        left = {tape.number: parted(rows_of(tape), held.begin.number)[1] for tape in list(self._tapes)}
        for end in edges:
            split = {number: parted(rows, end.number) for number, rows in left.items()}
            more = self._with_unit(held, end, split, marks)
            if more is not None:
                held, left = more, {number: later for number, (_, later) in split.items()}
        end = held.begin
        opened_at = [opened.mark for tape in self._tapes for opened in list(tape.open.values())]
        asked = np.concatenate([*(rows["first"] for rows in left.values()), opened_at, self._always])
        self._held = held._replace(early=marks.read(asked[asked < end.mark].astype(np.int64)))
        for tape in self._tapes:
            if tape.number in left:
                put_back(tape, left[tape.number])
        forget = getattr(self._clock, "forget", None)
        if forget and end.mark >= 0:
            asked_for = _ASKED[self._clock]  # a cut later: a call of another thread may have begun with one of them
            asked_for[id(self)], self._forgotten = self._forgotten, end.mark
            forget(min(asked_for.values()))

    def _with_unit(self, held: Held, end: Edge, split: dict[int, tuple[Rowed, Rowed]], marks: Marks) -> Held | None:
        """With what ended before an edge, by thread, as a unit; None where marks of it cannot be read yet."""
        begin, opened = held.begin, {tape.number: dict(tape.open) for tape in self._tapes}
        ended = {number: apart(rows, rows["call"] < begin.number) for number, (rows, _) in split.items()}
        around = {n: _around(opened[n], ended[n][0], split[n][1], begin, end) for n in split}
        used = [rows[name] for parts in (*ended.values(), around.values()) for rows in parts for name in _MARKS]
        known = marks.read(np.concatenate([*used, [begin.mark, end.mark]]).astype(np.int64))
        if (known.ns == MISSING).any() and self._aborted < _PATIENCE:
            self._aborted += 1
            return None
        self._aborted = 0
        pinned = begin.number < 0 or any(mode & _SPECIAL for _, mode in self._modes_of(begin, end))
        rows = {number: inside for number, (_, inside) in ended.items() if len(inside["call"])}
        across = [(number, rows) for number, (rows, _) in ended.items() if len(rows["call"])]
        theirs = [marks.read(np.concatenate([rows[name] for name in _MARKS]).astype(np.int64)) for _, rows in across]
        return held._replace(
            begin=end,
            units=(*held.units, Unit(begin, end, rows, around, known, pinned, self._random.random())),
            across=(*held.across, *across),
            known=(*held.known, *theirs),
        )

    def _modes_of(self, begin: Edge, end: Edge) -> list[tuple[int, int]]:
        """The turns in force between two edges."""
        first = bisect_right(self._turns, (begin.number, _STILL_OPEN))
        return self._turns[max(0, first - 1) : bisect_right(self._turns, (end.number - 1, _STILL_OPEN))]

    def _thin(self) -> None:
        """Leave out units until there are no more calls than may be."""
        while self._fold and sum(unit.size for unit in self._held.units if not unit.pinned) > MOST:
            held = self._held
            gone = min((unit for unit in held.units if not unit.pinned), key=lambda unit: unit.draw)
            left_out = held.left_out.with_(self._summed(gone, self._fold))
            self._held = held._replace(units=tuple(u for u in held.units if u is not gone), left_out=left_out)

    def _summed(self, unit: Unit, fold: Fold) -> LeftOut:
        tapes = [
            Rows(number, joined([each[number] for each in (unit.rows, unit.around) if number in each]))
            for number in sorted({*unit.rows, *unit.around})
        ]
        begin, end = unit.begin, unit.end
        marks = Marks(self._clock, [unit.known])
        columns, lost = finished(tapes, self._modes_of(begin, end), marks, self._clock.on_device)
        window = begin.host, end.host
        if self._clock.on_device:
            first, last = marks.times(np.array([begin.mark, end.mark], dtype=np.int64)).tolist()
            window = first, last
        calls = Calls(
            columns=columns,
            scopes=tuple(self._scopes),
            shapes=tuple(self._shapes),
            window=window,
            host_window=(begin.host, end.host, end.host),
            bearings=(),
            on_device=self._clock.on_device,
            lost=lost,
        )
        found = fold(calls, (calls["call"] >= begin.number) & (calls["last"] < end.number))
        gap = Gap(*window, begin.host, end.host, found.steps)
        return LeftOut(gaps=(gap,)).with_(found)


def _around(opened: dict[int, Opened], ended: Rowed, later: Rowed, begin: Edge, end: Edge) -> Rowed:
    """Rows for a thread's calls that began before a unit or end after it, cut off at its ends."""
    found = [_opened(number, each, end) for number, each in opened.items() if number < end.number]
    for rows, chosen in ((ended, slice(None)), (later, np.flatnonzero(later["call"] < end.number))):
        columns = (column[chosen].tolist() for column in rows.values())
        found += [dict(zip(FIELDS, row, strict=True)) for row in zip(*columns, strict=True)]
    whole = {name: np.array([row[name] for row in found], dtype=np.int64) for name in FIELDS}
    before, after = whole["call"] < begin.number, whole["until"] > end.number
    marked = (whole["first"] != NO_MARK) & (whole["last"] != NO_MARK)
    for name in ("began", "start"):
        whole[name][before] = begin.host
    for name in ("end", "done"):
        whole[name][after] = end.host
    whole["first"] = np.where(marked, np.where(before, begin.mark, whole["first"]), NO_MARK)
    whole["last"] = np.where(marked, np.where(after, end.mark, whole["last"]), NO_MARK)
    whole["until"][after] = _STILL_OPEN - whole["call"][after]  # the inner ones end before those around them
    return whole


def _opened(number: int, opened: Opened, end: Edge) -> dict[str, int]:
    """The row of a call that is still open."""
    begun = (opened.scope, opened.train, NO_SHAPE, opened.began, opened.start)
    row = (number, _STILL_OPEN, *begun, end.host, end.host, opened.mark, opened.mark, RETURNED)
    return dict(zip(FIELDS, row, strict=True))
