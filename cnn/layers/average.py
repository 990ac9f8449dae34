"""Average pooling."""

from __future__ import annotations

import math
from typing import Any

from cnn.im2col import columns
from cnn.layers.images import Images, image_shape, pooled
from cnn.xp import Array, Shape, array_module, get_array_module


class AvgPool2d(Images):
    """The mean of each window, channel by channel.

    Where windows do not divide the image, the pixels below and right of the last whole window are not
    looked at, and their gradient is 0; pad="same" looks at all.

    Args:
        I_shape: (C, H, W) of an image, or (H, W).
        pool: the window's side, or (height, width); the image's (H, W) make a global average.
        stride: a number or (down, across); the window by default.
        pad: a number, (vertical, horizontal), "same" or "valid"; less than the window.
        count_include_pad: whether the padding's zeros count as pixels. Not so by default, as in TensorFlow
            and ONNX: a window at the edge is the mean of the pixels it sees. True is PyTorch's default.
        name: a name of its own instead of a running one.
        mode, dtype: as in other layers; pooling has no parameters.
    """

    role = "AvgPool"

    def __init__(
        self,
        I_shape: Shape,
        pool: Any,
        stride: Any = None,
        pad: Any = 0,
        count_include_pad: bool = False,
        *,
        name: str | None = None,
        mode: str = "cpu",
        dtype: Any = "float32",
    ) -> None:
        who = name or self.role
        C, H, W = image_shape(f"{who}: I_shape", I_shape)
        self.windows = pooled(who, (H, W), pool, stride, pad)
        self.pool, self.F_shape = pool, self.windows.window
        if not isinstance(count_include_pad, bool):
            raise TypeError(f"{who}: count_include_pad is {count_include_pad!r}; expected True or False")
        self.count_include_pad = count_include_pad
        super().__init__((C, H, W), (C, *self.windows.out), name=name, mode=mode, dtype=dtype)
        self.counts: Array = None  # how many pixels each window counts, (OH, OW); from the first forward on

    def forward(self, x: Array, train: bool = False) -> Array:  # noqa: ARG002
        """(N, C, OH, OW) from (N, C, H, W)."""
        x = self.check_input(x)
        C, OH, OW = self.O_shape
        if self.counts is None:
            self.counts = self._counted()
        sums = columns(x, self.windows).reshape(C, math.prod(self.F_shape), -1).sum(axis=1)
        self.y_shape = (len(x), C, OH, OW)
        return (sums.reshape(C, -1, OH, OW) / self.counts).transpose(1, 0, 2, 3)

    def backward(self, dy: Array) -> Array:
        """(N, C, H, W) from (N, C, OH, OW): each pixel gets its share of the windows that see it."""
        dy = self.check_gradient(dy)
        share = (dy / self.counts).transpose(1, 0, 2, 3)
        padded = get_array_module(dy).zeros((*share.shape[:2], *self.windows.padded_size), dtype=dy.dtype)
        for _, _, seen in self.windows.seen(padded):
            seen += share
        return self.windows.inside(padded).transpose(1, 0, 2, 3)

    def _counted(self) -> Array:
        """How many pixels each window counts, (OH, OW)."""
        xp = array_module(self.mode)
        if self.count_include_pad:
            return xp.full(self.windows.out, math.prod(self.F_shape), dtype=self.dtype)
        ones = xp.ones((1, 1, *self.windows.size), dtype=self.dtype)
        return columns(ones, self.windows).sum(axis=0).reshape(self.windows.out)

    def work(self, phase: str, N: int) -> tuple[int, int]:
        """Forward pool² operations an output; backward a division an output and an addition a place.

        Forward reads x, writes y; backward reads dy, writes dx.
        """
        K = math.prod(self.F_shape)
        return N * self.n * (K if phase == "forward" else K + 1), N * (self.prev + self.n)

    def kept(self) -> int:
        """Input, columns, sums and outputs."""
        return self.prev + self.n * (math.prod(self.F_shape) + 2)
