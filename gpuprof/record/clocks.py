"""Clocks: where time is read. A mark is taken now, read later, and nobody waits in between."""

from __future__ import annotations

import sys
import threading
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from importlib import import_module
from importlib.util import find_spec
from itertools import islice
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gpuprof.record.kernels import Recorder, Recording

Ints = NDArray[np.int64]
_DATA = 16  # a NumPy array with fewer elements is a setting, such as a stride, not data
_PLAIN = (str, bytes, int, float, complex, type(None))
MANY = 512
"""So many marks waiting to be read are many."""
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

    def mark(self, place: Any = None) -> int:
        """The number of a mark taken now: on a device, queued on the stream in use, which `place()` has told."""

    def place(self) -> object:
        """Where a mark would be taken now: the same for the same device and stream."""

    def marker(self) -> Callable[[Any], int]:
        """The shortest way to `mark`."""

    def tidy(self, at_least: int = MANY) -> None:
        """Read marks that have happened, if so many are waiting. Never waits; called between calls."""

    def wait(self) -> None:
        """Return when all work queued so far has been done."""

    def resolve(self, marks: Ints) -> Ints:
        """The time of each mark, ns on one axis per device that roughly is the host's. After `wait()`."""

    def where(self, marks: Ints) -> tuple[Ints, Ints]:
        """The device and the stream each mark was taken on."""

    @property
    def resolution(self) -> float:
        """The smallest difference that two marks can show, seconds."""


class Hold(Protocol):
    """A gate that holds a stream while it is entered: see gpuprof.record.gate."""

    def __enter__(self) -> Hold: ...

    def __exit__(self, *error: Any) -> None: ...

    def release(self) -> None:
        """Let the stream run."""

    @property
    def expired(self) -> bool:
        """Whether it opened by itself, before it was released."""


class DeviceClock(Clock, Protocol):
    """What a clock on a device promises besides."""

    def gate(self, limit: float) -> Hold:
        """A gate on the stream in use that opens by itself after `limit` seconds."""

    def no_gate(self) -> str:
        """Why no gate may be used now; "" where it may."""

    def pending(self, mark: int) -> bool:
        """Whether the device has yet to reach a mark."""

    def settle(self, mark: int) -> None:
        """Return when the device has reached a mark."""

    def launch_empty(self) -> None:
        """Queue a kernel that does nothing."""

    def flushing(self) -> AbstractContextManager[Callable[[], None]]:
        """What is entered is a function that queues work which throws everything out of the L2 cache."""

    def recording(self) -> AbstractContextManager[Recording]:
        """Kernel records of what is done inside. Raises NoRecordsError where there are none."""

    def recorder(self, launches: bool) -> Recorder:
        """Kernel records from now on, with marks among the launches. Raises NoRecordsError where there are none."""

    def rest(self, seconds: float) -> None:
        """Let the device be idle."""


class HostClock:
    """The host's own monotonic clock, for code that returns when its work is done (NumPy)."""

    name = "host clock"
    on_device = False

    def __init__(self) -> None:
        self._ns = array("q")
        self._lock = threading.Lock()

    host = staticmethod(time.perf_counter_ns)

    def mark(self, place: Any = None) -> int:  # noqa: ARG002
        """The number of a mark taken now."""
        with self._lock:
            self._ns.append(time.perf_counter_ns())
            return len(self._ns) - 1

    def place(self) -> None:
        """The host is one place."""

    def marker(self) -> Callable[[Any], int]:
        """`mark`."""
        return self.mark

    def tidy(self, at_least: int = MANY) -> None:
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

    The first group that shows arrays decides: on a GPU through CuPy, PyTorch or JAX, or NumPy's. Looked at are the
    objects, their attributes and items, three levels deep. One stream among the objects themselves (anything with
    `__cuda_stream__`) is the stream that is marked. Where no group shows any array, `guess` takes CUDA events if CuPy
    or PyTorch holds memory, for the arrays may be passed in later.
    """
    from gpuprof.record.cuda import CupyClock, TorchClock
    from gpuprof.record.jax import JaxClock

    for group in groups:
        group = list(group)
        streams = {address for value in group if (address := _stream_of(value)) is not None}
        found = {_library(value) for value in _within(group, 3)}
        if "cupy" in found:
            return CupyClock(streams.pop() if len(streams) == 1 else None)
        if "torch" in found:
            return TorchClock(streams.pop() if len(streams) == 1 else None)
        if "jax" in found:
            return JaxClock()
        if "numpy" in found:
            return HostClock()
    if guess and _cupy_in_use():
        return CupyClock()
    torch: Any = sys.modules.get("torch")
    in_use = guess and torch is not None and torch.cuda.is_initialized() and torch.cuda.memory_allocated() > 0
    return TorchClock() if in_use else HostClock()


def _library(value: object) -> str:
    """Through which library `value` shows that work is done: "cupy", "torch", "jax" (on a GPU) or "numpy"; else ""."""
    if isinstance(value, ModuleType):
        if value.__name__ == "torch":
            return "torch" if sys.modules["torch"].cuda.is_initialized() else ""
        return "cupy" if value.__name__ == "cupy" and _usable(value) else ""
    if isinstance(value, np.ndarray):
        return "numpy" if value.size >= _DATA else ""
    packages = {base.__module__.partition(".")[0] for base in type(value).__mro__}
    if "cupy" in packages:
        return "cupy"
    if "torch" in packages:
        return "torch" if getattr(value, "is_cuda", False) is True else ""
    if packages & {"jax", "jaxlib"}:
        return "jax" if _on_gpu(value) else ""
    if hasattr(type(value), "__cuda_array_interface__"):  # Numba's, cuda.core's: CuPy's events see their streams
        return "cupy" if find_spec("cupy") and _usable(import_module("cupy")) else ""
    return ""


def _on_gpu(value: object) -> bool:
    """Whether a JAX array lives on a GPU."""
    devices = getattr(value, "devices", None)
    try:
        return any(device.platform in ("gpu", "cuda") for device in (devices() if callable(devices) else ()))
    except RuntimeError:  # donated or deleted
        return False


def _stream_of(value: object) -> int | None:
    """The address of the CUDA stream that `value` is, or stands for; None for anything else."""
    if isinstance(value, type) or not hasattr(type(value), "__cuda_stream__"):
        return None
    stream: Any = value
    return int(stream.__cuda_stream__()[1])


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
