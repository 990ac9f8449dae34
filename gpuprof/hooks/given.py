"""What the first call of each method is given: shapes and plain values, from which such a call can be made again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from gpuprof.arrays import array_library

_PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic)
_RANDOM = "fcV"  # kinds of types that get random values; "V" is how NumPy knows bfloat16


class NotRepeatableError(ValueError):
    """A call cannot be made again; the text says why."""


class Shaped(NamedTuple):
    """An array, without its values."""

    library: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    axes: tuple[int, ...]
    """The axes in the order in which they lie in memory, the last one closest."""


class Given(NamedTuple):
    """What a call is given, with a `Shaped` for each array; `why` says why it cannot be given again, if so."""

    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}  # noqa: RUF012 - nobody writes to it
    why: str = ""

    def reshaped(self, shape: tuple[int, ...] | None) -> Given:
        """The same with a first argument of another shape, where it is an array of as many dimensions."""
        first = self.args[0] if self.args else None
        if not isinstance(first, Shaped) or shape is None or len(shape) != len(first.shape):
            return self
        return self._replace(args=(first._replace(shape=shape), *self.args[1:]))

    def saying(self, name: str, position: int, value: object) -> Given:
        """The same with another value for one argument, given where the call gave it, else by its name."""
        if len(self.args) > position:
            return self._replace(args=(*self.args[:position], value, *self.args[position + 1 :]))
        return self._replace(kwargs={**self.kwargs, name: value})

    def stand_ins(self, put: Callable[[Any], Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments for a call: arrays of made-up values; `put` takes a NumPy array's to the device.

        Random numbers between 0 and 1, and zeros for whole numbers, which may index something.
        """
        args: tuple[Any, ...] = _mapped(self.args, lambda shaped: _made(shaped, put))
        kwargs: dict[str, Any] = _mapped(self.kwargs, lambda shaped: _made(shaped, put))
        return args, kwargs


class FirstCalls:
    """Notes what the first call of each method is given, and nothing of any later one; no array is kept."""

    def __init__(self) -> None:
        self.given: dict[int, Given] = {}
        """By the method's scope."""

    def watch(self, methods: Iterable[Any]) -> None:
        """Note it of each `TimedMethod`: its first call goes through its `method`, which is put back then."""
        for taped in methods:
            self._watch(taped)

    def _watch(self, taped: Any) -> None:
        method = taped.method

        def noting(*args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            vars(taped)["method"] = method
            self.given[taped.scope] = given(args, kwargs)
            return method(*args, **kwargs)

        vars(taped)["method"] = noting


def given(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Given:
    """What a call is given, as far as it can be given again."""
    try:
        found = [_noted(value, f"argument {place}") for place, value in enumerate(args, start=1)]
        named = {name: _noted(value, f"{name}=") for name, value in kwargs.items()}
    except NotRepeatableError as error:
        return Given(why=str(error))
    except Exception as error:  # an odd object's own trouble; the user's call goes on
        return Given(why=f"its arguments could not be looked at: {type(error).__name__}: {error}")
    return Given(tuple(found), named)


def _noted(value: Any, name: str) -> Any:
    """A plain value, or what stands for an array; in lists, tuples and dicts, too. Raises NotRepeatableError."""
    if isinstance(value, _PLAIN):
        return value
    if type(value) in (list, tuple):
        return type(value)(_noted(each, name) for each in value)
    if type(value) is dict:
        return {key: _noted(each, name) for key, each in value.items()}
    library = array_library(value)
    if library not in ("cupy", "numpy"):
        raise NotRepeatableError(
            f"{name} is a {type(value).__name__}: only arrays and plain values can be made up for another call"
        )
    return Shaped(library, tuple(value.shape), np.dtype(value.dtype), _axes(value))


def _axes(array: Any) -> tuple[int, ...]:
    """The axes as they lie in memory; in their own order where an array leaves gaps or repeats itself."""
    own = tuple(range(array.ndim))
    axes = tuple(sorted(own, key=lambda axis: -array.strides[axis]))
    dense = array.dtype.itemsize
    for axis in reversed(axes):
        if array.shape[axis] != 1 and array.strides[axis] != dense:
            return own
        dense *= array.shape[axis]
    return axes


def _made(shaped: Shaped, put: Callable[[Any], Any]) -> Any:
    lying = [shaped.shape[axis] for axis in shaped.axes]
    if shaped.dtype.kind in _RANDOM:
        values = np.random.default_rng(0).random(lying, dtype=np.float32).astype(shaped.dtype)
    else:
        values = np.zeros(lying, dtype=shaped.dtype)
    array = put(values) if shaped.library == "cupy" else values
    return array.transpose([shaped.axes.index(axis) for axis in range(len(lying))])


def _mapped(value: Any, make: Callable[[Shaped], Any]) -> Any:
    """`value` with what `make` makes in place of each `Shaped`."""
    if isinstance(value, Shaped):
        return make(value)
    if type(value) in (list, tuple):
        return type(value)(_mapped(each, make) for each in value)
    return {key: _mapped(each, make) for key, each in value.items()} if type(value) is dict else value
