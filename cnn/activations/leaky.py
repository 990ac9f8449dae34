"""Activations that let a part of what is below 0 through.

Written with maximum, minimum and products by truth values: `where` takes NumPy several times as long.
"""

# ruff: noqa: ARG002  # backward has one signature, and each function its own need of it

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cnn.activations.base import Activation, Learned, along, collected
from cnn.xp import Array, get_array_module


@dataclass(frozen=True)
class LeakyReLU(Activation):
    """x above 0, else alpha x; the derivative at 0 is alpha. Maas, Hannun and Ng (2013)."""

    alpha: float = 0.01

    def forward(self, x: Array) -> Array:
        """`x` or alpha x."""
        xp = get_array_module(x)
        return xp.maximum(x, 0) + self.alpha * xp.minimum(x, 0)

    def backward(self, dy: Array, x: Array, y: Array) -> Array:
        """`dy` or alpha dy."""
        return dy * (x > 0) + self.alpha * dy * (x <= 0)


@dataclass(frozen=True)
class PReLU(Learned):
    """x above 0, else alpha x with an alpha that is learned; the derivative at 0 is alpha.

    He, Zhang, Ren and Sun (2015), "Delving deep into rectifiers", equations 1 and 8 to 11; alpha starts at 0.25.
    """

    alpha: float = 0.25

    def forward(self, x: Array, *parameters: Array) -> Array:
        """`x` or alpha x."""
        (alpha,), xp = parameters, get_array_module(x)
        return xp.maximum(x, 0) + along(alpha, x) * xp.minimum(x, 0)

    def backward(self, dy: Array, x: Array, y: Array, *parameters: Array) -> tuple[Array, ...]:
        """`dy` or alpha dy; alpha has x dy of where x is below 0."""
        (alpha,), below = parameters, get_array_module(x).minimum(x, 0)
        return dy * (x > 0) + along(alpha, x) * dy * (x <= 0), collected(below * dy, alpha)


@dataclass(frozen=True)
class RReLU(Activation):
    """x above 0, else a slope times x: drawn anew between lower and upper for each number of each call in
    training, their mean otherwise; the derivative at 0 is the mean.

    Xu, Wang, Chen and Li (2015), "Empirical evaluation of rectified activations"; 1/8 and 1/3 are theirs.
    """

    not_negative = ("lower",)
    lower: float = 1 / 8
    upper: float = 1 / 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.upper < self.lower:
            raise ValueError(f"RReLU: upper is {self.upper:g}; expected lower, {self.lower:g}, or more")

    @property
    def mean(self) -> float:
        """The slope outside of training."""
        return (self.lower + self.upper) / 2

    def forward(self, x: Array) -> Array:
        """`x` or the mean slope times x."""
        return LeakyReLU(self.mean).forward(x)

    def training(self, x: Array, rng: Any) -> Array:
        """`x` or a drawn slope times x; `rng` is a Generator on the device of `x`."""
        drawn = rng.random(x.shape, dtype="float64" if x.dtype == "float64" else "float32").astype(x.dtype, copy=False)
        xp = get_array_module(x)
        return xp.maximum(x, 0) + (self.lower + (self.upper - self.lower) * drawn) * xp.minimum(x, 0)

    def backward(self, dy: Array, x: Array, y: Array) -> Array:
        """`dy`, below 0 times the slope, which `x` and `y` tell: nothing has to be kept of a training's draw."""
        xp = get_array_module(x)
        slope = xp.minimum(y, 0) / (xp.minimum(x, 0) - (x >= 0))  # 0 from x = 0 on
        return dy * (slope + (x > 0)) + self.mean * dy * (x == 0)


@dataclass(frozen=True)
class ELU(Activation):
    """x above 0, else alpha (exp(x) - 1); the derivative at 0 is alpha. Clevert, Unterthiner and Hochreiter (2016)."""

    not_negative = ("alpha",)
    alpha: float = 1.0

    def forward(self, x: Array) -> Array:
        """`x` or alpha (exp(x) - 1)."""
        xp = get_array_module(x)
        return xp.maximum(x, 0) + self.alpha * xp.expm1(xp.minimum(x, 0))

    def backward(self, dy: Array, x: Array, y: Array) -> Array:
        """`dy` or alpha exp(x) dy."""
        xp = get_array_module(x)
        return dy * ((x > 0) + self.alpha * xp.exp(xp.minimum(x, 0)) * (x <= 0))


@dataclass(frozen=True)
class SELU(Activation):
    """scale times an ELU; the derivative at 0 is scale alpha.

    Klambauer, Unterthiner, Mayr and Hochreiter (2017), "Self-normalizing neural networks", equation 2; the two
    numbers are those of its section 3, for a mean of 0 and a variance of 1.
    """

    not_negative = ("alpha", "scale")
    alpha: float = 1.6732632423543772
    scale: float = 1.0507009873554805

    def forward(self, x: Array) -> Array:
        """The ELU's value, scaled."""
        return self.scale * ELU(self.alpha).forward(x)

    def backward(self, dy: Array, x: Array, y: Array) -> Array:
        """The ELU's derivative, scaled."""
        return self.scale * ELU(self.alpha).backward(dy, x, y)


@dataclass(frozen=True)
class CELU(Activation):
    """x above 0, else alpha (exp(x / alpha) - 1): an ELU whose derivative has no jump. Barron (2017)."""

    not_negative = ("alpha",)
    alpha: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.alpha:
            raise ValueError("CELU: alpha is 0; expected a number above it, or act='ReLU', which is its limit")

    def forward(self, x: Array) -> Array:
        """`x` or alpha (exp(x / alpha) - 1)."""
        xp = get_array_module(x)
        return xp.maximum(x, 0) + self.alpha * xp.expm1(xp.minimum(x, 0) / self.alpha)

    def backward(self, dy: Array, x: Array, y: Array) -> Array:
        """`dy` times exp(x / alpha) below 0."""
        xp = get_array_module(x)
        return dy * xp.exp(xp.minimum(x, 0) / self.alpha)
