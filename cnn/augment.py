"""`Augment`: images moved and mirrored at random, another way each time they are seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cnn.checks import number, pair
from cnn.xp import Array, get_array_module, is_array


@dataclass(frozen=True)
class Augment:
    """Moves and mirrors the images of a batch, each by itself, on their device.

    Args:
        shift: up to so many pixels up or down, left or right, all equally likely; a number or
            (vertical, horizontal).
        flip: whether every other image, at random, is mirrored left to right.
        fill: what comes in at the edge.
    """

    shift: Any = 0
    flip: bool = False
    fill: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "shift", pair("shift", self.shift, least=0))
        object.__setattr__(self, "fill", number("fill", self.fill, least=-float("inf")))
        if not isinstance(self.flip, bool):
            raise TypeError(f"flip is {self.flip!r}; expected True or False")

    def __call__(self, x: Array, rng: Any) -> Array:
        """`x` (N, C, H, W) anew, each image in another place; `rng` is a generator of its device."""
        if not is_array(x) or x.ndim != 4:
            came = tuple(x.shape) if is_array(x) else f"a {type(x).__name__}"
            raise ValueError(f"images to augment have shape (N, C, H, W); got {came}")
        xp, (N, C, H, W), (vertical, horizontal) = get_array_module(x), x.shape, self.shift
        drawn = rng.random((3, N, 1), dtype="float32")
        rows = xp.arange(H) + (drawn[0] * (2 * vertical + 1)).astype("int64")
        columns = xp.arange(W)
        if self.flip:
            columns = xp.where(drawn[2] < 0.5, columns[::-1], columns)
        columns = columns + (drawn[1] * (2 * horizontal + 1)).astype("int64")
        wide = xp.full((N, C, H + 2 * vertical, W + 2 * horizontal), self.fill, dtype=x.dtype)
        wide[:, :, vertical : vertical + H, horizontal : horizontal + W] = x
        planes = xp.arange(N * C).reshape(N, C, 1, 1) * wide.shape[2]
        return wide.reshape(-1).take((planes + rows[:, None, :, None]) * wide.shape[3] + columns[:, None, None, :])
