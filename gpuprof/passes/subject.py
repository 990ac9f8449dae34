"""The statement being measured: its clock, its first call, and how much time it may have."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gpuprof.judge.stats import LAST_LOOK, enough, looks
from gpuprof.record.clocks import Clock
from gpuprof.statement import Timed

Progress = Callable[[str], None]

_ALLOWED_S = 1.7  # for all passes of a statement that takes less than a tenth of this
_CALLS, _DEVICE_CALLS = 9, 6  # of a statement that takes longer, in all passes; on a device some make one at least
_MOST_S = 60.0
_QUIET_NS = 1_000_000_000  # no progress is told before this


class Subject:
    """A statement on its clock. Its first call is made, and timed apart, when this is made."""

    def __init__(self, code: Timed, clock: Clock, progress: Progress | None = None) -> None:
        self.code = code
        self.clock = clock
        self._progress = progress
        self._told = clock.host() + _QUIET_NS
        clock.wait()  # what earlier code queued is neither billed to this statement nor blamed on it
        self._began = clock.host()
        self.first = self.finished(1)
        """The first call, with all its work, seconds."""
        self.usual = self.finished(1) if self.first > 0.1 else self.first
        """A call with all its work, seconds; the passes make it truer."""

    @property
    def allowed(self) -> float:
        """Seconds for all passes."""
        calls = _DEVICE_CALLS if self.clock.on_device else _CALLS
        return max(_ALLOWED_S, min(calls * self.usual, _MOST_S))

    def deadline(self, share: float) -> int:
        """The host's time, ns, by which a pass with this share of the whole has to end."""
        now, end = self.clock.host(), self._began + (self.first - self.usual + self.allowed) * 1e9
        return round(min(now + share * self.allowed * 1e9, end))

    def has_time(self, calls: int) -> bool:
        """Whether so many calls more fit into the time allowed."""
        return self.clock.host() + calls * self.usual * 1e9 <= self.deadline(1.0)

    def finished(self, number: int) -> float:
        """Seconds for `number` calls and all their work."""
        run = self.code.prepared(number)
        self.clock.wait()
        start = self.clock.host()
        run()
        self.clock.wait()
        return (self.clock.host() - start) * 1e-9

    def tell(self, what: str) -> None:
        """Say what is being measured, to whoever asked to be told, once it has taken a second."""
        if self._progress and self.clock.host() > self._told:
            self._told = self.clock.host() + _QUIET_NS // 4
            self._progress(what)


def repeated(
    subject: Subject,
    what: str,
    take: Callable[[], Sequence[Sequence[float]]],
    *,
    share: float,
    repeat: int | None = None,
    precision: float = 0.01,
    most: int = LAST_LOOK,
) -> str:
    """Call `take`, which measures once more and gives all samples so far, until they are enough; why it stopped.

    Enough is: `repeat` of them; or all intervals within `precision`, looked at ever more seldom (`judge.stats.looks`);
    or there are `most`; or `share` of the statement's time has passed.
    """
    deadline, looking = subject.deadline(share), looks()
    look_at, count = next(looking), 0
    while True:
        samples = take()
        count += 1
        subject.tell(f"{what}: {count} batches")
        if repeat is not None:
            if count >= repeat:
                return f"{repeat} batches asked for"
            continue
        if count >= look_at:
            if samples and all(enough(values, precision) for values in samples):
                return f"intervals within ±{precision:.1%}"
            look_at = next(looking, most)
        if count >= most:
            return f"{most} batches are enough"
        if subject.clock.host() >= deadline:
            return f"its share of {subject.allowed:.3g} s was up"
