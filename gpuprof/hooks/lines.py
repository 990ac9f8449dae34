"""Hooks that follow the statements of given functions while they run; they know no GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import CodeType
from typing import Any

from gpuprof.hooks.follow import Body, Follower, stack
from gpuprof.hooks.monitoring import Monitoring, free_tool, why_not
from gpuprof.hooks.source import Source, code_of, resolve, statements
from gpuprof.hooks.tracing import Tracing

__all__ = ["WAYS", "LineHook", "Source", "code_of", "following", "resolve", "stack", "statements"]

WAYS = (Monitoring.way, Tracing.way)


class LineHook:
    """`with LineHook(functions, begin, end):` follows each statement of the functions, also on threads started inside.

    `token = begin(key, line)` when a statement starts, `line` its first line; `end(token, raised)` when control
    leaves it for another statement, or the function returns, yields (its resumption begins the statement again) or is
    left by an exception; `raised` also where the function catches it. A nested function counts into the statement that
    calls it unless it is given too. `active(code, first, resumed)` is asked at each start or resumption of a function,
    `first` its first argument; what it answers is the run's `key`, by default the code, and where that is false, the
    run is not followed. `cut(key)` for each run that is still going on when the hook is left, innermost first: its
    last statement has no end.

    Uses sys.monitoring where it can; else a trace function, which slows all Python code while the hook is on, so enter
    it for single calls: entering again is cheap. A tracer that was there goes on getting its events. The first error of
    `begin`, `end`, `active` or `cut` ends the following and rises where the `with` ends; the code that is followed
    does not see it.

    Raises TypeError for a function that is not written in Python.
    """

    def __init__(
        self,
        functions: Iterable[Any],
        begin: Callable[[Any, int], Any],
        end: Callable[[Any, bool], None],
        active: Callable[[CodeType, Any, bool], Any] = lambda code, _first, _resumed: code,
        cut: Callable[[Any], None] = lambda _key: None,
        *,
        way: str = "",
    ) -> None:
        if way not in ("", *WAYS):
            raise ValueError(f"way must be {' or '.join(map(repr, WAYS))}, or be left out; got {way!r}")
        self._bodies = {id(code): Body(code) for code in map(code_of, functions)}
        self._given = (begin, end, active, cut)
        self._asked = way
        self._follower: Follower | None = None
        self.way = ""
        """How the lines are followed, once the hook has been entered: one of WAYS."""
        self.note = ""
        """Why by a trace function, where it is; "" otherwise."""

    def __enter__(self) -> LineHook:
        """The hook, on."""
        if self._follower is not None:
            raise RuntimeError("this LineHook is on already; leave it first, or make a second one")
        tool = None if self._asked == Tracing.way else free_tool()
        if tool is None and self._asked == Monitoring.way:
            raise RuntimeError(f"{Monitoring.way} was asked for, but {why_not()}; leave `way` out")
        if tool is None:
            self._follower, self.note = Tracing(self._bodies, *self._given), why_not() or "it was asked for"
        else:
            self._follower, self.note = Monitoring(tool, self._bodies, *self._given), ""
        self.way = self._follower.way
        self._follower.enter()
        return self

    def __exit__(self, kind: Any, *_: object) -> None:
        follower, self._follower = self._follower, None
        if follower is None:
            return
        follower.leave_open(kind is not None)
        follower.exit()
        if follower.error is not None and kind is None:
            raise follower.error


following = LineHook
