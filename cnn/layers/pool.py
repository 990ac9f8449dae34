"""Max pooling, with three ways to send the gradient back."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np

from cnn.checks import choose, naming
from cnn.im2col import columns, images
from cnn.kernels.layerwise import overrides
from cnn.layers.images import Images, image_shape, pooled
from cnn.windows import Windows
from cnn.xp import Array, Shape, get_array_module

ROUTES = ("first", "ties", "article")


class MaxPool2d(Images):
    """The largest value of each window, channel by channel.

    Where windows do not divide the image, the pixels below and right of the last whole window are not
    looked at, and their gradient is 0; pad="same" looks at all. Padding holds -inf, so no number loses
    to it. A window that holds a NaN gives NaN. `route` decides who gets the gradient of a window:

    * "first", the default and right: the first of its largest values, as in other frameworks.
    * "ties": each of its largest values gets the whole of it. After a ReLU, windows of nothing but
      zeros are common, and there the gradient is counted several times.
    * "article": a famous slow line, kept as a patient for the profiler: `grad_x[:, max_index] = grad`
      on zeros of (windows, pool²). It means to write one value a window, but indexes a block of
      windows × windows: its time grows with the square of the batch. And it is wrong: every window
      writes to every position that is the largest in any window.

    Args:
        I_shape: (C, H, W) of an image, or (H, W).
        pool: the window's side, or (height, width).
        stride: a number or (down, across); the window by default.
        pad: a number, (vertical, horizontal), "same" or "valid"; less than the window.
        route: as above.
        name: a name of its own instead of a running one.
        mode, dtype: as in other layers; pooling has no parameters.

    Attributes:
        max_index: after a forward, for route "first" and "article" the position of the largest value
            in each window, (N·OH·OW·C,); for "ties" 1 at each largest value and 0 elsewhere,
            (N·OH·OW·C, pool²).
    """

    role = "Pool"

    def __init__(
        self,
        I_shape: Shape,
        pool: Any,
        stride: Any = None,
        pad: Any = 0,
        route: str = "first",
        *,
        name: str | None = None,
        mode: str = "cpu",
        dtype: Any = "float32",
    ) -> None:
        who = name or self.role
        C, H, W = image_shape(f"{who}: I_shape", I_shape)
        self.windows = pooled(who, (H, W), pool, stride, pad)
        self.pool, self.F_shape = pool, self.windows.window
        super().__init__((C, H, W), (C, *self.windows.out), name=name, mode=mode, dtype=dtype)
        with naming(self.name):
            self.route = choose("route", route, dict(zip(ROUTES, ROUTES, strict=True)))
        self.index: Array = None  # of the first largest value in each window, (C, N·OH·OW)
        self.spots: tuple[Array, Array] | None = None  # of the last batch's windows: `_corners` and `_offsets`
        self._max_index: Array = None

    @property
    def max_index(self) -> Array:
        """See above; in the order image, row, column, channel."""
        return self._max_index if self.index is None else self.index.T.reshape(-1)

    @max_index.setter
    def max_index(self, value: Array) -> None:
        self._max_index = value

    def to(self, mode: str) -> None:
        """As for every layer."""
        super().to(mode)
        self.spots = None

    def forward(self, x: Array, train: bool = False) -> Array:  # noqa: ARG002
        """(N, C, OH, OW) from (N, C, H, W); remembers where the largest values were."""
        x = self.check_input(x)
        C, OH, OW = self.O_shape
        self.y_shape = (len(x), C, OH, OW)
        kernels = overrides(x, len(x) * self.n) if self.route == "first" else None
        if kernels is not None:
            y, self.index = kernels.pool(x, self.windows)
            return y
        places = columns(x, self.windows, value=-math.inf).reshape(C, math.prod(self.F_shape), -1)
        y = places.max(axis=1)
        if self.route == "first":
            self.index = first_largest(places, y)
        elif self.route == "article":
            self.max_index = places.argmax(axis=1).T.reshape(-1)
        else:  # in the gradient's dtype: integers would widen it
            mask = (places == y[:, None]).astype(x.dtype)
            self.max_index = mask.transpose(2, 0, 1).reshape(-1, math.prod(self.F_shape))
        return y.reshape(C, -1, OH, OW).transpose(1, 0, 2, 3)

    def backward(self, dy: Array) -> Array:
        """(N, C, H, W) from (N, C, OH, OW), each window's gradient sent as `route` says."""
        dy = self.check_gradient(dy)
        if self.route == "first":
            kernels = overrides(dy, len(dy) * self.prev)
            if kernels is not None:
                return kernels.unpool(dy, self.index, self.windows)
            return self._overlapping(dy) if self.windows.overlap else self._scattered(dy)
        C = self.O_shape[0]
        grad = dy.transpose(0, 2, 3, 1).reshape(-1, 1)
        grad_x = self._routed(grad).reshape(-1, C * math.prod(self.F_shape)).T
        return self.col2im(grad_x, (len(dy), *self.I_shape))

    def _scattered(self, dy: Array) -> Array:
        """Each window writes its gradient to one pixel that no other window sees."""
        (N, C, *_), (PH, PW) = dy.shape, self.windows.padded_size
        xp = get_array_module(dy)
        if self.spots is None or self.spots[0].size != self.index.size:
            self.spots = _corners(self.windows, C * N, xp).ravel(), _offsets(self.windows, xp)
        corners, offsets = self.spots
        padded = xp.zeros(C * N * PH * PW, dtype=dy.dtype)
        padded[corners + offsets.take(self.index.reshape(-1))] = dy.transpose(1, 0, 2, 3).reshape(-1)
        return self.windows.inside(padded.reshape(C, N, PH, PW)).transpose(1, 0, 2, 3)

    def _overlapping(self, dy: Array) -> Array:
        """Pixels that several windows see get the sum of what these send them."""
        C, K = len(self.index), math.prod(self.F_shape)
        places = get_array_module(dy).arange(K)[:, None]
        grad = dy.transpose(1, 0, 2, 3).reshape(C, 1, -1)
        return images(((self.index[:, None] == places) * grad).reshape(C * K, -1), self.windows, len(dy))

    def _routed(self, grad: Array) -> Array:
        """(windows, pool²) from (windows, 1), for the routes "ties" and "article"."""
        if self.route == "ties":
            return self.max_index * grad
        grad_x = get_array_module(grad).zeros((grad.size, math.prod(self.F_shape)), dtype=grad.dtype)
        grad_x[:, self.max_index] = grad
        return grad_x

    def work(self, phase: str, N: int) -> tuple[int, int]:
        """Forward pool² - 1 comparisons an output, reads x, writes y; backward an addition an output.

        Backward reads dy and a position of the same size, and writes dx. This is what the task needs,
        whatever the route does.
        """
        if phase == "forward":
            return N * self.n * (math.prod(self.F_shape) - 1), N * (self.prev + self.n)
        return N * self.n, N * (2 * self.n + self.prev)

    def kept(self) -> int:
        """Input, columns twice, outputs and positions (of 8 bytes)."""
        return self.prev + 2 * self.n * math.prod(self.F_shape) + 3 * self.n


def first_largest(places: Array, y: Array) -> Array:
    """The first place of each window that holds its largest value: how many before it all hold less.

    argmax says the same, and on the GPU does it in one kernel, but NumPy is slow to search along a short axis.

    Args:
        places: (C, K, P), the K places of each window.
        y: (C, P), the largest values.

    Returns:
        (C, P) whole numbers; 0 for a window with a NaN.
    """
    if get_array_module(places) is not np:
        return places.argmax(axis=1) * (y == y)
    less = places[:, :-1] < y[:, None]
    for k in range(1, less.shape[1]):
        less[:, k] &= less[:, k - 1]
    return less.sum(axis=1, dtype=np.min_scalar_type(places.shape[1]))  # bytes, as a rule


def _corners(windows: Windows, planes: int, xp: ModuleType) -> Array:
    """Where each window begins in `planes` padded images laid out one after another, (planes, OH, OW)."""
    (OH, OW), (down, across), (PH, PW) = windows.out, windows.stride, windows.padded_size
    return (xp.arange(planes)[:, None, None] * PH + down * xp.arange(OH)[:, None]) * PW + across * xp.arange(OW)


def _offsets(windows: Windows, xp: ModuleType) -> Array:
    """How far each place of a window is from where the window begins, (K,)."""
    (KH, KW), (down, across) = windows.window, windows.dilation
    return (down * windows.padded_size[1] * xp.arange(KH)[:, None] + across * xp.arange(KW)).ravel()
