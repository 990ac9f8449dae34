"""What was measured of one statement: samples and plain facts, without a word about them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from gpuprof.judge.cost import Roof
from gpuprof.judge.shape import drift, modes
from gpuprof.judge.stats import Interval, batch_interval, outliers
from gpuprof.units import seconds_text

HOSTS_SHARE = 0.01
"""Of the time between events: below it, a host that starts late does not show."""


@dataclass(frozen=True)
class Sample:
    """Repeated measurements of one quantity, seconds a call. Each is the mean of a batch of calls."""

    samples: tuple[float, ...]
    tick: float = 0.0
    """The steps of the clock they were read from, seconds a call; 0 where it is to be seen from the samples."""

    @cached_property
    def interval(self) -> Interval:
        """The middle and its 95 % interval (`judge.stats.batch_interval`); NaN ends for fewer than 6 samples."""
        middle, low, high = batch_interval(self.samples, tick=self.tick)
        if math.isnan(low):
            return Interval(middle, low, high)
        return Interval(middle, max(low, min(self.samples) - self.tick), min(high, max(self.samples) + self.tick))

    @property
    def median(self) -> float:
        """The middle, seconds: robust, as a median is."""
        return self.interval.median

    @property
    def low(self) -> float:
        """The lower end of the 95 % interval, seconds."""
        return self.interval.low

    @property
    def high(self) -> float:
        """The upper end, seconds."""
        return self.interval.high

    @cached_property
    def width(self) -> float:
        """Below what share of the median nothing is claimed: half the interval, or drift or the way between two modes.

        0 where all samples are 0, NaN without an interval.
        """
        half = (self.high - self.low) / 2
        interval = half / self.median if self.median else half
        return max(interval, abs(self.drift), self.apart) if not math.isnan(interval) else interval

    @cached_property
    def drift(self) -> float:
        """The change from the first batch to the last as a share of the median; 0 where it is not beyond chance."""
        return drift(self.samples)

    @cached_property
    def modes(self) -> tuple[tuple[float, float], ...]:
        """(seconds, share of the batches) of two modes; () where there is one."""
        return modes(self.samples, self.tick)

    @property
    def apart(self) -> float:
        """How far two modes are apart, as a share of the median; 0 for one mode."""
        return (self.modes[1][0] - self.modes[0][0]) / self.median if self.modes else 0.0

    @cached_property
    def outliers(self) -> tuple[bool, ...]:
        """Which batches lie far out (beyond 3 interquartile ranges); they are kept, and counted."""
        return tuple(outliers(self.samples, self.tick).tolist())

    def text(self, figures: int = 3) -> str:
        """The median such as "12.3 µs"."""
        return seconds_text(self.median, figures)


NOTHING = Sample(())


class Kernel(NamedTuple):
    """One kernel, copy or fill of a statement."""

    name: str
    """As compiled (mangled), or "copy to the host", "fill" and the like."""
    launches: float
    """A call."""
    seconds: float
    """A call, all its launches together."""
    threads: int
    """The most that one launch started; 0 for a copy or fill."""


class Floor(NamedTuple):
    """Seconds that a gated batch reads beyond the kernels' own time."""

    pair: float
    """Two events with nothing between them."""
    launch: float
    """A kernel that does nothing, in a row of them."""
    record: float = math.nan
    """What the kernel record of such a kernel reads; NaN without records."""
    tick: float = 0.0
    """The least difference between two readings that differ: the steps of the device's clock."""

    def of(self, number: int, launches: float) -> float:
        """For one of `number` calls between two events, each with so many launches."""
        return self.pair / number + launches * self.launch

    def expected(self, number: int, launches: float, kernels: float) -> float:
        """What the events should read of a call whose kernel records read `kernels` seconds."""
        return self.pair / number + kernels + launches * max(0.0, self.launch - self.record)


class Memory(NamedTuple):
    """Device memory of one call, in the pools of CuPy and PyTorch."""

    peak: int | None
    """The most bytes in use beyond those in use before; None where the library does not say."""
    retained: int
    """Bytes in use afterwards beyond those before."""
    allocations: int
    """Arrays asked of the pool."""
    misses: int
    """Times the pool had none and asked the driver (cudaMalloc), which can make the GPU wait."""


class Lasting(NamedTuple):
    """A long statement after a rest, and after it has run for a while."""

    burst: float
    """Seconds a call, the first tenth."""
    sustained: float
    """Seconds a call, the last third."""
    clock_before: int | None
    """The SM clock after the first calls, MHz."""
    clock_after: int | None
    """At the end."""


@dataclass(frozen=True, repr=False)
class Figures:
    """All that `timeit` measured. What was not measured has no samples, and a NaN median, or is None."""

    statement: str
    """As it was written; of a function, its name and the types of its arguments."""
    host: Sample
    """Until the call returned. On a GPU the work may not be done by then."""
    device: Sample = NOTHING
    """The GPU's time with the host out of the way: between events around calls queued behind a gate. See `way`."""
    kernels: Sample = NOTHING
    """The sum of its kernels' own times, by kernel records."""
    latency: Sample = NOTHING
    """One call on an idle device until its work was done."""
    cold: Sample = NOTHING
    """Device time of a call that finds nothing of its own in the L2 cache, one call between two events."""
    graph: Sample = NOTHING
    """Replayed from a CUDA graph, calls one after another, all work done."""
    plain: Sample = NOTHING
    """Plain calls one after another, all work done, taken in turns with `graph`."""
    kernel_count: float | None = None
    """Kernels, copies and fills a call."""
    working: float = math.nan
    """Seconds a call in which at least one of its kernels ran: less than `kernels` where they overlap."""
    kernel_list: tuple[Kernel, ...] = ()
    """The same by name, the longest first."""
    number: int = 1
    """Calls in a batch, on the host."""
    device_number: int = 0
    """Calls in a batch behind the gate."""
    way: str = ""
    """How `device` was measured: "gate"; "throughput", the slope of N against 2 N ungated calls; or "events" around
    ungated batches. The last two read the host's time where that is longer."""
    why: str = ""
    """Why there was no gate."""
    waits: str = ""
    """Where the statement waits for the GPU inside; "" where it does not."""
    escaped: float = 0.0
    """Seconds for which its work ran on after its stream was done: that part is on another stream."""
    floor: Floor | None = None
    first: float = math.nan
    """The first call, synchronised, seconds: compiling and allocating included."""
    records: str = ""
    """Why there are no kernel records; "" where there are."""
    graph_why: str = ""
    """Why it was not captured into a graph; "" where it was, or where there was no reason to try."""
    residue: float = math.nan
    """What a launch takes the host longer after kernels were recorded than before, seconds."""
    memory: Memory | None = None
    roof: Roof | None = None
    """How near it comes to what this device can do."""
    lasting: Lasting | None = None
    library: str = ""
    """Whose arrays on the GPU: "cupy", "torch"."""
    clock: str = "host clock"
    stopped: str = ""
    """Why no more batches were run."""
    source: bool = True
    """Whether the statement is source text, not a function."""
    warnings: tuple[str, ...] = ()
    """What disturbed the measurement, or limits what it can say."""
    about: dict[str, str] = field(default_factory=dict)
    """GPU, driver, versions, processor."""
    before: dict[str, Any] = field(default_factory=dict)
    """The GPU's clocks, throttle reasons and other processes before."""
    after: dict[str, Any] = field(default_factory=dict)
    """The same afterwards."""
    digits: int = 3

    @property
    def floor_s(self) -> float:
        """What `device` would read of kernels that take no time, seconds a call; NaN where it was not gated."""
        if self.floor is None or self.way != "gate":
            return math.nan
        return self.floor.of(self.device_number, max(1.0, self.kernel_count or 0.0))

    @property
    def resolved(self) -> bool:
        """Whether the device time is about the kernels: three times the floor, or the host's share of it is small."""
        if self.way == "events":
            return self.host.median < HOSTS_SHARE * self.device.median
        return self.way == "gate" and self.device.median >= 3 * self.floor_s

    @property
    def agreement(self) -> float:
        """Events against kernel records: by what share `device` differs from what the records let expect; else NaN."""
        if not (self.way == "gate" and self.kernels.samples and self.floor and self.kernel_count):
            return math.nan
        expected = self.floor.expected(self.device_number, self.kernel_count, self.kernels.median)
        return self.device.median / expected - 1

    @property
    def elsewhere(self) -> bool:
        """Whether work of it ran on a stream that `device` does not see."""
        return self.escaped > 0 or (self.way == "gate" and self.work > 1.3 * self.device.median)

    @property
    def work(self) -> float:
        """Seconds a call in which the GPU runs its kernels, by kernel records; NaN without."""
        return self.kernels.median if math.isnan(self.working) else self.working

    @property
    def gpu(self) -> float:
        """Seconds a call of the GPU as calls one after another see it: device, or its work where device sees less."""
        seen = self.device.samples and not (self.elsewhere and self.kernels.samples)
        return self.device.median if seen else self.work

    @property
    def own(self) -> float:
        """The GPU's own time a call, seconds, as well as it is known: kernels, else device."""
        return self.kernels.median if self.kernels.samples else self.device.median

    @property
    def own_text(self) -> str:
        """`own` such as "7.4 µs"."""
        return seconds_text(self.own, self.digits)

    @property
    def busy(self) -> float:
        """The share of the host's time a call in which the GPU works, were calls to follow one another; NaN unknown."""
        if self.kernels.samples:
            work = self.work
        elif self.resolved:
            work = self.device.median
        else:
            return math.nan
        pace = max(self.host.median, self.device.median) if self.device.samples else self.host.median
        return float(np.clip(work / pace, 0, 1)) if pace else math.nan
