"""Two statements in turns: quartets ABBA and BAAB, so that what drifts cancels; one look, planned from a pilot."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from gpuprof.judge.ratio import Ratio, decide, log_ratio, needed, orders, planned, trimmed_interval
from gpuprof.judge.stats import trimmed
from gpuprof.passes.device import DevicePass
from gpuprof.passes.host import HostPass
from gpuprof.passes.subject import Subject

_WARM = 0.02  # of the time that a statement measured alone has; quartets warm up what is left
_SLOW_S = 0.05
_FIRST = 6  # batches that show how long its host takes
_PILOT = 12  # quartets, the first third of which only warms up
_MOST = 400
_SEED = 20_251
# a difference below this is not looked for: it would be one of memory addresses, or of the host's mood
_LEAST_FLOOR = {"device": 0.005, "host": 0.01, "throughput": 0.01}
_BATCH_S = 1e-3  # short batches: what both see alike is then nearer in time
_FRESH_QUARTETS = 8

Until = Callable[[], bool]
Take = Callable[[], float]
"""Measures one batch: seconds a call."""


class Runner:
    """One of the two: how its host or device time is taken, one batch at a time."""

    def __init__(self, subject: Subject, number: int | None, asked: int | None = None) -> None:
        host = HostPass(subject, number)
        host.warm_up(_WARM)
        for _ in range(_FIRST if subject.usual < _SLOW_S else 2):
            host.take()
        between = host.between()  # of batches as long as they were
        if number is None:
            host.number = max(1, int(host.number * min(1.0, _BATCH_S / max(host.number * subject.usual, 1e-9))))
        self.subject = subject
        self.number = host.number
        self.host_s = float(np.median(host.host))
        self._host = host
        self._device = DevicePass(subject, self.host_s, between) if subject.clock.on_device else None
        self._asked = asked
        self._size = 0

    def host(self) -> float:
        """Host seconds a call, of one batch."""
        return self._host.batch()

    def gated(self) -> str:
        """Find out whether it can be gated; why not, or ""."""
        if self._device is None:
            return "there is no GPU in it"
        why = self._device.refusal()
        self._size = self._device.fitting(self._asked)
        return why or ("" if all(self._device.gated(self._size)[1] for _ in range(4)) else "its gate does not hold")

    def device(self) -> float:
        """Device seconds a call, of one gated batch; NaN where the gate opened too early."""
        assert self._device is not None
        seconds, whole = self._device.gated(self._size)
        return seconds if whole else math.nan

    def pace(self) -> float:
        """Seconds a call of calls one after another, all work done: what is compared where no gate is possible."""
        return self.subject.finished(self._host.number) / self._host.number


def compared(quantity: str, a: Take, b: Take, copies: Sequence[Take], until: Until) -> Ratio:
    """A against B in quartets, and A against copies of itself for the floor.

    `until` says when time is up; fewer quartets than planned are then taken.
    """
    rng = np.random.default_rng(_SEED)
    floor = max(_LEAST_FLOOR[quantity], _spread_of_copies(a, copies, rng, until))
    pilot, times = _quartets(a, b, orders(_PILOT, rng), until)
    settled = pilot[_PILOT // 3 :]
    wanted = min(_MOST, max(_PILOT, planned(settled, floor / 2))) if len(settled) >= 3 else _PILOT
    values, more = _quartets(a, b, orders(wanted, rng), until)
    estimate = trimmed_interval(values)
    middle = np.median(np.array(times + more), axis=0) if times + more else (math.nan, math.nan)
    ratio, low, high = (math.exp(end) for end in estimate)
    return Ratio(
        quantity,
        ratio,
        low,
        high,
        floor,
        decide(estimate, floor),
        len(values),
        needed(values, estimate, floor),
        a=float(middle[0]),
        b=float(middle[1]),
    )


def _spread_of_copies(a: Take, copies: Sequence[Take], rng: np.random.Generator, until: Until) -> float:
    """How far copies of A over other memory are from A: 2.5 standard deviations, what chance adds taken off."""
    squares = []
    for copy in copies:
        values, _ = _quartets(a, copy, orders(_FRESH_QUARTETS, rng), until)
        if len(values) >= 3:
            found = trimmed(np.array(values), 0.25)
            squares.append(found.value**2 - found.error**2)
    return 2.5 * math.sqrt(max(0.0, float(np.median(squares)))) if squares else 0.0


def _quartets(a: Take, b: Take, order: list[str], until: Until) -> tuple[list[float], list[tuple[float, float]]]:
    """The log ratio of each quartet, and its two middle times; a quartet with a batch that failed is left out."""
    values, times = [], []
    for letters in order:
        if until():
            break
        taken = [a() if letter == "A" else b() for letter in letters]
        if all(seconds > 0 for seconds in taken):
            values.append(log_ratio(letters, taken))
            of = {name: [s for s, letter in zip(taken, letters, strict=True) if letter == name] for name in "AB"}
            times.append((sum(of["A"]) / 2, sum(of["B"]) / 2))
    return values, times


@dataclass
class Pair:
    """A, B and copies of A, each ready to be run; what was compared so far is in `ratios`."""

    a: Runner
    b: Runner
    copies: list[Runner]
    ratios: list[Ratio] = field(default_factory=list)
    why: str = ""
    """Why the device times were not compared."""
    interrupted: bool = False
    """Whether Ctrl-C ended it early."""

    def run(self, allowed: float, only: str = "") -> None:
        """Compare host and device, or the pace of calls one after another where there is no gate; or `only` one."""
        everyone = [self.a, self.b, *self.copies]
        wanted = [only] if only else ["device", "host"] if self.a.subject.clock.on_device else ["host"]
        if "device" in wanted:
            self.why = next(filter(None, (runner.gated() for runner in everyone)), "")
            quantity, take = ("throughput", Runner.pace) if self.why else ("device", Runner.device)
            self._compare(quantity, take, allowed / len(wanted))
        if "host" in wanted and not self.interrupted:
            self._compare("host", Runner.host, allowed / len(wanted))
        if self._bound() == "both" and not self.interrupted:
            self._compare("throughput", Runner.pace, allowed / len(wanted))

    def _compare(self, quantity: str, take: Callable[[Runner], float], allowed: float) -> None:
        host = self.a.subject.clock.host
        end = host() + allowed * 1e9
        a, b, *copies = (partial(self._taken, take, runner) for runner in (self.a, self.b, *self.copies))
        self.ratios.append(compared(quantity, a, b, copies, lambda: self.interrupted or host() > end))

    def _taken(self, take: Callable[[Runner], float], runner: Runner) -> float:
        """One batch; NaN where Ctrl-C ended it, so that the quartets before it count."""
        try:
            return take(runner)
        except KeyboardInterrupt:
            self.interrupted = True
            return math.nan

    @property
    def deciding(self) -> str:
        """The quantity that sets the pace of calls one after another."""
        names = [ratio.quantity for ratio in self.ratios]
        if "throughput" in names:
            return "throughput"
        return self._bound() if self._bound() in names else names[0]

    def _bound(self) -> str:
        """What is longer in A and in B: "host", "device", or in one this and in the other that: "both"; "" unknown."""
        found = {ratio.quantity: ratio for ratio in self.ratios}
        if not found.keys() >= {"device", "host"}:
            return ""
        host, device = found["host"], found["device"]
        longer = {"device" if d >= h else "host" for d, h in ((device.a, host.a), (device.b, host.b))}
        return longer.pop() if len(longer) == 1 else "both"
