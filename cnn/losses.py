"""Losses: each class holds the mean over the batch and, beside it, its gradient.

A loss is summed over the outputs of one image and averaged over the images, so that it does not
change with the size of the batch. To add one, write its class and put it into `LOSSES`.
Sources: Bishop, "Pattern Recognition and Machine Learning" (2006), sections 4.3 and 5.2.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from cnn.checks import build
from cnn.xp import Array, get_array_module


class Loss(Protocol):
    """What every loss offers, for outputs `y` and targets `t` of shape (N, n)."""

    def value(self, y: Array, t: Array) -> Array:
        """The mean over the batch, a scalar on the device of `y`."""
        ...

    def gradient(self, y: Array, t: Array) -> Array:
        """Its derivative by `y`, (N, n); the 1/N of the mean is in it."""
        ...

    def check_targets(self, t: Array) -> None:
        """Raise ValueError if `t` cannot be this loss's targets; waits for the device."""
        ...


class Cross:
    """Cross entropy of one-hot targets (or any distribution) and softmax outputs: -Σ t log y."""

    def value(self, y: Array, t: Array) -> Array:
        """The mean over the batch, in nats."""
        return -(t * _log(y, _tiny(y))).sum() / len(y)

    def gradient(self, y: Array, t: Array) -> Array:
        """-t / y over N."""
        return -t / get_array_module(y).maximum(y, _tiny(y)) / len(y)

    def check_targets(self, t: Array) -> None:
        """Each row has to be a distribution: nothing below 0, a sum of 1."""
        off = abs(t.sum(axis=1) - 1) > 1e-3
        if bool(off.any()) or bool((t < 0).any()):
            row = int((off | (t < 0).any(axis=1)).argmax())
            raise ValueError(
                f"labels are not one-hot: row {row} is {t[row]}, with a sum of {float(t[row].sum()):g}; expected one 1 "
                "and zeros else in each row, such as numpy.eye(n_class)[labels]; for other targets use "
                "err_func='Binary' or 'Square'"
            )


class Binary:
    """Binary cross entropy of sigmoid outputs, each output a question of its own.

    A sure "yes" is stored as 1 exactly, in float32 from a sum of about 17 on, and says no more of how
    sure it was: wrong, it costs 17.3 (37.4 in float64). A sure and wrong "no" costs up to 87 (708).
    """

    def value(self, y: Array, t: Array) -> Array:
        """-Σ (t log y + (1 - t) log(1 - y)), the mean over the batch, in nats."""
        step = float(np.finfo(y.dtype).epsneg)  # from 1 to the number below it: half of it is rounded off
        return -(t * _log(y, _tiny(y)) + (1 - t) * _log(1 - y, step / 2)).sum() / len(y)

    def gradient(self, y: Array, t: Array) -> Array:
        """(y - t) / (y (1 - y)) over N."""
        return (y - t) / get_array_module(y).maximum(y * (1 - y), _tiny(y)) / len(y)

    def check_targets(self, t: Array) -> None:
        """Everything has to lie between 0 and 1."""
        if bool((t < 0).any()) or bool((t > 1).any()):
            raise ValueError(f"targets for err_func='Binary' lie in 0..1; got {float(t.min()):g} to {float(t.max()):g}")


class Square:
    """Half the squared distance of outputs and targets."""

    def value(self, y: Array, t: Array) -> Array:
        """Σ (y - t)² / 2, the mean over the batch."""
        return ((y - t) ** 2).sum() / (2 * len(y))

    def gradient(self, y: Array, t: Array) -> Array:
        """(y - t) over N."""
        return (y - t) / len(y)

    def check_targets(self, t: Array) -> None:
        """Any finite targets will do."""


LOSSES: dict[str, type[Loss]] = {"Cross": Cross, "Binary": Binary, "Square": Square}


def get_loss(name: str) -> Loss:
    """The loss called `name`, regardless of case and punctuation."""
    return build("err_func", name, LOSSES, None)


def _tiny(y: Array) -> float:
    return float(np.finfo(y.dtype).tiny)


def _log(y: Array, least: float) -> Array:
    """The logarithm, with what was rounded off to 0 read as `least`."""
    xp = get_array_module(y)
    return xp.log(xp.maximum(y, least))
