"""The data a model learns from: checked once, and put where it is used."""

from __future__ import annotations

from typing import Any

from cnn.xp import Array, array_module, float_dtype, to_cpu


def placed_pair(what: str, value: Any, mode: str, dtype: Any) -> tuple[Array, Array]:
    """(train, test) of `value` as arrays of `dtype` on the device of `mode`; `what` is "x" or "t".

    Raises:
        TypeError: no pair, or no arrays of numbers.
        ValueError: an array is empty, has too few axes, or holds NaN; or the two differ in more than N.
    """
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        came = f"a {type(value).__name__}" + (f" of {len(value)}" if hasattr(value, "__len__") else "")
        raise TypeError(f"expected a pair, ({what}_train, {what}_test); got {came}")
    train, test = (
        _placed(f"{what}_{name}", each, mode, dtype) for name, each in zip(("train", "test"), value, strict=True)
    )
    if train.shape[1:] != test.shape[1:]:
        raise ValueError(f"{what}_train has shape {train.shape}, {what}_test {test.shape}; expected the same but for N")
    return train, test


def check_lengths(x_name: str, x: Array, t_name: str, t: Array) -> None:
    """Raise ValueError unless there are as many inputs as targets, and any at all."""
    if len(x) != len(t) or not len(x):
        raise ValueError(
            f"{x_name} has {len(x)} images, {t_name} {len(t)} targets; expected the same number, 1 or more"
        )


def pieces(N: int, size: int) -> list[slice]:
    """Slices that cut `N` rows into pieces of at most `size`."""
    return [slice(i, min(i + size, N)) for i in range(0, N, size)]


def _placed(name: str, value: Any, mode: str, dtype: Any) -> Array:
    xp = array_module(mode)
    try:
        array = xp.asarray(to_cpu(value) if mode == "cpu" else value, dtype=float_dtype(dtype))
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} is no array of numbers ({error}); expected one, such as load_mnist() gives") from error
    if array.ndim < 2 or not array.size:
        raise ValueError(f"{name} has shape {array.shape}; {_EXPECTED[name[0]]}")
    bad = int((~xp.isfinite(array)).sum())
    if bad:
        raise ValueError(f"{name} holds {bad} numbers that are NaN or infinite; remove or replace them first")
    return array


_EXPECTED = {
    "x": "expected inputs of shape (N, ...), such as images (N, C, H, W), at least one",
    "t": "labels are not one-hot: expected (N, n_class), such as numpy.eye(n_class)[labels], or "
    "load_mnist(one_hot=True)",
}
