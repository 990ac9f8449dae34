"""`Layerwise`: what single layers do around their products of matrices, one kernel where CuPy would launch several.

The layers' form in NumPy's words is the reference: it is what runs on the CPU, in float64, and within `off`. On a GPU
a layer asks `overrides` for the kernels, and takes that form where it gets None.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from cnn.kernels.gpu import Gpu
from cnn.kernels.launching import Device, Launch, Runner, source
from cnn.kernels.rules import KERNEL
from cnn.windows import Windows
from cnn.xp import Array, Shape, get_array_module

THREADS = 256  # of a block
LIMIT = 2**31 - THREADS  # numbers that a kernel can count
_ON = [True]


def overrides(x: Array, numbers: int = 0) -> Layerwise | None:
    """The kernels for `x` and arrays of up to so many numbers; None where there are none for them."""
    fitting = _ON[-1] and x.dtype.char == "f" and 0 < x.size < LIMIT and numbers < LIMIT
    return _where(x) if fitting else None


@contextmanager
def off() -> Iterator[None]:
    """Within it all layers take their form in NumPy's words: to compare."""
    _ON.append(False)
    try:
        yield
    finally:
        _ON.pop()


class Layerwise:
    """The kernels of windows.cu and sums.cu on a device, for float32.

    Other arrays are copied first; what comes back is new and lies in one stretch.
    """

    def __init__(self, device: Device) -> None:
        self.device, self.xp = device, device.xp
        self.run = device.compiled(source(("windows", "sums"), {}))
        self.placed: dict[Windows, Array] = {}
        self.rules: dict[str, Runner] = {}

    def columns(self, x: Array, windows: Windows, value: float) -> Array:
        """(C·KH·KW, N·OH·OW), the windows of (N, C, H, W): `im2col.columns`."""
        N, C, *_ = x.shape
        (KH, KW), (OH, OW) = windows.window, windows.out
        cols = self._empty((C * KH * KW, N * OH * OW))
        given = (_flat(x), self._at(windows), np.int32(N), np.int32(C), np.float32(value))
        self._each("windows_columns", cols.size // (KH * KW), (*given, cols))
        return cols

    def images(self, cols: Array, windows: Windows, N: int) -> Array:
        """(N, C, H, W), columns added back: `im2col.images`."""
        KH, KW = windows.window
        C = len(cols) // (KH * KW)
        x = self._empty((N, C, *windows.size))
        self._each("windows_images", x.size, (_flat(cols), self._at(windows), np.int32(N), np.int32(C), x))
        return x

    def pool(self, x: Array, windows: Windows) -> tuple[Array, Array]:
        """(N, C, OH, OW), the largest number of each window, and (C, N·OH·OW), its place in the window, int32."""
        N, C, *_ = x.shape
        OH, OW = windows.out
        y, places = self._empty((N, C, OH, OW)), self.xp.empty((C, N * OH * OW), "int32")
        self._each("windows_pool", y.size, (_flat(x), self._at(windows), np.int32(N), np.int32(C), y, places))
        return y, places

    def unpool(self, dy: Array, places: Array, windows: Windows) -> Array:
        """(N, C, H, W), the gradients of windows at their `places`, zeros elsewhere."""
        N, C, *_ = dy.shape
        dx = self._empty((N, C, *windows.size))
        places = places.astype("int32", "C", copy=False)
        given = (_flat(dy), places, self._at(windows), np.int32(N), np.int32(C))
        self._each("windows_unpool", dx.size, (*given, dx))
        return dx

    def filters_out(self, sums: Array, b: Array, bent: bool) -> Array:
        """(N, M, OH, OW), sums (M, N, OH, OW) and biases, through a ReLU if `bent`."""
        M, N, OH, OW = sums.shape
        y = self._empty((N, M, OH, OW))
        sizes = np.int32(N), np.int32(M), np.int32(OH * OW), np.int32(bent)
        self._each("filters_out", y.size, (_flat(sums), _flat(b), *sizes, y))
        return y

    def filters_back(self, dy: Array, y: Array | None) -> tuple[Array, Array]:
        """(M, N·OH·OW) and (M,): the gradients by sums and biases; `y` are the outputs of a ReLU, or None."""
        N, M, OH, OW = dy.shape
        dz, db = self._empty((M, N * OH * OW)), self._empty((M,))
        sizes = np.int32(N), np.int32(M), np.int32(OH * OW), np.int32(y is not None)
        dy = _flat(dy)
        given = (dy, dy if y is None else _flat(y), *sizes)
        self.run(Launch("filters_back", M, THREADS, 32, (*given, dz, db)))
        return dz, db

    def units_out(self, sums: Array, b: Array, bent: bool) -> Array:
        """`sums` (N, M) and biases, through a ReLU if `bent`; in place."""
        (N, M), sums = sums.shape, _flat(sums)
        self._each("units_out", sums.size, (sums, _flat(b), np.int32(N), np.int32(M), np.int32(bent)))
        return sums

    def units_back(self, dy: Array, y: Array | None) -> tuple[Array, Array]:
        """(N, M) and (M,): the gradients by sums and biases; `y` are the outputs of a ReLU, or None."""
        N, M = dy.shape
        dy = _flat(dy)
        given = (dy, dy if y is None else _flat(y), np.int32(N), np.int32(M), np.int32(y is not None))
        return self._units("units_back", given, (N, M))

    def output_back(self, y: Array, t: Array, keep: float, even: float, over: float) -> tuple[Array, Array]:
        """(N, M) and (M,): (y - (keep t + even)) / over, and its sums over the rows."""
        N, M = y.shape
        sizes = np.int32(N), np.int32(M), np.float32(keep), np.float32(even), np.float32(over)
        return self._units("output_back", (_flat(y), _flat(t), *sizes), (N, M))

    def softmax_out(self, sums: Array, b: Array) -> tuple[Array, Array]:
        """(N, M) and (N, M): `sums` and biases, in place, and their softmax."""
        (N, M), sums = sums.shape, _flat(sums)
        y = self._empty((N, M))
        self._each("softmax_out", 32 * N, (sums, _flat(b), np.int32(N), np.int32(M), y))
        return sums, y

    def gather(self, x: Array, t: Array, places: Array) -> tuple[Array, Array]:
        """The rows of `x` and `t`, arrays in one stretch, at `places` (n,), int64."""
        n, wide, narrow = len(places), x.size // len(x), t.size // len(t)
        to_x, to_t = self._empty((n, *x.shape[1:])), self._empty((n, *t.shape[1:]))
        given = (x, t, places, np.int32(n), np.int32(wide), np.int32(narrow))
        self._each("gather", n * (wide + narrow), (*given, to_x, to_t))
        return to_x, to_t

    def update(self, text: str, jobs: Sequence[Sequence[Array]], numbers: Sequence[float]) -> bool:
        """Launch the kernel of a `rule_text` for parameters, each with its gradient and what is kept beside it.

        False, with nothing done, where what it would change is not of float32 in one stretch.
        """
        if not all(_flat(each) is each for p, _, *beside in jobs for each in (p, *beside)):
            return False
        run = self.rules.get(text)
        if run is None:
            run = self.rules[text] = self.device.compiled(text)
        args: list[Any] = []
        for p, g, *beside in jobs:
            args += (np.int32(p.size), p, _flat(g), *beside)
        blocks = -(-sum(p.size for p, *_ in jobs) // THREADS)
        run(Launch(KERNEL, blocks, THREADS, 0, (*args, *map(np.float32, numbers))))
        return True

    def _units(self, kernel: str, given: tuple[Any, ...], shape: Shape) -> tuple[Array, Array]:
        dz, db = self._empty(shape), self._empty(shape[1:])
        self.run(Launch(kernel, -(-shape[1] // 32), THREADS, 4 * THREADS, (*given, dz, db)))
        return dz, db

    def _empty(self, shape: Shape) -> Array:
        return self.xp.empty(shape, "float32")

    def _each(self, kernel: str, threads: int, args: tuple[Any, ...]) -> None:
        self.run(Launch(kernel, -(-threads // THREADS), THREADS, 0, args))

    def _at(self, w: Windows) -> Array:
        """`w` as windows.cu takes it."""
        found = self.placed.get(w)
        if found is None:
            (above, _), (left, _) = w.pad
            numbers = (*w.size, *w.window, *w.stride, above, left, *w.dilation, *w.out)
            found = self.placed[w] = self.xp.asarray(np.array(numbers, "int32"))
        return found


def _flat(x: Array) -> Array:
    """`x` as float32 in one stretch; itself if it is that."""
    if x.dtype.char == "f" and x.flags.c_contiguous:
        return x
    return get_array_module(x).ascontiguousarray(x, "float32")


def _where(x: Array) -> Layerwise | None:
    """The kernels of the GPU that `x` is on, if that is the current one."""
    xp = get_array_module(x)
    if xp is np:
        return None
    here = xp.cuda.runtime.getDevice()
    return _on(here) if x.device.id == here else None


@functools.cache
def _on(device: int) -> Layerwise:  # noqa: ARG001  # a module belongs to a device
    return Layerwise(Gpu())
