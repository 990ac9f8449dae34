"""Following functions by a trace function, for Python before 3.12 or where sys.monitoring is taken."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from gpuprof.hooks.follow import Body, Follower, Run


class Tracing(Follower):
    """A trace function: it gets the start of every Python call, and the lines of those followed."""

    way = "trace function"

    def enter(self) -> None:
        """Events come from here on, for this thread and those started from now on."""
        self.on, self._interrupted = True, False
        self._threads_before, self._threads = threading.gettrace(), self._first_call
        threading.settrace(self._threads)
        self._door = _Door(self, sys.gettrace())
        sys.settrace(self._door)

    def exit(self) -> None:
        """This thread has the tracer it had; other threads get theirs at their next call."""
        self.on = False
        if threading.gettrace() is self._threads:
            threading.settrace(self._threads_before)
        now = sys.gettrace()
        if isinstance(now, _Door) and now.follower is self:
            sys.settrace(now.before)
        elif now is None and self._interrupted:  # Python takes off a trace function that raises
            sys.settrace(self._door.before)

    def called(self, door: _Door, frame: FrameType, body: Body, chained: Any) -> Any:
        """The local trace function for a frame that starts or resumes; `chained` is that of the tracer before."""
        run = self._guarded(self.start, body, frame, body.resumable and frame.f_lasti > body.start)
        if run is None:
            return chained
        lines, frame.f_trace_lines = frame.f_trace_lines, True  # a tracer may have said that it needs none

        def local(frame: FrameType, event: str, arg: Any) -> Any:
            nonlocal chained
            if chained is not None and (lines or event != "line"):
                chained = door.ask(chained, frame, event, arg) or chained
            self._guarded(self._event, run, frame, event, arg)
            return local

        return local

    def _event(self, run: Run, frame: FrameType, event: str, arg: Any) -> None:
        if self.runs.get(frame) is not run:
            return
        if event == "line":
            self.reach(run, frame.f_lineno)
        elif event == "return":
            self.finish(frame, frame.f_lasti not in run.body.returns)
        elif event == "exception" and not issubclass(arg[0], StopAsyncIteration):  # which ends a loop, as the other:
            run.raised |= not (issubclass(arg[0], StopIteration) and frame.f_lasti in run.body.loops)

    def _guarded(self, step: Callable[..., Any], *args: Any) -> Any:
        try:
            return step(*args)
        except BaseException:
            self._interrupted = True
            raise

    def _first_call(self, frame: FrameType, event: str, arg: Any) -> Any:
        door = _Door(self, self._threads_before)
        sys.settrace(door)
        return door(frame, event, arg)


class _Door:
    """One thread's trace function, and the one that was there before it."""

    def __init__(self, follower: Tracing, before: Any) -> None:
        self.follower, self.before = follower, before

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        body = self.follower.bodies.get(id(frame.f_code))
        if self.before is None and body is None and self.follower.on:
            return None
        chained = None if self.before is None else self.ask(self.before, frame, event, arg)
        if not self.follower.on:
            sys.settrace(self.before)
            return chained
        return chained if body is None else self.follower.called(self, frame, body, chained)

    def ask(self, tracer: Any, frame: FrameType, event: str, arg: Any) -> Any:
        """The answer of the tracer before; if that puts itself or another in our place, it is chained to."""
        ours = sys.gettrace()
        answer = tracer(frame, event, arg)
        now = sys.gettrace()
        if now is not ours and self.follower.on:
            self.before = now
            sys.settrace(ours)
        return answer
