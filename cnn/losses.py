"""Losses: each class holds the mean over the batch and, beside it, its gradient.

A loss is summed over the outputs of one image and averaged over the images, so that neither it nor a
gradient changes with the size of the batch. To add one, write its class and put it into `LOSSES`; its
dataclass fields become what `err_dic` may hold.
Sources: Bishop, "Pattern Recognition and Machine Learning" (2006), sections 4.3 and 5.2; for `smoothing` Szegedy,
Vanhoucke, Ioffe, Shlens and Wojna (2016), "Rethinking the Inception architecture", section 7.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnn.activations import LogSoftmax
from cnn.checks import build, number
from cnn.special import softplus
from cnn.xp import Array, get_array_module


@dataclass
class Loss:
    """What every loss offers, for outputs `y` and targets `t` of shape (N, n)."""

    def value(self, y: Array, t: Array) -> Array:
        """The mean over the batch, a scalar on the device of `y`."""
        raise NotImplementedError(f"{type(self).__name__} has no value(y, t)")

    def gradient(self, y: Array, t: Array) -> Array:
        """Its derivative by `y`, (N, n); the 1/N of the mean is in it."""
        raise NotImplementedError(f"{type(self).__name__} has no gradient(y, t)")

    def of_sums(self, z: Array, t: Array) -> Array:
        """The value for the outputs of the activation that goes with this loss, from the sums `z` before it.

        Exact where the outputs are rounded to 0 or 1.
        """
        raise NotImplementedError(f"{type(self).__name__} has no of_sums(z, t)")

    def targets(self, t: Array) -> Array:
        """What the outputs are compared with: `t`, smoothed where the loss does that."""
        keep, even = self.shares(t.shape[1])
        return t if keep == 1 else keep * t + even

    def shares(self, n: int) -> tuple[float, float]:  # noqa: ARG002
        """What targets of `n` classes are multiplied by for that, and what is added to each."""
        return 1.0, 0.0

    def check_targets(self, t: Array) -> None:
        """Raise ValueError if `t` cannot be this loss's targets; waits for the device."""
        raise NotImplementedError(f"{type(self).__name__} has no check_targets(t)")


@dataclass
class _Smoothed(Loss):
    smoothing: float = 0.0

    def __post_init__(self) -> None:
        smoothing = number(f"{type(self).__name__}: smoothing", self.smoothing, below=1)
        self.smoothing = smoothing

    def shares(self, n: int) -> tuple[float, float]:
        """1 - smoothing, and the rest of 1 spread over as many as there are to choose from."""
        return 1 - self.smoothing, self.smoothing / self.choices(n)

    def choices(self, n: int) -> int:
        """How many answers a question has: `n`, the classes."""
        return n


@dataclass
class Cross(_Smoothed):
    """Cross entropy of one-hot targets (or any distribution) and softmax outputs: -Σ t log y.

    Keyword smoothing: the share of a target that is spread evenly over all classes, 0 <= smoothing < 1.
    """

    def value(self, y: Array, t: Array) -> Array:
        """The mean over the batch, in nats."""
        return -(self.targets(t) * _log(y, _tiny(y))).sum() / len(y)

    def of_sums(self, z: Array, t: Array) -> Array:
        """With the logarithm of the softmax."""
        return -(self.targets(t) * LogSoftmax().forward(z)).sum() / len(z)

    def gradient(self, y: Array, t: Array) -> Array:
        """-t / y over N."""
        return -self.targets(t) / get_array_module(y).maximum(y, _tiny(y)) / len(y)

    def check_targets(self, t: Array) -> None:
        """Each row has to be a distribution: nothing below 0, a sum of 1."""
        _check_table(t)
        off = ~((abs(t.sum(axis=1) - 1) <= 1e-3) & (t >= 0).all(axis=1))  # so that NaN is off, too
        if bool(off.any()):
            row = int(off.argmax())
            raise ValueError(
                f"labels are not one-hot: row {row} is {t[row]}, with a sum of {float(t[row].sum()):g}; expected one 1 "
                "and zeros else in each row, such as numpy.eye(n_class)[labels]; for other targets use "
                "err_func='Binary' or 'Square'"
            )


@dataclass
class Binary(_Smoothed):
    """Binary cross entropy of sigmoid outputs, each output a question of its own.

    From the outputs alone, a sure "yes" is 1 exactly, in float32 from a sum of about 17 on, and says no more of
    how sure it was: wrong, it costs 17.3 (37.4 in float64). A sure and wrong "no" costs up to 87 (708).

    Keyword smoothing: the share of a target that is spread evenly over yes and no, 0 <= smoothing < 1.
    """

    def value(self, y: Array, t: Array) -> Array:
        """-Σ (t log y + (1 - t) log(1 - y)), the mean over the batch, in nats."""
        step = float(np.finfo(y.dtype).epsneg)  # from 1 to the number below it: half of it is rounded off
        t = self.targets(t)
        return -(t * _log(y, _tiny(y)) + (1 - t) * _log(1 - y, step / 2)).sum() / len(y)

    def of_sums(self, z: Array, t: Array) -> Array:
        """Σ (log(1 + exp(z)) - t z) for sigmoid outputs."""
        return (softplus(z) - self.targets(t) * z).sum() / len(z)

    def gradient(self, y: Array, t: Array) -> Array:
        """(y - t) / (y (1 - y)) over N."""
        return (y - self.targets(t)) / get_array_module(y).maximum(y * (1 - y), _tiny(y)) / len(y)

    def choices(self, n: int) -> int:  # noqa: ARG002
        """Two: yes and no."""
        return 2

    def check_targets(self, t: Array) -> None:
        """Everything has to lie between 0 and 1."""
        _check_table(t)
        if not bool(((t >= 0) & (t <= 1)).all()):
            raise ValueError(f"targets for err_func='Binary' lie in 0..1; got {float(t.min()):g} to {float(t.max()):g}")


@dataclass
class Square(Loss):
    """Half the squared distance of outputs and targets."""

    def value(self, y: Array, t: Array) -> Array:
        """Σ (y - t)² / 2, the mean over the batch."""
        return ((y - t) ** 2).sum() / (2 * len(y))

    def of_sums(self, z: Array, t: Array) -> Array:
        """The value at z, for the identity."""
        return self.value(z, t)

    def gradient(self, y: Array, t: Array) -> Array:
        """(y - t) over N."""
        return (y - t) / len(y)

    def check_targets(self, t: Array) -> None:
        """Any finite targets will do."""
        _check_table(t)
        if not bool(get_array_module(t).isfinite(t).all()):
            raise ValueError("targets for err_func='Square' are finite numbers; got NaN or an infinite one")


LOSSES: dict[str, type[Loss]] = {"Cross": Cross, "Binary": Binary, "Square": Square}


def get_loss(name: str, keywords: Mapping[str, Any] | None = None) -> Loss:
    """The loss called `name`, regardless of case and punctuation, made with `keywords` (an `err_dic`)."""
    return build("err_func", name, LOSSES, keywords)


def _check_table(t: Array) -> None:
    if t.ndim != 2:
        raise ValueError(
            f"targets have shape {t.shape}; expected (N, n), a row for each image: class numbers become one with "
            "numpy.eye(n_class)[labels]"
        )


def _tiny(y: Array) -> float:
    return float(np.finfo(y.dtype).tiny)


def _log(y: Array, least: float) -> Array:
    """The logarithm, with what was rounded off to 0 read as `least`."""
    xp = get_array_module(y)
    return xp.log(xp.maximum(y, least))
