"""Flatten: images to rows of numbers."""

from __future__ import annotations

import math
from typing import Any

from cnn.checks import sizes
from cnn.layers.base import Layer
from cnn.xp import Array


class Flatten(Layer):
    """(N, C·H·W) from (N, C, H, W), in this order; dense layers do it by themselves.

    Args:
        I_shape: the shape of one input, of any number of axes.
        name: a name of its own instead of a running one.
        mode, dtype: as in other layers.
    """

    role = "Flatten"

    def __init__(self, I_shape: Any, *, name: str | None = None, mode: str = "cpu", dtype: Any = "float32") -> None:
        shape = sizes(f"{name or self.role}: I_shape", I_shape)
        super().__init__(shape, (math.prod(shape),), name=name, mode=mode, dtype=dtype)

    def forward(self, x: Array, train: bool = False) -> Array:  # noqa: ARG002
        """(N, n) from (N, ...); a view, where the numbers lie in this order."""
        x = self.check_input(x)
        self.y_shape = (len(x), *self.O_shape)
        return x.reshape(self.y_shape)

    def backward(self, dy: Array) -> Array:
        """(N, ...) from (N, n)."""
        dy = self.check_gradient(dy)
        return dy.reshape(len(dy), *self.I_shape)

    def work(self, phase: str, N: int) -> tuple[int, int]:  # noqa: ARG002
        """Nothing is computed, and nothing need be moved."""
        return 0, 0
