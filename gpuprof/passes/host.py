"""Host and latency: how long a call keeps the host, and how long until its work is done."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gpuprof.judge.shape import halves_agree
from gpuprof.passes.subject import Subject, repeated
from gpuprof.record.clocks import MISSING

_LAUNCH_S = 5e-6  # a launch from Python takes at least this, so this many can be in a call
_QUEUE = 400  # launches in a batch: CUDA's queue holds about a thousand, then the host waits
_LONG_S = 0.1  # the usual call is then not the first, which may have compiled
_WARM = 0.1  # the share of the time for warming up


class HostPass:
    """Batches of calls, ungated, each from a drained device; after each batch one call alone, for the latency."""

    def __init__(self, subject: Subject, number: int | None) -> None:
        self._subject = subject
        self._clock = subject.clock
        self._marks: list[tuple[int, int]] = []
        self.host: list[float] = []
        """Seconds a call until it returned, one value a batch."""
        self.latency: list[float] = []
        """Seconds for one call and all its work; empty on the host's clock."""
        self.number = number or self._fitting_number()

    def warm_up(self, share: float = _WARM) -> None:
        """Batches that are forgotten, until the later ones are as fast as the earlier ones."""
        if self._subject.usual < 0.05:
            deadline = self._subject.deadline(share)
            while self._clock.host() < deadline and not (len(self.host) >= 8 and halves_agree(self.host)):
                self.take()
        if self.host:
            self._subject.usual = max(1e-9, float(np.median(self.latency or self.host)))
        self.host, self.latency, self._marks = [], [], []

    def run(self, repeat: int | None, precision: float, share: float) -> str:
        """Measure until it is enough; why it stopped."""
        return repeated(self._subject, "host", self.take, share=share, repeat=repeat, precision=precision)

    def batch(self) -> float:
        """One batch from a drained device: seconds a call until it returned."""
        clock, run = self._clock, self._subject.code.prepared(self.number)
        clock.wait()
        first = clock.mark() if clock.on_device else -1
        start = clock.host()
        run()
        end = clock.host()
        if clock.on_device:
            self._marks.append((first, clock.mark()))
        clock.wait()
        clock.tidy()
        self._drained = (clock.host() - start) * 1e-9
        return (end - start) * 1e-9 / self.number

    def take(self) -> Sequence[Sequence[float]]:
        """One batch more, and where the work goes on after a call one call alone."""
        self.host.append(self.batch())
        if self._clock.on_device or getattr(self._clock, "asynchronous", False):
            self.latency.append(self._drained if self.number == 1 else self._subject.finished(1))
        return [self.host]

    def between(self) -> tuple[float, ...]:
        """Seconds a call between two events around a batch: the GPU's time, or the host's where that is longer."""
        if not self._marks:
            return ()
        ns = self._clock.resolve(np.array(self._marks, dtype=np.int64).ravel()).reshape(-1, 2)
        read = ns[(ns != MISSING).all(axis=1)]
        return tuple(float(length) * 1e-9 / self.number for length in read[:, 1] - read[:, 0])

    def _fitting_number(self) -> int:
        """Calls that fill about 2 ms on a device, without filling its queue; 10 ms on the host."""
        most, fill = (100, 2e-3) if self._clock.on_device else (10_000_000, 10e-3)
        if self._subject.usual > _LONG_S:
            return 1
        number = 1
        if self._subject.usual > fill:
            return number
        while number < most and 0 < (took := self._subject.finished(number)) < fill / 2:
            number = min(most, max(number * 2, min(number * 10, int(number * fill / took))))
        if self._clock.on_device and number > 1:
            number = max(1, min(number, int(_QUEUE * _LAUNCH_S * number / max(self._subject.finished(number), 1e-9))))
        return number


def launches_at_most(host: float) -> float:
    """How many launches a call that keeps the host for `host` seconds can hold: for want of kernel records."""
    return max(1.0, host / _LAUNCH_S)
