"""Activations of the form x times a gate between 0 and 1 (or -1 and 1)."""

# ruff: noqa: ARG002  # backward has one signature, and each function its own need of it

from __future__ import annotations

import math
from dataclasses import dataclass

from cnn.activations.base import Activation
from cnn.checks import choose
from cnn.special import normal_cdf, normal_pdf, sigmoid, softplus
from cnn.xp import Array, get_array_module


@dataclass(frozen=True)
class Swish(Activation):
    """`x` sigmoid(beta x); with beta = 1 also called SiLU. Ramachandran, Zoph and Le (2017)."""

    beta: float = 1.0

    def forward(self, x: Array) -> Array:
        """`x` sigmoid(beta x)."""
        return x * sigmoid(self.beta * x)

    def backward(self, dy: Array, x: Array, y: Array) -> Array:
        """The derivative is s + beta y (1 - s), with s = sigmoid(beta x)."""
        s = sigmoid(self.beta * x)
        return dy * (s + self.beta * y * (1 - s))


@dataclass(frozen=True)
class Mish(Activation):
    """`x` tanh(log(1 + exp(x))). Misra (2019)."""

    def forward(self, x: Array) -> Array:
        """`x` tanh(softplus(x))."""
        return x * get_array_module(x).tanh(softplus(x))

    def backward(self, dy: Array, x: Array, y: Array) -> Array:
        """The derivative is t + x (1 - t²) sigmoid(x), with t = tanh(softplus(x))."""
        t = get_array_module(x).tanh(softplus(x))
        return dy * (t + x * ((1 - t * t) * sigmoid(x)))


@dataclass(frozen=True)
class TanhExp(Activation):
    """`x` tanh(exp(x)). Liu and Di (2020), "TanhExp: a smooth activation function with high convergence speed"."""

    def forward(self, x: Array) -> Array:
        """`x` tanh(exp(x)); from x = 3 on tanh(exp(x)) is 1."""
        xp = get_array_module(x)
        return x * xp.tanh(xp.exp(xp.minimum(x, 4)))

    def backward(self, dy: Array, x: Array, y: Array) -> Array:
        """The derivative is t + x exp(x) (1 - t²), with t = tanh(exp(x))."""
        xp = get_array_module(x)
        e = xp.exp(xp.minimum(x, 4))
        t = xp.tanh(e)
        return dy * (t + x * (e * (1 - t * t)))


@dataclass(frozen=True)
class GELU(Activation):
    """`x` times the normal distribution below x. Hendrycks and Gimpel (2016), section 2.

    Keyword approximate: "none", or "tanh" for their x sigmoid(2 √(2/π) (x + 0.044715 x³)), which is
    x/2 (1 + tanh(...)) with half the argument.
    """

    approximate: str = "none"

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "approximate", choose("GELU: approximate", self.approximate, {"none": "none", "tanh": "tanh"})
        )

    def forward(self, x: Array) -> Array:
        """`x` times the gate."""
        return x * (sigmoid(self._bent(x)[0]) if self.approximate == "tanh" else normal_cdf(x))

    def backward(self, dy: Array, x: Array, y: Array) -> Array:
        """The derivative is the gate and x times that of the gate."""
        if self.approximate != "tanh":
            return dy * (normal_cdf(x) + x * normal_pdf(x))
        bent, slope = self._bent(x)
        s = sigmoid(bent)
        return dy * (s + x * (s * (1 - s) * slope))

    @staticmethod
    def _bent(x: Array) -> tuple[Array, Array]:
        """What the sigmoid is taken of, and its derivative; beyond ±20 the gate is 0 or 1."""
        u, c = get_array_module(x).clip(x, -20, 20), 2 * math.sqrt(2 / math.pi)
        square = 0.044715 * u * u
        return c * u * (1 + square), c * (1 + 3 * square)
