"""Arrays of NumPy, CuPy and PyTorch alike: which library's, where, how large, and copies of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any


def array_library(value: object) -> str:
    """The library whose array `value` is: "numpy", "cupy" or "torch"; "" for what is no array."""
    if not hasattr(type(value), "__dlpack__"):
        return ""
    packages = {base.__module__.partition(".")[0] for base in type(value).__mro__}
    return next((name for name in ("cupy", "torch", "numpy") if name in packages), "")


def on_gpu(array: Any) -> bool:
    """Whether an array lives on a GPU."""
    return array_library(array) == "cupy" or getattr(array, "is_cuda", False) is True


def address(array: Any) -> int:
    """Where an array's first element lies in memory."""
    library = array_library(array)
    if library == "torch":
        return int(array.data_ptr())
    return int(array.data.ptr if library == "cupy" else array.ctypes.data)


def size_in_memory(array: Any) -> int:
    """The bytes of an array's distinct elements: a broadcast dimension counts once."""
    strides = array.stride() if array_library(array) == "torch" else array.strides
    lengths = [length for length, stride in zip(array.shape, strides, strict=True) if stride or not length]
    count: int = math.prod(lengths)
    return count * int(array.dtype.itemsize)


def type_name(array: Any) -> str:
    """The name of its elements' type, such as "float32"."""
    return str(array.dtype).removeprefix("torch.")


def arrays_in(value: object, depth: int = 2) -> Iterator[Any]:
    """The arrays in a value: itself, or in the lists, tuples and dicts it is made of."""
    if array_library(value):
        yield value
    elif depth and isinstance(value, (list, tuple, dict)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from arrays_in(part, depth - 1)


def own_bytes(layer: object) -> int:
    """The bytes of what a layer learns, each place in memory once.

    That is each array among its attributes that has a gradient of its shape beside it (W with dW), and the
    parameters of a PyTorch module; not what its layers hold.
    """
    held: dict[str, Any] = getattr(layer, "__dict__", {})
    learned = [array for name, array in held.items() if array_library(array) and _alike(array, held.get(f"d{name}"))]
    learned += [array for array in arrays_in(held.get("_parameters")) if getattr(array, "requires_grad", False)]
    return sum({address(array): size_in_memory(array) for array in learned}.values())


def copies(values: Iterable[object]) -> list[object]:
    """`values` with each array among them copied once, where a copy has the same strides; all else as it is."""
    values = list(values)
    made = {key: _copy(value) for key, value in {id(value): value for value in values}.items()}
    return [made[id(value)] for value in values]


def _alike(array: Any, other: Any) -> bool:
    return bool(array_library(other)) and tuple(other.shape) == tuple(array.shape)


def _copy(value: Any) -> Any:
    """A copy in other memory; the value itself where a copy would differ, and where PyTorch keeps its history."""
    library = array_library(value)
    if library == "torch":
        copy = value if value.requires_grad else value.clone()
        return copy if copy.stride() == value.stride() else value
    if not library:
        return value
    copy = value.copy(order="K")
    return copy if copy.strides == value.strides else value
