"""Adam whose rate is held between bounds that close in on SGD's: AdaBound and AMSBound."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cnn.optimizers.base import Optimizer
from cnn.xp import Array, get_array_module


@dataclass
class Bounded(Optimizer):
    """What both share: rates α / (√v + ε) held between η (1 - 1 / ((1 - β₂) t + 1)) and η (1 + 1 / ((1 - β₂) t)).

    Then p -= (that rate) m / √t. Luo et al. (2019), algorithms 2 and 3, whose η is 0.1, and the author. The paper
    has no ε. The paper's authors' own code frees m and v from their bias and leaves √t out.
    """

    rate = "alpha"
    alpha: float = 0.001
    eta: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def plan(self, factor: float) -> tuple[float, ...]:
        """The numbers of the rule."""
        age = (1 - self.beta2) * self.t
        bounds = self.eta * (1 - 1 / (age + 1)), self.eta * (1 + 1 / age)
        return (1 - self.beta1, 1 - self.beta2, self.alpha, *bounds, factor / math.sqrt(self.t), self.eps)


@dataclass
class AdaBound(Bounded):
    """Adam that turns into SGD. Luo et al. (2019), algorithm 2; see `Bounded`."""

    slots = fading = ("m", "v")
    operations = 15

    @staticmethod
    def rule(
        p: Array,
        g: Array,
        m: Array,
        v: Array,
        new1: float,
        new2: float,
        alpha: float,
        low: float,
        high: float,
        factor: float,
        eps: float,
    ) -> None:
        """The formula for one parameter."""
        xp = get_array_module(p)
        m += new1 * (g - m)
        v += new2 * (g * g - v)
        rate = xp.minimum(xp.maximum(alpha / (xp.sqrt(v) + eps), low), high)
        p -= factor * rate * m


@dataclass
class AMSBound(Bounded):
    """AMSGrad that turns into SGD: AdaBound with the largest v so far. Luo et al. (2019), algorithm 3."""

    slots = ("m", "v", "largest")
    fading = ("m", "v")
    operations = 16

    @staticmethod
    def rule(
        p: Array,
        g: Array,
        m: Array,
        v: Array,
        largest: Array,
        new1: float,
        new2: float,
        alpha: float,
        low: float,
        high: float,
        factor: float,
        eps: float,
    ) -> None:
        """The formula for one parameter."""
        xp = get_array_module(p)
        m += new1 * (g - m)
        v += new2 * (g * g - v)
        xp.maximum(largest, v, out=largest)
        rate = xp.minimum(xp.maximum(alpha / (xp.sqrt(largest) + eps), low), high)
        p -= factor * rate * m
