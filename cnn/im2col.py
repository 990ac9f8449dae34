"""Images to columns and back: what turns a convolution or a pooling into matrix work.

Chellapilla, Puri and Simard, "High performance convolutional neural networks for document
processing" (2006). Letters: images N C H W, window KH KW, result OH OW.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from cnn.checks import pair, whole
from cnn.xp import Array, Shape, get_array_module

# ((above, below), (left, right)), in pixels.
PadState: TypeAlias = tuple[tuple[int, int], tuple[int, int]]


def out_size(size: int, window: int, stride: int, pad: tuple[int, int]) -> int:
    """How many windows fit along one side: floor((size + pad - window) / stride) + 1."""
    return (size + sum(pad) - window) // stride + 1


def pad_state(size: tuple[int, int], window: tuple[int, int], stride: tuple[int, int], pad: Any) -> PadState:
    """The padding of both axes, as ((above, below), (left, right)).

    Args:
        size: (H, W) of the image.
        window: (KH, KW).
        stride: (down, across).
        pad: a number for all sides; a pair (vertical, horizontal); a pad state, returned as it is; or
            "same", for O = ceil(I / stride): an odd pixel goes below and right (SAME_UPPER in ONNX,
            "SAME" in TensorFlow).
    """
    if isinstance(pad, str):
        if pad != "same":
            raise ValueError(f"pad is {pad!r}; expected 'same', a number or a pair (vertical, horizontal)")
        down, across = (_same(*axis) for axis in zip(size, window, stride, strict=True))
        return down, across
    if isinstance(pad, (tuple, list)) and len(pad) == 2 and all(isinstance(side, (tuple, list)) for side in pad):
        return pair("pad", pad[0], least=0), pair("pad", pad[1], least=0)
    vertical, horizontal = pair("pad", pad, least=0)
    return (vertical, vertical), (horizontal, horizontal)


def out_shape(
    size: tuple[int, int], window: tuple[int, int], stride: tuple[int, int], pad: PadState
) -> tuple[int, int]:
    """(OH, OW); ValueError if the window is larger than the padded image."""
    OH, OW = (out_size(*axis) for axis in zip(size, window, stride, pad, strict=True))
    if min(OH, OW) < 1:
        padded = tuple(side + sum(more) for side, more in zip(size, pad, strict=True))
        raise ValueError(
            f"a window of {window} is larger than the padded image, {padded} (image {size}, pad {pad}): "
            "use a smaller window or more padding"
        )
    return OH, OW


def im2col(
    x: Array, F_shape: tuple[int, int], stride: Any = 1, pad: Any = 0, value: float = 0.0
) -> tuple[Array, tuple[int, int], PadState]:
    """The windows of `x` as columns, with (OH, OW) and the padding used.

    Args:
        x: images (N, C, H, W).
        F_shape: the window, (KH, KW).
        stride: a number or (down, across).
        pad: as in `pad_state`.
        value: what the padding holds.

    Returns:
        cols of shape (C·KH·KW, N·OH·OW), (OH, OW), and ((above, below), (left, right)).
    """
    N, C, H, W = x.shape
    window, step = pair("F_shape", F_shape), pair("stride", stride)
    sides = pad_state((H, W), window, step, pad)
    OH, OW = out_shape((H, W), window, step, sides)
    padded = _padded(x, sides, value)
    cols = get_array_module(x).empty((C, *window, N, OH, OW), dtype=x.dtype)
    for i, j, rows, columns in _offsets(window, step, (OH, OW)):
        cols[:, i, j] = padded[:, :, rows, columns].transpose(1, 0, 2, 3)
    return cols.reshape(-1, N * OH * OW), (OH, OW), sides


def col2im(cols: Array, I_shape: Shape, F_shape: tuple[int, int], stride: Any = 1, pad: Any = 0) -> Array:
    """Columns added back to where `im2col` took them from: images of `I_shape`, its transpose.

    The window is an argument because the result's size does not tell it: where
    (I + padding - window) is no multiple of the stride, several windows give the same size.

    Args:
        cols: (C·KH·KW, N·OH·OW).
        I_shape: (N, C, H, W).
        F_shape: (KH, KW).
        stride: as given to `im2col`.
        pad: as given to `im2col`, or the padding it returned.
    """
    N, C, H, W = (whole("I_shape", size) for size in I_shape)
    window, step = pair("F_shape", F_shape), pair("stride", stride)
    sides = pad_state((H, W), window, step, pad)
    OH, OW = out_shape((H, W), window, step, sides)
    if cols.shape != (C * window[0] * window[1], N * OH * OW):
        raise ValueError(
            f"cols has shape {cols.shape}; images {tuple(I_shape)}, window {window}, stride {step}, pad {sides} "
            f"give ({C * window[0] * window[1]}, {N * OH * OW})"
        )
    (above, below), (left, right) = sides
    parts = cols.reshape(C, *window, N, OH, OW)
    images = get_array_module(cols).zeros((N, C, above + H + below, left + W + right), dtype=cols.dtype)
    for i, j, rows, columns in _offsets(window, step, (OH, OW)):
        target = images[:, :, rows, columns]  # a view: CuPy's images[...] += would write it back once more
        target += parts[:, i, j].transpose(1, 0, 2, 3)
    return images[:, :, above : above + H, left : left + W]


def _same(size: int, window: int, stride: int) -> tuple[int, int]:
    total = max((-(-size // stride) - 1) * stride + window - size, 0)
    return total // 2, total - total // 2


def _padded(x: Array, sides: PadState, value: float) -> Array:
    (above, below), (left, right) = sides
    if not (above or below or left or right):
        return x
    N, C, H, W = x.shape
    padded = get_array_module(x).full((N, C, above + H + below, left + W + right), value, dtype=x.dtype)
    padded[:, :, above : above + H, left : left + W] = x
    return padded


def _offsets(
    window: tuple[int, int], stride: tuple[int, int], out: tuple[int, int]
) -> Iterator[tuple[int, int, slice, slice]]:
    """Each place in the window with the slices of the image that all windows see through it."""
    for i in range(window[0]):
        rows = slice(i, i + stride[0] * (out[0] - 1) + 1, stride[0])
        for j in range(window[1]):
            yield i, j, rows, slice(j, j + stride[1] * (out[1] - 1) + 1, stride[1])
