"""Boundaries where some calls end and others begin at once, with one mark: written down by the shortest way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from gpuprof.record.log import CallLog
from gpuprof.record.tape import FAILED, NO_MARK, RETURNED, UNSAID, Tape
from gpuprof.record.taped import Way

Opened: TypeAlias = tuple[int, int, object, int, int, int]
"""A call that has begun: its number, scope and shape, the host's time before and after the boundary, its mark."""


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
    set_way: Callable[[Way], None]

    def __init__(self, log: CallLog) -> None:
        self._log = log
        self.cross, self.pass_on, self.set_way = _crossing(log)
        log.taped.append(self)  # type: ignore[arg-type] # it is asked for what is here alone

    def end(self) -> None:
        """Be told no more."""
        self._log.taped.remove(self)  # type: ignore[arg-type]


def _crossing(log: CallLog) -> tuple[Any, Any, Any]:  # noqa: C901 - every step of it is a part of what it costs
    """`cross`, `pass_on` and what sets their `Way`; all they need is in their own cells, as in `TapedCall`."""
    now, number, place_now, take = log.clock.host, log.next_number, log.clock.place, log.mark
    gone_back, ended, begun = log.gone_back, log.tell_ended, log.tell_begun
    marks = watched = False

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
        if watched:
            for call, *_ in ending:
                ended(call)
        after = reached if scopes else now()
        for call, scope, its_shape, began, start, first in ending:
            tape.add((call, number(), scope, UNSAID, its_shape, began, start, reached, after, first, mark, status))
            after = reached
        tape.depth += len(scopes) - len(ending)
        tape.inside = -1
        begins = []
        for _ in scopes:
            begins.append(number())
            if watched:
                begun(begins[-1])
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
        if watched:
            ended(call)
        tape.add((call, number(), its_scope, UNSAID, its_shape, began, start, reached, reached, first, mark, RETURNED))
        call = number()
        if watched:
            begun(call)
        tape.inside = -1
        start = now()
        if mark != NO_MARK:
            tape.done = start
        return call, scope, shape, reached, start, mark

    def set_way(way: Way) -> None:
        nonlocal marks, watched
        marks, watched = way.marks, way.watched

    return cross, pass_on, set_way
