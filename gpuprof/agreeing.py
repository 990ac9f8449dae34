"""Do two models compute the same? Outputs of a step, and each layer's gradients after it."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from gpuprof.arrays import array_library, arrays_in
from gpuprof.hooks.methods import find_layers
from gpuprof.passes.stepcalls import host_draws_kept
from gpuprof.results.profilecomparison import Agreement
from gpuprof.values import apart

Arrays = dict[tuple[str, str], Any]


def agreements(first: object, second: object, step: Callable[[Any], Any]) -> tuple[Agreement, ...]:
    """Parameters before, and outputs and gradients after one step of each; those that both have.

    A gradient is an array `dW` beside an array `W` of its shape, or a PyTorch parameter's `grad`. Both steps draw the
    same of the global random numbers of Python, NumPy and PyTorch (dropout). Where parameters differ at the beginning,
    only these are returned: nothing else could agree. Raises what the step raises.
    """
    before = list(_compared(_parameters(first), _parameters(second)))
    if any(not each.agrees for each in before):
        return tuple(before)
    with host_draws_kept(), _torchs_draws_kept():
        outputs = [_outputs(step(first))]
    outputs.append(_outputs(step(second)))
    gradients = [_gradients(model) for model in (first, second)]
    return (*_compared(*outputs), *_compared(*gradients))


@contextmanager
def _torchs_draws_kept() -> Iterator[None]:
    """Afterwards PyTorch's global random numbers, on all its devices, go on as if nothing had been drawn inside."""
    torch: Any = sys.modules.get("torch")
    if torch is None:
        yield
        return
    host, devices = torch.get_rng_state(), torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    try:
        yield
    finally:
        torch.set_rng_state(host)
        if devices is not None:
            torch.cuda.set_rng_state_all(devices)


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
    return {(path, name): array for path, name, array, *_ in _learned(model)}


def _gradients(model: object) -> Arrays:
    return {(path, what): gradient for path, _, _, what, gradient in _learned(model) if gradient is not None}


def _learned(model: object) -> Iterator[tuple[str, str, Any, str, Any]]:
    """Path, name, array, and the gradient's name and array, of what each layer learns; None before the first step."""
    for path, layer in find_layers(model):
        if hasattr(layer, "named_parameters"):
            for name, array in layer.named_parameters(recurse=False):
                yield path, name, array, f"{name}.grad", array.grad
            continue
        held = getattr(layer, "__dict__", {})
        for name, array in held.items():
            gradient = held.get(f"d{name}")
            if array_library(array) and f"d{name}" in held:
                yield path, name, array, f"d{name}", gradient if array_library(gradient) else None


def _copy(array: Any) -> Any:
    return array.detach().clone() if array_library(array) == "torch" else array.copy()
