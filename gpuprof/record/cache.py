"""The L2 cache emptied: twice its size is written, then read, on the stream that is timed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import c_uint64

from gpuprof.record import driver


class NoRoomError(RuntimeError):
    """The device has no memory left for the flush."""


@contextmanager
def flushing(stream: Callable[[], int]) -> Iterator[Callable[[], None]]:
    """A function that queues the flush on the stream that `stream()` names; its buffer lives as long as the `with`.

    Written lines are dirty, so reading pushes them out beforehand: what is written and what is read are twice the
    cache each. Raises NoRoomError.
    """
    size = 4 * max(driver.l2_bytes(), 1 << 20)
    try:
        address, words = driver.allocate(size), size // 4
    except RuntimeError as error:
        raise NoRoomError(f"no room for the {size >> 20} MiB that empty the L2 cache ({error})") from None
    half = words // 2

    def flush() -> None:
        driver.fill(address, half, stream())
        whole = (c_uint64(address + 4 * half), c_uint64(words - half), c_uint64(address))
        driver.launch("gpuprof_sweep", stream(), *whole, blocks=1024, threads=256)

    try:
        flush()  # loads what it launches: behind a gate that would wait
        yield flush
    finally:
        driver.free(address)
