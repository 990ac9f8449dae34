"""Time that can be faked, for our tests and yours: a clock that moves only when told to."""

from __future__ import annotations

from array import array
from collections import deque

import numpy as np

from gpuprof.record.clocks import MISSING, Ints, look_up


class FakeClock:
    """A host, and with `device=True` a device that works through a queue beside it.

    `spend(seconds)` passes time on the host. `launch(seconds)` queues work for the device, which takes
    `launch_cost` of the host's time; the device does it in order, `latency` after it was queued at the earliest.
    With `queue` launches unfinished, the next one makes the host wait, as CUDA does at about a thousand.

        clock = FakeClock(device=True)
        with gpuprof.layertime(model, clock=clock) as run:
            train(model)            # whose layers call clock.launch(...)
        assert run.profile["Pool1", "backward"].total_ms == 3
    """

    resolution = 1e-9

    def __init__(
        self,
        device: bool = False,
        *,
        launch_cost: float = 0.0,
        latency: float = 0.0,
        queue: int | None = None,
        mark_cost: float = 0.0,
    ) -> None:
        self.name = "fake CUDA events" if device else "fake host clock"
        self.on_device = device
        self._launch_cost = round(launch_cost * 1e9)
        self._latency = round(latency * 1e9)
        self._queue = queue
        self._mark_cost = round(mark_cost * 1e9)
        self._now = 1_000_000_000
        self._free = self._now
        self._unfinished: deque[int] = deque()
        self._marks = array("q")
        self.waits = 0
        """How often `wait()` was called."""

    def host(self) -> int:
        """The fake host's time, ns."""
        return self._now

    def spend(self, seconds: float) -> None:
        """Let the host work for `seconds`."""
        self._now += round(seconds * 1e9)

    def launch(self, seconds: float) -> None:
        """Queue work of `seconds` for the device; without a device the host does it itself."""
        if not self.on_device:
            self.spend(seconds)
            return
        self._now += self._launch_cost
        if self._queue is not None:
            while self._unfinished and self._unfinished[0] <= self._now:
                self._unfinished.popleft()
            if len(self._unfinished) >= self._queue:
                self._now = self._unfinished.popleft()
        self._free = max(self._free, self._now + self._latency) + round(seconds * 1e9)
        self._unfinished.append(self._free)

    def mark(self) -> int:
        """The number of a mark taken now, which costs the host `mark_cost`."""
        self._now += self._mark_cost
        self._marks.append(max(self._free, self._now + self._latency) if self.on_device else self._now)
        return len(self._marks) - 1

    def tidy(self) -> None:
        """Nothing waits to be read."""

    def wait(self) -> None:
        """Let the host wait until the device has done everything."""
        self.waits += 1
        if self.on_device:
            self._now = max(self._now, self._free)

    def resolve(self, marks: Ints) -> Ints:
        """The time of each mark, ns."""
        return look_up(self._marks, marks, MISSING)

    def where(self, marks: Ints) -> tuple[Ints, Ints]:
        """Device 0 (-1 without one), stream 0."""
        return np.full_like(marks, 0 if self.on_device else -1), np.zeros_like(marks)
