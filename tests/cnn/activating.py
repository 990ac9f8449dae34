"""Every activation called alike: with parameters of its own, if it learns some, and away from its kinks."""

from __future__ import annotations

from typing import Any

import numpy as np

from cnn.activations import ACTIVATIONS, Learned, get_activation
from cnn.xp import get_array_module

NAMES = list(ACTIVATIONS)
ROWS = ("softmax", "softmin", "log softmax")  # of a whole row, not of each number
KINKS = {  # where there is no derivative, for the keywords by default
    "step": [0],
    "hard shrink": [-0.5, 0.5],
    "soft shrink": [-0.5, 0.5],
    "threshold": [1],
    "hard sigmoid": [-2.5, 2.5],
    "hard tanh": [-1, 1],
    "ReLU": [0],
    "ReLU6": [0, 6],
    "leaky ReLU": [0],
    "lReLU": [0],
    "SELU": [0],
    "PReLU": [0],
    "RReLU": [0],
}


class Called:
    """An activation, and for a learned one parameters (C,), or (1,) for C = 1, none of them at its first value."""

    def __init__(self, name: str, xp: Any, C: int, dtype: Any = "float64", keywords: Any = None) -> None:
        self.act = get_activation(name, keywords)
        names = self.act.parameter_names if isinstance(self.act, Learned) else ()
        rng = np.random.default_rng(11)
        self.parameters = {each: xp.asarray(rng.uniform(0.2, 1.5, C).astype(dtype)) for each in names}

    def forward(self, x: Any) -> Any:
        return self.act.forward(x, *self.parameters.values())

    def backward(self, dy: Any, x: Any) -> tuple[Any, dict[str, Any]]:
        """dx, and the gradients of the parameters by name."""
        back = self.act.backward(dy, x, self.forward(x), *self.parameters.values())
        if not self.parameters:
            return back, {}
        dx, *gradients = back
        return dx, dict(zip(self.parameters, gradients, strict=True))


def off_kinks(name: str, x: Any) -> Any:
    """`x` with whatever lies at a kink, or almost, moved beside it."""
    for kink in KINKS.get(name, ()):
        x = get_array_module(x).where(abs(x - kink) < 0.02, x.dtype.type(kink + 0.05), x)
    return x
