"""Gradient descent: plain, with momentum, and with Nesterov's."""

from __future__ import annotations

from dataclasses import dataclass

from cnn.optimizers.base import Optimizer
from cnn.xp import Array


@dataclass
class SGD(Optimizer):
    """p -= η g. Robbins and Monro (1951)."""

    operations = 2
    eta: float = 0.01

    def plan(self, factor: float) -> tuple[float, ...]:
        """The numbers of the rule."""
        return (factor * self.eta,)

    @staticmethod
    def rule(p: Array, g: Array, eta: float) -> None:
        """The formula for one parameter."""
        p -= eta * g


@dataclass
class Momentum(Optimizer):
    """v = μ v - η g; p += v. Polyak (1964), in the form of Sutskever et al. (2013).

    PyTorch keeps v without η, which is the same while η stays. The author multiplies g by 1 - μ, which
    makes his η ten times ours at μ = 0.9.
    """

    slots = fading = ("v",)
    operations = 4
    eta: float = 0.01
    mu: float = 0.9

    def plan(self, factor: float) -> tuple[float, ...]:
        """The numbers of the rule."""
        return (factor * self.eta, self.mu)

    @staticmethod
    def rule(p: Array, g: Array, v: Array, eta: float, mu: float) -> None:
        """The formula for one parameter."""
        v *= mu
        v -= eta * g
        p += v


@dataclass
class NAG(Optimizer):
    """v = μ v - η g; p += μ v - η g. Nesterov (1983), as in Bengio et al. (2013), "Advances in optimizing", eq. 7.

    The paper's parameter is p - μ v; p itself is the point ahead, at which the gradient is taken, so that
    no second gradient is needed. The author takes the gradient at the point ahead by handing it in, which his
    LayerManager never does, and multiplies it by 1 - μ.
    """

    slots = fading = ("v",)
    operations = 6
    eta: float = 0.01
    mu: float = 0.9

    def plan(self, factor: float) -> tuple[float, ...]:
        """The numbers of the rule."""
        return (factor * self.eta, self.mu)

    @staticmethod
    def rule(p: Array, g: Array, v: Array, eta: float, mu: float) -> None:
        """The formula for one parameter."""
        change = eta * g
        v *= mu
        v -= change
        p -= change
        p += mu * v
