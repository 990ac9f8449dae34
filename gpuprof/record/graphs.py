"""CUDA graphs: a piece of code captured through its own library, and replayed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from ctypes import byref, c_int, c_size_t, c_void_p
from typing import Any

from gpuprof.record import driver

_LAUNCHES = (0, 1, 2)  # CU_GRAPH_NODE_TYPE_KERNEL, _MEMCPY, _MEMSET


class NotCapturableError(RuntimeError):
    """The code cannot be captured into a graph; the text says why."""


class Captured:
    """A captured piece of code. What it allocated stays alive as long as this does."""

    def __init__(self, launch: Callable[[], None], wait: Callable[[], None], keeps: object) -> None:
        self.launch = launch
        """Queue all of its work again."""
        self.wait = wait
        """Return when that has been done."""
        self._keeps = keeps


def captured(run: Callable[[], object], library: str) -> Captured:
    """`run()` captured by "cupy" or "torch". Its work is not done; what it computed on the host is.

    Raises NotCapturableError where the code does what a graph cannot hold: a wait, a copy to the host, cuBLAS
    through CuPy. The stream is left as it was.
    """
    try:
        return {"cupy": _by_cupy, "torch": _by_torch}[library](run)
    except Exception as error:  # the code ran before, so whatever this is, capturing made it
        raise NotCapturableError(reason(error)) from error


def captured_on(stream: Any, run: Callable[[], object]) -> tuple[Any, object]:
    """`run()` captured on a stream of CuPy's, which is the current one: its graph, and what it returned.

    Raises what `run` raises; the stream is out of the capture in any case.
    """
    stream.begin_capture()
    try:
        made = run()
    except BaseException:
        with suppress(Exception):  # a capture that CUDA has ended can only be ended so, with an error
            stream.end_capture()
        raise
    return stream.end_capture(), made


def launches_in(graph: int) -> int | None:
    """How many kernels, copies and fills the graph at an address holds; None where the driver does not tell."""
    try:
        number, kind = c_size_t(), c_int()
        driver.call("cuGraphGetNodes", c_void_p(graph), None, byref(number))
        nodes = (c_void_p * number.value)()
        if number.value:
            driver.call("cuGraphGetNodes", c_void_p(graph), nodes, byref(number))
        kinds = []
        for node in nodes:
            driver.call("cuGraphNodeGetType", c_void_p(node), byref(kind))
            kinds.append(kind.value)
    except (RuntimeError, AttributeError):
        return None
    return sum(kind in _LAUNCHES for kind in kinds)


def reason(error: BaseException) -> str:
    """An error's kind and the first line of what it says."""
    text = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {text}".rstrip(": ")[:200]


def _by_cupy(run: Callable[[], object]) -> Captured:
    """On a stream of its own, allocating from a pool of its own: replays write to the same addresses every time."""
    import cupy

    stream, pool = cupy.cuda.Stream(non_blocking=True), cupy.cuda.MemoryPool()
    cupy.cuda.Device().synchronize()
    with stream, cupy.cuda.using_allocator(pool.malloc):
        graph, made = captured_on(stream, run)
    return Captured(lambda: graph.launch(stream), stream.synchronize, (pool, made))


def _by_torch(run: Callable[[], object]) -> Captured:
    import torch

    graph: Any = torch.cuda.CUDAGraph()
    stream: Any = torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.graph(graph, stream=stream):
        made = run()

    return Captured(graph.replay, torch.cuda.synchronize, made)
