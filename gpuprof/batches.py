"""The measuring of one statement: its first call, then batches until they are enough."""

from __future__ import annotations

import numpy as np

from gpuprof.device import machine
from gpuprof.record.clocks import MISSING, Clock
from gpuprof.results.timing import NOTHING, Sample, Timing
from gpuprof.statement import Timed

_ENOUGH_S = 1.5  # no new batch is begun after this
_LEAST = 7  # batches, as many as %timeit runs


class Batches:
    """Batches of calls of one statement on one clock; the first call is made, apart, when this is made."""

    def __init__(self, code: Timed, clock: Clock, number: int | None) -> None:
        self._code = code
        self._clock = clock
        self._host: list[float] = []
        self._latency: list[float] = []
        self._marks: list[tuple[int, int]] = []
        clock.wait()
        self._first = self._finished(1)
        self.number = number or self._fitting_number()

    def fill(self, repeat: int | None, precision: float) -> str:
        """Measure batches; why it stopped."""
        began, look_at = self._clock.host(), _LEAST
        try:
            while True:
                self._batch()
                count = len(self._host)
                if repeat is not None:
                    if count == repeat:
                        return f"{repeat} batches asked for"
                    continue
                if count >= look_at:
                    look_at = count + max(1, count // 10)  # looking takes longer the more there are
                    if self._widest() <= precision:
                        return f"intervals within ±{precision:.1%}"
                if (self._clock.host() - began) * 1e-9 > _ENOUGH_S and count >= min(_LEAST, 1 + int(1 / self._first)):
                    return f"{_ENOUGH_S} s have passed"
        except KeyboardInterrupt:
            if not self._host:
                raise
            return "interrupted"

    def timing(self, stopped: str, digits: int) -> Timing:
        """The result."""
        self._clock.wait()
        return Timing(
            statement=self._code.text,
            host=Sample(tuple(self._host)),
            device=self._device(),
            latency=Sample(tuple(self._latency)),
            number=self.number,
            first=self._first,
            clock=self._clock.name,
            stopped=stopped,
            about=machine(),
            digits=digits,
        )

    def _batch(self) -> None:
        clock = self._clock
        run = self._code.prepared(self.number)
        clock.wait()
        first = clock.mark()
        start = clock.host()
        run()
        end = clock.host()
        last = clock.mark()
        clock.wait()
        self._host.append((end - start) * 1e-9 / self.number)
        if clock.on_device:
            self._marks.append((first, last))
            self._latency.append(self._finished(1))

    def _finished(self, number: int) -> float:
        """Seconds for `number` calls and all their work."""
        run = self._code.prepared(number)
        self._clock.wait()
        start = self._clock.host()
        run()
        self._clock.wait()
        return (self._clock.host() - start) * 1e-9

    def _fitting_number(self) -> int:
        """Calls that fill about 2 ms on a device (and at most 100: more would fill its queue), 10 ms on the host."""
        most, fill = (100, 2e-3) if self._clock.on_device else (10_000_000, 10e-3)
        number = 1
        while number < most and (took := self._finished(number)) < fill / 2:
            number = min(most, max(number * 2, min(number * 10, int(number * fill / max(took, 1e-9)))))
        return number

    def _device(self) -> Sample:
        if not self._marks:
            return NOTHING
        ns = self._clock.resolve(np.array(self._marks, dtype=np.int64).ravel()).reshape(-1, 2)
        read = ns[(ns != MISSING).all(axis=1)]
        return Sample(tuple(float(length) * 1e-9 / self.number for length in read[:, 1] - read[:, 0]))

    def _widest(self) -> float:
        samples = [Sample(tuple(self._host)), self._device()]
        return max(sample.width for sample in samples if sample.samples)
