"""Weights and optimizer states in one .npz file, and back; no pickle.

Keys: "Conv1/W" a parameter, "Conv1/Adam/t" its optimizer's step count, "Conv1/Adam/m/W" one of
its slots (absent before the first step), "steps" the model's step count.
"""

from __future__ import annotations

import os
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from cnn.layers import Layer
from cnn.xp import Array, Shape, get_array_module, to_cpu


def save(path: str | Path, layers: Sequence[Layer], steps: int) -> None:
    """Write parameters, optimizer states and step counts; the file appears complete or not at all.

    Raises:
        ValueError: two layers of one name, which would share a place in the file.
        FileNotFoundError: no such folder.
    """
    target = Path(path)
    _check_names(layers)
    _check_target(target)
    arrays = {"steps": np.array(steps)}
    for layer, optimizer in _learning(layers):
        arrays[f"{optimizer}/t"] = np.array(layer.optimizer.t if layer.optimizer else 0)
        for i, name in enumerate(layer.parameter_names):
            arrays[f"{layer.name}/{name}"] = to_cpu(getattr(layer, name))
            for slot, states in (layer.optimizer.state if layer.optimizer else {}).items():
                arrays[f"{optimizer}/{slot}/{name}"] = to_cpu(states[i])
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def load(path: str | Path, layers: Sequence[Layer]) -> int:
    """Read what `save` wrote into `layers`, and return the step count; on any misfit nothing is changed.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not such a file, or one of a model with other names, shapes or optimizers.
    """
    _check_names(layers)
    found = _read(Path(path))
    shapes, expected = {key: value.shape for key, value in found.items()}, _expected(layers, found)
    if shapes != expected:
        raise ValueError(f"{path} does not fit this model: {_difference(expected, shapes)}")
    for layer, optimizer in _learning(layers):
        for name in layer.parameter_names:
            getattr(layer, name)[...] = _beside(getattr(layer, name), found[f"{layer.name}/{name}"])
        _load_optimizer(layer, optimizer, found)
    return int(found["steps"])


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


def _learning(layers: Sequence[Layer]) -> Iterator[tuple[Layer, str]]:
    """Each layer that learns, with the key of its optimizer."""
    for layer in layers:
        if layer.optimizer is not None:
            yield layer, f"{layer.name}/{type(layer.optimizer).__name__}"


def _load_optimizer(layer: Layer, key: str, found: Mapping[str, Array]) -> None:
    if layer.optimizer is None:
        return
    layer.optimizer.t = int(found[f"{key}/t"])
    layer.optimizer.state = {
        slot: [_beside(getattr(layer, name), found[f"{key}/{slot}/{name}"]) for name in layer.parameter_names]
        for slot in (layer.optimizer.slots if layer.optimizer.t else ())
    }


def _expected(layers: Sequence[Layer], found: Mapping[str, Array]) -> dict[str, Shape]:
    shapes: dict[str, Shape] = {"steps": ()}
    for layer, optimizer in _learning(layers):
        shapes[f"{optimizer}/t"] = ()
        stepped = bool(np.any(found.get(f"{optimizer}/t", 1)))
        for name in layer.parameter_names:
            shapes[f"{layer.name}/{name}"] = shape = getattr(layer, name).shape
            for slot in layer.optimizer.slots if layer.optimizer and stepped else ():
                shapes[f"{optimizer}/{slot}/{name}"] = shape
    return shapes


def _difference(expected: Mapping[str, Shape], shapes: Mapping[str, Shape]) -> str:
    """The first thing that differs, in words."""
    for key, shape in expected.items():
        if key not in shapes:
            return f"it lacks {key} of shape {shape}; it holds {', '.join(shapes) or 'nothing'}"
        if shapes[key] != shape:
            return f"{key} has shape {shapes[key]} in the file and {shape} in the model"
    return f"it holds {', '.join(key for key in shapes if key not in expected)}, which the model lacks"


def _beside(old: Array, new: Array) -> Array:
    """`new` with the dtype of `old`, on its device."""
    return get_array_module(old).asarray(new, dtype=old.dtype)


def _read(path: Path) -> dict[str, Array]:
    if path.is_dir():
        raise ValueError(f"{path} is a folder; expected a file that LayerManager.save wrote")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}
    except FileNotFoundError:
        raise
    except (ValueError, OSError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not a file that LayerManager.save wrote, or it is damaged: {error}") from error
