"""The L2 cache emptied: twice its size is written, then read, on the stream that is timed."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import c_uint64

from gpuprof.record import driver


def flush(stream: int) -> None:
    """Queue it on a stream of the current context. Written lines are dirty, so reading pushes them out beforehand."""
    address, words = _buffer(driver.context())
    half = words // 2
    driver.fill(address, half, stream)
    whole = (c_uint64(address + 4 * half), c_uint64(words - half), c_uint64(address))
    driver.launch("gpuprof_sweep", stream, *whole, blocks=1024, threads=256)


@functools.cache
def _buffer(_context: int) -> tuple[int, int]:
    """Address and number of words: what is written and what is read are twice the cache each."""
    size = 4 * max(driver.l2_bytes(), 1 << 20)
    return driver.allocate(size), size // 4


@contextmanager
def emptied() -> Iterator[None]:
    """Gives the buffer back afterwards: it is no part of anyone's memory."""
    try:
        yield
    finally:
        if _buffer.cache_info().currsize:
            driver.free(_buffer(driver.context())[0])
            _buffer.cache_clear()
