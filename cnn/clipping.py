"""Gradients kept small: by their values, and by the norm of all of them together."""

from __future__ import annotations

from collections.abc import Sequence

from cnn.xp import Array, get_array_module


def power_sum(arrays: Sequence[Array], q: float) -> Array:
    """The sum of |x|^q over all numbers of all `arrays`, as a float64 scalar on the device."""
    xp = get_array_module(arrays[0])
    powers = [xp.square(x, dtype="float64") if q == 2 else abs(x.astype("float64")) ** q for x in arrays]
    return xp.stack([power.sum() for power in powers]).sum()


def clip_by_value(grads: Sequence[Array], most: float) -> None:
    """Put each number of the gradients between -most and most, in place."""
    for g in grads:
        get_array_module(g).clip(g, -most, most, out=g)


def clip_by_norm(grads: Sequence[Array], most: float) -> None:
    """Scale all gradients alike, in place, so that the norm of all together is `most` where it was more.

    Pascanu, Mikolov and Bengio (2013), algorithm 1. PyTorch adds 1e-6 to the norm. Nothing waits for it.
    """
    xp = get_array_module(grads[0])
    norm = xp.sqrt(power_sum(grads, 2))
    scale = most / xp.maximum(norm, most)
    for g in grads:
        g *= scale.astype(g.dtype)
