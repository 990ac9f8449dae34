"""Where synthetic layers run: on the GPU, with spins that know their length, or on a fake clock, to try the code."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from gpuprof.record.clocks import Clock


class Spinning(Protocol):
    """Work of a known length."""

    def __call__(self) -> None:
        """Launch it."""

    def own(self) -> float:
        """The mean length of the last 64 launches, by their own clock, seconds."""


class Lab(Protocol):
    """A device to launch on."""

    clock: Clock
    threads_together: bool
    """Whether two threads may launch at the same time."""

    def spin(self, us: float) -> Spinning:
        """Work that takes `us` microseconds."""

    def tiny(self) -> Callable[[], None]:
        """What launches the smallest kernel."""

    def stream(self) -> Callable[[], AbstractContextManager[Any]]:
        """What makes another stream the current one."""


class GpuLab:
    """CuPy's current device."""

    threads_together = True

    def __init__(self) -> None:
        from gpuprof.record.cuda import CupyClock

        self.clock: Any = CupyClock()

    def spin(self, us: float) -> Spinning:
        """A kernel that watches the GPU's clock."""
        from benchmarks.kernels import Spin

        return Spin(us)

    def tiny(self) -> Callable[[], None]:
        """A kernel that writes one number, launched as CuPy launches its own."""
        import cupy

        kernel = cupy.RawKernel('extern "C" __global__ void tiny(int* x) { *x = 1; }', "tiny")
        x = cupy.zeros(1, dtype=cupy.int32)
        return lambda: kernel((1,), (1,), (x,))

    def stream(self) -> Callable[[], AbstractContextManager[Any]]:
        """One that waits for no other."""
        import cupy

        stream = cupy.cuda.Stream(non_blocking=True)
        return lambda: stream


class FakeLab:
    """gpuprof's fake clock: one stream, and threads one after another."""

    threads_together = False

    def __init__(self) -> None:
        from gpuprof.testing import FakeClock

        self.clock: Any = FakeClock(device=True, launch_cost=5e-6, mark_cost=1e-6)

    def spin(self, us: float) -> Spinning:
        """Work on the fake device."""
        return _FakeSpin(self.clock, us)

    def tiny(self) -> Callable[[], None]:
        """A microsecond of it."""
        return lambda: self.clock.launch(1e-6)

    def stream(self) -> Callable[[], AbstractContextManager[Any]]:
        """The one there is."""
        return nullcontext


class _FakeSpin:
    def __init__(self, clock: Any, us: float) -> None:
        self._clock, self._us = clock, us

    def __call__(self) -> None:
        self._clock.launch(self._us * 1e-6)

    def own(self) -> float:
        return self._us * 1e-6


def in_threads(lab: Lab, *works: Callable[[], None]) -> None:
    """Each on a thread of its own, at the same time where the lab allows it. Raises what one of them raised."""
    errors: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
        if not lab.threads_together:
            thread.join()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
