"""The newest result of this process, `gpuprof.last`, and all of its runs, `gpuprof.runs`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import ParamSpec, TypeVar

from gpuprof.results.profile import Profile
from gpuprof.runlist import Runs
from gpuprof.saved import Result

__all__ = ["Result", "asked", "keep", "last", "last_profile", "one_run", "runs"]

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
