"""Gradients by central differences in float64, to hold the written ones against."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cnn.xp import get_array_module, to_cpu

EPS = 1e-6


def numerical_gradient(value: Callable[[], Any], x: Any) -> np.ndarray:
    """d value() / dx for a scalar `value` that reads `x`, which is shifted in place and put back."""
    gradient = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        kept = float(x[place])
        x[place] = kept + EPS
        above = float(value())
        x[place] = kept - EPS
        below = float(value())
        x[place] = kept
        gradient[place] = (above - below) / (2 * EPS)
    return gradient


def check_layer(layer: Any, x: Any, rtol: float = 1e-6, atol: float = 1e-8) -> None:
    """Compare dx, dW and db of a float64 layer with differences of a random projection of its output."""
    xp = get_array_module(x)
    dy = xp.asarray(np.random.default_rng(99).standard_normal(layer.forward(x, train=True).shape))

    def value() -> Any:
        return (layer.forward(x, train=True) * dy).sum()

    value()
    dx = to_cpu(layer.backward(dy)).copy()
    written = {"x": dx} | {name: to_cpu(getattr(layer, f"d{name}")).copy() for name in layer.parameter_names}
    for name, gradient in written.items():
        array = x if name == "x" else getattr(layer, name)
        np.testing.assert_allclose(gradient, numerical_gradient(value, array), rtol, atol, err_msg=name)
