"""Layers beside PyTorch's functions: the same numbers in, forward and backward, the same numbers out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cnn.layers import Layer
from cnn.xp import Array, array_module, to_cpu

ROOM = {"float32": 2e-5, "float64": 1e-12}  # for sums in another order, relative to the largest number


def close(ours: Array, theirs: Any, dtype: str, what: str) -> None:
    """Assert that two arrays are the same but for rounding: by the largest number in them, as sums may cancel."""
    mine, other = to_cpu(ours), theirs.detach().numpy()
    assert mine.dtype == np.dtype(dtype), what
    assert mine.shape == other.shape, what
    np.testing.assert_allclose(mine, other, rtol=0, atol=ROOM[dtype] * max(1, abs(other).max(initial=0)), err_msg=what)


def check_against(
    layer: Layer, function: Callable[..., Any], N: int, seed: int, *, train: bool = False, distinct: bool = False
) -> None:
    """Hold `layer` against `function(x, *parameters)` of tensors: y, dx and the gradient of each parameter.

    Args:
        layer: with its `dtype` and `mode`.
        function: made of PyTorch's operations.
        N: images.
        seed: of x and dy.
        train: what `forward` is told.
        distinct: whether no two numbers of x are the same, nor close.
    """
    import torch

    rng, xp, dtype = np.random.default_rng(seed), array_module(layer.mode), str(layer.dtype)
    shape = (N, *layer.I_shape)
    values = rng.permutation(int(np.prod(shape))) / 7 - 3 if distinct else rng.standard_normal(shape)
    x = values.reshape(shape).astype(dtype)
    names = layer.parameter_names
    y = layer.forward(xp.asarray(x), train=train)
    assert y.shape == (N, *layer.O_shape)
    dy = rng.standard_normal(y.shape).astype(dtype)
    dx = layer.backward(xp.asarray(dy))
    tx, *parameters = (
        torch.tensor(to_cpu(array), requires_grad=True) for array in (x, *(getattr(layer, name) for name in names))
    )
    ty = function(tx, *parameters)
    ty.backward(torch.tensor(dy))
    close(y, ty, dtype, "y")
    close(dx, tx.grad, dtype, "dx")
    for name, parameter in zip(names, parameters, strict=True):
        close(getattr(layer, f"d{name}"), parameter.grad, dtype, f"d{name}")
