"""Initialisers: how the first weights and biases are drawn.

To add one, write its class and put it into `INITIALIZERS`; its dataclass fields become what
`init_dic` may hold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnn.checks import build, choose, named, number
from cnn.xp import Array, Shape


def fans(W_shape: Shape) -> tuple[int, int]:
    """(numbers that a sum is of, sums that a number is in), of a dense W (n_in, n_out) or a filter bank (M, C, KH, KW).

    As in PyTorch, a bank's second one is M·KH·KW, also where groups make it fewer.
    """
    if len(W_shape) == 2:
        return W_shape[0], W_shape[1]
    M, C, *window = W_shape
    return C * math.prod(window), M * math.prod(window)


@dataclass
class Initializer:
    """What every initialiser offers; numbers are drawn on the host, in float64."""

    def weights(self, W_shape: Shape, rng: np.random.Generator) -> Array:
        """The first weights."""
        raise NotImplementedError(f"{type(self).__name__} has no weights(W_shape, rng)")

    def biases(self, n: int, rng: np.random.Generator) -> Array:  # noqa: ARG002
        """The first biases: zeros."""
        return np.zeros(n)


@dataclass
class Normal(Initializer):
    """width times a standard normal, the biases too: the article's, its width is `wb_width`."""

    width: float = 0.05

    def __post_init__(self) -> None:
        self.width = number("width", self.width)

    def weights(self, W_shape: Shape, rng: np.random.Generator) -> Array:
        """So many times a standard normal."""
        return self.width * rng.standard_normal(W_shape)

    def biases(self, n: int, rng: np.random.Generator) -> Array:
        """So many times a standard normal."""
        return self.width * rng.standard_normal(n)


@dataclass
class _Scaled(Initializer):
    """Draws with a given standard deviation, normal or evenly between ±√3 of it; a sibling says which deviation."""

    def deviation(self, W_shape: Shape) -> float:
        raise NotImplementedError(f"{type(self).__name__} has no deviation(W_shape)")

    def weights(self, W_shape: Shape, rng: np.random.Generator) -> Array:
        """Drawn from the distribution in the class's name."""
        deviation = self.deviation(W_shape)
        if type(self).__name__.endswith("Normal"):
            return deviation * rng.standard_normal(W_shape)
        return rng.uniform(-math.sqrt(3) * deviation, math.sqrt(3) * deviation, W_shape)


@dataclass
class HeNormal(_Scaled):
    """Normal with variance 2 / ((1 + alpha²) fan): a ReLU after it keeps the variance from layer to layer.

    He, Zhang, Ren and Sun (2015), "Delving deep into rectifiers", equations 10, 14 and 15.
    Keywords: fan, "in" for the way forward, "out" for the gradient's way back; alpha, the slope of a leaky ReLU.
    """

    fan: str = "in"
    alpha: float = 0.0

    def __post_init__(self) -> None:
        self.fan = choose("fan", self.fan, {"in": "in", "out": "out"})
        self.alpha = number("alpha", self.alpha, least=-math.inf)

    def deviation(self, W_shape: Shape) -> float:
        """√(2 / ((1 + alpha²) fan))."""
        return math.sqrt(2 / ((1 + self.alpha**2) * fans(W_shape)[self.fan == "out"]))


@dataclass
class HeUniform(HeNormal):
    """As HeNormal with the same variance, drawn evenly from an interval."""


@dataclass
class GlorotNormal(_Scaled):
    """Normal with variance gain² · 2 / (fan in + fan out), a mean of both ways, for tanh and its kin.

    Glorot and Bengio (2010), "Understanding the difficulty of training deep feedforward neural networks", equations
    12 and 16. Keyword gain: 1, or what the activation makes up for.
    """

    gain: float = 1.0

    def __post_init__(self) -> None:
        self.gain = number("gain", self.gain)

    def deviation(self, W_shape: Shape) -> float:
        """The gain times √(2 / (fan in + fan out))."""
        return self.gain * math.sqrt(2 / sum(fans(W_shape)))


@dataclass
class GlorotUniform(GlorotNormal):
    """As GlorotNormal with the same variance, drawn evenly from an interval, as in the paper."""


INITIALIZERS: dict[str, type[Initializer]] = {
    "normal": Normal,
    "He": HeNormal,
    "He normal": HeNormal,
    "He uniform": HeUniform,
    "Glorot": GlorotUniform,
    "Glorot normal": GlorotNormal,
    "Glorot uniform": GlorotUniform,
}


def get_initializer(name: str, keywords: Mapping[str, Any] | None = None, wb_width: float = 0.05) -> Initializer:
    """The initialiser called `name`, in any case and punctuation, made with `keywords` (an `init_dic`).

    `wb_width` is the width of "normal", unless the keywords have one.
    """
    cls = choose("init", name, INITIALIZERS)
    width = {"width": number("wb_width", wb_width)} if cls is Normal else {}
    return build("init", name, INITIALIZERS, width | named(f"init {cls.__name__}", keywords))
