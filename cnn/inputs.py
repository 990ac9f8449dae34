"""The data a model learns from: checked once, and put where it is used."""

from __future__ import annotations

from typing import Any

import numpy as np

from cnn.xp import Array, found, get_array_module, put


def placed_pair(what: str, value: Any, mode: str, dtype: Any) -> tuple[Array, Array]:
    """(train, test) of `value` as arrays of `dtype` on the device of `mode`; `what` is "x" or "t".

    Raises:
        TypeError: no pair, or no arrays of real numbers.
        ValueError: an array is empty, has too few axes, or holds NaN; or the two differ in more than N.
    """
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        sized = hasattr(value, "__len__") and bool(getattr(value, "ndim", True))
        came = f"a {type(value).__name__}" + (f" of {len(value)}" if sized else "")
        raise TypeError(f"expected a pair, ({what}_train, {what}_test); got {came}")
    train, test = (
        _placed(f"{what}_{name}", each, mode, dtype) for name, each in zip(("train", "test"), value, strict=True)
    )
    if train.shape[1:] != test.shape[1:]:
        raise ValueError(
            f"{what}_train has shape {train.shape}, {what}_test {test.shape}; expected the same but for N"
            f"{_slip(train, test)}"
        )
    return train, test


def check_lengths(x_name: str, x: Array, t_name: str, t: Array) -> None:
    """Raise ValueError unless there are as many inputs as targets, and any at all."""
    for name, array in ((x_name, x), (t_name, t)):
        if not array.ndim:
            raise ValueError(
                f"{name} is {array!r}, without an axis; expected one row or more, an image or a target each"
            )
    if len(x) != len(t) or not len(x):
        raise ValueError(
            f"{x_name} has {len(x)} images, {t_name} {len(t)} targets; expected the same number, 1 or more"
        )


def pieces(N: int, size: int) -> list[slice]:
    """Slices that cut `N` rows into pieces of at most `size`."""
    return [slice(i, min(i + size, N)) for i in range(0, N, size)]


def _placed(name: str, value: Any, mode: str, dtype: Any) -> Array:
    with np.errstate(over="ignore"):  # what the dtype cannot hold is told below
        array = put(real_array(name, value), mode, dtype)
    if array.ndim < 2 or not array.size:
        raise ValueError(f"{name} has shape {array.shape}; {_EXPECTED[name[0]]}")
    bad = int((~get_array_module(array).isfinite(array)).sum())
    if bad:
        raise ValueError(
            f"{name} holds {bad} numbers that are NaN or infinite (or too large for {array.dtype}); remove or replace "
            "them first"
        )
    return array


def real_array(name: str, value: Any) -> Array:
    """`value` as an array where it is; TypeError unless it holds real numbers."""
    advice = "expected one, such as load_mnist() gives"
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array; say what its masked numbers are, such as {name}.filled(0)")
    try:
        array = found(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} is no array of numbers ({error}); {advice}") from error
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} is no array of numbers, but of {array.dtype}; {advice}")
    return array


def _slip(train: Array, test: Array) -> str:
    """The likely reason why two arrays differ in their number of axes."""
    return "" if train.ndim == test.ndim else f": did you pass (x, t) pairs? {_PAIRS}"


_PAIRS = "the model takes (x_train, x_test), (t_train, t_test); load_mnist() gives (x_train, t_train), (x_test, t_test)"
_EXPECTED = {
    "x": f"expected inputs of shape (N, ...), such as images (N, C, H, W), at least one; {_PAIRS}",
    "t": "labels are not one-hot: expected (N, n_class), such as numpy.eye(n_class)[labels], or "
    "load_mnist(one_hot=True)",
}
