"""What differs between two runs of a row without any noise: kernels, launches, threads, allocations, shapes, calls."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from gpuprof.judge.cost import bytes_text
from gpuprof.judge.kernelnames import function
from gpuprof.units import count

_NAMES = 3  # of the kernels that came or went are told
_LONG = 48
_SAME_BYTES = 0.01  # pools round
_SAME_CALLS = 0.1  # a cell may end within a step


class Launched(NamedTuple):
    """Kernels of one name and number of threads that a usual call launches."""

    name: str
    threads: int
    times: int


class Traits(NamedTuple):
    """What a usual call of a row does, as far as it was recorded."""

    kernels: tuple[Launched, ...] | None = None
    """In the order of their names; None without records."""
    allocations: float = math.nan
    allocated: float = math.nan
    """Bytes."""
    shape: tuple[int, ...] | None = None
    """Of its first argument; None for no array."""
    calls: float = math.nan
    """In a step; NaN for an evaluation."""

    @property
    def launches(self) -> float:
        """How many kernels it launches; NaN where that is not known."""
        return math.nan if self.kernels is None else float(sum(each.times for each in self.kernels))


def unchanged(old: Traits, new: Traits) -> bool:
    """Whether a row is known to launch the very same kernels, at least one, of arrays of the same shape."""
    return bool(old.kernels) and old.kernels == new.kernels and not any(_besides(old, new))


def changes(old: Traits, new: Traits) -> tuple[str, ...]:
    """What changed, the most telling first, in a few words each; nothing for what one of them does not know."""
    return (*_kernels(old.kernels, new.kernels), *_besides(old, new), *_memory(old, new))


def _kernels(old: tuple[Launched, ...] | None, new: tuple[Launched, ...] | None) -> Iterator[str]:
    if old is None or new is None or old == new:
        return
    before, now = ({each.name for each in side} for side in (old, new))
    yield from _named("−", before - now)
    yield from _named("+", now - before)
    launches = [sum(each.times for each in side) for side in (old, new)]
    if launches[0] != launches[1]:
        yield f"launches {count(launches[0])} → {count(launches[1])}"
    threads = [max((each.threads for each in side), default=0) for side in (old, new)]
    if threads[0] != threads[1]:
        yield f"threads {count(threads[0])} → {count(threads[1])}"
    elif before == now and launches[0] == launches[1]:
        yield "the same kernels, of other sizes or in other numbers"


def _named(sign: str, kernels: Iterable[str]) -> Iterator[str]:
    names = sorted({_short(function(name)) for name in kernels})
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    if names:
        yield f"{sign}{', '.join(names[:_NAMES])}{more}"


def _short(name: str) -> str:
    return name if len(name) <= _LONG else f"{name[: _LONG // 2]}…{name[-_LONG // 2 :]}"


def _besides(old: Traits, new: Traits) -> Iterator[str]:
    """Other work to do: shapes and calls."""
    if old.shape is not None and new.shape is not None and old.shape != new.shape:
        yield f"of {_by(old.shape)} → {_by(new.shape)}"
    if abs(old.calls - new.calls) > _SAME_CALLS * max(old.calls, new.calls):  # False for NaN
        yield f"calls a step {count(old.calls)} → {count(new.calls)}"


def _by(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "one number"


def _memory(old: Traits, new: Traits) -> Iterator[str]:
    if abs(old.allocations - new.allocations) >= 0.5:
        yield f"allocations {count(old.allocations)} → {count(new.allocations)}"
    if abs(old.allocated - new.allocated) > _SAME_BYTES * max(old.allocated, new.allocated):
        yield f"allocated {bytes_text(old.allocated)} → {bytes_text(new.allocated)}"
