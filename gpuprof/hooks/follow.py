"""What following a function's statements comes to, wherever the events of its execution come from."""

from __future__ import annotations

import dis
import sys
import threading
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import Any

from gpuprof.hooks.source import statements

_RETURNS = ("RETURN_VALUE", "RETURN_CONST", "YIELD_VALUE")
_LOOPS = ("FOR_ITER", "END_FOR", "SEND", "END_SEND")
_RESUMABLE = 0x20 | 0x80 | 0x200  # generators, coroutines, asynchronous generators


class Body:
    """A function's code, and what its events mean."""

    def __init__(self, code: CodeType) -> None:
        self.code = code
        self.first_of = statements(code)
        instructions = list(dis.get_instructions(code))
        resumes = [i.offset for i in instructions if i.opname == "RESUME"]
        self.start = min(resumes, default=0)
        self.returns = frozenset(i.offset for i in instructions if i.opname in _RETURNS) | {*resumes[1:]}
        """Where a function is left without an exception; from 3.13 on, by a yield: where it will be resumed."""
        self.loops = frozenset(i.offset for i in instructions if i.opname in _LOOPS)
        """Where StopIteration ends a loop, or an `await`."""
        self.resumable = bool(code.co_flags & _RESUMABLE)
        self.open = 0
        """How many of its runs are being followed now."""
        self.watched = False
        """Whether sys.monitoring tells its lines."""


class Run:
    """A stretch in one frame: from the function's start or resumption to where control leaves it."""

    __slots__ = ("body", "key", "line", "raised", "thread", "token")

    def __init__(self, body: Body, key: Any) -> None:
        self.body = body
        self.key = key
        """What `active` said of it."""
        self.line = 0
        self.token: Any = None
        self.raised = False
        self.thread = threading.get_ident()


class Follower:
    """What both ways do with their events."""

    way = ""

    def __init__(
        self,
        bodies: dict[int, Body],
        begin: Callable[[Any, int], Any],
        end: Callable[[Any, bool], None],
        active: Callable[[CodeType, Any, bool], Any],
        cut: Callable[[Any], None],
    ) -> None:
        self.bodies, self._begin, self._end, self._active, self._cut = bodies, begin, end, active, cut
        self.runs: dict[FrameType, Run] = {}
        self.on = False
        self.error: Exception | None = None

    def enter(self) -> None:
        """Events come from here on."""
        raise NotImplementedError

    def exit(self) -> None:
        """No events from here on; once is enough, twice does no harm."""
        raise NotImplementedError

    def start(self, body: Body, frame: FrameType, resumed: bool) -> Run | None:
        """The run that begins in `frame`; None where it is not to be followed."""
        try:
            first = self.argument(frame, resumed)
            key = None if self.error is not None else self._active(body.code, first, resumed)
        except Exception as error:
            self._failed(error)
            return None
        if not key:
            return None
        run = self.runs[frame] = Run(body, key)
        body.open += 1
        if resumed:
            self.reach(run, frame.f_lineno)
        return run

    def argument(self, frame: FrameType, resumed: bool) -> Any:  # noqa: ARG002
        """What the function was given as its first argument; None where it takes none."""
        code = frame.f_code
        return frame.f_locals.get(code.co_varnames[0]) if code.co_argcount else None

    def reach(self, run: Run, line: int) -> None:
        """Control is at `line`: if that is another statement, the one before ends and this one begins."""
        first = run.body.first_of.get(line, run.line)
        if first == run.line:
            return
        self._leave(run, False)
        if self.error is None:
            try:
                run.token = self._begin(run.key, first)
                run.line = first
            except Exception as error:
                self._failed(error)

    def finish(self, frame: FrameType, raised: bool) -> None:
        """Control leaves the frame."""
        run = self.runs.pop(frame, None)
        if run is not None:
            run.body.open -= 1
            self._leave(run, raised)

    def leave_open(self, raised: bool) -> None:
        """End what an interrupt inside a hook left open on this thread, innermost first; cut what is still going on."""
        here, going_on = threading.get_ident(), {id(frame) for frame in stack()}
        for frame, run in list(self.runs.items())[::-1]:
            if run.thread == here and id(frame) not in going_on:
                self.finish(frame, raised)
            elif self.error is None:
                self._guarded_cut(run)
        self.runs.clear()
        for body in self.bodies.values():
            body.open = 0

    def _guarded_cut(self, run: Run) -> None:
        try:
            self._cut(run.key)
        except Exception as error:
            self._failed(error)

    def _leave(self, run: Run, raised: bool) -> None:
        if not run.line or self.error is not None:
            return
        token, raised = run.token, raised or run.raised
        run.line, run.token, run.raised = 0, None, False
        try:
            self._end(token, raised)
        except Exception as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        self.error = error
        self.exit()


def stack() -> Iterator[FrameType]:
    """The frames of this thread that have begun and not ended, innermost first."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back
