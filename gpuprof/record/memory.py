"""Device memory that a piece of code takes: through CuPy's and PyTorch's own pools."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any


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
    with ExitStack() as stack:
        if "cupy" in sys.modules and sys.modules["cupy"].cuda.is_available():
            stack.enter_context(_cupy(memory))
        if "torch" in sys.modules and sys.modules["torch"].cuda.is_initialized():
            stack.enter_context(_torch(memory))
        yield memory


@contextmanager
def _cupy(memory: Memory) -> Iterator[None]:
    import cupy

    pool = cupy.get_default_memory_pool()
    before = pool.used_bytes()

    class Watch(cupy.cuda.MemoryHook):  # type: ignore[misc,unused-ignore] # typed or not, as CuPy is installed or not
        """Sees every allocation: CuPy's pool keeps no peak of its own."""

        name = "gpuprof memory"

        def malloc_postprocess(self, **_: Any) -> None:
            memory.allocations += 1
            memory.peak = max(memory.peak or 0, pool.used_bytes() - before)

        def alloc_postprocess(self, **_: Any) -> None:
            memory.misses += 1

    with Watch():
        yield
    memory.peak = memory.peak or 0
    memory.retained += pool.used_bytes() - before


@contextmanager
def _torch(memory: Memory) -> Iterator[None]:
    """By differences of PyTorch's counters: resetting its peak would take it from the user."""
    import torch

    def counters() -> dict[str, int]:
        found: dict[str, int] = torch.cuda.memory_stats()
        return found

    before = counters()
    yield
    after = counters()
    if not after:
        return

    def grown(name: str) -> int:
        return after.get(name, 0) - before.get(name, 0)

    memory.allocations += grown("allocation.all.allocated")
    memory.misses += grown("num_device_alloc")
    memory.retained += grown("allocated_bytes.all.current")
    if grown("allocated_bytes.all.allocated") == 0:
        memory.peak = memory.peak or 0
    elif grown("allocated_bytes.all.peak") > 0:  # else an earlier peak hides this one
        over = after["allocated_bytes.all.peak"] - before.get("allocated_bytes.all.current", 0)
        memory.peak = (memory.peak or 0) + over
