"""Santa: a search with noise that cools down into a descent with a momentum of its own for each number."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cnn.checks import whole
from cnn.optimizers.base import ALONE, Optimizer, Rule, Told
from cnn.xp import Array, get_array_module


@dataclass
class Santa(Optimizer):
    """What SantaE and SantaSSS share. Chen, Carlson, Gan, Li and Carin (2016), "Bridging the gap", arXiv 1512.07962.

    f = N g is the gradient of a sum over N images; v = σ v + (1 - σ) f² / N²; G = 1 / √(λ + √v). Before step `burnin`
    a search, in which noise of temperature 1 / β, β = t^anne_rate, moves u, and the friction α follows u² towards
    η / β; from then on α stays and nothing is random.

    Where the printed algorithms and their authors' own programs differ, this is as the programs: the noise is
    √(2 η^1.5 G' / β) ζ, G' being the G of the step before (printed, and the author: η in the place of η^1.5, at
    which the friction ends up at G instead of at √η G); the term η / β (1 - G' / G) / u for the change of G is
    left out unless `derivative`, since it has no bound where u is near 0. In the first step G' is G: the
    paper leaves it open, the author's is 1e-8.

    The defaults are the article's and explode on a network. There N is the number of training images, and η
    small: N=60000, eta=1e-10, C=1000 learns MNIST.

    Args:
        eta: η; sigma: σ; lam: λ.
        anne_rate: see β above.
        burnin: the step from which on nothing is random.
        C: the friction at the start, in √η.
        N: how many images the loss is meant to be a sum over; our gradients are means. The author's are sums over
            a batch of 16, to which his N belongs.
        derivative: see above.
        seed: of the noise; by default a layer's own, and without a layer another one each time. The noise is
            drawn on the host, so that it is the same on either device, and costs a GPU a copy a step.
    """

    slots = ("v", "u", "alpha", "G")
    numbers = ("drawn",)
    explore: ClassVar[Rule]  # of the search: after the slots the noise
    refine: ClassVar[Rule]  # of the descent

    eta: float = 0.01
    sigma: float = 0.95
    anne_rate: float = 0.5
    burnin: int = 100
    C: float = 5.0
    N: float = 16.0
    lam: float = 1e-8
    derivative: bool = False
    seed: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        who = type(self).__name__
        self.burnin = whole(f"{who}: burnin", self.burnin, least=0)
        if not isinstance(self.derivative, bool):
            raise TypeError(f"{who}: derivative is {self.derivative!r}; expected True or False")
        seed = None if self.seed is None else whole(f"{who}: seed", self.seed, least=0)
        self.drawn = int(np.random.default_rng(seed).integers(2**31))  # the seed in use
        self.hear(ALONE)

    def seeded(self, rng: np.random.Generator) -> None:
        """Draw the seed of the noise from `rng`, unless one was given."""
        if self.seed is None:
            self.drawn = int(rng.integers(2**31))

    def hear(self, told: Told) -> None:  # noqa: ARG002
        """Begin the noise for the state before the first step, which its seed and the step alone determine."""
        self.rng = np.random.default_rng((self.drawn, self.t))

    @property
    def searches(self) -> bool:
        """Whether step `t` is one of the search."""
        return self.t < self.burnin

    def first(self, slot: str, p: Array, g: Array) -> Array:
        """Noise for u, C √η for the friction, and for G what the first step makes of it."""
        zeros = super().first(slot, p, g)
        if slot == "u":
            return zeros + math.sqrt(self.eta) * self._normal(p)
        if slot == "alpha":
            return zeros + self.C * math.sqrt(self.eta)
        return zeros if slot == "v" else _preconditioner((1 - self.sigma) * g * g, self.lam)

    def formula(self) -> Rule:
        """The rule of step `t`."""
        return functools.partial(self.explore, derivative=self.derivative) if self.searches else self.refine

    def plan(self, factor: float) -> tuple[float, ...]:
        """The numbers of the rule: those of both, then those of the search."""
        self.hear(ALONE)
        eta = factor * self.eta
        shared = eta * self.N, 1 - self.sigma, self.lam
        heat = self.t**-self.anne_rate  # 1 / β
        return (*shared, eta * heat, 2 * eta * math.sqrt(eta) * heat) if self.searches else shared

    def noise(self, p: Array) -> tuple[Array, ...]:
        """In the search, a standard normal number for each of `p`."""
        return (self._normal(p),) if self.searches else ()

    def _normal(self, p: Array) -> Array:
        return get_array_module(p).asarray(self.rng.standard_normal(p.shape, dtype=p.dtype))


@dataclass
class SantaE(Santa):
    """Santa with Euler's scheme: algorithm 1 of the paper; see `Santa`."""

    operations = 15  # of the descent

    @staticmethod
    def explore(
        p: Array,
        g: Array,
        v: Array,
        u: Array,
        alpha: Array,
        G: Array,
        zeta: Array,
        rate: float,
        new: float,
        lam: float,
        heat: float,
        spread: float,
        derivative: bool,
    ) -> None:
        """The formula of the search for one parameter."""
        v += new * (g * g - v)
        G_now = _preconditioner(v, lam)
        push = _push(u, G, G_now, zeta, heat, spread, derivative)
        alpha += u * u - heat
        u -= alpha * u
        u -= rate * G_now * g
        u += push
        p += G_now * u
        G[...] = G_now

    @staticmethod
    def refine(
        p: Array, g: Array, v: Array, u: Array, alpha: Array, G: Array, rate: float, new: float, lam: float
    ) -> None:
        """The formula of the descent for one parameter."""
        v += new * (g * g - v)
        G[...] = _preconditioner(v, lam)
        u -= alpha * u
        u -= rate * G * g
        p += G * u


@dataclass
class SantaSSS(Santa):
    """Santa with the symmetric splitting scheme: algorithm 2 of the paper; see `Santa`.

    The article's η is .01, later the author's .1.
    """

    operations = 22  # of the descent

    @staticmethod
    def explore(
        p: Array,
        g: Array,
        v: Array,
        u: Array,
        alpha: Array,
        G: Array,
        zeta: Array,
        rate: float,
        new: float,
        lam: float,
        heat: float,
        spread: float,
        derivative: bool,
    ) -> None:
        """The formula of the search for one parameter."""
        xp = get_array_module(p)
        v += new * (g * g - v)
        G_now = _preconditioner(v, lam)
        push = _push(u, G, G_now, zeta, heat, spread, derivative)
        p += G_now * u / 2
        alpha += (u * u - heat) / 2
        slower = xp.exp(-alpha / 2)
        u *= slower
        u -= rate * G_now * g
        u += push
        u *= slower
        alpha += (u * u - heat) / 2
        p += G_now * u / 2
        G[...] = G_now

    @staticmethod
    def refine(
        p: Array, g: Array, v: Array, u: Array, alpha: Array, G: Array, rate: float, new: float, lam: float
    ) -> None:
        """The formula of the descent for one parameter."""
        xp = get_array_module(p)
        v += new * (g * g - v)
        G[...] = _preconditioner(v, lam)
        p += G * u / 2
        slower = xp.exp(-alpha / 2)
        u *= slower
        u -= rate * G * g
        u *= slower
        p += G * u / 2


def _preconditioner(v: Array, lam: float) -> Array:
    xp = get_array_module(v)
    return 1 / xp.sqrt(lam + xp.sqrt(v))


def _push(u: Array, G: Array, G_now: Array, zeta: Array, heat: float, spread: float, derivative: bool) -> Array:
    """What the search adds to u: the noise, and, if asked for, the term for the change of G."""
    xp = get_array_module(u)
    noise = xp.sqrt(spread * G) * zeta
    return noise + heat * (1 - G / G_now) / u if derivative else noise
