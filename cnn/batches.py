"""`batches`: pairs of inputs and targets, in a new order and changed at random, on the device they are on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from cnn.checks import generator, whole
from cnn.inputs import check_lengths
from cnn.kernels.layerwise import overrides
from cnn.xp import Array, Seed, found, get_array_module, is_array

Change: TypeAlias = Callable[[Array, Any], Array]  # inputs and a generator of their device, to new inputs


def batches(
    x: Array, t: Array, n_batch: int = 16, *, shuffle: bool = True, augment: Change | None = None, seed: Seed = None
) -> Iterator[tuple[Array, Array]]:
    """All of `x` and `t` once, `n_batch` at a time; the last batch may be short.

    Args:
        x: inputs (N, ...), such as images; they stay where they are.
        t: as many targets.
        n_batch: how many at a time.
        shuffle: in a new order, or as they lie.
        augment: changes the inputs of a batch, such as `Augment(shift=2)`; any function of them and of a
            generator of random numbers on their device.
        seed: of order and changes, a number or a numpy Generator.

    Raises:
        TypeError: `n_batch` or `seed` is no whole number, or `augment` is nothing to call.
        ValueError: no inputs, or not as many as targets; a batch that `augment` gave another number of.
    """
    x, t, n_batch = found(x), found(t), whole("n_batch", n_batch)
    check_lengths("x", x, "t", t)
    if augment is not None and (not callable(augment) or isinstance(augment, type)):
        raise TypeError(f"augment is {augment!r}; expected something to call with x and rng, such as Augment(shift=2)")
    rng, xp = generator("seed", seed), get_array_module(x)
    order = xp.asarray(rng.permutation(len(x))) if shuffle else xp.arange(len(x))
    device_rng = None if augment is None else xp.random.default_rng(int(rng.integers(2**31)))
    return _cut(x, t, n_batch, order, augment, device_rng)


def _cut(
    x: Array, t: Array, n_batch: int, order: Array, augment: Change | None, rng: Any
) -> Iterator[tuple[Array, Array]]:
    whole = x.flags.c_contiguous and t.flags.c_contiguous and x.dtype == t.dtype
    kernels = overrides(x, n_batch * (x[0].size + t[0].size)) if whole else None
    for start in range(0, len(x), n_batch):
        places = order[start : start + n_batch]
        if kernels is None:
            chosen, targets = x.take(places, axis=0), t.take(places, axis=0)
        else:
            chosen, targets = kernels.gather(x, t, places)
        yield (chosen if augment is None else _changed(chosen, augment, rng)), targets


def _changed(chosen: Array, augment: Change, rng: Any) -> Array:
    changed = augment(chosen, rng)
    if not is_array(changed) or len(changed) != len(chosen):
        came = f"an array of shape {tuple(changed.shape)}" if is_array(changed) else f"a {type(changed).__name__}"
        raise ValueError(
            f"augment is expected to give an array of as many inputs as it gets, {len(chosen)}; got {came}"
        )
    return changed
