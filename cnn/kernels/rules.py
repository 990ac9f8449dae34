"""An optimizer's rule as one kernel, where CuPy would launch one an operation."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from cnn.xp import array_module


@functools.cache
def fused(rule: Callable[..., None], slots: int, body: str) -> Callable[..., None]:
    """What does on the GPU what `rule` says, for arguments as it takes them.

    `body` says the same as `rule` in CUDA C++, in its names; p and what is kept in so many `slots` change in place.
    """
    p, g, *names = inspect.signature(rule).parameters
    changed, given = [p, *names[:slots]], [g, *names[slots:]]
    declared = (", ".join(f"T {name}" for name in part) for part in (given, changed))
    kernel = array_module("gpu").ElementwiseKernel(*declared, body, f"cnn_{rule.__qualname__.replace('.', '_')}")

    def run(p: Any, g: Any, *rest: Any) -> None:
        kernel(g, *rest[slots:], p, *rest[:slots])

    return run
