"""What may be asked besides: a cold cache, a call's memory, first calls after a rest against later ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from gpuprof.judge.figures import Lasting, Memory
from gpuprof.passes.subject import Subject, repeated
from gpuprof.record.clocks import MISSING, DeviceClock
from gpuprof.record.memory import watched

_COLD_CALLS = 4  # behind one gate, each with its own pair of events and its own flush
_REST_S = 0.15
_SHORT_S = 0.02  # a call longer than this is made once where others are made a few times
_SLOW_S = 5e-3
_LASTING = 0.25  # the share of the time for a run without a rest


class ColdPass:
    """Device time of calls that find nothing of theirs in the L2 cache, in `samples` (seconds)."""

    def __init__(self, subject: Subject, host: float) -> None:
        self._subject = subject
        self._limit = min(0.25, max(5e-3, 4 * _COLD_CALLS * (host + 50e-6)))
        self._clock: DeviceClock = subject.clock  # type: ignore[assignment]
        self.samples: list[float] = []

    def run(self, repeat: int | None, precision: float, share: float) -> None:
        """Measure until it is enough."""
        with self._clock.flushing() as flush:
            take = partial(self._take, flush)
            repeated(self._subject, "cold", take, share=share, repeat=repeat, precision=precision)

    def _take(self, flush: Callable[[], None]) -> Sequence[Sequence[float]]:
        clock, marks = self._clock, []
        runs = [self._subject.code.prepared(1) for _ in range(_COLD_CALLS)]
        clock.wait()
        with clock.gate(self._limit) as gate:
            for run in runs:
                flush()
                marks.append(clock.mark())
                run()
                marks.append(clock.mark())
            held = clock.pending(marks[0])
            gate.release()
        clock.wait()
        ns = clock.resolve(np.array(marks)).reshape(-1, 2)
        clock.tidy()
        if held and not gate.expired and (ns != MISSING).all():
            self.samples += [float(length) * 1e-9 for length in ns[:, 1] - ns[:, 0]]
        return [self.samples]


def lasting(subject: Subject, sm_clock: Callable[[], int | None]) -> Lasting:
    """Rest, then call it again and again with a mark after each; two calls at most wait in the queue."""
    clock: DeviceClock = subject.clock  # type: ignore[assignment]
    clock.wait()
    clock.rest(_REST_S)
    deadline, marks, before = subject.deadline(_LASTING), [clock.mark()], None
    while clock.host() < deadline or len(marks) < 4:
        subject.code.prepared(1)()
        marks.append(clock.mark())
        if len(marks) > 2:
            clock.settle(marks[-3])
        if before is None and len(marks) == 3:
            before = sm_clock()
    after = sm_clock()
    clock.wait()
    ns = clock.resolve(np.array(marks))
    clock.tidy()
    lengths = np.diff(ns[ns != MISSING]) * 1e-9
    first, last = lengths[: max(1, len(lengths) // 10)], lengths[-max(1, len(lengths) // 3) :]
    return Lasting(float(np.median(first)), float(np.median(last)), before, after)


def escaped_work(subject: Subject) -> float:
    """Seconds for which the device worked on after the marked stream was done: the median of five calls, or one."""
    clock: DeviceClock = subject.clock  # type: ignore[assignment]
    longer = []
    for _ in range(5 if subject.usual < _SHORT_S else 1):
        run = subject.code.prepared(1)
        clock.wait()
        idle = _took(clock, clock.wait)
        run()
        clock.settle(clock.mark())
        longer.append(_took(clock, clock.wait) - idle)
    return float(np.median(longer))


def _took(clock: DeviceClock, do: Callable[[], None]) -> float:
    start = clock.host()
    do()
    return (clock.host() - start) * 1e-9


def memory_of(subject: Subject) -> Memory:
    """The device memory of one call, in a pool that knows it already."""
    run = subject.code.prepared(1)
    subject.clock.wait()
    with watched() as memory:
        run()
    subject.clock.wait()
    return Memory(memory.peak, memory.retained, memory.allocations, memory.misses)
