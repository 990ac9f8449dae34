"""`hooked`, which puts a hook on one layer or a whole model."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

PHASES = ("forward", "backward", "update")


@contextmanager
def hooked(target: Any, hook: Any) -> Iterator[Any]:
    """Within the `with`, `hook` sees each forward, backward and update of a layer, a list of them or a model.

    A hook is any object with `before(layer, phase)`, `after(layer, phase)` or both; phases are
    "forward", "backward" and "update". `after` is called also when the layer raises. The methods are
    shadowed on the instances and come off at the end, error or not; without a hook nothing is paid.

        class Count:
            def __init__(self): self.calls = collections.Counter()
            def before(self, layer, phase): self.calls[layer.name, phase] += 1

        with hooked(lm, Count()) as count:
            lm.training(1)

    Raises:
        TypeError: `hook` has neither method, or `target` is nothing to put it on.
    """
    before, after = getattr(hook, "before", _nothing), getattr(hook, "after", _nothing)
    if before is _nothing and after is _nothing:
        raise TypeError(f"{hook!r} is no hook: expected an object with before(layer, phase) or after(layer, phase)")
    layers = getattr(target, "layers", target if isinstance(target, (list, tuple)) else [target])
    if not all(hasattr(layer, phase) for layer in layers for phase in PHASES):
        raise TypeError(
            f"{target!r} is no layer, list of layers or model: expected {', '.join(PHASES)} to put a hook on"
        )
    with ExitStack() as stack:
        for layer in layers:
            for phase in PHASES:
                stack.enter_context(_shadowed(layer, phase, before, after))
        yield hook


@contextmanager
def _shadowed(layer: Any, phase: str, before: Callable[..., Any], after: Callable[..., Any]) -> Iterator[None]:
    original = getattr(layer, phase)
    own = vars(layer).get(phase)  # somebody else's shadow, if there is one: it goes back as it was

    @functools.wraps(original)
    def call(*args: Any, **keywords: Any) -> Any:
        before(layer, phase)
        try:
            return original(*args, **keywords)
        finally:
            after(layer, phase)

    setattr(layer, phase, call)
    try:
        yield
    finally:
        if vars(layer).get(phase) is call:  # else somebody has taken it off, or put something over it
            del vars(layer)[phase]
            if own is not None:
                setattr(layer, phase, own)


def _nothing(layer: Any, phase: str) -> None:
    """What a hook without one of its two methods does there."""
