"""What the layers that slide a window over images share."""

from __future__ import annotations

from typing import Any

from cnn.checks import naming, pair, shown, whole_shape
from cnn.im2col import PadState, col2im, out_shape, pad_state
from cnn.xp import Array, Shape


def image_shape(what: str, I_shape: Any) -> tuple[int, int, int]:
    """(C, H, W) from (C, H, W) or, for one channel, (H, W)."""
    if isinstance(I_shape, (tuple, list)) and len(I_shape) == 2:
        I_shape = (1, *I_shape)
    C, H, W = whole_shape(what, I_shape, "C, H, W")
    return C, H, W


def windows(
    who: str, size: tuple[int, int], window: tuple[int, int], stride: Any, pad: Any
) -> tuple[tuple[int, int], PadState, tuple[int, int]]:
    """(stride, padding, (OH, OW)) of windows on an image; ValueError or TypeError, naming `who`, if none fit."""
    with naming(who):
        step = pair("stride", stride)
        sides = pad_state(size, window, step, pad)
        return step, sides, out_shape(size, window, step, sides)


def layer_col2im(
    layer: Any,
    window: tuple[int, int],
    cols: Array,
    I_shape: Shape,
    O_shape: Shape | None,
    stride: Any,
    pad: Any,
) -> Array:
    """`col2im` with a layer's `stride` and `pad_state` as defaults; ValueError if `O_shape` does not fit."""
    stride = layer.stride if stride is None else stride
    pad = layer.pad_state if pad is None else pad
    if O_shape is not None:
        step, size = pair("stride", stride), (I_shape[2], I_shape[3])
        follows = out_shape(size, window, step, pad_state(size, window, step, pad))
        if tuple(O_shape[-2:]) != follows:
            raise ValueError(
                f"{layer.name}.col2im: O_shape ends in {tuple(O_shape[-2:])}, but images {shown(I_shape[1:])}, window "
                f"{window}, stride {stride} and pad {pad} give {follows}"
            )
    return col2im(cols, I_shape, window, stride, pad)
