"""An optimizer's rule as one kernel for all parameters of a layer, where CuPy would launch one an operation."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable

KERNEL = "optimizer_step"


@functools.cache
def rule_text(rule: Callable[..., None], slots: int, body: str, count: int) -> str:
    """The kernel that does what `rule` says to `count` parameters, which may differ in size.

    `body` says the same as `rule` in CUDA C++, in its names; p and what is kept in so many `slots` change in place.
    The kernel takes, for each parameter, how many numbers it has, and the arrays as `rule` takes them; then the
    numbers that follow them.
    """
    names = list(inspect.signature(rule).parameters)
    arrays, numbers = names[: 2 + slots], names[2 + slots :]
    changed = [name for name in arrays if name != arrays[1]]
    given, parts = [], []
    for i in range(count):
        given += [f"int size{i}", *(f"{'' if name in changed else 'const '}float* {name}{i}" for name in arrays)]
        parts += [
            f"  if (e < size{i}) {{",
            f"    float {', '.join(f'{name} = {name}{i}[e]' for name in arrays)};",
            f"    {body};",
            f"    {' '.join(f'{name}{i}[e] = {name};' for name in changed)}",
            "    return;",
            "  }",
            f"  e -= size{i};",
        ]
    given += [f"float {name}" for name in numbers]
    head = f'extern "C" __global__ void {KERNEL}({", ".join(given)}) {{'
    return "\n".join([head, "  int e = blockIdx.x * blockDim.x + threadIdx.x;", *parts, "}", ""])
