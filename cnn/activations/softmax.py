"""The softmax family: activations of a whole row, whose derivative is the product with a Jacobian matrix.

All go along axis 1: the classes of (N, n), the channels of (N, C, H, W). Bridle (1990); Bishop (2006), section 4.3.4.
"""

# ruff: noqa: ARG002  # backward has one signature, and each function its own need of it

from __future__ import annotations

from dataclasses import dataclass

from cnn.activations.base import Activation
from cnn.xp import Array, get_array_module


@dataclass(frozen=True)
class Softmax(Activation):
    """exp(x) over its sum along axis 1."""

    def forward(self, x: Array) -> Array:
        """The largest entry is taken off first, which changes no result and overflows nowhere."""
        e = get_array_module(x).exp(x - x.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    def backward(self, dy: Array, x: Array, y: Array) -> Array:
        """The product with the whole Jacobian, diag(y) - y yᵀ, not with its diagonal alone."""
        return y * (dy - (dy * y).sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class Softmin(Activation):
    """The softmax of -x: the smallest entry has the largest share."""

    def forward(self, x: Array) -> Array:
        """The softmax of -x."""
        return Softmax().forward(-x)

    def backward(self, dy: Array, x: Array, y: Array) -> Array:
        """The product with the Jacobian, y yᵀ - diag(y)."""
        return -Softmax().backward(dy, x, y)


@dataclass(frozen=True)
class LogSoftmax(Activation):
    """The logarithm of the softmax, exact also where the softmax itself is rounded to 0."""

    def forward(self, x: Array) -> Array:
        """`x` less the logarithm of the sum of exp(x), the largest entry taken off both."""
        xp = get_array_module(x)
        shifted = x - x.max(axis=1, keepdims=True)
        return shifted - xp.log(xp.exp(shifted).sum(axis=1, keepdims=True))

    def backward(self, dy: Array, x: Array, y: Array) -> Array:
        """The product with the Jacobian, 1 - exp(y) in each row: dy less its sum shared out by exp(y)."""
        return dy - get_array_module(x).exp(y) * dy.sum(axis=1, keepdims=True)
