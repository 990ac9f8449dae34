"""Boundaries where some calls end and others begin at once, with one mark: written down by the shortest way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeAlias

from gpuprof.record.log import CallLog
from gpuprof.record.tape import FAILED, NO_MARK, NOTED, RETURNED, UNSAID, Tape
from gpuprof.record.taped import Way

Opened: TypeAlias = tuple[int, int, object, int, int, int]
"""A call that has begun: its number, scope and shape, the host's time before and after the boundary, its mark."""


Nested: TypeAlias = tuple[int, int, int]
"""One of some calls: the places of its beginning and its end among those of all, and its scope."""


def nested(begun: Iterable[tuple[int, int]]) -> list[Nested]:
    """Calls by how they lie in each other: of each its scope, and how many of those begun before are around it."""
    found: list[Nested] = []
    around: list[tuple[int, int]] = []
    place = 0
    for scope, depth in (*begun, (-1, 0)):
        while len(around) > depth:
            found.append((around[-1][0], place, around.pop()[1]))
            place += 1
        around.append((place, scope))
        place += 1
    return found


class Cross(Protocol):
    """What crosses a boundary."""

    def __call__(
        self,
        tape: Tape,
        ending: Sequence[Opened],
        scopes: Sequence[int],
        shape: object = None,
        status: int = RETURNED,
        spent: int = 0,
    ) -> list[Opened]:
        """End calls of a thread's tape, the innermost first, and begin one of each of these scopes, which are given.

        `spent`: ns that the profiler has taken of the host besides, before the first one that begins.
        """


class Boundaries:
    """Told like a `TapedCall` how calls are to be written down; its functions do so."""

    scope = -2  # of no call: it leads no steps
    seen = True
    cross: Cross
    pass_on: Callable[[Tape, Opened, int, object], Opened]
    """The same where one call ends and another begins beside it, which is what happens most: tape, call, scope, shape.
    """
    asked = True
    """Whether more is wanted of a call than that there was one: its time, its marks, or that somebody watches it."""

    def __init__(self, log: CallLog) -> None:
        self._log = log
        self.cross, self.pass_on, self._set_way = _crossing(log)
        log.taped.append(self)  # type: ignore[arg-type] # it is asked for what is here alone

    def set_way(self, way: Way) -> None:
        """How the next calls are to be written down. On the host's clock each has its time."""
        self.asked = way.marks or way.watched or self._log.ranges is not None or not self._log.clock.on_device
        self._set_way(way)

    def note(self, calls: Sequence[Nested]) -> None:
        """Write down that there were such calls."""
        log = self._log
        number, add, now = log.next_number, log.here.tape.add, log.clock.host()
        numbers = [number() for _ in range(2 * len(calls))]
        for begin, end, scope in calls:
            add((numbers[begin], numbers[end], scope, UNSAID, None, now, now, now, now, NO_MARK, NO_MARK, NOTED))
        log.gone_back.up = True

    def end(self) -> None:
        """Be told no more."""
        self._log.taped.remove(self)  # type: ignore[arg-type]


def _crossing(log: CallLog) -> tuple[Any, Any, Any]:  # noqa: C901 - every step of it is a part of what it costs
    """`cross`, `pass_on` and what sets their `Way`; all they need is in their own cells, as in `TapedCall`."""
    now, number, place_now, take = log.clock.host, log.next_number, log.clock.place, log.mark
    gone_back, tell_ended, tell_begun, ranges = log.gone_back, log.tell_ended, log.tell_begun, log.ranges
    openers: dict[int, Callable[[], Any]] = {}
    marks = watched = told = False

    def ended(call: int) -> None:
        """Somebody watches, or looks at ranges: a call has ended."""
        if watched:
            tell_ended(call)
        if ranges:
            ranges.close()

    def begun(call: int, scope: int) -> None:
        """One begins."""
        if watched:
            tell_begun(call)
        if ranges:
            if scope not in openers:
                openers[scope] = ranges.opener("/".join(log.scopes[scope]))
            openers[scope]()

    def mark_now(tape: Tape) -> int:
        """A mark of its own at this boundary: on both sides of it something worked, however briefly."""
        try:
            place = place_now()
            tape.mark = take(place)
            tape.place = place
        except RuntimeError:  # CUDA takes no marks any more; its error rises in the measured code
            tape.mark, tape.place = FAILED, None
        return tape.mark

    def cross(
        tape: Tape,
        ending: Sequence[Opened],
        scopes: Sequence[int],
        shape: object = None,
        status: int = RETURNED,
        spent: int = 0,
    ) -> list[Opened]:
        reached = now()
        mark = mark_now(tape) if marks else NO_MARK
        if told:
            for call, *_ in ending:
                ended(call)
        after = reached if scopes else now()
        for call, scope, its_shape, began, start, first in ending:
            tape.add((call, number(), scope, UNSAID, its_shape, began, start, reached, after, first, mark, status))
            after = reached
        tape.depth += len(scopes) - len(ending)
        tape.inside = -1
        begins = []
        for scope in scopes:
            begins.append(number())
            if told:
                begun(begins[-1], scope)
        done = now()
        if mark != NO_MARK:
            tape.done = done
        if not begins:
            return []
        gone_back.up = True
        opened = [(call, scope, shape, done, done, mark) for call, scope in zip(begins, scopes, strict=True)]
        opened[0] = (begins[0], scopes[0], shape, reached - spent, done, mark)
        return opened

    def pass_on(tape: Tape, ending: Opened, scope: int, shape: object) -> Opened:
        reached = now()
        mark = mark_now(tape) if marks else NO_MARK
        call, its_scope, its_shape, began, start, first = ending
        if told:
            ended(call)
        tape.add((call, number(), its_scope, UNSAID, its_shape, began, start, reached, reached, first, mark, RETURNED))
        call = number()
        if told:
            begun(call, scope)
        tape.inside = -1
        start = now()
        if mark != NO_MARK:
            tape.done = start
        return call, scope, shape, reached, start, mark

    def set_way(way: Way) -> None:
        nonlocal marks, watched, told
        marks, watched, told = way.marks, way.watched, way.watched or ranges is not None

    return cross, pass_on, set_way
