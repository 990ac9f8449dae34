"""Adam and what was made of it: averages of the gradient, divided by the root of averages of its square."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cnn.optimizers.base import Optimizer
from cnn.xp import Array, get_array_module


@dataclass
class Averages(Optimizer):
    """What the nearest kin share: p -= α m̂ / (√v̂ + ε), with m̂ = m / (1 - β₁ᵗ) and v̂ = v / (1 - β₂ᵗ).

    Numerator and denominator are multiplied by √(1 - β₂ᵗ), as the end of section 2 of Adam's paper
    proposes, which saves two passes over the arrays; ε is multiplied too, so the result is the same.
    """

    rate = "alpha"
    alpha: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def plan(self, factor: float) -> tuple[float, ...]:
        """The numbers of the rule."""
        scale = math.sqrt(1 - self.beta2**self.t)
        rate = factor * self.alpha * scale / (1 - self.beta1**self.t)
        return (1 - self.beta1, 1 - self.beta2, rate, self.eps * scale)


@dataclass
class Adam(Averages):
    """Averages of g and g², freed from their bias towards 0 at the start. Kingma and Ba (2015), algorithm 1.

    m = β₁ m + (1 - β₁) g; v = β₂ v + (1 - β₂) g²; then as in `Averages`. The author's ε is in the root, and
    his t stays at 1 under LayerManager. With weight_decay and decoupled=True this is AdamW.
    """

    slots = fading = ("m", "v")
    operations = 12
    kernel = "m += new1 * (g - m); v += new2 * (g * g - v); p -= rate * m / (sqrt(v) + eps)"

    @staticmethod
    def rule(p: Array, g: Array, m: Array, v: Array, new1: float, new2: float, rate: float, eps: float) -> None:
        """The formula for one parameter."""
        xp = get_array_module(p)
        m += new1 * (g - m)
        v += new2 * (g * g - v)
        p -= rate * m / (xp.sqrt(v) + eps)


@dataclass
class AMSGrad(Averages):
    """Adam with the largest v so far in the place of v. Reddi, Kale and Kumar (2018), algorithm 2.

    In PyTorch's form: α stays, m and v are freed from their bias. The paper and the author do not free
    them; α / √t, which the paper's proof and the author have, is schedule="inverse-root".
    """

    slots = ("m", "v", "largest")
    fading = ("m", "v")
    operations = 13

    @staticmethod
    def rule(
        p: Array, g: Array, m: Array, v: Array, largest: Array, new1: float, new2: float, rate: float, eps: float
    ) -> None:
        """The formula for one parameter."""
        xp = get_array_module(p)
        m += new1 * (g - m)
        v += new2 * (g * g - v)
        xp.maximum(largest, v, out=largest)
        p -= rate * m / (xp.sqrt(largest) + eps)


@dataclass
class AdaBelief(Averages):
    """Adam by how far g is from its average, instead of by g². Zhuang et al. (2020), algorithm 2.

    s = β₂ s + (1 - β₂)(g - m)² + ε, with the new m; then as in `Averages`. The author has no ε.
    """

    slots = ("m", "s")
    fading = ("m",)
    operations = 14

    def plan(self, factor: float) -> tuple[float, ...]:
        """The numbers of the rule."""
        return (*super().plan(factor), self.eps)

    @staticmethod
    def rule(
        p: Array, g: Array, m: Array, s: Array, new1: float, new2: float, rate: float, scaled: float, eps: float
    ) -> None:
        """The formula for one parameter."""
        xp = get_array_module(p)
        m += new1 * (g - m)
        surprise = g - m
        s += new2 * (surprise * surprise - s)
        s += eps
        p -= rate * m / (xp.sqrt(s) + scaled)


@dataclass
class AdaMax(Optimizer):
    """Adam by the largest |g| remembered. Kingma and Ba (2015), algorithm 2.

    u = max(β₂ u, |g| + ε); p -= α m̂ / u. The paper and the author have no ε and divide by 0 where all g
    were 0; here it stands where PyTorch has it.
    """

    slots = ("m", "u")
    fading = ("m",)
    operations = 10
    rate = "alpha"
    alpha: float = 0.002
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def plan(self, factor: float) -> tuple[float, ...]:
        """The numbers of the rule."""
        return (1 - self.beta1, self.beta2, factor * self.alpha / (1 - self.beta1**self.t), self.eps)

    @staticmethod
    def rule(p: Array, g: Array, m: Array, u: Array, new1: float, beta2: float, rate: float, eps: float) -> None:
        """The formula for one parameter."""
        xp = get_array_module(p)
        m += new1 * (g - m)
        u *= beta2
        xp.maximum(u, abs(g) + eps, out=u)
        p -= rate * m / u


@dataclass
class Nadam(Optimizer):
    """Adam with Nesterov's momentum. Dozat (2016), algorithm 2.

    m̂ = μ' m / (1 - Π μ') + (1 - μ) g / (1 - Π μ), where μ = mu (1 - 0.96^(ψ t) / 2) of this step and μ' of the
    next, Π their products so far; v̂ = v / (1 - νᵗ); p -= α m̂ / (√v̂ + ε). The paper has ν v / (1 - νᵗ) instead,
    PyTorch what is here. The author's μ stays: a large psi, such as 1e9, does that.
    """

    slots = fading = ("m", "v")
    numbers = ("product",)
    operations = 14
    rate = "alpha"
    alpha: float = 0.002
    mu: float = 0.975
    nu: float = 0.999
    eps: float = 1e-8
    psi: float = 0.004

    def __post_init__(self) -> None:
        super().__post_init__()
        self.product = 1.0  # of the μ of all steps so far

    def plan(self, factor: float) -> tuple[float, ...]:
        """The numbers of the rule."""
        mu, ahead = self._mu(self.t), self._mu(self.t + 1)
        self.product *= mu
        scale = math.sqrt(1 - self.nu**self.t)
        rate = factor * self.alpha * scale
        of_g, of_m = rate * (1 - mu) / (1 - self.product), rate * ahead / (1 - self.product * ahead)
        return (1 - self.mu, 1 - self.nu, of_g, of_m, self.eps * scale)

    def _mu(self, t: int) -> float:
        return self.mu * (1 - 0.5 * math.pow(0.96, self.psi * t))

    @staticmethod
    def rule(
        p: Array, g: Array, m: Array, v: Array, new1: float, new2: float, of_g: float, of_m: float, eps: float
    ) -> None:
        """The formula for one parameter."""
        xp = get_array_module(p)
        m += new1 * (g - m)
        v += new2 * (g * g - v)
        p -= (of_g * g + of_m * m) / (xp.sqrt(v) + eps)
