"""CUDA graphs: a piece of code captured through its own library, and replayed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


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
        raise NotCapturableError(_reason(error)) from error


def _by_cupy(run: Callable[[], object]) -> Captured:
    """On a stream of its own, allocating from a pool of its own: replays write to the same addresses every time."""
    import cupy

    stream, pool = cupy.cuda.Stream(non_blocking=True), cupy.cuda.MemoryPool()
    cupy.cuda.Device().synchronize()
    with stream, cupy.cuda.using_allocator(pool.malloc):
        stream.begin_capture()
        try:
            made = run()
        finally:
            graph = stream.end_capture()
    return Captured(lambda: graph.launch(stream), stream.synchronize, (pool, made))


def _by_torch(run: Callable[[], object]) -> Captured:
    import torch

    graph: Any = torch.cuda.CUDAGraph()
    stream: Any = torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.graph(graph, stream=stream):
        made = run()

    return Captured(graph.replay, torch.cuda.synchronize, made)


def _reason(error: Exception) -> str:
    text = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {text}"[:200]
