"""Activation functions: each class holds the value and, beside it, the derivative.

To add one, write its class and put it into `ACTIVATIONS`; its dataclass fields become what
`act_dic` may hold. Sources: Goodfellow, Bengio and Courville, "Deep Learning" (2016), chapter 6.
"""

# ruff: noqa: ARG002  # backward has one signature, and each function its own need of it

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from cnn.checks import build
from cnn.xp import Array, get_array_module


class Activation(Protocol):
    """What every activation offers: pure functions, so that the layer alone keeps state."""

    def forward(self, x: Array) -> Array:
        """The value at `x`, in its shape and dtype."""
        ...

    def backward(self, dy: Array, x: Array, y: Array) -> Array:
        """The gradient at `x`, given the gradient `dy` at y = forward(x)."""
        ...


@dataclass(frozen=True)
class ReLU:
    """max(x, 0); the derivative at 0 is taken as 0."""

    def forward(self, x: Array) -> Array:
        """max(x, 0)."""
        return get_array_module(x).maximum(x, 0)

    def backward(self, dy: Array, x: Array, y: Array) -> Array:
        """`dy` where x > 0."""
        return dy * (x > 0)


@dataclass(frozen=True)
class Sigmoid:
    """1 / (1 + exp(-x)), exact in both tails."""

    def forward(self, x: Array) -> Array:
        """exp(-log(1 + exp(-x))): nothing overflows, and small values keep their digits."""
        xp = get_array_module(x)
        return xp.exp(-xp.logaddexp(0, -x))

    def backward(self, dy: Array, x: Array, y: Array) -> Array:
        """The derivative is y (1 - y)."""
        return dy * y * (1 - y)


@dataclass(frozen=True)
class Tanh:
    """The hyperbolic tangent."""

    def forward(self, x: Array) -> Array:
        """tanh(x)."""
        return get_array_module(x).tanh(x)

    def backward(self, dy: Array, x: Array, y: Array) -> Array:
        """The derivative is 1 - y²."""
        return dy * (1 - y * y)


@dataclass(frozen=True)
class Softmax:
    """exp(x) over its sum along axis 1: the classes of (N, n), the channels of (N, C, H, W)."""

    def forward(self, x: Array) -> Array:
        """The largest entry is taken off first, which changes no result and overflows nowhere."""
        e = get_array_module(x).exp(x - x.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    def backward(self, dy: Array, x: Array, y: Array) -> Array:
        """The product with the whole Jacobian, diag(y) - y yᵀ, not with its diagonal alone."""
        return y * (dy - (dy * y).sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class Identity:
    """x itself."""

    def forward(self, x: Array) -> Array:
        """`x`, not copied."""
        return x

    def backward(self, dy: Array, x: Array, y: Array) -> Array:
        """`dy`, not copied."""
        return dy


@dataclass(frozen=True)
class Step:
    """1 where x > 0, else 0; its derivative is 0 wherever there is one, so nothing before it learns."""

    def forward(self, x: Array) -> Array:
        """1 or 0, in the dtype of `x`."""
        return (x > 0).astype(x.dtype)

    def backward(self, dy: Array, x: Array, y: Array) -> Array:
        """Zeros."""
        return get_array_module(dy).zeros_like(dy)


ACTIVATIONS: dict[str, type[Activation]] = {
    "ReLU": ReLU,
    "sigmoid": Sigmoid,
    "tanh": Tanh,
    "softmax": Softmax,
    "identity": Identity,
    "step": Step,
}


def get_activation(name: str, keywords: Mapping[str, Any] | None = None) -> Activation:
    """The activation called `name`, in any case and punctuation, made with `keywords` (an `act_dic`)."""
    return build("activation", name, ACTIVATIONS, keywords)
