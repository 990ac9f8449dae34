"""Optimizers: each changes the parameters it is handed in place and counts its own steps.

To add one, write its class (fields: hyper-parameters; `slots`: what it keeps beside each
parameter; `step`: the rule) and put it into `OPTIMIZERS`. Hyper-parameters become Python floats,
which never widen a float32 array.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from cnn.checks import build, number
from cnn.xp import Array, get_array_module

DECAYS = {"mu", "rho", "beta1", "beta2"}


@dataclass
class Optimizer:
    """What all share: the step count `t` and, for each slot, one array beside each parameter."""

    slots: ClassVar[tuple[str, ...]] = ()
    flops: ClassVar[int] = 0  # arithmetic on one parameter in one step, as `step` is written

    t: int = field(default=0, init=False)
    state: dict[str, list[Array]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        for each in (each for each in fields(self) if each.init):
            limit = 1.0 if each.name in DECAYS else math.inf
            value = number(f"{type(self).__name__}: {each.name}", getattr(self, each.name), below=limit)
            setattr(self, each.name, value)

    def update(self, params: Sequence[Array], grads: Sequence[Array]) -> None:
        """One step: change each of `params` in place by its gradient; always the same ones in one order."""
        if not self.state:
            self.state = {slot: [get_array_module(p).zeros_like(p) for p in params] for slot in self.slots}
        self.t += 1
        for i, (p, g) in enumerate(zip(params, grads, strict=True)):
            self.step(p, g, *(self.state[slot][i] for slot in self.slots))

    def step(self, p: Array, g: Array, *slots: Array) -> None:
        """The rule for one parameter `p` with gradient `g`, in place."""
        raise NotImplementedError(f"{type(self).__name__} has no step(p, g, ...)")


@dataclass
class SGD(Optimizer):
    """Stochastic gradient descent: p -= η g. Robbins and Monro (1951)."""

    flops = 2
    eta: float = 0.01

    def step(self, p: Array, g: Array, *slots: Array) -> None:  # noqa: ARG002
        """The rule for one parameter."""
        p -= self.eta * g


@dataclass
class Momentum(Optimizer):
    """v = μ v - η g; p += v. Polyak (1964), in the form of Sutskever et al. (2013)."""

    slots = ("v",)
    flops = 4
    eta: float = 0.01
    mu: float = 0.9

    def step(self, p: Array, g: Array, *slots: Array) -> None:
        """The rule for one parameter."""
        (v,) = slots
        v *= self.mu
        v -= self.eta * g
        p += v


@dataclass
class AdaGrad(Optimizer):
    """h += g²; p -= η g / (√h + ε). Duchi, Hazan and Singer (2011)."""

    slots = ("h",)
    flops = 7
    eta: float = 0.001
    eps: float = 1e-8

    def step(self, p: Array, g: Array, *slots: Array) -> None:
        """The rule for one parameter."""
        (h,) = slots
        h += g * g
        p -= self.eta * g / (_sqrt(h) + self.eps)


@dataclass
class RMSprop(Optimizer):
    """h = ρ h + (1 - ρ) g²; p -= η g / (√h + ε). Tieleman and Hinton (2012)."""

    slots = ("h",)
    flops = 9
    eta: float = 0.01
    rho: float = 0.99
    eps: float = 1e-8

    def step(self, p: Array, g: Array, *slots: Array) -> None:
        """The rule for one parameter."""
        (h,) = slots
        h += (1 - self.rho) * (g * g - h)
        p -= self.eta * g / (_sqrt(h) + self.eps)


@dataclass
class AdaDelta(Optimizer):
    """Steps in the unit of the parameter itself, with no learning rate. Zeiler (2012), algorithm 1."""

    slots = ("h", "u")
    flops = 14
    rho: float = 0.95
    eps: float = 1e-6

    def step(self, p: Array, g: Array, *slots: Array) -> None:
        """The rule for one parameter: `h` averages g², `u` the squares of the steps."""
        h, u = slots
        h += (1 - self.rho) * (g * g - h)
        change = g * _sqrt((u + self.eps) / (h + self.eps))
        u += (1 - self.rho) * (change * change - u)
        p -= change


@dataclass
class Adam(Optimizer):
    """Averages of g and g², freed from their bias towards 0 at the start. Kingma and Ba (2015), algorithm 1.

    p -= α m̂ / (√v̂ + ε), with m̂ = m / (1 - β₁ᵗ) and v̂ = v / (1 - β₂ᵗ). Numerator and denominator are
    multiplied by √(1 - β₂ᵗ), as the end of the paper's section 2 proposes, which saves two passes
    over the arrays; ε is multiplied too, so the result is that of algorithm 1.
    """

    slots = ("m", "v")
    flops = 12
    alpha: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def step(self, p: Array, g: Array, *slots: Array) -> None:
        """The rule for one parameter."""
        m, v = slots
        scale = math.sqrt(1 - self.beta2**self.t)
        rate = self.alpha * scale / (1 - self.beta1**self.t)
        m += (1 - self.beta1) * (g - m)
        v += (1 - self.beta2) * (g * g - v)
        p -= rate * m / (_sqrt(v) + self.eps * scale)


OPTIMIZERS: dict[str, type[Optimizer]] = {
    "SGD": SGD,
    "Momentum": Momentum,
    "AdaGrad": AdaGrad,
    "RMSprop": RMSprop,
    "AdaDelta": AdaDelta,
    "Adam": Adam,
}


def get_optimizer(name: str, keywords: Mapping[str, Any] | None = None) -> Optimizer:
    """A new optimizer called `name`, in any case and punctuation, made with `keywords` (an `opt_dic`)."""
    return build("optimizer", name, OPTIMIZERS, keywords)


def _sqrt(x: Array) -> Array:
    return get_array_module(x).sqrt(x)
