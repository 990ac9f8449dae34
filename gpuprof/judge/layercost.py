"""What one call of a layer needs at the least: as the layer says, by a known formula, or from its arrays' sizes."""

from __future__ import annotations

import math
import numbers
import reprlib
from contextlib import suppress
from typing import Any, NamedTuple

from gpuprof.judge.cost import Ceilings, Cost

OWN = "the layer's own"
KNOWN = "a known formula"
AT_LEAST = "at least the arrays in and out"
_NOT_TRAINING = ("evaluate", "recompute")  # a forward, under another name in a profile


class ArrayBytes(NamedTuple):
    """The sizes of what a call was given and gave; None for what is no array, or not known."""

    first: float | None = None
    """Of the call's first argument."""
    result: float | None = None
    """Of its value. Where that lies in the argument's own memory nothing need move: None for both then."""
    own: float | None = None
    """Of what the layer learns: `gpuprof.arrays.own_bytes`."""


class _Product(NamedTuple):
    """A product of matrices as a layer does it."""

    flops: int
    """Of one product, a multiply-add counted as two; backward does two of them."""
    given: int
    """Elements of the call's argument, and `made` of its value."""
    made: int


def layer_cost(layer: object, phase: str, x_shape: tuple[int, ...] | None, arrays_bytes: ArrayBytes) -> Cost:
    """What a call of this phase needs; `x_shape` is of its first argument: x, in backward dy, in update None.

    The layer's own `cost(phase, x_shape) -> (flops, bytes)` decides where it has one; either may be None, and a
    NotImplementedError says that there is none. Where it fails nothing is known, and `how` says why. Else a weight
    of 2 or 4 dimensions that fits both ends makes it a product or a convolution (no activation is counted). Else
    bytes are those in and out, of an update the parameters, read and written, and their gradients; FLOPs unknown.
    """
    own = _own(layer, phase, x_shape)
    if own is not None:
        return own
    if phase == "update":
        return Cost(3 * arrays_bytes.own, None, AT_LEAST) if arrays_bytes.own else Cost(None, None, "")
    if x_shape is not None and arrays_bytes.result:
        for name, bias in (("W", "b"), ("weight", "bias")):
            n_bias = math.prod(_shape(_shown(layer, bias)) or (0,))
            found = _formula(layer, name, n_bias, phase == "backward", x_shape, arrays_bytes)
            if found is not None:
                return found
    moved = [size for size in arrays_bytes[:2] if size is not None]
    return Cost(float(sum(moved)), None, AT_LEAST) if moved else Cost(None, None, "")


def roof_seconds(cost: Cost, dtype: str, ceilings: Ceilings, launches_floor: float = 0.0) -> float:
    """The least seconds for a call of this cost at the measured ceilings, and no less than `launches_floor` seconds.

    What moves less than the L2 cache holds is not held to the copy rate: then its FLOPs alone count. NaN where no
    ceiling applies: the cost is not known, or the rate of `dtype` (as in `Ceilings.flops`) is not.
    """
    rate = ceilings.flops.get(dtype)
    needed = []
    if cost.bytes is not None and cost.bytes >= ceilings.l2:
        needed.append(cost.bytes / ceilings.copy)
    if cost.flops is not None and (rate or not cost.flops):
        needed.append(cost.flops / rate if rate else 0.0)
    return max(*needed, launches_floor) if needed else math.nan


def _own(layer: object, phase: str, x_shape: tuple[int, ...] | None) -> Cost | None:
    """By the layer's own `cost`; None where it has none. One that knows no other forward is asked for "forward"."""
    method: Any = _shown(layer, "cost")
    if not callable(method):
        return None
    call = f"its cost({phase!r}, {x_shape})"
    try:
        answer = method(phase, x_shape)
    except NotImplementedError:
        return None
    except Exception as error:
        if phase in _NOT_TRAINING:
            return _own(layer, "forward", x_shape)
        return Cost(None, None, f"{call} raises {type(error).__name__}: {error}")
    if not isinstance(answer, (tuple, list)) or len(answer) != 2 or not all(map(_sensible, answer)):
        return Cost(None, None, f"{call} returns {reprlib.repr(answer)}; expected (flops, bytes), each 0 or more")
    flops, moved = (None if value is None else float(value) for value in answer)
    return Cost(moved, flops, OWN)


def _sensible(value: object) -> bool:
    """Whether it is a finite number, 0 or more, or None."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return value is None
    with suppress(OverflowError):
        return 0 <= float(value) < math.inf
    return False


def _formula(
    layer: object, name: str, n_bias: int, backward: bool, x_shape: tuple[int, ...], arrays: ArrayBytes
) -> Cost | None:
    """By the weight under this name; None unless it fits the shape of what came in and the size of what came out."""
    weight: Any = _shown(layer, name)
    itemsize = getattr(getattr(weight, "dtype", None), "itemsize", None)
    weights = _shape(weight)
    if not itemsize or len(weights) not in (2, 4) or "complex" in str(weight.dtype):
        return None
    made, rest = divmod(int(arrays.result or 0), itemsize)
    if rest:
        return None
    if len(weights) == 2:
        sides = weights if name == "W" else weights[::-1]  # PyTorch's are (out, in)
        product = _dense(sides, x_shape, made, backward) or _dense(sides[::-1], x_shape, made, backward)
    else:
        product = _convolution(layer, weights, x_shape, made, backward)
    if product is None:
        return None
    n_weights = math.prod(weights)
    first = product.given * itemsize if arrays.first is None else arrays.first
    if backward:  # reads dy, x, W; writes dx, dW, db
        moved = first + itemsize * (2 * product.made + 2 * n_weights + n_bias)
        return Cost(float(moved), float(2 * product.flops + (product.given if n_bias else 0)), KNOWN)
    moved = first + itemsize * (product.made + n_weights + n_bias)
    return Cost(float(moved), float(product.flops + (product.made if n_bias else 0)), KNOWN)


def _dense(sides: tuple[int, ...], shape: tuple[int, ...], made: int, backward: bool) -> _Product | None:
    """Rows of numbers through a matrix of `sides` (in, out); an input of more axes may be flattened, all but one."""
    width, other = sides[::-1] if backward else sides
    if len(shape) > 1 and math.prod(shape[1:]) == width:
        rows = shape[0]
    elif shape and shape[-1] == width:
        rows = math.prod(shape[:-1])
    else:
        return None
    return _Product(2 * rows * width * other, rows * width, made) if made == rows * other else None


def _convolution(
    layer: object, weights: tuple[int, ...], shape: tuple[int, ...], made: int, backward: bool
) -> _Product | None:
    """Filters (M, C / groups, KH, KW) over images (N, C, H, W); a transposed one is none of these."""
    M, C, KH, KW = weights
    groups = _shown(layer, "groups")
    channels = C * groups if isinstance(groups, int) else C
    seen, given = (M, channels) if backward else (channels, M)
    if len(shape) != 4 or shape[1] != seen or _shown(layer, "transposed") or made % max(shape[0] * given, 1):
        return None
    return _Product(2 * C * KH * KW * (math.prod(shape) if backward else made), math.prod(shape), made)


def _shape(array: object) -> tuple[int, ...]:
    """The shape of an array; () for what is none."""
    shape = _shown(array, "shape")
    return tuple(shape) if isinstance(shape, tuple) else ()


def _shown(layer: object, name: str) -> object:
    """An attribute, or None: a property's own trouble is no trouble here."""
    try:
        return getattr(layer, name, None)
    except Exception:
        return None
