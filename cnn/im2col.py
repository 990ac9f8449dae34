"""Images to columns and back: what turns a convolution or a pooling into matrix work.

Chellapilla, Puri and Simard, "High performance convolutional neural networks for document
processing" (2006). Letters: images N C H W, window KH KW, result OH OW.
"""

from __future__ import annotations

import math
from typing import Any

from cnn.checks import whole_shape
from cnn.kernels.layerwise import overrides
from cnn.windows import PadState, Pair, Windows, fit
from cnn.xp import Array, Shape, get_array_module, is_array


def im2col(
    x: Array, F_shape: Pair, stride: Any = 1, pad: Any = 0, value: float = 0.0, dilation: Any = 1
) -> tuple[Array, Pair, PadState]:
    """The windows of `x` as columns, with (OH, OW) and the padding used.

    Args:
        x: images (N, C, H, W).
        F_shape: the window, (KH, KW).
        stride: a number or (down, across).
        pad: as in `windows.pad_state`.
        value: what the padding holds.
        dilation: from one pixel of a window to the next, a number or (down, across).

    Returns:
        cols of shape (C·KH·KW, N·OH·OW), (OH, OW), and ((above, below), (left, right)).
    """
    _check_axes("x", x, 4, "images (N, C, H, W)")
    windows = fit(x.shape[2:], F_shape, stride, pad, dilation)
    return columns(x, windows, value), windows.out, windows.pad


def col2im(cols: Array, I_shape: Shape, F_shape: Pair, stride: Any = 1, pad: Any = 0, dilation: Any = 1) -> Array:
    """Columns added back to where `im2col` took them from: images of `I_shape`, its transpose.

    The window is an argument because the result's size does not tell it: where
    (I + padding - window) is no multiple of the stride, several windows give the same size.

    Args:
        cols: (C·KH·KW, N·OH·OW).
        I_shape: (N, C, H, W).
        F_shape: (KH, KW).
        stride: as given to `im2col`.
        pad: as given to `im2col`, or the padding it returned.
        dilation: as given to `im2col`.
    """
    _check_axes("cols", cols, 2, "columns (C·KH·KW, N·OH·OW)")
    N, C, H, W = whole_shape("I_shape", I_shape, "N, C, H, W")
    windows = fit((H, W), F_shape, stride, pad, dilation)
    (KH, KW), (OH, OW) = windows.window, windows.out
    if cols.shape != (C * KH * KW, N * OH * OW):
        raise ValueError(
            f"cols has shape {cols.shape}; images {tuple(I_shape)}, window {windows.window}, stride {windows.stride}, "
            f"pad {windows.pad} give ({C * KH * KW}, {N * OH * OW})"
        )
    return images(cols, windows, N)


def columns(x: Array, windows: Windows, value: float = 0.0) -> Array:
    """`im2col` with windows that were fitted before: (C·KH·KW, N·OH·OW) from (N, C, H, W)."""
    N, C, *_ = x.shape
    shape = C * math.prod(windows.window), N * math.prod(windows.out)
    kernels = overrides(x, math.prod(shape))
    if kernels is not None:
        return kernels.columns(x, windows, value)
    return windows.through(windows.padded(x.transpose(1, 0, 2, 3), value)).reshape(shape)  # the one copy


def images(cols: Array, windows: Windows, N: int) -> Array:
    """`col2im` with windows that were fitted before: (N, C, H, W)."""
    C = len(cols) // math.prod(windows.window)
    kernels = overrides(cols, N * C * math.prod(windows.size))
    if kernels is not None:
        return kernels.images(cols, windows, N)
    parts = cols.reshape(C, *windows.window, N, *windows.out)
    padded = get_array_module(cols).zeros((C, N, *windows.padded_size), dtype=cols.dtype)
    for i, j, seen in windows.seen(padded):
        seen += parts[:, i, j]  # of a view: CuPy's padded[...] += would write it back once more
    return windows.inside(padded).transpose(1, 0, 2, 3)


def _check_axes(name: str, x: Any, axes: int, what: str) -> None:
    if not is_array(x) or x.ndim != axes:
        came = f"an array {tuple(x.shape)}" if is_array(x) else f"a {type(x).__name__}"
        raise ValueError(f"{name} is {came}; expected an array of {what}")
