"""What the layers that slide a window over images share."""

from __future__ import annotations

from typing import Any

from cnn.checks import naming, pair, shown, whole_shape
from cnn.im2col import col2im
from cnn.layers.base import Layer
from cnn.windows import PadState, Pair, Windows, fit
from cnn.xp import Array, Shape


class Images(Layer):
    """A layer of windows on images (C, H, W).

    Attributes:
        windows: where they lie.
        stride, dilation: (down, across); pad_state: ((above, below), (left, right)).
    """

    windows: Windows

    @property
    def stride(self) -> Pair:
        """From one window to the next."""
        return self.windows.stride

    @property
    def dilation(self) -> Pair:
        """From one pixel of a window to the next."""
        return self.windows.dilation

    @property
    def pad_state(self) -> PadState:
        """The padding: ((above, below), (left, right))."""
        return self.windows.pad

    def col2im(
        self, cols: Array, I_shape: Shape, O_shape: Shape | None = None, stride: Any = None, pad: Any = None
    ) -> Array:
        """Columns back to images of `I_shape` (N, C, H, W), with this layer's window, stride and padding unless given.

        `O_shape` may be given to be checked: the size follows from the rest; ValueError if it does not fit.
        """
        stride = self.stride if stride is None else stride
        pad = self.pad_state if pad is None else pad
        window, dilation = self.windows.window, self.dilation
        if O_shape is not None:
            _, _, H, W = whole_shape(f"{self.name}.col2im: I_shape", I_shape, "N, C, H, W")
            follows = fit((H, W), window, stride, pad, dilation).out
            ends = tuple(O_shape[-2:]) if isinstance(O_shape, (tuple, list)) else None
            if ends != follows:
                raise ValueError(
                    f"{self.name}.col2im: O_shape ends in {ends}, but images {shown(I_shape[1:])}, "
                    f"window {window}, stride {stride} and pad {pad} give {follows}"
                )
        return col2im(cols, I_shape, window, stride, pad, dilation)


def image_shape(what: str, I_shape: Any) -> tuple[int, int, int]:
    """(C, H, W) from (C, H, W) or, for one channel, (H, W)."""
    if isinstance(I_shape, (tuple, list)) and len(I_shape) == 2:
        I_shape = (1, *I_shape)
    C, H, W = whole_shape(what, I_shape, "C, H, W")
    return C, H, W


def fitted(who: str, size: Pair, window: Any, stride: Any, pad: Any, dilation: Any = 1) -> Windows:
    """`fit`, with a ValueError or TypeError that begins with `who`."""
    with naming(who):
        return fit(size, window, stride, pad, dilation)


def pooled(who: str, size: Pair, pool: Any, stride: Any, pad: Any) -> Windows:
    """The windows of a pooling, beside each other unless `stride` says otherwise; each sees a pixel of the image."""
    with naming(who):
        window = pair("pool", pool)
        windows = fit(size, window, window if stride is None else stride, pad)
        for side, more in zip(window, windows.pad, strict=True):
            if max(more) >= side:
                raise ValueError(f"pad {pad!r} leaves windows of nothing but padding; use less than pool={pool!r}")
        return windows
