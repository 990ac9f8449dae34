"""Device memory that a piece of code takes: through CuPy's and PyTorch's own pools."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple


@dataclass
class Memory:
    """Bytes and allocations of one piece of code, in the pools of CuPy and PyTorch."""

    peak: int | None = None
    """The most bytes in use beyond those in use before; None where the library does not say."""
    retained: int = 0
    """Bytes in use afterwards beyond those before."""
    allocations: int = 0
    """Arrays asked of the pool."""
    misses: int = 0
    """Times the pool had none and asked the driver (cudaMalloc), which can make the GPU wait."""


@contextmanager
def watched() -> Iterator[Memory]:
    """The memory that the code inside takes on this thread, there once it has ended."""
    memory = Memory()
    with following() as log:
        call = log.enter()
        try:
            yield memory
        finally:
            row = log.leave(call)
            memory.peak, memory.retained = row.peak, row.retained
            memory.allocations, memory.misses = row.allocations, row.grows


class MemoryRow(NamedTuple):
    """Device memory of one call, that of the calls inside it included."""

    allocated: int
    """Bytes asked for."""
    allocations: int
    peak: int | None
    """The most bytes in use inside, beyond those in use at its beginning; None where the library does not say."""
    retained: int
    """Bytes in use at its end beyond those at its beginning; below 0 where it gave some back."""
    grown: int
    """Bytes that the pool had to ask of the driver (cudaMalloc)."""
    grows: int
    """Times it did."""


class MemoryLog:
    """What each call takes: `enter()` right before it, `leave()` right after it, on the thread that makes it.

    Read are CuPy's default pool on the current device, and PyTorch's counters, which are the process's: what another
    thread allocates meanwhile shows in `retained`, and with PyTorch in all.
    """

    def __init__(self) -> None:
        self._here = _Here()

    def enter(self, pool: bool = True) -> int:
        """Begin a call; the number of those open around it on this thread. Without `pool` CuPy's is left alone."""
        here = self._here
        if pool and not here.open:
            here.watch()
        in_use = here.pool.used_bytes() if here.pool else 0
        here.open.append(_Open(in_use, in_use, _torch_counters()))
        return len(here.open) - 1

    def leave(self, depth: int = -1) -> MemoryRow:
        """End the innermost call, or the one that `enter` numbered, with those inside that an interrupt left open."""
        here = self._here
        ended = here.open.pop()
        while 0 <= depth < len(here.open):
            here.open[-1].take_in(ended)
            ended = here.open.pop()
        row = ended.row(here.pool)
        if here.open:
            here.open[-1].take_in(ended)
        else:
            here.rest()
        return row

    def close(self) -> None:
        """End what is still open on this thread."""
        if self._here.open:
            self.leave(0)


@contextmanager
def following() -> Iterator[MemoryLog]:
    """A log of the memory that calls take; on leaving, no hook of ours is left in CuPy, and the user's all are."""
    log = MemoryLog()
    try:
        yield log
    finally:
        log.close()


@dataclass
class _Open:
    """A call that has begun: what CuPy's hook has seen in it so far."""

    before: int
    most: int
    torch: dict[str, Any]
    asked: int = 0
    allocations: int = 0
    grown: int = 0
    grows: int = 0

    def take_in(self, inner: _Open) -> None:
        """What was seen in a call inside was seen in this one."""
        self.most = max(self.most, inner.most)
        for name in ("asked", "allocations", "grown", "grows"):
            setattr(self, name, getattr(self, name) + getattr(inner, name))

    def row(self, pool: Any) -> MemoryRow:
        cupy = MemoryRow(0, 0, None, 0, 0, 0)
        if pool:
            retained = pool.used_bytes() - self.before
            cupy = MemoryRow(self.asked, self.allocations, self.most - self.before, retained, self.grown, self.grows)
        return _both(cupy, _torch_row(self.torch, _torch_counters()))


class _Here(threading.local):
    """Each thread's open calls, and its hook while there are any."""

    def __init__(self) -> None:
        self.open: list[_Open] = []
        self.pool: Any = None
        self._hook: Any = None

    def watch(self) -> None:
        """Begin to see CuPy's allocations, where CuPy is used."""
        cupy = sys.modules.get("cupy")
        if self._hook is None and cupy and cupy.cuda.is_available():
            self.pool = cupy.get_default_memory_pool()
            self._hook = _hook(cupy, self.open, self.pool)
        if self._hook:
            self._hook.__enter__()

    def rest(self) -> None:
        """See no more."""
        if self._hook:
            self._hook.__exit__(None, None, None)


def _hook(cupy: Any, opened: list[_Open], pool: Any) -> Any:
    """A hook of CuPy's that writes to the innermost of the open calls."""

    class Calls(cupy.cuda.MemoryHook):  # type: ignore[misc,unused-ignore]
        name = f"gpuprof calls {id(opened)}"  # CuPy refuses a second of the same name

        def malloc_postprocess(self, *, size: int, mem_ptr: int, **_: Any) -> None:
            if mem_ptr:  # 0 where there was no room
                call = opened[-1]
                call.asked += size
                call.allocations += 1
                call.most = max(call.most, pool.used_bytes())

        def alloc_postprocess(self, *, mem_size: int, mem_ptr: int, **_: Any) -> None:
            if mem_ptr:
                opened[-1].grown += mem_size
                opened[-1].grows += 1

    return Calls()


def _torch_counters() -> dict[str, Any]:
    """PyTorch's own, nested; empty where it is not used."""
    torch: Any = sys.modules.get("torch")
    found: dict[str, Any] = torch.cuda.memory_stats_as_nested_dict() if torch and torch.cuda.is_initialized() else {}
    return found


def _torch_row(before: dict[str, Any], after: dict[str, Any]) -> MemoryRow:
    """Differences of counters; its peak is of the whole process, and says nothing where an earlier one was higher."""

    def grown(name: str, what: str = "allocated") -> int:
        return _counter(after, name, what) - _counter(before, name, what)

    if not after:
        return MemoryRow(0, 0, None, 0, 0, 0)
    allocations, peak = grown("allocation"), 0 if grown("allocation") == 0 else None
    if peak is None and grown("allocated_bytes", "peak") > 0:
        peak = _counter(after, "allocated_bytes", "peak") - _counter(before, "allocated_bytes", "current")
    return MemoryRow(
        grown("requested_bytes"),
        allocations,
        peak,
        grown("allocated_bytes", "current"),
        grown("reserved_bytes"),
        after.get("num_device_alloc", 0) - before.get("num_device_alloc", 0),
    )


def _counter(counters: dict[str, Any], name: str, what: str) -> int:
    found: int = counters.get(name, {}).get("all", {}).get(what, 0)
    return found


def _both(one: MemoryRow, other: MemoryRow) -> MemoryRow:
    """The sums; of two peaks, which need not have been at the same time, none."""
    if not other.allocations:
        peak = one.peak if one.peak is not None else other.peak
    else:
        peak = None if one.allocations else other.peak
    sums = [a + b for a, b in zip(one._replace(peak=0), other._replace(peak=0), strict=True)]  # type: ignore[operator]
    return MemoryRow(*sums)._replace(peak=peak)
