"""As much of CuPy as capturing asks of it, on no GPU: streams, events, pools, and what was done with them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any


class Stream:
    """A stream that may be captured; `spoiled` makes the end of a capture fail, as CUDA does after an error."""

    numbers = itertools.count(1)
    current: Stream | None = None

    def __init__(self, non_blocking: bool = False) -> None:
        assert non_blocking
        self.ptr = next(self.numbers)
        self.capturing = self.spoiled = False
        self.done: list[Any] = []

    def __enter__(self) -> Stream:
        Stream.current = self
        return self

    def __exit__(self, *_: object) -> None:
        Stream.current = None

    def begin_capture(self) -> None:
        self.capturing = True

    def end_capture(self) -> Any:
        self.capturing = False
        if self.spoiled:
            raise RuntimeError("cudaErrorStreamCaptureInvalidated")
        return SimpleNamespace(graph=7, launch=lambda stream: stream.done.append("launch"))

    def synchronize(self) -> None:
        assert not self.capturing


class Pool:
    """A memory pool that knows what it handed out."""

    def __init__(self) -> None:
        self.limit = 0
        self.freed = False

    def set_limit(self, size: int) -> None:
        self.limit = size

    def malloc(self, size: int) -> Any:
        return SimpleNamespace(ptr=size, size=size)

    def free_all_blocks(self) -> None:
        self.freed = True


class Device:
    """The one there is."""

    compute_capability = "90"

    def __init__(self, number: int = 0) -> None:
        self.id = number

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def synchronize(self) -> None:
        pass


class FakeCupy:
    """The module."""

    def __init__(self, free: int = 1000) -> None:
        self.pools: list[Pool] = []
        self.allocators: list[Any] = []
        self.clock = itertools.count()
        self.cuda = SimpleNamespace(
            Device=Device,
            Event=lambda: SimpleNamespace(record=lambda stream: stream.done.append("event")),
            MemoryPool=self._pool,
            Stream=Stream,
            get_elapsed_time=lambda start, end: 2.0,
            runtime=SimpleNamespace(memGetInfo=lambda: (free, 2 * free)),
            using_allocator=self._using,
        )

    def asarray(self, values: Any) -> Any:
        assert Stream.current is not None
        return values

    def _pool(self) -> Pool:
        self.pools.append(Pool())
        return self.pools[-1]

    @contextmanager
    def _using(self, allocator: Any) -> Iterator[None]:
        self.allocators.append(allocator)
        try:
            yield
        finally:
            self.allocators.pop()
