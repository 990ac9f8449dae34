"""`Layerwise`: what single layers do around their products of matrices, one kernel where CuPy would launch several.

The layers' form in NumPy's words is the reference: it is what runs on the CPU, in float64, and within `off`. On a GPU
a layer asks `overrides` for the kernels, and takes that form where it gets None.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from cnn.kernels.arrays import THREADS, Launching, blocks, flat, int32, is_flat
from cnn.kernels.gpu import Gpu
from cnn.kernels.launching import Device, Launch, Runner, source
from cnn.kernels.rules import KERNEL
from cnn.windows import Windows
from cnn.xp import Array, Shape, get_array_module

FEW = 32  # numbers of a filter that a thread can hold
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


class Layerwise(Launching):
    """The kernels of windows.cu, sums.cu, few.cu and direct.cu on a device, for float32.

    Other arrays are copied first; what comes back is new and lies in one stretch.
    """

    def __init__(self, device: Device) -> None:
        super().__init__(device, layers_text())
        self.placed: dict[Windows, Array] = {}

    def columns(self, x: Array, windows: Windows, value: float) -> Array:
        """(C·KH·KW, N·OH·OW), the windows of (N, C, H, W): `im2col.columns`."""
        N, C, *_ = x.shape
        (KH, KW), (OH, OW) = windows.window, windows.out
        cols = self.empty((C * KH * KW, N * OH * OW))
        given = (flat(x), self._at(windows), int32(N), int32(C), np.float32(value))
        self.each("windows_columns", cols.size // (KH * KW), (*given, cols))
        return cols

    def images(self, cols: Array, windows: Windows, N: int) -> Array:
        """(N, C, H, W), columns added back: `im2col.images`."""
        KH, KW = windows.window
        C = len(cols) // (KH * KW)
        x = self.empty((N, C, *windows.size))
        self.each("windows_images", x.size, (flat(cols), self._at(windows), int32(N), int32(C), x))
        return x

    def pool(self, x: Array, windows: Windows) -> tuple[Array, Array]:
        """(N, C, OH, OW), the largest number of each window, and (C, N·OH·OW), its place in the window, int32."""
        N, C, *_ = x.shape
        OH, OW = windows.out
        y, places = self.empty((N, C, OH, OW)), self.xp.empty((C, N * OH * OW), "int32")
        self.each("windows_pool", y.size, (flat(x), self._at(windows), int32(N), int32(C), y, places))
        return y, places

    def unpool(self, dy: Array, places: Array, windows: Windows) -> Array:
        """(N, C, H, W), the gradients of windows at their `places`, zeros elsewhere."""
        N, C, *_ = dy.shape
        dx = self.empty((N, C, *windows.size))
        places = places if places.dtype == np.int32 else places.astype("int32")
        given = (flat(dy), places, self._at(windows), int32(N), int32(C))
        self.each("windows_unpool", dx.size, (*given, dx))
        return dx

    def filters_out(self, sums: Array, b: Array, bent: bool) -> Array:
        """(N, M, OH, OW), sums (M, N, OH, OW) and biases, through a ReLU if `bent`."""
        M, N, OH, OW = sums.shape
        y = self.empty((N, M, OH, OW))
        sizes = int32(N), int32(M), int32(OH * OW), int32(bent)
        self.each("filters_out", y.size, (flat(sums), self._biases(b, M), *sizes, y))
        return y

    def filters_back(self, dy: Array, y: Array | None) -> tuple[Array, Array]:
        """(M, N·OH·OW) and (M,): the gradients by sums and biases; `y` are the outputs of a ReLU, or None."""
        (N, M, OH, OW), dy = dy.shape, flat(dy)
        dz = self.empty((M, N * OH * OW))
        given = (dy, dy if y is None else flat(y), int32(N), int32(M), int32(OH * OW), int32(y is not None), dz)
        return dz, self.sliced(self.run, "filters_back", N * OH * OW, M, 1, given)

    def convolution(self, x: Array, W: Array, b: Array, windows: Windows, bent: bool) -> Array:
        """(N, M, OH, OW), filters of `few_taps` over (N, C, H, W) and biases, through a ReLU if `bent`."""
        N, M = len(x), len(W)
        OH, OW = windows.out
        y = self.empty((N, M, OH, OW))
        given = (flat(x), self._at(windows), flat(W), self._biases(b, M), int32(N), int32(M), int32(bent))
        self._direct(W)(Launch("direct_out", blocks(N * OH * OW), THREADS, 0, (*given, y)))
        return y

    def convolution_back(self, dy: Array, y: Array | None, x: Array, W: Array, windows: Windows) -> tuple[Array, Array]:
        """The gradients by filters and biases, from those by outputs; `y` are the outputs of a ReLU, or None."""
        (N, M, OH, OW), dy = dy.shape, flat(dy)
        arrays = (dy, dy if y is None else flat(y), flat(x), self._at(windows))
        given = (*arrays, int32(N), int32(M), int32(y is not None))
        sums = self.sliced(self._direct(W), "direct_back", N * OH * OW, M, W[0].size + 1, given)
        return sums[: W.size].reshape(W.shape), sums[W.size :]

    def units_out(self, sums: Array, b: Array, bent: bool) -> Array:
        """`sums` (N, M) and biases, through a ReLU if `bent`; in place."""
        (N, M), sums = sums.shape, flat(sums)
        self.each("units_out", sums.size, (sums, self._biases(b, M), int32(N), int32(M), int32(bent)))
        return sums

    def units_back(self, dy: Array, y: Array | None) -> tuple[Array, Array]:
        """(N, M) and (M,): the gradients by sums and biases; `y` are the outputs of a ReLU, or None."""
        N, M = dy.shape
        dy = flat(dy)
        given = (dy, dy if y is None else flat(y), int32(N), int32(M), int32(y is not None))
        return self._units("units_back", given, (N, M))

    def output_back(self, y: Array, t: Array, shares: tuple[float, float], over: float) -> tuple[Array, Array]:
        """(N, M) and (M,): (y - (keep t + even)) / over, and its sums over the rows; keep and even are `shares`."""
        N, M = y.shape
        sizes = int32(N), int32(M), *map(np.float32, (*shares, over))
        return self._units("output_back", (flat(y), flat(t), *sizes), (N, M))

    def softmax_out(self, sums: Array, b: Array) -> tuple[Array, Array]:
        """(N, M) and (N, M): `sums` and biases, in place, and their softmax."""
        (N, M), sums = sums.shape, flat(sums)
        y = self.empty((N, M))
        self.each("softmax_out", 32 * N, (sums, self._biases(b, M), int32(N), int32(M), y))
        return sums, y

    def few_out(self, x: Array, W: Array, b: Array) -> tuple[Array, Array]:
        """(N, M) and (N, M): the sums x W + b and their softmax; for what is `few_outputs`."""
        (N, K), M = x.shape, W.shape[1]
        z, y = self.empty((N, M)), self.empty((N, M))
        self.each("few_out", 32 * N, (flat(x), flat(W), self._biases(b, M), int32(N), int32(K), int32(M), z, y))
        return z, y

    def few_back(
        self, y: Array, t: Array, x: Array, W: Array, shares: tuple[float, float], over: float, asked: bool
    ) -> tuple[Array, Array, Array]:
        """(K, M), (M,) and (N, K), None unless `asked` for: those of `output_back`, by weights, biases and inputs."""
        (N, K), M = x.shape, W.shape[1]
        dW, db, dx = self.empty((K, M)), self.empty((M,)), self.empty((N, K)) if asked else None
        sizes = int32(N), int32(K), int32(M), *map(np.float32, (*shares, over)), int32(asked)
        given = (flat(y), flat(t), flat(x), flat(W), *sizes, dW, db, dW if dx is None else dx)
        self.each("few_back", K * M + M + N * K * asked, given, 4 * N * M)
        return dW, db, dx

    def gather(self, x: Array, t: Array, places: Array) -> tuple[Array, Array]:
        """The rows of `x` and `t`, arrays in one stretch, at `places` (n,), int64."""
        n, wide, narrow = len(places), x.size // len(x), t.size // len(t)
        to_x, to_t = self.empty((n, *x.shape[1:])), self.empty((n, *t.shape[1:]))
        given = (x, t, places, int32(n), int32(wide), int32(narrow))
        self.each("gather", n * (wide + narrow), (*given, to_x, to_t))
        return to_x, to_t

    def update(self, text: str, jobs: Sequence[Sequence[Array]], numbers: Sequence[float]) -> bool:
        """Launch the kernel of a `rule_text` for parameters, each with its gradient and what is kept beside it.

        False, with nothing done, where what it would change is not of float32 in one stretch, or of another size.
        """
        args, threads = [], 0
        for p, g, *beside in jobs:
            size = g.size
            for each in (p, *beside):
                if not is_flat(each) or each.size != size:
                    return False
            args += [int32(size), p, flat(g), *beside]
            threads += size
        if threads >= LIMIT:
            return False
        args += map(np.float32, numbers)
        self.compiled(text)(Launch(KERNEL, blocks(threads), THREADS, 0, tuple(args)))
        return True

    def _biases(self, b: Array, M: int) -> Array:
        """`b`, one number for each of `M`; ValueError where it is of another size."""
        return flat(b if b.shape == (M,) else self.xp.broadcast_to(b, (M,)))

    def _direct(self, W: Array) -> Runner:
        """The kernels for filters of the size of `W`."""
        return self.compiled(direct_text(*W.shape[1:]))

    def _units(self, kernel: str, given: tuple[Any, ...], shape: Shape) -> tuple[Array, Array]:
        dz, db = self.empty(shape), self.empty(shape[1:])
        self.run(Launch(kernel, -(-shape[1] // 32), THREADS, 4 * THREADS, (*given, dz, db)))
        return dz, db

    def _at(self, w: Windows) -> Array:
        """`w` as windows.cu takes it."""
        found = self.placed.get(w)
        if found is None:
            (above, _), (left, _) = w.pad
            numbers = (*w.size, *w.window, *w.stride, above, left, *w.dilation, *w.out)
            found = self.placed[w] = self.xp.asarray(np.array(numbers, "int32"))
        return found


def few_outputs(x: Array, W: Array) -> bool:
    """Whether x W has so few images (N, K) and classes (K, M) that a launch costs more than the product."""
    (N, K), (rows, M) = x.shape, W.shape
    return bool(K == rows <= 1024 and M <= 32 and N <= 256)


def layers_text() -> str:
    """The text of the kernels for layers of any size."""
    return source(("windows", "sums", "few"), {})


def few_taps(C: int, windows: Windows) -> bool:
    """Whether filters of `windows` have few numbers each, for which there are kernels without columns."""
    return C * math.prod(windows.window) <= FEW


@functools.cache
def direct_text(C: int, KH: int, KW: int) -> str:
    """The text of the kernels for filters of this size."""
    return source(("windows", "direct"), {"C": C, "KH": KH, "KW": KW})


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
