"""Many images at once: through the layers in pieces of bounded memory, and what is said of the classes found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cnn.checks import shown
from cnn.classes import classes_of, truth_of
from cnn.inputs import check_lengths, pieces
from cnn.layers import Layer, Output
from cnn.xp import Array, get_array_module, to_cpu

# What one piece of an evaluation may take, in bytes: small enough for any device, large enough that
# the GPU has work; 128 MiB hold about 530 MNIST images in the article's net.
PIECE = 128 * 2**20
SHOWN = 16  # classes that are printed


def piece_size(layers: Sequence[Layer], itemsize: int) -> int:
    """How many images fit into `PIECE` bytes: each layer keeps its arrays, of `itemsize` bytes a number."""
    return max(1, PIECE // (itemsize * sum(layer.kept() for layer in layers)))


def check_images(x: Array, I_shape: tuple[int, ...]) -> None:
    """Raise ValueError unless `x` has a first axis that counts images, one or more."""
    if not (x.ndim and len(x)):
        raise ValueError(f"the model expects inputs of shape {shown(I_shape)}, N 1 or more; got {x.shape}")


def in_pieces(layers: Sequence[Layer], x: Array, size: int, through: Callable[[Array], Array]) -> Array:
    """The outputs (N, n) of `through` for `x`, `size` images at a time.

    The layers then keep nothing to go back from, but an `Output` at the end has all outputs, for its `get_error`.
    """
    parts, sums, last = [], [], layers[-1]
    for piece in pieces(len(x), size):
        parts.append(through(x[piece]))
        sums.append(getattr(last, "z", None))
    join = get_array_module(parts[0]).concatenate
    y = join(parts)
    for layer in layers:
        layer.y_shape = None
    if isinstance(last, Output):
        last.y, last.z = y, None if sums[0] is None else join(sums)
    return y


def told(proba: Array, y: Any = None) -> Array:
    """The class of each image, (N,), from outputs (N, n); prints some, and beside targets `y` the accuracy rate.

    Args:
        proba: what the model gave.
        y: as many targets on its device, as `classes.truth_of` takes them, or None.
    """
    classes = classes_of(proba)
    if y is not None:
        check_lengths("x", proba, "y", y)
        truth = truth_of(y, proba.shape[1])
        print(f"correct: {to_cpu(truth[:SHOWN])}")
    print(f"predict: {to_cpu(classes[:SHOWN])}")
    if y is not None:
        hits = int((truth == classes).sum())
        print(f"accuracy rate: {100 * hits / len(classes):.2f} % ({hits}/{len(classes)})")
    return classes
