"""Small models whose layers spend time on a fake clock; a decorator; the one way in which a bad file is refused."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpuprof.testing import FakeClock

PHASES = ("forward", "backward", "update")


class FakeLayer:
    """A layer that takes `host` seconds of the host and queues `device` seconds of work, a phase."""

    def __init__(self, name: str, clock: FakeClock, host: float = 1e-3, device: float = 0.0) -> None:
        self.name = name
        self.clock = clock
        self.host = dict.fromkeys(PHASES, host)
        self.device = dict.fromkeys(PHASES, device)

    def _work(self, phase: str) -> None:
        self.clock.spend(self.host[phase])
        if self.device[phase]:
            self.clock.launch(self.device[phase])

    def forward(self, x: object, train: bool = False) -> object:
        self._work("forward")
        return x

    def backward(self, dy: object) -> object:
        self._work("backward")
        return dy

    def update(self) -> None:
        self._work("update")


class FakeModel:
    """Layers, and the loop that trains them."""

    def __init__(self, clock: FakeClock, *names: str, host: float = 1e-3, device: float = 0.0) -> None:
        self.clock = clock
        self.layers = [FakeLayer(name, clock, host, device) for name in names or ("A", "B", "C")]

    def train(self, steps: int, between: float = 0.0) -> None:
        for _ in range(steps):
            for layer in self.layers:
                layer.forward(0, train=True)
            for layer in reversed(self.layers):
                layer.backward(0)
            for layer in self.layers:
                layer.update()
            self.clock.spend(between)

    def evaluate(self) -> None:
        for layer in self.layers:
            layer.forward(0, train=False)


def plainly(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function under a decorator that does nothing."""

    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        return function(*args)

    return wrapper


def check_refused(result: Any, path: Path, text: str, says: str) -> None:
    """A file with this text is no `result`, such as Timing: `load` raises a ValueError that says so."""
    path.write_text(text)
    with pytest.raises(ValueError, match=says):
        result.load(path)
