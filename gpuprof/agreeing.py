"""Do two models compute the same? Outputs of a step, and each layer's gradients after it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from gpuprof.arrays import array_library, arrays_in
from gpuprof.hooks.methods import find_layers
from gpuprof.results.profilecomparison import Agreement
from gpuprof.values import apart

Arrays = dict[tuple[str, str], Any]


def agreements(first: object, second: object, step: Callable[[Any], Any]) -> tuple[Agreement, ...]:
    """Parameters before, and outputs and gradients after one step of each; those that both have.

    A gradient is an array `dW` beside an array `W` of its shape, or a PyTorch parameter's `grad`. Where parameters
    differ at the beginning, only these are returned: nothing else could agree. Raises what the step raises.
    """
    before = list(_compared(_parameters(first), _parameters(second)))
    if any(not each.agrees for each in before):
        return tuple(before)
    outputs = [_outputs(step(model)) for model in (first, second)]
    gradients = [_gradients(model) for model in (first, second)]
    return (*_compared(*outputs), *_compared(*gradients))


def _compared(first: Arrays, second: Arrays) -> Iterator[Agreement]:
    for path, what in first:
        if (path, what) in second:
            yield Agreement(path, what, *apart(first[path, what], second[path, what]))
    for key in first.keys() ^ second.keys():
        if key[0] == "output":
            yield Agreement(*key, math.inf, 0.0)


def _outputs(value: object) -> Arrays:
    """Copies, for the next step may write into the same arrays; a number, such as a loss, is an array of one."""
    found = [np.asarray(value)] if isinstance(value, (int, float, np.generic)) else list(map(_copy, arrays_in(value)))
    return {("output", str(i) if i else ""): array for i, array in enumerate(found)}


def _parameters(model: object) -> Arrays:
    return {(path, name): array for path, name, array, _ in _learned(model)}


def _gradients(model: object) -> Arrays:
    return {(path, f"d{name}"): gradient for path, name, _, gradient in _learned(model) if gradient is not None}


def _learned(model: object) -> Iterator[tuple[str, str, Any, Any]]:
    """Path, name, array and gradient of what each layer learns; before the first step it may have no gradient."""
    for path, layer in find_layers(model):
        if hasattr(layer, "named_parameters"):
            yield from ((path, name, array, array.grad) for name, array in layer.named_parameters(recurse=False))
            continue
        held = getattr(layer, "__dict__", {})
        for name, array in held.items():
            gradient = held.get(f"d{name}")
            if array_library(array) and f"d{name}" in held:
                yield path, name, array, gradient if array_library(gradient) else None


def _copy(array: Any) -> Any:
    return array.detach().clone() if array_library(array) == "torch" else array.copy()
