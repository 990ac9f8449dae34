"""A capturer on a fake clock: a graph takes the device's time of what was launched, and a little of the host's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from gpuprof.record.graphs import NotCapturableError, reason
from gpuprof.testing import FakeClock

LAUNCH_S = 5e-6
"""What a graph's launch takes."""


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
        self.clock.spend(LAUNCH_S * times * len(graphs))
        return [[max(LAUNCH_S, sum(graph.lengths))] * times for graph in graphs]

    def _refuse(self) -> None:
        raise RuntimeError("the stream is capturing, so nothing can be waited for")
