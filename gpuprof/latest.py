"""The newest result of this process, `gpuprof.last`, and all of its runs, `gpuprof.runs`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import ParamSpec, TypeVar

from gpuprof.results.profile import Profile
from gpuprof.runlist import Runs
from gpuprof.saved import Result

__all__ = ["Result", "asked", "gathered", "keep", "last", "last_profile", "one_run", "runs"]

P = ParamSpec("P")
R = TypeVar("R")

_last: Result | None = None
_profile: Profile | None = None
runs = Runs()
_what: ContextVar[str] = ContextVar("what", default="")
_within: ContextVar[bool] = ContextVar("within", default=False)


def last() -> Result | None:
    """The newest result; None before the first."""
    return _last


def last_profile() -> Profile | None:
    """The newest profile, whatever has come since; None before the first."""
    return _profile


def keep(result: Result) -> None:
    """Make `result` the newest."""
    global _last, _profile
    _last = result
    _profile = result if isinstance(result, Profile) else _profile
    if not _within.get():
        runs.add(result, _what.get())


def gathered(measure: Callable[[], None], points: Sized, so_far: Callable[[str], R]) -> R:
    """What `so_far` makes of the points: of all that `measure` takes, or of those until it is interrupted.

    It is told what stopped them. Where there are none yet the interrupt rises, and an error does in any case: then
    the points there were are in `gpuprof.last`, which `so_far` keeps.
    """
    stopped = ""
    try:
        measure()
    except KeyboardInterrupt:
        if not points:
            raise
        stopped = "interrupted"
    except Exception as error:
        if points:
            so_far(f"{type(error).__name__}: {error}")
            error.add_note("The points that gpuprof had measured until then are in gpuprof.last.")
        raise
    return so_far(stopped)


@contextmanager
def asked(what: str) -> Iterator[None]:
    """Results of what is inside are of the run that was asked for so: a cell."""
    token = _what.set(what)
    try:
        yield
    finally:
        _what.reset(token)


def one_run(function: Callable[P, R]) -> Callable[P, R]:
    """Of the results that a call keeps, only the last is a run; also where the call raises."""

    @wraps(function)
    def alone(*args: P.args, **kwargs: P.kwargs) -> R:
        if _within.get():
            return function(*args, **kwargs)
        before, token = _last, _within.set(True)
        try:
            return function(*args, **kwargs)
        finally:
            _within.reset(token)
            if _last is not None and _last is not before:
                runs.add(_last, _what.get())

    return alone
