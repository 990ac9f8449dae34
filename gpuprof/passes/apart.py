"""Copies of layers that share nothing with the layers: what is done with them, the user's never notice.

`copy.deepcopy` does most of it. What it would share, or copy in a way that does harm, is looked for first, and then
the layer is not copied: closures and weak references that reach back, objects that free something when they go,
CuPy's handles. What code reaches by other ways (globals, attributes of classes) is the user's own in a copy, too.
"""

from __future__ import annotations

import copy
import gc
import threading
import weakref
from collections.abc import Iterable, Mapping, Sequence
from types import (
    BuiltinFunctionType,
    CodeType,
    FrameType,
    FunctionType,
    GetSetDescriptorType,
    MappingProxyType,
    ModuleType,
)
from typing import Any

import numpy as np

from gpuprof.arrays import address, array_library, size_in_memory

_MOST = 100_000  # objects that a layer may hold
_LEAF = (str, bytes, int, float, complex, bool, type(None), np.generic, np.dtype, np.ufunc, CodeType, FrameType)
_SKIPPED = (*_LEAF, type, ModuleType, MappingProxyType, GetSetDescriptorType)
_LOCKS: dict[type, Any] = {type(make()): make for make in (threading.Lock, threading.RLock)}
_WEAK: tuple[Any, ...] = (weakref.ref, weakref.WeakMethod, *weakref.ProxyTypes)
_KERNELS = ("Device", "ElementwiseKernel", "Function", "Fusion", "Module", "RawKernel", "RawModule", "ReductionKernel")
_SHARED = frozenset((*_KERNELS, "ufunc", "vectorize"))
_COPIED = frozenset(("Generator", "MRG32k3a", "Philox4x3210", "XORWOW"))
"""CuPy's classes whose objects a copy may share, as they hold no state, and those that can be copied."""


class NotCopyableError(ValueError):
    """A layer cannot be copied so that it shares nothing; the text says why."""


def held(layer: Any) -> list[Any]:
    """All that a copy of `layer` copies: the layer, and what it holds. Raises NotCopyableError."""
    found = reachable([layer])
    if len(found) > _MOST:
        raise NotCopyableError(f"it holds more than {_MOST} objects")
    for thing in found:
        _refuse(thing)
    return found


def reachable(things: Iterable[Any]) -> list[Any]:
    """`things` and what they hold, each once; not what functions keep. It ends where there are too many."""
    found: list[Any] = []
    seen: set[int] = set()
    ahead = list(things)
    while ahead and len(found) <= _MOST:
        thing = ahead.pop()
        if id(thing) in seen or issubclass(type(thing), _SKIPPED):
            continue
        seen.add(id(thing))
        found.append(thing)
        if not is_array(thing) and not _is_shared(thing) and type(thing) is not FunctionType:
            ahead += gc.get_referents(thing)
    return found


def copied(layers: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """A copy of each layer by its path, and why the others have none; what layers share, their copies share."""
    whole: dict[str, list[Any]] = {}
    refused: dict[str, str] = {}
    for path, layer in layers.items():
        try:
            whole[path] = held(layer)
        except NotCopyableError as error:
            refused[path] = str(error)
    while whole:
        memo = _memo({id(thing): thing for things in whole.values() for thing in things}.values())
        made: dict[str, Any] = {}
        for path in whole:
            try:
                made[path] = copy.deepcopy(layers[path], memo)
            except Exception as error:  # a half made part of it may be in the memo: the others begin anew
                refused[path] = f"it cannot be copied: {type(error).__name__}: {error}"
                break
        else:
            return made, refused
        del whole[path]
    return {}, refused


def device_bytes(layers: Iterable[Any]) -> int:
    """The bytes of the arrays on a GPU that the layers hold; of a layer that cannot be copied none."""
    found: dict[int, Any] = {}
    for layer in layers:
        try:
            found |= {id(thing): thing for thing in held(layer) if is_array(thing) and array_library(thing) == "cupy"}
        except NotCopyableError:
            continue
    return sum(size_in_memory(array) for array in found.values())


def _refuse(thing: Any) -> None:
    """NotCopyableError for what a copy would share, or harm."""
    kind = type(thing)
    if issubclass(kind, _WEAK):
        raise NotCopyableError("it holds a weak reference, by which a copy would reach what the original does")
    if hasattr(kind, "__del__"):
        raise NotCopyableError(
            f"it holds a {kind.__name__}, which cleans up when it goes: a copy would clean up the original's"
        )
    if issubclass(kind, BuiltinFunctionType) and not isinstance(thing.__self__, (ModuleType, type, type(None))):
        raise NotCopyableError(f"it holds {thing.__name__} of a {type(thing.__self__).__name__}, which a copy shares")
    if kind is FunctionType and (name := _reached_by(thing)):
        raise NotCopyableError(f"it holds the function {thing.__qualname__}, which keeps {name}: a copy would share it")
    package = kind.__module__.partition(".")[0]
    if package not in ("cupy", "cupyx", "cupy_backends") or is_array(thing) or _is_shared(thing):
        return
    if kind.__name__ not in _COPIED and not kind.__module__.startswith("cupyx.scipy.sparse"):
        raise NotCopyableError(f"it holds a {kind.__module__}.{kind.__name__}, which cannot be copied safely")


def _reached_by(function: FunctionType) -> str:
    """What a function keeps that can change: a name of its closure, or a default; "" for nothing."""
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    kept = {name: cell.cell_contents for name, cell in cells if _filled(cell)}
    kept |= {f"the default {value!r:.40}": value for value in function.__defaults__ or ()}
    kept |= function.__kwdefaults__ or {}
    return next((name for name, value in kept.items() if _changes(value, 3)), "")


def _filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - asked for its error
    except ValueError:
        return False
    return True


def _changes(value: Any, depth: int) -> bool:
    """Whether what a function keeps may be changed by calling it, or is an array."""
    if issubclass(type(value), _SKIPPED) or _is_shared(value):
        return False
    if type(value) is FunctionType and depth:
        return bool(_reached_by(value))
    if type(value) is tuple and depth:
        return any(_changes(each, depth - 1) for each in value)
    return not (issubclass(type(value), BuiltinFunctionType) and isinstance(value.__self__, (ModuleType, type(None))))


def is_array(thing: Any) -> bool:
    """Whether it is an array of CuPy's or NumPy's, and not of a class derived from theirs."""
    return type(thing).__name__ == "ndarray" and array_library(thing) in ("cupy", "numpy")


def _is_shared(thing: Any) -> bool:
    kind = type(thing)
    return kind.__module__.partition(".")[0] == "cupy" and kind.__name__ in _SHARED


def _memo(things: Iterable[Any]) -> dict[int, Any]:
    """What `copy.deepcopy` is to take for some of them: kernels themselves, new locks, and copies of arrays."""
    things = list(things)
    memo: dict[int, Any] = {id(thing): thing for thing in things if _is_shared(thing)}
    memo |= {id(thing): _LOCKS[type(thing)]() for thing in things if type(thing) in _LOCKS}
    return memo | _array_copies([thing for thing in things if is_array(thing) and thing.dtype.kind != "O"])


def _array_copies(arrays: Sequence[Any]) -> dict[int, Any]:
    """A copy of each array by its id, lying in memory as it does; views of one array are views of one copy.

    Except where they are but a small part of it, such as a batch of all the data.
    """
    groups: dict[int, list[Any]] = {}
    for array in arrays:
        groups.setdefault(id(_root(array)), []).append(array)
    made: dict[int, Any] = {}
    for views in groups.values():
        root = _root(views[0])
        memory = _memory_of_copy(root) if 2 * sum(map(size_in_memory, views)) >= size_in_memory(root) else None
        for view in views:
            apart = memory is None
            made[id(view)] = view.copy(order="K") if apart else _view(memory, address(view) - address(root), view)
    return made


def _root(array: Any) -> Any:
    """The array whose memory an array shows a part of; itself, where it has its own or somebody else's."""
    base = array.base
    while base is not None and is_array(base) and base.base is not None:
        base = base.base
    return base if base is not None and is_array(base) and array_library(base) == array_library(array) else array


def _memory_of_copy(root: Any) -> Any:
    """The memory of a copy of an array, where the copy lies in it as the array does; else None."""
    whole = root.copy(order="K")
    if whole.strides != root.strides or not whole.size:
        return None
    if array_library(whole) == "cupy":
        return whole.data
    flat = whole.ravel(order="K")
    return flat if np.may_share_memory(flat, whole) else None


def _view(memory: Any, offset: int, like: Any) -> Any:
    """An array like `like` at an offset into a copy's memory."""
    if array_library(like) == "cupy":
        return type(like)(like.shape, like.dtype, memptr=memory + offset, strides=like.strides)
    return np.ndarray(like.shape, like.dtype, buffer=memory, offset=offset, strides=like.strides)
