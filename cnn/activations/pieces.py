"""Activations made of straight pieces."""

# ruff: noqa: ARG002  # backward has one signature, and each function its own need of it

from __future__ import annotations

from dataclasses import dataclass

from cnn.activations.base import Activation
from cnn.xp import Array, get_array_module


@dataclass(frozen=True)
class Identity(Activation):
    """x itself."""

    def forward(self, x: Array) -> Array:
        """`x`, not copied."""
        return x

    def backward(self, dy: Array, x: Array, y: Array) -> Array:
        """`dy`, not copied."""
        return dy


@dataclass(frozen=True)
class Step(Activation):
    """1 where x > 0, else 0; its derivative is 0 wherever there is one, so nothing before it learns.

    McCulloch and Pitts (1943), "A logical calculus of the ideas immanent in nervous activity".
    """

    def forward(self, x: Array) -> Array:
        """1 or 0, in the dtype of `x`."""
        return (x > 0).astype(x.dtype)

    def backward(self, dy: Array, x: Array, y: Array) -> Array:
        """Zeros."""
        return get_array_module(dy).zeros_like(dy)


@dataclass(frozen=True)
class ReLU(Activation):
    """max(x, 0); the derivative at 0 is 0. Nair and Hinton (2010)."""

    def forward(self, x: Array) -> Array:
        """max(x, 0)."""
        return get_array_module(x).maximum(x, 0)

    def backward(self, dy: Array, x: Array, y: Array) -> Array:
        """`dy` where x > 0, which is where y > 0."""
        return dy * (y > 0)


@dataclass(frozen=True)
class ReLU6(Activation):
    """min(max(x, 0), 6); the derivative at 0 and at 6 is 0. Krizhevsky (2010), "Convolutional deep belief networks"."""

    def forward(self, x: Array) -> Array:
        """`x`, held to 0..6."""
        return get_array_module(x).clip(x, 0, 6)

    def backward(self, dy: Array, x: Array, y: Array) -> Array:
        """`dy` where 0 < x < 6."""
        return dy * ((x > 0) & (x < 6))


@dataclass(frozen=True)
class HardTanh(Activation):
    """x, held to -1..1; the derivative at -1 and at 1 is 0. Collobert (2004), "Large scale machine learning"."""

    def forward(self, x: Array) -> Array:
        """`x`, held to -1..1."""
        return get_array_module(x).clip(x, -1, 1)

    def backward(self, dy: Array, x: Array, y: Array) -> Array:
        """`dy` where -1 < x < 1."""
        return dy * ((x > -1) & (x < 1))


@dataclass(frozen=True)
class HardSigmoid(Activation):
    """alpha x + beta, held to 0..1; the derivative where it reaches 0 or 1 is 0.

    Courbariaux, Bengio and David (2015), "BinaryConnect", section 2.3; 0.2 and 0.5 are the series', Keras's
    and ONNX's, PyTorch has 1/6 and 0.5.
    """

    not_negative = ("alpha",)
    alpha: float = 0.2
    beta: float = 0.5

    def forward(self, x: Array) -> Array:
        """The line, held to 0..1."""
        return get_array_module(x).clip(self.alpha * x + self.beta, 0, 1)

    def backward(self, dy: Array, x: Array, y: Array) -> Array:
        """`dy` times alpha, where 0 < y < 1."""
        return self.alpha * dy * ((y > 0) & (y < 1))


@dataclass(frozen=True)
class HardShrink(Activation):
    """x where |x| > lambd, else 0; the derivative at ±lambd is 0.

    Donoho and Johnstone (1994), "Ideal spatial adaptation by wavelet shrinkage".
    """

    not_negative = ("lambd",)
    lambd: float = 0.5

    def forward(self, x: Array) -> Array:
        """`x`, with what is small set to 0."""
        return x * ~(abs(x) <= self.lambd)  # so that NaN stays NaN

    def backward(self, dy: Array, x: Array, y: Array) -> Array:
        """`dy` where |x| > lambd."""
        return dy * (abs(x) > self.lambd)


@dataclass(frozen=True)
class SoftShrink(Activation):
    """x pulled towards 0 by lambd, and no further; the derivative at ±lambd is 0.

    Donoho (1995), "De-noising by soft-thresholding".
    """

    not_negative = ("lambd",)
    lambd: float = 0.5

    def forward(self, x: Array) -> Array:
        """`x` - lambd above lambd, x + lambd below -lambd, 0 between."""
        return x - get_array_module(x).clip(x, -self.lambd, self.lambd)

    def backward(self, dy: Array, x: Array, y: Array) -> Array:
        """`dy` where |x| > lambd."""
        return dy * (abs(x) > self.lambd)


@dataclass(frozen=True)
class Threshold(Activation):
    """x where x > threshold, else value; the derivative at the threshold is 0.

    With value 0: Konda, Memisevic and Krueger (2015), "Zero-bias autoencoders and the benefits of co-adapting
    features", where the threshold is 1.
    """

    threshold: float = 1.0
    value: float = 0.0

    def forward(self, x: Array) -> Array:
        """`x`, with what is not above the threshold replaced."""
        return get_array_module(x).where(x <= self.threshold, self.value, x)

    def backward(self, dy: Array, x: Array, y: Array) -> Array:
        """`dy` where x > threshold."""
        return dy * (x > self.threshold)
