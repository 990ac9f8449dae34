"""Everything that a model's next step depends on in one .npz file, and back; no pickle.

Keys: "Conv1/W" a parameter, "BatchNorm1/mean" a running statistic, "Dropout1/seed" a seed, "Conv1/Adam/t" its
optimizer's step count, "Conv1/Adam/m/W" one of its slots (absent before the first step), "Conv1/Eve/d" one of its
numbers; "steps", "epochs" and "rng" (of the order of images) are the model's, "version" the file's.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cnn.layers import Layer
from cnn.optimizers import Optimizer
from cnn.xp import Array, Shape, get_array_module, is_array, to_cpu

VERSION = 1  # of the keys and what they mean


@dataclass(frozen=True)
class Place:
    """Where something of a model belongs: what is there now, and what puts another value, an array, there."""

    now: Any
    put: Callable[[Array], None]
    counts: bool = False  # whether it holds whole numbers of 0 or more


def number_of(owner: Any, name: str) -> Place:
    """The place of a number, of a kind that stays."""
    now = getattr(owner, name)
    return Place(now, lambda value: setattr(owner, name, type(now)(value)), counts=isinstance(now, int))


def stream_of(rng: np.random.Generator) -> Place:
    """The place of the state of `numpy.random.default_rng`'s PCG64: two numbers of 128 bits, and half a draw kept.

    ValueError for a generator of another kind, which somebody gave as a seed.
    """
    bits: Any = rng.bit_generator
    if type(bits).__name__ != "PCG64":
        raise ValueError(
            f"the model's seed is a generator of {type(bits).__name__}, whose state a file does not hold; make the "
            "model with a number or with numpy.random.default_rng(number) as its seed"
        )
    kept = bits.state
    wide = [part for key in ("state", "inc") for part in divmod(kept["state"][key], 2**64)]

    def put(value: Array) -> None:
        high, low, inc_high, inc_low, has, half = (int(each) for each in value)
        state = {"state": (high << 64) + low, "inc": (inc_high << 64) + inc_low}
        bits.state = kept | {"state": state, "has_uint32": has % 2, "uinteger": half % 2**32}

    return Place(np.array([*wide, kept["has_uint32"], kept["uinteger"]], dtype="uint64"), put, counts=True)


def save(path: str | Path, layers: Sequence[Layer], own: Mapping[str, Place]) -> None:
    """Write what is in the layers, and in `own`, the model's; the file appears complete or not at all.

    Raises:
        ValueError: two layers of one name, which would share a place in the file.
        FileNotFoundError: no such folder.
    """
    target = Path(path)
    _check_names(layers)
    _check_target(target)
    places = {**own, **dict(_places(layers))}
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            np.savez(file, version=VERSION, **{key: to_cpu(place.now) for key, place in places.items()})
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def load(path: str | Path, layers: Sequence[Layer], own: Mapping[str, Place]) -> None:
    """Put what `save` wrote into the layers and into `own`; on any misfit nothing is changed.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not such a file, or one of a model with other names, shapes or optimizers.
    """
    _check_names(layers)
    found = _read(Path(path))
    _check_version(path, found.pop("version", None))
    places = {**own, **dict(_places(layers, found))}
    shapes = {key: value.shape for key, value in found.items()}
    expected = {key: tuple(np.shape(place.now)) for key, place in places.items()}
    if shapes != expected:
        raise ValueError(f"{path} does not fit this model: {_difference(expected, shapes)}")
    for key, place in places.items():
        _check_content(path, key, found[key], place)
    for key, place in places.items():
        place.put(found[key])


def _places(layers: Sequence[Layer], found: Mapping[str, Array] | None = None) -> Iterator[tuple[str, Place]]:
    """Those of all layers by their keys; slots are as the layers have them, or as a file that was `found` has."""
    for layer in layers:
        for name in (*layer.parameter_names, *layer.statistic_names):
            value = getattr(layer, name)
            yield f"{layer.name}/{name}", Place(value, partial(_fill, value))
        for name in layer.seed_names:
            yield f"{layer.name}/{name}", number_of(layer, name)
        if layer.optimizer is not None:
            yield from _places_of_optimizer(layer, layer.optimizer, found)


def _places_of_optimizer(
    layer: Layer, optimizer: Optimizer, found: Mapping[str, Array] | None
) -> Iterator[tuple[str, Place]]:
    key, stepper = f"{layer.name}/{optimizer.title}", optimizer.stepper
    yield f"{key}/t", Place(stepper.t, partial(_begin, stepper), counts=True)
    for name in stepper.numbers:
        yield f"{key}/{name}", number_of(stepper, name)
    stepped = stepper.t if found is None else np.any(found.get(f"{key}/t", np.ones(1)) != 0)
    for slot in stepper.slots if stepped else ():
        for i, name in enumerate(layer.parameter_names):
            parameter = getattr(layer, name)
            now = stepper.state[slot][i] if found is None else parameter
            yield f"{key}/{slot}/{name}", Place(now, partial(_append, stepper, slot, parameter))


def _begin(optimizer: Optimizer, t: Array) -> None:
    """Stand after step `t`, with no state yet."""
    optimizer.begin()
    optimizer.t = int(t)


def _append(optimizer: Optimizer, slot: str, parameter: Array, value: Array) -> None:
    """Put `value` beside the next parameter, on its device and in its dtype."""
    beside = get_array_module(parameter).asarray(value, dtype=parameter.dtype)
    optimizer.state.setdefault(slot, []).append(beside)


def _fill(array: Array, value: Array) -> None:
    array[...] = get_array_module(array).asarray(value, dtype=array.dtype)


def _check_version(path: str | Path, version: Array | None) -> None:
    if version is None or version.shape or version.dtype.kind not in "iu":
        raise ValueError(f"{path} is not a file that LayerManager.save wrote: it says no version")
    if version != VERSION:
        raise ValueError(f"{path} is of version {version}; this cnn reads version {VERSION}: use the cnn that wrote it")


def _check_content(path: str | Path, key: str, value: Array, place: Place) -> None:
    if place.counts and not (value.dtype.kind in "iu" and bool((value >= 0).all())):
        raise ValueError(f"{path} is damaged: {key} is {value}; expected whole numbers of 0 or more")
    if value.dtype.kind not in "fiu":
        raise ValueError(f"{path} is damaged: {key} holds {value.dtype}; expected numbers")
    if is_array(place.now):
        with np.errstate(over="ignore"):
            if not np.array_equal(np.isfinite(value), np.isfinite(value.astype(place.now.dtype))):
                raise ValueError(f"{path} does not fit this model: {key} holds numbers too large for {place.now.dtype}")


def _check_names(layers: Sequence[Layer]) -> None:
    for name, count in Counter(layer.name for layer in layers).items():
        if count > 1:
            raise ValueError(
                f"{count} layers are called {name!r}, and a file holds one of each name: give each a name of its own, "
                "and put a copy.deepcopy into a second model"
            )


def _check_target(target: Path) -> None:
    if target.is_dir():
        raise IsADirectoryError(f"{target} is a folder; add the name of a file, such as model.npz")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {target.parent} to save {target.name} in; make it first")


def _difference(expected: Mapping[str, Shape], shapes: Mapping[str, Shape]) -> str:
    """The first thing that differs, in words."""
    for key, shape in expected.items():
        if key not in shapes:
            return f"it lacks {key} of shape {shape}; it holds {', '.join(shapes) or 'nothing'}"
        if shapes[key] != shape:
            return f"{key} has shape {shapes[key]} in the file and {shape} in the model"
    return f"it holds {', '.join(key for key in shapes if key not in expected)}, which the model lacks"


def _read(path: Path) -> dict[str, Array]:
    if path.is_dir():
        raise ValueError(f"{path} is a folder; expected a file that LayerManager.save wrote")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            content = {key: arrays[key] for key in arrays.files}
    except FileNotFoundError:
        raise
    except Exception as error:  # whatever zipfile, zlib and NumPy make of bytes that are no such file
        raise ValueError(f"{path} is not a file that LayerManager.save wrote, or it is damaged: {error}") from error
    for key, value in content.items():
        if not isinstance(value, np.ndarray) or value.dtype.kind == "V":  # bytes are what else lies in a zip file
            raise ValueError(f"{path} is not a file that LayerManager.save wrote: its {key} is no array of numbers")
    return content
