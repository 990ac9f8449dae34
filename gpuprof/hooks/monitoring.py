"""Following functions by sys.monitoring (PEP 669), which Python has from 3.12 on."""

from __future__ import annotations

import sys
from types import CodeType, FrameType
from typing import Any

from gpuprof.hooks.follow import Body, Follower

_MONITORING: Any = getattr(sys, "monitoring", None)
_TOOL_IDS = (2, 3, 4)  # the profiler's, and two that are nobody's; the others are debuggers', coverage's, optimizers'
_SNAPSHOTS = sys.version_info < (3, 13)  # until then a frame's f_locals are a copy


class Monitoring(Follower):
    """Events of the followed code alone, apart from exceptions, which Python tells for all code or none."""

    way = "sys.monitoring"

    def __init__(self, tool: int, *rest: Any) -> None:
        super().__init__(*rest)
        self._tool = tool
        events = _MONITORING.events
        self._callbacks = {
            events.PY_START: self._started,
            events.PY_RESUME: self._resumed,
            events.PY_THROW: self._resumed,
            events.LINE: self._at_line,
            events.PY_RETURN: self._left,
            events.PY_YIELD: self._left,
            events.PY_UNWIND: self._unwound,
            events.EXCEPTION_HANDLED: self._handled,
        }
        self._starts = events.PY_START | events.PY_RESUME
        self._all = self._starts | events.LINE | events.PY_RETURN | events.PY_YIELD
        self._everywhere = events.PY_THROW | events.PY_UNWIND | events.EXCEPTION_HANDLED

    def enter(self) -> None:
        """Events come from here on; a function's lines only while one of its runs is followed."""
        _MONITORING.use_tool_id(self._tool, "gpuprof")
        self.on = True
        for event, callback in self._callbacks.items():
            _MONITORING.register_callback(self._tool, event, callback)
        _MONITORING.set_events(self._tool, self._everywhere)
        for body in self.bodies.values():
            self._watch(body, False)

    def exit(self) -> None:
        """The tool id is free again and the code as it was."""
        if not self.on:
            return
        self.on = False
        _MONITORING.set_events(self._tool, 0)
        for body in self.bodies.values():
            _MONITORING.set_local_events(self._tool, body.code, 0)
        for event in self._callbacks:
            _MONITORING.register_callback(self._tool, event, None)
        _MONITORING.free_tool_id(self._tool)

    def argument(self, frame: FrameType, resumed: bool) -> Any:
        """What the function was given as its first argument, which nothing is to hold on to afterwards."""
        found = super().argument(frame, resumed)
        if _SNAPSHOTS and not resumed:
            frame.f_locals.clear()  # the copy would hold all arguments until the function returns
        return found

    def _watch(self, body: Body, lines: bool) -> None:
        if self.on:
            body.watched = lines
            _MONITORING.set_local_events(self._tool, body.code, self._all if lines else self._starts)

    def _started(self, code: CodeType, _: int) -> None:
        self._start(self.bodies[id(code)], sys._getframe(1), False)

    def _resumed(self, code: CodeType, *_: Any) -> None:
        body = self.bodies.get(id(code))
        if body is not None:
            self._start(body, sys._getframe(1), True)

    def _start(self, body: Body, frame: FrameType, resumed: bool) -> None:
        followed = self.start(body, frame, resumed) is not None
        if followed != body.watched and (followed or not body.open):
            self._watch(body, followed)

    def _at_line(self, _: CodeType, line: int) -> None:
        run = self.runs.get(sys._getframe(1))
        if run is not None:
            self.reach(run, line)

    def _left(self, *_: Any) -> None:
        self.finish(sys._getframe(1), False)

    def _unwound(self, code: CodeType, *_: Any) -> None:
        if id(code) in self.bodies:
            self.finish(sys._getframe(1), True)

    def _handled(self, code: CodeType, _: int, error: BaseException) -> None:
        run = self.runs.get(sys._getframe(1)) if id(code) in self.bodies else None
        if run is not None and not isinstance(error, StopAsyncIteration):  # that one ends a loop
            run.raised = True


def free_tool() -> int | None:
    """An id of sys.monitoring that nobody uses; None where there is none."""
    ids = () if _MONITORING is None else _TOOL_IDS
    return next((tool for tool in ids if _MONITORING.get_tool(tool) is None), None)


def why_not() -> str:
    """Why there is no such id; "" where there is one."""
    if _MONITORING is None:
        return f"Python {sys.version_info.major}.{sys.version_info.minor} has no sys.monitoring (3.12 has)"
    users = [str(_MONITORING.get_tool(tool)) for tool in _TOOL_IDS]
    return f"{', '.join(users)} hold sys.monitoring's free ids" if free_tool() is None else ""
