"""SAM: any other optimizer, with the gradient taken where the loss near by is highest."""

from __future__ import annotations

import copy
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from cnn.checks import build
from cnn.optimizers.base import ALONE, LIMITS, Optimizer
from cnn.xp import Array, get_array_module


@dataclass
class SAM(Optimizer):
    """Sharpness-aware minimisation: climb to p + ε, take the gradient there, go back, step. Foret et al. (2021).

    Algorithm 1: ε = ρ sign(g) |g|^(q - 1) / (Σ |g|^q)^(1 - 1/q), the sum over all parameters of all layers that have
    a SAM of this q. `lm.update` does it, with a second forward and backward of the last batch: a step costs
    about twice as much. The layers are left as that second pass leaves them, so that `get_error` is that of
    p + ε; dropout draws other masks in it, running statistics keep to the first. The author sums over one layer
    alone, and hands the old gradient of its output in.

    Args:
        rho: ρ, how far to climb.
        q: of the norm; 2 climbs along the gradient.
        base: the optimizer that steps, by name, or one that was made, of which a copy is taken.
        base_dic: its keywords, where it is a name; weight decay and schedules go there.
    """

    known: ClassVar[Mapping[str, type[Optimizer]]] = {}  # what `base` may name
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {**LIMITS, "rho": (0.0, math.inf)}
    rate = None

    rho: float = 0.05
    q: float = 2.0
    base: Any = "Adam"
    base_dic: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weight_decay or self.decoupled or self.schedule is not None:
            raise ValueError(
                "SAM does not step itself: give weight_decay, decoupled and schedule to its base, as in "
                'opt_dic={"base": "Adam", "base_dic": {"weight_decay": 1e-4}}'
            )
        self.inner = self._made()
        self.kept: list[Array] = []  # the parameters as they were before the climb

    def _made(self) -> Optimizer:
        if isinstance(self.base, str):
            return build("SAM's base", self.base, self.known, self.base_dic)
        if not isinstance(self.base, Optimizer) or isinstance(self.base, SAM) or self.base_dic is not None:
            raise TypeError(
                f"SAM: base is {self.base!r}, base_dic {self.base_dic!r}; expected a name, or another optimizer and "
                "no base_dic"
            )
        return copy.deepcopy(self.base)

    def begin(self) -> None:
        """Steps and slots are the base's."""

    t = property(lambda self: self.inner.t, lambda self, t: setattr(self.inner, "t", t))
    state = property(lambda self: self.inner.state, lambda self, state: setattr(self.inner, "state", state))
    slots = property(lambda self: self.inner.slots)
    operations = property(lambda self: self.inner.flops)
    wants_loss = property(lambda self: self.inner.wants_loss)
    listens = True

    @property
    def stepper(self) -> Optimizer:
        """The base."""
        return self.inner

    @property
    def title(self) -> str:
        """What it is called in a file."""
        return f"SAM({self.inner.title})"

    def seeded(self, rng: np.random.Generator) -> None:
        """Draw the seed of what is random in the base."""
        self.inner.seeded(rng)

    def climb(self, params: Sequence[Array], grads: Sequence[Array], total: Array) -> None:
        """Move `params` to where the loss is higher; `total` is Σ |g|^q over all layers."""
        xp = get_array_module(total)
        self.kept = [p.copy() for p in params]
        scale = self.rho / xp.maximum(total ** (1 - 1 / self.q), 1e-12)  # no gradient at all: no climb
        for p, g in zip(params, grads, strict=True):
            p += scale.astype(p.dtype) * (g if self.q == 2 else xp.sign(g) * abs(g) ** (self.q - 1))

    def go_back(self, params: Sequence[Array]) -> None:
        """Put `params` back to where they were, to the last bit; if they have climbed."""
        for p, kept in zip(params, self.kept, strict=bool(self.kept)):
            p[...] = kept
        self.kept = []

    def update(self, params: Sequence[Array], grads: Sequence[Array], spared: Collection[int] = ()) -> None:
        """The base's step, with gradients from the climbed point."""
        told, self.told = self.told, ALONE
        if not told.climbed:
            raise RuntimeError(
                "SAM needs the gradient of a second pass, which a layer or an optimizer that is updated alone cannot "
                "take: call lm.forward(x), lm.backward(t) and lm.update(), or lm.training"
            )
        self.inner.told = told
        self.inner.update(params, grads, spared)
