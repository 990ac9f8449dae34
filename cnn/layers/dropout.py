"""Dropout."""

from __future__ import annotations

from typing import Any

from cnn.checks import generator, number, sizes
from cnn.layers.base import Layer
from cnn.xp import Array, Seed, Shape


class Dropout(Layer):
    """While training, each number is 0 with probability `ratio`, else divided by 1 - ratio.

    Drawn anew for each number of each image in each call; outside of training the input passes
    through. Srivastava et al. (2014), in the inverted form, which needs no scaling later.

    Args:
        I_shape: the shape of one input; the output has the same.
        ratio: the probability to drop, 0 <= ratio < 1.
        name, mode, dtype, seed: as in Conv2d; masks are drawn on the device of the input.
    """

    role = "Dropout"
    seed_names = ("seed",)

    def __init__(
        self,
        I_shape: Shape,
        ratio: float = 0.25,
        *,
        name: str | None = None,
        mode: str = "cpu",
        dtype: Any = "float32",
        seed: Seed = None,
    ) -> None:
        who = name or self.role
        shape = sizes(f"{who}: I_shape", I_shape)
        super().__init__(shape, shape, name=name, mode=mode, dtype=dtype)
        self.ratio = number(f"{self.name}: ratio", ratio, below=1)
        self.seed = int(generator(f"{self.name}: seed", seed).integers(2**31))
        self.rng: Any = None  # made at the first training step, on the device of x
        self.mask: Array = None

    def forward(self, x: Array, train: bool = False) -> Array:
        """`x`, masked and scaled while training."""
        x = self.check_input(x)
        self.y_shape = x.shape
        self.mask = self._draw(x) if train and self.ratio else None
        return x if self.mask is None else x * self.mask

    def backward(self, dy: Array) -> Array:
        """`dy` under the mask of the last forward."""
        dy = self.check_gradient(dy)
        return dy if self.mask is None else dy * self.mask

    def to(self, mode: str) -> None:
        """As for every layer."""
        super().to(mode)
        self.rng = None  # a device has generators of its own

    def begin_epoch(self, step: int) -> None:
        """As for every layer."""
        super().begin_epoch(step)
        self.rng = None

    def _draw(self, x: Array) -> Array:
        if self.rng is None:
            self.rng = self.random_numbers(self.seed, x)
        kept = self.rng.random(x.shape, dtype=x.dtype) >= self.ratio
        return kept * x.dtype.type(1 / (1 - self.ratio))

    def work(self, phase: str, N: int) -> tuple[int, int]:
        """A draw, a comparison and a product forward, a product backward; an array and the mask, in and out."""
        drawn = N * self.n if self.ratio else 0
        return (3 if phase == "forward" else 1) * drawn, 3 * drawn

    def cost(self, phase: str, x_shape: Shape | None) -> tuple[int, int]:
        """As for every layer; an evaluation costs nothing, for its output is its input."""
        found = super().cost(phase, x_shape)
        return (0, 0) if phase == "evaluate" else found
