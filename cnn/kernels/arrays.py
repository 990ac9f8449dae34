"""`Launching`: launches kernels on float32 arrays, as little on the host's side as can be."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from cnn.kernels.launching import Device, Launch, Runner
from cnn.xp import Array, Shape, get_array_module

THREADS, WIDE = 256, 512  # of a block; of one that adds up
ALONE, SLICE = 2**14, 2**12  # places that one block adds up; where there are more, so many


class Launching:
    """The kernels of a text, and others, on a device."""

    def __init__(self, device: Device, text: str) -> None:
        self.device, self.xp = device, device.xp
        self.run = device.compiled(text)
        self.others: dict[str, Runner] = {}

    def empty(self, shape: Shape) -> Array:
        """A new array, with anything in it."""
        return self.xp.empty(shape, "float32")

    def compiled(self, text: str) -> Runner:
        """What launches the kernels of another text; compiled once."""
        run = self.others.get(text)
        if run is None:
            run = self.others[text] = self.device.compiled(text)
        return run

    def each(self, kernel: str, threads: int, args: tuple[Any, ...], shared: int = 0) -> None:
        """Launch `kernel` with so many threads, and so many bytes of shared memory a block."""
        self.run(Launch(kernel, blocks(threads), THREADS, shared, args))

    def sliced(self, run: Runner, kernel: str, places: int, M: int, sums: int, args: tuple[Any, ...]) -> Array:
        """(M · sums,): `sums` over so many places for each of `M` filters.

        In one launch, or, of many places, slice by slice and then added up. Behind `args` the kernel takes how many
        places a block has, and where its sums go; a block is one of `WIDE` threads a filter and slice.
        """
        slice_ = places if places <= ALONE else SLICE
        slices = -(-places // slice_)
        parts = self.empty((slices * M * sums,))
        run(Launch(kernel, M * slices, WIDE, 4 * (WIDE // 32) * sums, (*args, int32(slice_), parts)))
        if slices == 1:
            return parts
        found = self.empty((M * sums,))
        self.each("slices_sum", found.size, (parts, int32(slices), int32(found.size), found))
        return found


@functools.lru_cache(maxsize=1024)
def int32(n: int) -> np.int32:
    """`n` as kernels take it, looked up: a step takes some forty, mostly the same ones."""
    return np.int32(n)


def blocks(threads: int) -> int:
    """How many blocks have so many threads."""
    return -(-threads // THREADS)


def is_flat(x: Array) -> bool:
    """Whether `x` is of float32 in one stretch."""
    return bool(x.dtype.char == "f" and x.flags.c_contiguous)


def flat(x: Array) -> Array:
    """`x` as float32 in one stretch; itself if it is that."""
    return x if is_flat(x) else get_array_module(x).ascontiguousarray(x, "float32")
