"""ACON, smooth maxima whose parameters are learned: ACON-C, and A and B, which are C with some of them fixed.

Ma, Zhang, Liu and Sun (2021), "Activate or not: learning customized activation", table 1.
"""

# ruff: noqa: ARG002  # backward has one signature, and each function its own need of it

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cnn.activations.base import Learned, along, collected
from cnn.special import sigmoid
from cnn.xp import Array


@dataclass(frozen=True)
class AconA(Learned):
    """`x` sigmoid(beta x), a smooth max(x, 0): Swish with a beta that is learned."""

    beta: float = 1.0

    def forward(self, x: Array, *parameters: Array) -> Array:
        """`x` sigmoid(beta x)."""
        (beta,) = parameters
        return _value(x, 1, 0, along(beta, x))

    def backward(self, dy: Array, x: Array, y: Array, *parameters: Array) -> tuple[Array, ...]:
        """The gradients at x and beta."""
        (beta,) = parameters
        dx, _, _, dbeta = _gradients(dy, x, 1, 0, along(beta, x))
        return dx, collected(dbeta, beta)


@dataclass(frozen=True)
class AconB(Learned):
    """(1 - p) x sigmoid(beta (1 - p) x) + p x, a smooth max(x, p x); p and beta are learned, p starts as in PReLU."""

    p: float = 0.25
    beta: float = 1.0

    def forward(self, x: Array, *parameters: Array) -> Array:
        """The formula above."""
        p, beta = parameters
        return _value(x, 1, along(p, x), along(beta, x))

    def backward(self, dy: Array, x: Array, y: Array, *parameters: Array) -> tuple[Array, ...]:
        """The gradients at x, p and beta."""
        p, beta = parameters
        dx, _, dp, dbeta = _gradients(dy, x, 1, along(p, x), along(beta, x))
        return dx, collected(dp, p), collected(dbeta, beta)


@dataclass(frozen=True)
class AconC(Learned):
    """(p1 - p2) x sigmoid(beta (p1 - p2) x) + p2 x, a smooth max(p1 x, p2 x); all are learned, from Swish on."""

    p1: float = 1.0
    p2: float = 0.0
    beta: float = 1.0

    def forward(self, x: Array, *parameters: Array) -> Array:
        """The formula above."""
        p1, p2, beta = parameters
        return _value(x, along(p1, x), along(p2, x), along(beta, x))

    def backward(self, dy: Array, x: Array, y: Array, *parameters: Array) -> tuple[Array, ...]:
        """The gradients at x, p1, p2 and beta."""
        p1, p2, beta = parameters
        dx, *others = _gradients(dy, x, along(p1, x), along(p2, x), along(beta, x))
        return dx, *(collected(each, p) for each, p in zip(others, parameters, strict=True))


def _value(x: Array, p1: Any, p2: Any, beta: Array) -> Array:
    """`u` sigmoid(beta u) + p2 x with u = (p1 - p2) x."""
    u = (p1 - p2) * x
    return u * sigmoid(beta * u) + p2 * x


def _gradients(dy: Array, x: Array, p1: Any, p2: Any, beta: Array) -> tuple[Array, Array, Array, Array]:
    """The gradients at x, p1, p2 and beta, one for each number of x."""
    u = (p1 - p2) * x
    s = sigmoid(beta * u)
    turned = u * (s * (1 - s))  # before it meets another u: 0 where u² would overflow
    share = s + beta * turned  # of u in the derivative; the rest is p2's
    return dy * (p2 + (p1 - p2) * share), dy * x * share, dy * x * (1 - share), dy * u * turned
