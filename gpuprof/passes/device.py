"""Device time with the host out of the way: calls queued behind a gate, so that they then run without gaps.

The gate is nvbench's idea (its blocking kernel). Here it opens by itself at a deadline on the device, and where that
happens the pass retreats in steps; the way that was used is part of the result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from gpuprof.judge.figures import HOSTS_SHARE
from gpuprof.passes.host import launches_at_most
from gpuprof.passes.subject import Subject, repeated
from gpuprof.record.clocks import MISSING, DeviceClock
from gpuprof.record.gate import GateTakenError

_MOST = 32  # calls behind a gate
_QUEUE = 400  # launches behind a gate: at about a thousand the host has to wait
_LONG_S = 10e-3  # device time behind a gate: more calls would not make it truer
_LIMITS = (5e-3, 250e-3)  # seconds after which a gate opens by itself
_TRIED = 6  # batches that decide whether calls of this number stay behind the gate
_PLAIN_S = 0.2
_SLOW_S = 50e-3  # beyond this the host's own share of the time between events is small, or the host is all there is


class LeakyError(Exception):
    """Too many batches ran while they were still being queued."""


class DevicePass:
    """Device time a call, in `samples` (seconds), by the best way that works."""

    def __init__(self, subject: Subject, host: float, between: Sequence[float]) -> None:
        self._subject = subject
        self._host = host
        self._between = between
        self._clock: DeviceClock = subject.clock  # type: ignore[assignment] # asked for on a device only
        self.samples: list[float] = []
        self.way = ""
        """"gate"; "throughput": the slope of N against 2 N ungated calls, host or device, whichever is longer;
        "events": around ungated batches, the same and what the first call's queueing took."""
        self.why = ""
        """Why there was no gate."""
        self.number = 0
        """Calls in a batch."""

    def run(self, refused: str, number: int | None, repeat: int | None, precision: float, share: float) -> str:
        """Measure until it is enough; why it stopped. `refused` says why no gate may be used, if so."""
        if not refused and self._needs_no_gate():
            self.samples, self.way, self.number = list(self._between), "events", 1
            return ""
        self.why = refused or self.refusal()

        def measured(take: Callable[[], Sequence[Sequence[float]]]) -> str:
            return repeated(self._subject, "device", take, share=share, repeat=repeat, precision=precision)

        first = self.fitting(number)
        for size in dict.fromkeys(max(1, first >> halved) for halved in range(3)):
            if self.why:
                break
            try:
                self.samples, self.number, self.way = [], size, "gate"
                return measured(_Gated(self, size).take)
            except LeakyError:
                continue
            except GateTakenError as error:
                self.why = str(error)
        self.why = self.why or "the gate opened by itself before a call was queued"
        if self._host > _SLOW_S or self._subject.usual > _SLOW_S:
            self.samples, self.way, self.number = list(self._between), "events", 0
            return ""
        self.samples, self.way = [], "throughput"
        self.number = max(1, round(2e-3 / max(self._subject.usual, 1e-6)))
        stopped = measured(self._slope)
        if not np.median(self.samples) > 0:  # the host's jitter is larger than N calls
            self.samples, self.way, self.number = list(self._between), "events", 0
        return stopped

    def gated(self, number: int) -> tuple[float, bool]:
        """Seconds a call for one batch, and whether all of it was queued before any of it ran."""
        clock, run = self._clock, self._subject.code.prepared(number)
        low, high = _LIMITS
        clock.wait()
        with clock.gate(min(high, max(low, 4 * self._host * number))) as gate:
            first = clock.mark()
            run()
            last = clock.mark()
            held = clock.pending(first)
            gate.release()
        clock.wait()
        start, end = clock.resolve(np.array([first, last]))
        clock.tidy()
        return (end - start) * 1e-9 / number, held and not gate.expired and MISSING not in (start, end)

    def _slope(self) -> Sequence[Sequence[float]]:
        """Seconds a call from N and 2 N calls: what a single call costs besides cancels."""
        once, twice = (self._subject.finished(self.number * n) for n in (1, 2))
        self.samples.append((twice - once) / self.number)
        return [self.samples]

    def fitting(self, number: int | None) -> int:
        """Calls behind a gate: few enough for the queue, for the deadline and for the time at hand."""
        length = float(np.median(self._between)) if self._between else self._subject.usual
        most = min(_MOST, _QUEUE / (launches_at_most(self._host) + 2), _LONG_S / max(length, 1e-9))
        most = min(most, _LIMITS[1] / 4 / max(self._host, 1e-9))
        return max(1, int(most if number is None else min(number, most)))

    def _needs_no_gate(self) -> bool:
        """Whether a call is so long that what the host adds to the time between events does not matter."""
        length = float(np.median(self._between)) if self._between else 0.0
        return length > _PLAIN_S and self._host < HOSTS_SHARE * length

    def refusal(self) -> str:
        """Why no gate may be used now; "" where it may."""
        if self._host < _LIMITS[1]:
            return self._clock.no_gate()
        return f"a call keeps the host for longer than a gate may hold ({_LIMITS[1] * 1e3:.0f} ms)"


class _Gated:
    """Batches of one size behind the gate, given up where they leak."""

    def __init__(self, device: DevicePass, size: int) -> None:
        self._device = device
        self._size = size
        self._tried = 0

    def take(self) -> Sequence[Sequence[float]]:
        """One batch more, counted only if nothing of it ran too early."""
        seconds, whole = self._device.gated(self._size)
        self._tried += 1
        if whole:
            self._device.samples.append(seconds)
        if self._tried % _TRIED == 0 and len(self._device.samples) < self._tried / 2:
            raise LeakyError
        return [self._device.samples]
