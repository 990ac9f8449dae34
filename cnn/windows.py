"""`Windows`: where the windows of a convolution or a pooling lie on images of one size.

Letters: images N C H W, window KH KW, result OH OW. A dilated window looks at every d-th pixel (Yu
and Koltun, 2016); its `reach` is the side of the patch it spans, d (K - 1) + 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

from cnn.checks import MOST, pair
from cnn.xp import Array, get_array_module

Pair: TypeAlias = tuple[int, int]  # (down, across), in pixels
PadState: TypeAlias = tuple[Pair, Pair]  # ((above, below), (left, right)), in pixels


@dataclass(frozen=True)
class Windows:
    """Windows on images of (H, W), checked once by `fit`.

    Attributes:
        size: (H, W) of an image.
        window: (KH, KW).
        stride: from one window to the next.
        pad: ((above, below), (left, right)).
        dilation: from one pixel of a window to the next.
    """

    size: Pair
    window: Pair
    stride: Pair
    pad: PadState
    dilation: Pair

    @cached_property
    def out(self) -> Pair:
        """(OH, OW): how many windows there are."""
        down, across = map(out_size, self.size, self.reach, self.stride, self.pad)
        return down, across

    @cached_property
    def reach(self) -> Pair:
        """The sides of the patch that one window spans."""
        down, across = (step * (side - 1) + 1 for side, step in zip(self.window, self.dilation, strict=True))
        return down, across

    @cached_property
    def padded_size(self) -> Pair:
        """(H, W) of an image with its padding."""
        down, across = (side + sum(more) for side, more in zip(self.size, self.pad, strict=True))
        return down, across

    @property
    def overlap(self) -> bool:
        """Whether two windows may see one pixel."""
        return any(reach > step for reach, step in zip(self.reach, self.stride, strict=True))

    def padded(self, x: Array, value: float = 0.0) -> Array:
        """Images (..., H, W) with `value` around them; `x` itself if there is no padding."""
        if self.padded_size == self.size:
            return x
        padded = get_array_module(x).full((*x.shape[:-2], *self.padded_size), value, dtype=x.dtype)
        self.inside(padded)[...] = x
        return padded

    def inside(self, padded: Array) -> Array:
        """Padded images without their padding, as a view."""
        (above, _), (left, _) = self.pad
        return padded[..., above : above + self.size[0], left : left + self.size[1]]

    def through(self, padded: Array) -> Array:
        """What all windows see of (C, N, H, W), as a view (C, KH, KW, N, OH, OW)."""
        (C, N, *_), (c, n, y, x) = padded.shape, padded.strides
        (down, across), (dy, dx) = self.stride, self.dilation
        strides = (c, dy * y, dx * x, n, down * y, across * x)
        stride_tricks = get_array_module(padded).lib.stride_tricks
        view: Array = stride_tricks.as_strided(padded, (C, *self.window, N, *self.out), strides)
        return view

    def seen(self, padded: Array) -> Iterator[tuple[int, int, Array]]:
        """Each place (i, j) in the window, with the pixels that all windows see through it: a view (..., OH, OW)."""
        (OH, OW), (down, across) = self.out, self.stride
        for i in range(self.window[0]):
            top = i * self.dilation[0]
            for j in range(self.window[1]):
                left = j * self.dilation[1]
                yield i, j, padded[..., top : top + down * OH : down, left : left + across * OW : across]


def fit(size: Pair, window: Any, stride: Any = 1, pad: Any = 0, dilation: Any = 1) -> Windows:
    """The windows on images of `size`; each of the rest is a number or (down, across), `pad` as in `pad_state`.

    Raises:
        TypeError: no whole numbers.
        ValueError: numbers below 1 (padding: below 0), or a window larger than the padded image.
    """
    window, step, spread = pair("window", window), pair("stride", stride), pair("dilation", dilation)
    windows = Windows(size, window, step, ((0, 0), (0, 0)), spread)
    windows = Windows(size, window, step, pad_state(size, windows.reach, step, pad), spread)
    if math.prod(windows.padded_size) > MOST:
        raise ValueError(
            f"the padded image would be {windows.padded_size} (pad {windows.pad}), more than {MOST:,} numbers: use "
            "less padding or dilation"
        )
    if min(windows.out) < 1:
        spans = f" with dilation {spread}, which spans {windows.reach}," if spread != (1, 1) else ""
        raise ValueError(
            f"a window of {window}{spans} is larger than the padded image, {windows.padded_size} (image {size}, pad "
            f"{windows.pad}): use a smaller window or more padding"
        )
    return windows


def out_size(size: int, reach: int, stride: int, pad: Pair) -> int:
    """How many windows fit along one side: floor((size + pad - reach) / stride) + 1."""
    return (size + sum(pad) - reach) // stride + 1


def pad_state(size: Pair, reach: Pair, stride: Pair, pad: Any) -> PadState:
    """The padding of both axes, as ((above, below), (left, right)).

    Args:
        size: (H, W) of the image.
        reach: of the window, (KH, KW) where there is no dilation.
        stride: (down, across).
        pad: a number for all sides; a pair (vertical, horizontal); a pad state, returned as it is;
            "valid" for none; or "same" for O = ceil(I / stride): an odd pixel goes below and right
            (SAME_UPPER in ONNX, "SAME" in TensorFlow).

    Raises:
        TypeError: no whole numbers.
        ValueError: a number below 0, or another word.
    """
    if isinstance(pad, str):
        if pad not in ("same", "valid"):
            raise ValueError(f"pad is {pad!r}; expected 'same', 'valid', a number or a pair (vertical, horizontal)")
        down, across = map(_same, size, reach, stride) if pad == "same" else ((0, 0), (0, 0))
        return down, across
    if isinstance(pad, (tuple, list)) and len(pad) == 2 and all(isinstance(side, (tuple, list)) for side in pad):
        return pair("pad", pad[0], least=0), pair("pad", pad[1], least=0)
    vertical, horizontal = pair("pad", pad, least=0)
    return (vertical, vertical), (horizontal, horizontal)


def _same(size: int, reach: int, stride: int) -> Pair:
    total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2
