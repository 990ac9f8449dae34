"""Where copies of layers are captured into graphs: a stream, a memory pool and random numbers apart from the user's."""

from __future__ import annotations

import gc
import itertools
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Protocol, TypeVar

from gpuprof.record import blas, driver
from gpuprof.record.graphs import NotCapturableError, captured_on, launches_in, reason

Value = TypeVar("Value")

_ROOM = 0.9  # of the device's free memory, at most
_ON_THE_HOST = "a graph is CUDA's: nothing to capture on a host clock"
_TORCH = "PyTorch is not captured layer by layer in this version; %gpu_timeit measures a graph of a statement"


class Graph(Protocol):
    """A captured piece of code."""

    launches: int | None
    """Kernels, copies and fills; None where that cannot be told."""


class Capturer(Protocol):
    """What captures and replays. All but `room` and `apart` goes inside `apart`."""

    let_through: int
    """How many of cuBLAS's products were captured that the library itself refuses to capture."""

    def room(self) -> int:
        """Bytes of the device's memory that are free."""

    def apart(self) -> AbstractContextManager[None]:
        """Inside, nothing of the user's is touched: not the stream, the pool, or the library's random numbers."""

    def put(self, values: Any) -> Any:
        """A NumPy array's values on the device."""

    def run(self, run: Callable[[], Value]) -> Value:
        """`run()`, queued as ever; its value."""

    def seconds(self, run: Callable[[], object]) -> float:
        """How long `run()` takes until all its work is done, from an idle device."""

    def capture(self, run: Callable[[], object]) -> Graph:
        """`run()` as a graph; its work is not done. Raises NotCapturableError, and can then go on."""

    def replay(self, graphs: Sequence[Any], times: int) -> list[list[float]]:
        """Seconds from the end of the one before to its own end, for each graph: all in turn, `times` over."""


def capturer_for(clock: Any, device: int = 0) -> Capturer:
    """What captures the work that a clock times, on the device with that ordinal.

    Raises NotCapturableError with the reason where nothing does.
    """
    if not clock.on_device:
        raise NotCapturableError(_ON_THE_HOST)
    if hasattr(clock, "capturer"):  # a fake one has its own
        own: Capturer = clock.capturer()
        return own
    library = getattr(clock, "library", "")
    if library != "cupy":
        raise NotCapturableError(_TORCH if library == "torch" else f"nothing captures what {clock.name} time")
    return CupyCapturer(device)


class CupyGraph:
    """A graph with all that it works on, which stays alive as long as it does."""

    def __init__(self, graph: Any, keeps: object) -> None:
        self.graph = graph
        self.launches = launches_in(graph.graph)
        self._keeps = keeps


class CupyCapturer:
    """By CuPy, on one device."""

    def __init__(self, device: int) -> None:
        import cupy

        self._cupy: Any = cupy
        self._device = device
        self._stream: Any = None
        self._pool: Any = None
        self._workspace: Any = None
        self.let_through = 0

    def room(self) -> int:
        """What the driver says is free."""
        with self._cupy.cuda.Device(self._device):
            return int(self._cupy.cuda.runtime.memGetInfo()[0])

    @contextmanager
    def apart(self) -> Iterator[None]:
        """A non-blocking stream, a pool that takes 90 % of what is free at most, random states of its own."""
        cuda, room = self._cupy.cuda, self.room()
        with ExitStack() as stack:
            device = stack.enter_context(cuda.Device(self._device))
            device.synchronize()
            self._pool = cuda.MemoryPool()
            self._pool.set_limit(size=int(_ROOM * room))
            stack.callback(self._tidied)
            stack.enter_context(_random_states_apart())
            stack.enter_context(cuda.using_allocator(self._pool.malloc))
            self._stream = cuda.Stream(non_blocking=True)
            size = blas.workspace_size(str(device.compute_capability))
            self._workspace = (self._pool.malloc(size), size)
            yield
            device.synchronize()

    def put(self, values: Any) -> Any:
        """Copied on the stream."""
        return self.run(lambda: self._cupy.asarray(values))

    def run(self, run: Callable[[], Value]) -> Value:
        """With the stream as the current one."""
        with self._stream:
            return run()

    def seconds(self, run: Callable[[], object]) -> float:
        """By the host's clock."""
        self._stream.synchronize()
        start = time.perf_counter()
        self.run(run)
        self._stream.synchronize()
        return time.perf_counter() - start

    def capture(self, run: Callable[[], object]) -> CupyGraph:
        """By capturing the stream; where that fails, what comes after is done on another one."""
        memory, size = self._workspace
        self._stream.synchronize()
        try:
            through = blas.let_through(_cublas(), blas.loaded(), self._stream.ptr, (memory.ptr, size), self._count)
            with self._stream, through:
                return CupyGraph(*captured_on(self._stream, run))
        except Exception as error:  # the code ran before, so whatever this is, capturing made it
            self._renew()
            raise NotCapturableError(reason(error)) from error

    def replay(self, graphs: Sequence[Any], times: int) -> list[list[float]]:
        """By events on the stream; the first graph once before them, so that the device is at work when they come."""
        cuda, stream = self._cupy.cuda, self._stream
        events = [cuda.Event() for _ in range(1 + times * len(graphs))]
        graphs[0].graph.launch(stream)
        events[0].record(stream)
        for number, event in enumerate(events[1:]):
            graphs[number % len(graphs)].graph.launch(stream)
            event.record(stream)
        stream.synchronize()
        lengths = [cuda.get_elapsed_time(a, b) * 1e-3 for a, b in itertools.pairwise(events)]
        return [lengths[place :: len(graphs)] for place in range(len(graphs))]

    def _count(self) -> None:
        self.let_through += 1

    def _renew(self) -> None:
        """Another stream, where CUDA has not let this one out of its capture."""
        try:
            stuck = driver.capturing(self._stream.ptr)
        except RuntimeError:
            stuck = True
        if stuck:
            self._stream = self._cupy.cuda.Stream(non_blocking=True)

    def _tidied(self) -> None:
        """Give the pool's memory back; who holds a part of it yet keeps that."""
        self._workspace = self._stream = None
        gc.collect()  # layers that hold each other
        if self._pool is not None:
            self._pool.free_all_blocks()
        self._pool = None


def _cublas() -> Any:
    """CuPy's module of cuBLAS; None where it has none."""
    return sys.modules.get("cupy_backends.cuda.libs.cublas")


@contextmanager
def _random_states_apart() -> Iterator[None]:
    """Inside, `cupy.random.rand` and its like draw from states of their own; the user's are where they were."""
    module: Any = sys.modules.get("cupy.random._generator")
    if module is None or not hasattr(module, "_random_states"):
        yield
        return
    before, module._random_states = module._random_states, {}
    try:
        yield
    finally:
        module._random_states = before
