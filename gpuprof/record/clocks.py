"""Clocks: where time is read. A mark is taken now, read later, and nobody waits in between."""

from __future__ import annotations

import sys
import threading
import time
from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
_DATA = 16  # a NumPy array with fewer elements is a setting, such as a stride, not data
_PLAIN = (str, bytes, int, float, complex, type(None))
MISSING: int = np.iinfo(np.int64).min
"""The time of a mark that could not be read."""


def look_up(values: array[int], marks: Ints, otherwise: int) -> Ints:
    """`values` of the marks; `otherwise` for a mark that could not be taken (-1) or has not been read."""
    known = np.array(values, dtype=np.int64)
    there = (marks >= 0) & (marks < len(known))
    found = np.full(len(marks), otherwise, dtype=np.int64)
    found[there] = known[marks[there]]
    return found


class Clock(Protocol):
    """What every clock promises; `FakeClock` in gpuprof.testing is another one."""

    name: str
    """What the numbers are, for people: "host clock", "CUDA events"."""
    on_device: bool
    """False where the marks are the host's own time."""

    def host(self) -> int:
        """The host's time now, ns."""

    def mark(self) -> int:
        """The number of a mark taken now: on a device, queued on the stream in use."""

    def tidy(self) -> None:
        """Read marks that have happened, if many are waiting. Never waits; called between calls."""

    def wait(self) -> None:
        """Return when all work queued so far has been done."""

    def resolve(self, marks: Ints) -> Ints:
        """The time of each mark, ns on one axis per device that roughly is the host's. After `wait()`."""

    def where(self, marks: Ints) -> tuple[Ints, Ints]:
        """The device and the stream each mark was taken on."""

    @property
    def resolution(self) -> float:
        """The smallest difference that two marks can show, seconds."""


class HostClock:
    """The host's own monotonic clock, for code that returns when its work is done (NumPy)."""

    name = "host clock"
    on_device = False

    def __init__(self) -> None:
        self._ns = array("q")
        self._lock = threading.Lock()

    host = staticmethod(time.perf_counter_ns)

    def mark(self) -> int:
        """The number of a mark taken now."""
        with self._lock:
            self._ns.append(time.perf_counter_ns())
            return len(self._ns) - 1

    def tidy(self) -> None:
        """Nothing waits to be read."""

    def wait(self) -> None:
        """Return at once: host code is done when it returns."""

    def resolve(self, marks: Ints) -> Ints:
        """The time of each mark, ns."""
        return look_up(self._ns, marks, MISSING)

    def where(self, marks: Ints) -> tuple[Ints, Ints]:
        """Device -1 (the host), stream 0."""
        return np.full_like(marks, -1), np.zeros_like(marks)

    @property
    def resolution(self) -> float:
        """As the operating system states it."""
        return time.get_clock_info("perf_counter").resolution


def clock_for(*groups: Iterable[object], guess: bool = False) -> Clock:
    """A clock for code that works on these objects: CUDA events where its arrays live on a GPU, else the host's.

    The first group that shows arrays decides: on a GPU through CuPy, through PyTorch, or NumPy's. Looked at are the
    objects, their attributes and items, three levels deep. Where no group shows any, `guess` takes CUDA events if
    CuPy holds memory, for the arrays may be passed in later.
    """
    from gpuprof.record.cuda import CupyClock, TorchClock

    for group in groups:
        found = {_library(value) for value in _within(group, 3)}
        if "cupy" in found:
            return CupyClock()
        if "torch" in found:
            return TorchClock()
        if "numpy" in found:
            return HostClock()
    return CupyClock() if guess and _cupy_in_use() else HostClock()


def _library(value: object) -> str:
    """Through which library `value` shows that work is done: "cupy", "torch" (on a GPU) or "numpy"; else ""."""
    if isinstance(value, ModuleType):
        return "cupy" if value.__name__ == "cupy" and _usable(value) else ""
    if isinstance(value, np.ndarray):
        return "numpy" if value.size >= _DATA else ""
    packages = {base.__module__.partition(".")[0] for base in type(value).__mro__}
    if "cupy" in packages:
        return "cupy"
    return "torch" if "torch" in packages and getattr(value, "is_cuda", False) is True else ""


def _cupy_in_use() -> bool:
    """Whether CuPy has been imported and its memory pool holds arrays."""
    cupy: Any = sys.modules.get("cupy")
    return cupy is not None and _usable(cupy) and cupy.get_default_memory_pool().total_bytes() > 0


def _usable(cupy: Any) -> bool:
    return bool(cupy.cuda.is_available())


def _within(objects: Iterable[object], depth: int, most: int = 256, in_all: int = 20_000) -> Iterator[object]:
    """`objects` and what they hold, each once: at most `most` of each container, and `in_all` altogether."""
    seen: set[int] = set()
    level = list(objects)
    for remaining in range(depth, -1, -1):
        below: list[object] = []
        for value in level:
            if id(value) in seen or isinstance(value, _PLAIN):
                continue
            if len(seen) >= in_all:
                return
            seen.add(id(value))
            yield value
            if remaining:
                below.extend(islice(_parts(value), most))
        level = below


def _parts(value: object) -> Iterator[object]:
    """The attributes and items of `value` that may hold arrays; modules and classes are not entered."""
    if isinstance(value, (ModuleType, type, np.ndarray)):
        return
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, (list, tuple, set, deque)):
        yield from value
    else:
        yield from getattr(value, "__dict__", {}).values()
