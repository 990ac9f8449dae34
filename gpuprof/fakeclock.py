"""A clock that moves only when told to, with a device beside it if you like: see gpuprof.testing."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from gpuprof.fakerecords import FakeRecorder, FakeRecording
from gpuprof.record.clocks import MANY, MISSING, Ints, look_up
from gpuprof.record.kernels import NoRecordsError


class FakeClock:
    """A host, and with `device=True` a device that works through a queue beside it.

    `spend(seconds)` passes time on the host. `launch(seconds)` queues work for the device, which takes
    `launch_cost` of the host's time; the device does it in order, `latency` after it was queued at the earliest.
    While records are taken a launch takes `record_cost` more. With `queue` launches unfinished, the next one makes
    the host wait, as CUDA does at about a thousand.

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
        record_cost: float = 0.0,
    ) -> None:
        self.name = "fake CUDA events" if device else "fake host clock"
        self.on_device = device
        self._launch_cost = round(launch_cost * 1e9)
        self._latency = round(latency * 1e9)
        self._queue = queue
        self._mark_cost = round(mark_cost * 1e9)
        self._record_cost = round(record_cost * 1e9)
        self._now = 1_000_000_000
        self._free = self._now
        self._unfinished: deque[int] = deque()
        self._marks = array("q")
        self._gone = 0
        self._held: FakeGate | None = None
        self._recording: FakeRecording | None = None
        self.no_records = ""
        """Why there are no kernel records; "" where there are."""
        self._behind: list[tuple[int, int, int, str]] = []
        self.refusal = ""
        """What `no_gate()` answers."""
        self.waits = 0
        """How often `wait()` was called."""
        self.gates: list[FakeGate] = []
        """Every gate that was entered."""

    def host(self) -> int:
        """The fake host's time, ns."""
        return self._now

    def spend(self, seconds: float) -> None:
        """Let the host work for `seconds`."""
        self._now += round(seconds * 1e9)
        self._check()

    def launch(self, seconds: float, name: str = "fake kernel") -> None:
        """Queue work of `seconds` for the device, a kernel of this name; without a device the host does it itself."""
        if not self.on_device:
            self.spend(seconds)
            return
        recording = self._recording is not None and not self._recording.stopped
        self.spend((self._launch_cost + (self._record_cost if recording else 0)) * 1e-9)
        self._make_room()
        self._work(round(seconds * 1e9), mark=-1, name=name)

    def mark(self, place: object = None) -> int:  # noqa: ARG002
        """The number of a mark taken now, which costs the host `mark_cost`."""
        self.spend(self._mark_cost * 1e-9)
        self._marks.append(self._now)
        number = self._gone + len(self._marks) - 1
        if self.on_device:
            self._work(0, mark=number)
        return number

    def marker(self) -> Callable[[object], int]:
        """`mark`."""
        return self.mark

    def tidy(self, at_least: int = MANY) -> None:
        """Nothing waits to be read."""

    def wait(self) -> None:
        """Let the host wait until the device has done everything; a gate is waited for, too."""
        self.waits += 1
        if self._held:
            self._open(self._held.deadline)
        if self.on_device:
            self._now = max(self._now, self._free)

    def resolve(self, marks: Ints) -> Ints:
        """The time of each mark, ns."""
        return look_up(self._marks, np.where(marks < 0, marks, marks - self._gone), MISSING)

    def forget(self, before: int) -> None:
        """Marks with lower numbers will not be asked for any more."""
        del self._marks[: max(0, before - self._gone)]
        self._gone = max(self._gone, before)

    def where(self, marks: Ints) -> tuple[Ints, Ints]:
        """Device 0 (-1 without one), stream 0."""
        return np.full_like(marks, 0 if self.on_device else -1), np.zeros_like(marks)

    def gate(self, limit: float) -> FakeGate:
        """A gate that opens by itself after `limit` seconds."""
        return FakeGate(self, round(limit * 1e9))

    def no_gate(self) -> str:
        """`refusal`."""
        return self.refusal

    def pending(self, mark: int) -> bool:
        """Whether the device has yet to reach a mark."""
        self._check()
        at = mark - self._gone
        return any(number == mark for _, _, number, _ in self._behind) or (at >= 0 and self._marks[at] > self._now)

    def settle(self, mark: int) -> None:
        """Let the host wait until the device has reached a mark."""
        self._now = max(self._now, self._marks[mark - self._gone])

    def launch_empty(self) -> None:
        """Queue work that takes 1 ns."""
        self._now += self._launch_cost
        self._work(1, mark=-2)

    @contextmanager
    def flushing(self) -> Iterator[Callable[[], None]]:
        """A function that queues nothing: a fake device has no cache."""
        yield lambda: None

    @contextmanager
    def recording(self) -> Iterator[FakeRecording]:
        """Records of the launches inside, each named "fake kernel"; NoRecordsError as `recorder`."""
        if not self.on_device or self.no_records:
            raise NoRecordsError(self.no_records or "a fake clock without a device has no kernels")
        self._recording = FakeRecording(self)
        try:
            yield self._recording
        finally:
            self._recording = None

    def recorder(self, launches: bool) -> FakeRecorder:
        """Records from now on, with marks among them; NoRecordsError without a device, or where `no_records` is set."""
        running = isinstance(self._recording, FakeRecorder) and not self._recording.stopped
        if running:
            raise NoRecordsError("records are being taken on this fake clock already")
        if not self.on_device or self.no_records:
            raise NoRecordsError(self.no_records or "a fake clock without a device has no kernels")
        self._recording = FakeRecorder(self, launches)
        return self._recording

    def place(self) -> tuple[int, int]:
        """Device and stream: always the same."""
        return 0, 0

    def rest(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self.spend(seconds)

    def _work(self, length: int, mark: int, name: str = "fake kernel") -> None:
        item = (self._now + self._latency, length, mark, name)
        if self._held:
            self._behind.append(item)
        else:
            self._do(*item)

    def _do(self, earliest: int, length: int, mark: int, name: str) -> None:
        self._free = max(self._free, earliest) + length
        if mark >= 0:
            self._marks[mark - self._gone] = self._free
            return
        self._unfinished.append(self._free)
        if self._recording:
            self._recording.add(self._free - length, self._free, "gpuprof_empty" if mark == -2 else name)

    def _make_room(self) -> None:
        """With the queue full, the host waits for the oldest; behind a gate, until that opens by itself."""
        if self._queue is None:
            return
        if self._held and sum(mark < 0 for _, _, mark, _ in self._behind) >= self._queue:
            self._now = max(self._now, self._held.deadline)
            self._check()
        while self._unfinished and self._unfinished[0] <= self._now:
            self._unfinished.popleft()
        if len(self._unfinished) >= self._queue:
            self._now = self._unfinished.popleft()

    def _check(self) -> None:
        """Open a gate whose time has passed."""
        if self._held and self._now >= self._held.deadline:
            self._open(self._held.deadline)

    def _open(self, when: int) -> None:
        """Let the device do what was queued behind the gate."""
        if self._held is None:
            return
        self._held.expired = when == self._held.deadline
        self._held = None
        self._free = max(self._free, when)
        for item in self._behind:
            self._do(*item)
        self._behind.clear()


class FakeGate:
    """A fake clock's gate."""

    def __init__(self, clock: FakeClock, limit: int) -> None:
        self._clock = clock
        self.limit = limit
        """ns after which it opens by itself."""
        self.deadline = 0
        self.expired = False

    def __enter__(self) -> FakeGate:
        self._clock.gates.append(self)
        self._clock._held = self
        self.deadline = max(self._clock._now, self._clock._free) + self.limit
        return self

    def __exit__(self, *error: object) -> None:
        self.release()

    def release(self) -> None:
        """Let the device run."""
        if self._clock._held is self:
            self._clock._check()
            self._clock._open(self._clock._now)
