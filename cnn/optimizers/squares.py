"""Steps divided by the size that gradients have had: AdaGrad, RMSprop, AdaDelta and their kin."""

from __future__ import annotations

from dataclasses import dataclass

from cnn.optimizers.base import Optimizer
from cnn.xp import Array, get_array_module


@dataclass
class AdaGrad(Optimizer):
    """h += g²; p -= η g / (√h + ε). Duchi, Hazan and Singer (2011)."""

    slots = ("h",)
    operations = 7
    eta: float = 0.001
    eps: float = 1e-8

    def plan(self, factor: float) -> tuple[float, ...]:
        """The numbers of the rule."""
        return (factor * self.eta, self.eps)

    @staticmethod
    def rule(p: Array, g: Array, h: Array, eta: float, eps: float) -> None:
        """The formula for one parameter."""
        xp = get_array_module(p)
        h += g * g
        p -= eta * g / (xp.sqrt(h) + eps)


@dataclass
class RMSprop(Optimizer):
    """h = ρ h + (1 - ρ) g²; p -= η g / (√h + ε). Tieleman and Hinton (2012), lecture 6.5.

    The author's ε is in the root. η is the article's and PyTorch's, and large: h starts at 0 and is not freed from
    its bias, so that the first step is 10 η, after which the article's net does not always learn. Keras has 0.001.
    """

    slots = fading = ("h",)
    operations = 9
    eta: float = 0.01
    rho: float = 0.99
    eps: float = 1e-8

    def plan(self, factor: float) -> tuple[float, ...]:
        """The numbers of the rule."""
        return (factor * self.eta, 1 - self.rho, self.eps)

    @staticmethod
    def rule(p: Array, g: Array, h: Array, eta: float, new: float, eps: float) -> None:
        """The formula for one parameter."""
        xp = get_array_module(p)
        h += new * (g * g - h)
        p -= eta * g / (xp.sqrt(h) + eps)


@dataclass
class AdaDelta(Optimizer):
    """Steps in the unit of the parameter itself, with no learning rate. Zeiler (2012), algorithm 1.

    `h` averages g², `u` the squares of the steps. A schedule multiplies the step; PyTorch's lr is that.
    """

    slots = fading = ("h", "u")
    operations = 15
    rate = None
    rho: float = 0.95
    eps: float = 1e-6

    def plan(self, factor: float) -> tuple[float, ...]:
        """The numbers of the rule."""
        return (factor, 1 - self.rho, self.eps)

    @staticmethod
    def rule(p: Array, g: Array, h: Array, u: Array, factor: float, new: float, eps: float) -> None:
        """The formula for one parameter."""
        xp = get_array_module(p)
        h += new * (g * g - h)
        change = g * xp.sqrt((u + eps) / (h + eps))
        u += new * (change * change - u)
        p -= factor * change


@dataclass
class RMSpropGraves(Optimizer):
    """RMSprop by the spread of g instead of its square, with momentum. Graves (2013), eq. 38 to 41.

    n and m average g² and g; d = μ d - η g / √(n - m² + ε); p += d. What rounding makes of n - m² counts as 0
    where it is below. Formulas and defaults are Chainer's, too; the author leaves the momentum out, which is mu=0.
    """

    slots = fading = ("n", "m", "d")
    operations = 17
    eta: float = 1e-4
    rho: float = 0.95
    mu: float = 0.9
    eps: float = 1e-4

    def plan(self, factor: float) -> tuple[float, ...]:
        """The numbers of the rule."""
        return (factor * self.eta, 1 - self.rho, self.mu, self.eps)

    @staticmethod
    def rule(p: Array, g: Array, n: Array, m: Array, d: Array, eta: float, new: float, mu: float, eps: float) -> None:
        """The formula for one parameter."""
        xp = get_array_module(p)
        n += new * (g * g - n)
        m += new * (g - m)
        d *= mu
        d -= eta * g / xp.sqrt(xp.maximum(n - m * m, 0) + eps)
        p += d


@dataclass
class SMORMS3(Optimizer):
    """RMSprop that chooses how long to remember, and steps less where signs change. Simon Funk (2015).

    "RMSprop loses to SMORMS3 - beware the epsilon!", sifter.org/~simon/journal/20150420.html. m and v average g
    and g² over about `memory` steps; x = m² / (v + ε) is how far they agree: p -= g min(η, x) / (√v + ε), and
    the memory becomes 1 + (1 - x) of itself. The formulas are Chainer's, too, whose ε is 1e-16. The author's code
    writes the weights' memory where the biases' belongs.
    """

    slots = ("memory", "m", "v")
    fading = ("m", "v")
    operations = 21
    eta: float = 0.001
    eps: float = 1e-8

    def first(self, slot: str, p: Array, g: Array) -> Array:
        """The memory begins at 1 step."""
        return get_array_module(p).ones_like(p) if slot == "memory" else super().first(slot, p, g)

    def plan(self, factor: float) -> tuple[float, ...]:
        """The numbers of the rule."""
        return (factor * self.eta, self.eps)

    @staticmethod
    def rule(p: Array, g: Array, memory: Array, m: Array, v: Array, eta: float, eps: float) -> None:
        """The formula for one parameter."""
        xp = get_array_module(p)
        new = 1 / (memory + 1)
        m += new * (g - m)
        v += new * (g * g - v)
        agreement = m * m / (v + eps)
        p -= g * xp.minimum(agreement, eta) / (xp.sqrt(v) + eps)
        memory *= 1 - agreement
        memory += 1
