"""A capturer on a fake clock: a graph takes the device's time of what was launched; and a net to be captured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from gpuprof.record.graphs import NotCapturableError, reason
from gpuprof.testing import FakeClock

GRAPH = 5e-6
"""What a graph's launch takes, seconds."""
HOST, DEVICE, LAUNCH = 40e-6, 4e-6, 10e-6
"""What a layer's call takes: of the host, of the device, and a launch of the host."""


class FakeGraph:
    """So many launches, so long."""

    def __init__(self, lengths: list[float]) -> None:
        self.lengths = lengths
        self.launches: int | None = len(lengths)


class FakeCapturer:
    """Captures `clock.launch`; a wait of the clock inside raises, as CUDA's does."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.let_through = 0
        self.free = 1 << 30
        self.inside = False
        self.did: list[str] = []
        """What was asked of it, in order."""

    def room(self) -> int:
        return self.free

    @contextmanager
    def apart(self) -> Iterator[None]:
        assert not self.inside
        self.inside = True
        try:
            yield
        finally:
            self.inside = False

    def put(self, values: Any) -> Any:
        return values

    def run(self, run: Callable[[], Any]) -> Any:
        assert self.inside
        self.did.append("run")
        return run()

    def seconds(self, run: Callable[[], object]) -> float:
        self.clock.wait()
        start = self.clock.host()
        self.run(run)
        self.clock.wait()
        return (self.clock.host() - start) * 1e-9

    def capture(self, run: Callable[[], object]) -> FakeGraph:
        self.did.append("capture")
        lengths: list[float] = []
        clock: Any = self.clock
        clock.launch, clock.wait = lengths.append, self._refuse
        try:
            run()
        except Exception as error:
            raise NotCapturableError(reason(error)) from error
        finally:
            del clock.launch, clock.wait
        return FakeGraph(lengths)

    def replay(self, graphs: Sequence[FakeGraph], times: int) -> list[list[float]]:
        self.did.append(f"replay {len(graphs)}")
        self.clock.spend(GRAPH * times * len(graphs))
        return [[max(GRAPH, sum(graph.lengths))] * times for graph in graphs]

    def _refuse(self) -> None:
        raise RuntimeError("the stream is capturing, so nothing can be waited for")


class Net:
    """Two layers with arrays, each phase of which takes the host 40 µs and launches one kernel of 4 µs in 10 µs."""

    def __init__(self, clock: Any) -> None:
        class Layer:
            """`extra` is done in each forward."""

            def __init__(self, name: str, extra: Callable[[Any], object] = lambda layer: None) -> None:
                self.name, self.extra = name, extra
                self.W, self.dW, self.seen = np.ones((3, 3)), np.ones((3, 3)), 0

            def work(self) -> None:
                clock.spend(HOST)
                clock.launch(DEVICE)

            def forward(self, x: Any, train: bool = False, **more: Any) -> Any:
                del more
                self.x, self.trained = x, train
                self.seen += 1
                self.work()
                self.extra(self)
                return x

            def backward(self, dy: Any) -> Any:
                self.dW = self.x.T @ dy
                self.work()
                return dy

            def update(self) -> None:
                self.W -= self.dW
                self.work()

        self.clock, self.kind = clock, Layer
        self.layers: list[Any] = [Layer("A"), Layer("B")]

    def train(self, steps: int = 10, n: int = 8) -> None:
        for _ in range(steps):
            x = np.ones((n, 3))
            for layer in self.layers:
                x = layer.forward(x, train=True)
            for layer in reversed(self.layers):
                x = layer.backward(x)
            for layer in self.layers:
                layer.update()
