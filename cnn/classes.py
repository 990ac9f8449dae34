"""Class numbers: of a model's outputs, and of targets in the forms that people have them in."""

from __future__ import annotations

from cnn.layers import Layer
from cnn.xp import Array


def classes_of(y: Array) -> Array:
    """Class numbers (N,) from outputs or one-hot targets (N, n); with n = 1 yes or no."""
    return (y[:, 0] > 0.5).astype("int64") if y.shape[1:] == (1,) else y.argmax(axis=1)


def truth_of(y: Array, n: int) -> Array:
    """The class numbers (N,) that targets `y` mean for a model of `n` outputs; waits for the device.

    Args:
        y: class numbers (N,) or (N, 1), or one-hot (N, n).
        n: how many outputs; 1 is a question of yes or no, and `y` says yes above 0.5.

    Raises:
        ValueError: another shape, or class numbers that the model has no outputs for.
    """
    if y.shape[1:] not in ((), (1,)):
        if y.shape[1:] != (n,):
            raise ValueError(
                f"y has shape {y.shape}; expected class numbers (N,) or, for the model's {n} outputs, one-hot (N, {n})"
            )
        return classes_of(y)
    numbers = y.reshape(len(y), 1)
    if n == 1:
        return classes_of(numbers)
    unknown = ~((numbers >= 0) & (numbers < n) & (numbers == numbers // 1))
    if bool(unknown.any()):
        raise ValueError(
            f"y holds {numbers[int(unknown.argmax()), 0]} as a class number; expected whole numbers, 0 to {n - 1}, for "
            f"the model's {n} outputs"
        )
    return numbers[:, 0].astype("int64")


def misfit(output: Layer, t: Array) -> str:
    """What to do about targets that have another shape than `output` gives."""
    if t.ndim == 2:
        return (
            f"{output.name} gives {output.n} numbers an image, the targets have {t.shape[1]}: "
            f"make the layer with n={t.shape[1]}, or encode the labels for {output.n} classes"
        )
    return f"{output.name} gives {output.n} numbers an image; expected targets (N, {output.n}), got {t.shape}"
