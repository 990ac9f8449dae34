"""Do two statements come to the same? Their values, array by array."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gpuprof.arrays import array_library, arrays_in
from gpuprof.units import digits

_SINGLE = 1e-5  # of the largest element: what float32 loses in a few hundred operations
_LOOSE = {"float16": 1e-2, "bfloat16": 3e-2, "float64": 1e-10, "complex128": 1e-10}


def agreement(first: object, second: object) -> str:
    """A sentence: whether the two values agree, to how much; "" where there is nothing to compare."""
    if first is None and second is None:
        return ""
    ours, theirs = list(arrays_in(first)), list(arrays_in(second))
    if not ours and not theirs:
        return _plain(first, second)
    if len(ours) != len(theirs):
        return f"Results differ: {len(ours)} arrays against {len(theirs)}."
    worst = 0.0
    for a, b in zip(ours, theirs, strict=True):
        x, y = _on_host(a), _on_host(b)
        if x.shape != y.shape:
            return f"Results differ: shape {x.shape} against {y.shape}."
        error = _error(x, y)
        if not error <= max(_tolerance(a), _tolerance(b)):
            return f"Results differ: by {digits(error, 2)} of the largest element."
        worst = max(worst, error)
    return "Results are equal." if worst == 0 else f"Results agree to {worst:.0e} of the largest element."


def apart(first: Any, second: Any) -> tuple[float, float]:
    """How far two arrays lie apart, as a share of the largest element, and how far their type lets them.

    Infinite where shapes differ, or where other elements are not finite.
    """
    x, y = _on_host(first), _on_host(second)
    allowed = max(_tolerance(first), _tolerance(second))
    return (_error(x, y) if x.shape == y.shape else math.inf), allowed


def _plain(first: object, second: object) -> str:
    try:
        same = bool(first == second)
    except Exception:  # whatever their own comparison raises
        return ""
    if (
        not same
        and isinstance(first, float)
        and isinstance(second, float)
        and math.isclose(first, second, rel_tol=1e-5)
    ):
        return "Results agree to 1e-05."
    if not same and type(first) is type(second) and type(first).__eq__ is object.__eq__:
        return ""  # two objects that can only be told apart, not compared
    return "Results are equal." if same else "Results differ."


def _error(x: Any, y: Any) -> float:
    """The largest difference as a share of the largest element; NaN in the same places counts as equal."""
    if x.size == 0 or np.array_equal(x, y, equal_nan=x.dtype.kind in "fc" and y.dtype.kind in "fc"):
        return 0.0
    if x.dtype.kind not in "fciub" or y.dtype.kind not in "fciub":
        return math.inf
    wide = np.complex128 if "c" in (x.dtype.kind, y.dtype.kind) else np.float64
    x, y = x.astype(wide), y.astype(wide)
    finite = np.isfinite(x)
    if not np.array_equal(finite, np.isfinite(y)) or not np.array_equal(x[~finite], y[~finite], equal_nan=True):
        return math.inf
    scale = max(float(np.abs(x[finite]).max(initial=0)), float(np.abs(y[finite]).max(initial=0)))
    return float(np.abs(x - y)[finite].max(initial=0)) / scale if scale else 0.0


def _tolerance(array: Any) -> float:
    name = str(array.dtype).removeprefix("torch.")
    return _LOOSE.get(name, _SINGLE)


def _on_host(array: Any) -> Any:
    library = array_library(array)
    if library == "torch":
        array = array.detach().cpu()
        array = array if str(array.layout) == "torch.strided" else array.to_dense()  # an embedding's sparse gradient
        return (array.float() if str(array.dtype) == "torch.bfloat16" else array).numpy()
    return array.get() if library == "cupy" else np.asarray(array)
