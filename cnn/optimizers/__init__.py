"""Optimizers: each changes the parameters it is handed in place and counts its own steps.

The 19 of the article's series in textbook forms; `Optimizer` says how to write another one, which goes
into `FAMILY`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cnn.checks import build
from cnn.optimizers.adam import AdaBelief, Adam, AdaMax, AMSGrad, Nadam
from cnn.optimizers.base import ALONE, Optimizer, Told
from cnn.optimizers.bounds import AdaBound, AMSBound
from cnn.optimizers.descent import NAG, SGD, Momentum
from cnn.optimizers.eve import Eve
from cnn.optimizers.sam import SAM
from cnn.optimizers.santa import SantaE, SantaSSS
from cnn.optimizers.squares import SMORMS3, AdaDelta, AdaGrad, RMSprop, RMSpropGraves

__all__ = ["ALONE", "OPTIMIZERS", "SAM", "Optimizer", "Told", "get_optimizer"]

FAMILY: dict[str, type[Optimizer]] = {
    "SGD": SGD,
    "Momentum": Momentum,
    "NAG": NAG,
    "AdaGrad": AdaGrad,
    "RMSprop": RMSprop,
    "AdaDelta": AdaDelta,
    "Adam": Adam,
    "AdaMax": AdaMax,
    "Nadam": Nadam,
    "RMSpropGraves": RMSpropGraves,
    "SMORMS3": SMORMS3,
    "Eve": Eve,
    "SantaE": SantaE,
    "SantaSSS": SantaSSS,
    "AMSGrad": AMSGrad,
    "AdaBound": AdaBound,
    "AMSBound": AMSBound,
    "AdaBelief": AdaBelief,
}
SAM.known = FAMILY
OPTIMIZERS = FAMILY | {"SAM": SAM}


def get_optimizer(
    name: str, keywords: Mapping[str, Any] | None = None, rng: np.random.Generator | None = None
) -> Optimizer:
    """A new optimizer called `name`, in any case and punctuation, made with `keywords` (an `opt_dic`).

    `rng` draws the seed of one that has something random and was given none.
    """
    optimizer = build("optimizer", name, OPTIMIZERS, keywords)
    if rng is not None:
        optimizer.seeded(rng)
    return optimizer
