"""Activations that are one smooth curve: sigmoid, tanh and their kin."""

# ruff: noqa: ARG002  # backward has one signature, and each function its own need of it

from __future__ import annotations

from dataclasses import dataclass

from cnn.activations.base import Activation
from cnn.special import sigmoid, softplus
from cnn.xp import Array, get_array_module


@dataclass(frozen=True)
class Sigmoid(Activation):
    """1 / (1 + exp(-x)), exact in both tails. Bishop (2006), equation 4.59."""

    def forward(self, x: Array) -> Array:
        """The logistic function."""
        return sigmoid(x)

    def backward(self, dy: Array, x: Array, y: Array) -> Array:
        """The derivative is y (1 - y)."""
        return dy * y * (1 - y)


@dataclass(frozen=True)
class LogSigmoid(Activation):
    """log(1 / (1 + exp(-x)))."""

    def forward(self, x: Array) -> Array:
        """-log(1 + exp(-x))."""
        return -softplus(-x)

    def backward(self, dy: Array, x: Array, y: Array) -> Array:
        """The derivative is 1 / (1 + exp(x))."""
        return dy * sigmoid(-x)


@dataclass(frozen=True)
class Tanh(Activation):
    """The hyperbolic tangent. LeCun, Bottou, Orr and Müller (1998), "Efficient BackProp", section 4.4."""

    def forward(self, x: Array) -> Array:
        """tanh(x)."""
        return get_array_module(x).tanh(x)

    def backward(self, dy: Array, x: Array, y: Array) -> Array:
        """The derivative is 1 - y²."""
        return dy * (1 - y * y)


@dataclass(frozen=True)
class TanhShrink(Activation):
    """`x` - tanh(x)."""

    def forward(self, x: Array) -> Array:
        """`x` - tanh(x)."""
        return x - get_array_module(x).tanh(x)

    def backward(self, dy: Array, x: Array, y: Array) -> Array:
        """The derivative is tanh²(x)."""
        return dy * get_array_module(x).tanh(x) ** 2


@dataclass(frozen=True)
class Softplus(Activation):
    """log(1 + exp(x)). Dugas, Bengio, Bélisle, Nadeau and Garcia (2001)."""

    def forward(self, x: Array) -> Array:
        """log(1 + exp(x))."""
        return softplus(x)

    def backward(self, dy: Array, x: Array, y: Array) -> Array:
        """The derivative is the sigmoid."""
        return dy * sigmoid(x)


@dataclass(frozen=True)
class Softsign(Activation):
    """`x` / (1 + |x|). Turian, Bergstra and Bengio (2009), "Quadratic features and deep architectures for chunking"."""

    def forward(self, x: Array) -> Array:
        """`x` / (1 + |x|)."""
        return x / (1 + abs(x))

    def backward(self, dy: Array, x: Array, y: Array) -> Array:
        """The derivative is 1 / (1 + |x|)²."""
        slope = 1 / (1 + abs(x))  # squared last: x² would overflow before its inverse is 0
        return dy * slope * slope


@dataclass(frozen=True)
class BentIdentity(Activation):
    """(√(x² + 1) - 1) / 2 + x: a slope of 1/2 far below 0, of 3/2 far above."""

    def forward(self, x: Array) -> Array:
        """(√(x² + 1) - 1) / 2 + x."""
        return (get_array_module(x).hypot(x, 1) - 1) / 2 + x

    def backward(self, dy: Array, x: Array, y: Array) -> Array:
        """The derivative is x / (2 √(x² + 1)) + 1."""
        return dy * (0.5 * (x / get_array_module(x).hypot(x, 1)) + 1)
