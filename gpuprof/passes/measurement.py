"""The passes in their order: host, then device, then kernels, for a recording may leave something on each launch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from gpuprof import environment
from gpuprof.ceilings import ceilings
from gpuprof.device import machine
from gpuprof.footprint import computed_in, inferred
from gpuprof.judge.cost import Cost, Roof, roof
from gpuprof.judge.figures import NOTHING, Sample
from gpuprof.passes.device import DevicePass
from gpuprof.passes.extras import ColdPass, escaped_work, lasting, memory_of
from gpuprof.passes.floor import floor_of, launch_cost
from gpuprof.passes.host import HostPass, launches_at_most
from gpuprof.passes.kernels import KernelPass
from gpuprof.passes.subject import Subject
from gpuprof.passes.sync import waits_inside
from gpuprof.passes.whatif import GraphPass
from gpuprof.record.cache import NoRoomError
from gpuprof.record.gate import GateTakenError
from gpuprof.units import seconds_text

_LONG_S, _LONGEST_S = 1e-3, 0.05  # between these a call after a rest is compared with one after many others
_ESCAPED_S = 50e-6  # work that ends later than this after its stream's last is on another stream
_GRAPH_CALLS = 6  # that capturing, checking and comparing take at least
_QUEUE = 800  # launches: CUDA's queue was seen to hold 1021
_BOUND = 0.9  # a GPU that works less than this share of the host's time may gain by a graph


@dataclass(frozen=True)
class Wishes:
    """What the user asked of a measurement."""

    number: int | None = None
    """Calls in a batch."""
    repeat: int | None = None
    """Batches."""
    precision: float = 0.01
    """The half width at which to stop, as a share of the median."""
    digits: int = 3
    cold: bool = False
    """The L2 cache emptied before each call, too."""
    bytes: float | None = None
    """What a call moves, read and written."""
    flops: float | None = None

    def __post_init__(self) -> None:
        for name in ("number", "repeat"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name} must be at least 1; got {value}")
        for name in ("precision", "bytes", "flops"):
            if (value := getattr(self, name)) is not None and not value > 0:
                raise ValueError(f"{name} must be above 0; got {value}")


class Measurement:
    """One statement through all passes. What has been measured is in `found` at any time."""

    def __init__(self, subject: Subject, wishes: Wishes) -> None:
        self._subject = subject
        self._wishes = wishes
        self._clock: Any = subject.clock
        self._between: tuple[float, ...] = ()
        self._warnings: list[str] = []
        self.found: dict[str, Any] = {
            "statement": subject.code.text,
            "source": bool(subject.code.tree),
            "clock": subject.clock.name,
            "first": subject.first,
            "digits": wishes.digits,
            "library": getattr(subject.clock, "library", ""),
            "about": machine(),
        }

    def run(self) -> None:
        """All passes that make sense for this clock."""
        self._host(0.3 if self._clock.on_device else 0.85)
        if self._clock.on_device:
            self._device()
        if self._clock.on_device or hasattr(self._clock, "recording"):
            self._kernels()
        if not self._clock.on_device:
            self._asked_in_vain()
            return
        if self._subject.has_time(1):
            self.found["memory"] = memory_of(self._subject)
        self._graph()
        if self._wishes.cold:
            self._cold()
        if _LONG_S <= self.found["device"].median <= _LONGEST_S:
            self.found["lasting"] = lasting(self._subject, _sm_clock)
        self.found["after"] = environment.state()
        self._warnings += environment.changes(self.found["before"], self.found["after"])
        self.found["roof"] = self._roof()

    @property
    def begun(self) -> bool:
        """Whether there is anything to show."""
        return "host" in self.found and bool(self.found["host"].samples)

    def warn(self, text: str) -> None:
        """Add to what limits the result."""
        self._warnings.append(text)

    def end(self, stopped: str = "") -> dict[str, Any]:
        """Everything found so far, for a `Timing`; `stopped` says what ended it early."""
        return {**self.found, "warnings": tuple(self._warnings), **({"stopped": stopped} if stopped else {})}

    @property
    def _host_s(self) -> float:
        return float(self.found["host"].median)

    def _asked(self, share: float) -> dict[str, Any]:
        return {"repeat": self._wishes.repeat, "precision": self._wishes.precision, "share": share}

    def _host(self, share: float) -> None:
        taken = HostPass(self._subject, self._wishes.number)
        taken.warm_up()
        if self._clock.on_device:
            self.found["before"] = environment.state()  # only now: an idle GPU's clocks are low
        try:
            self.found["stopped"] = taken.run(**self._asked(share))
        finally:
            self.found |= {"host": _sample(taken.host), "latency": _sample(taken.latency), "number": taken.number}
        self._between = taken.between()

    def _device(self) -> None:
        waits = waits_inside(self._subject, self._host_s)
        self.found["waits"] = waits
        taken = DevicePass(self._subject, self._host_s, self._between)
        refused = waits and ("it waits inside" if waits == "inside" else f"it waits for the GPU inside, at {waits}")
        try:
            stopped = taken.run(refused, self._wishes.number, **self._asked(0.3))
            if stopped and stopped != self.found["stopped"]:
                self.found["stopped"] = f"host: {self.found['stopped']}; device: {stopped}"
        finally:
            self.found |= {"device_number": taken.number, "way": taken.way, "why": taken.why}
            self.found["device"] = _sample(taken.samples)
        if taken.way == "gate":
            with suppress(GateTakenError):
                self.found["floor"] = floor = floor_of(self._clock)
                self.found["device"] = _sample(taken.samples, floor.tick / taken.number)
        if (escaped := escaped_work(self._subject)) > _ESCAPED_S:
            self.found["escaped"] = escaped
            self._escaped(escaped)

    def _escaped(self, seconds: float) -> None:
        self._warnings.append(
            f"{seconds_text(seconds, 2)} of its work ran on after its stream was done: another stream has it, and "
            "`device` does not"
        )

    def _kernels(self) -> None:
        taken = KernelPass(self._subject)
        before = launch_cost(self._clock) if self._clock.on_device else math.nan
        try:
            taken.run(self._wishes.repeat, 0.1)
            if self._clock.on_device and not taken.why:
                self.found["residue"] = launch_cost(self._clock) - before
        finally:
            self._fills_the_queue(taken.count if taken.samples else launches_at_most(self._host_s), bool(taken.samples))
            self._warnings += taken.warnings
            self.found |= {"kernels": _sample(taken.samples), "kernel_list": taken.kernels, "records": taken.why}
            self.found["working"] = taken.working
            self.found["kernel_count"] = taken.count if taken.samples else None
            if "floor" in self.found:
                self.found["floor"] = self.found["floor"]._replace(record=taken.empty)

    def _fills_the_queue(self, launches: float, counted: bool) -> None:
        """Behind the probe's spin, a call that fills CUDA's queue waits as one does that synchronises."""
        if not self.found.get("waits") or launches < _QUEUE:
            return
        why = f"its {launches:.0f} launches fill CUDA's queue, so the host waits there"
        if not counted:
            why = f"it waits inside ({self.found['waits']}), or its launches fill CUDA's queue of about a thousand"
        self.found |= {"waits": "", "why": why}

    def _asked_in_vain(self) -> None:
        wishes = {"cold": self._wishes.cold, "bytes": self._wishes.bytes, "flops": self._wishes.flops}
        if asked := [name for name, wish in wishes.items() if wish]:
            alone = getattr(self._clock, "asynchronous", False)
            why = "JAX queues on streams of its own" if alone else "no array on a GPU was found in it"
            self._warnings.append(f"{' and '.join(asked)} had no effect: {why}")

    def _graph(self) -> None:
        launch_bound = self.found["way"] == "gate" and self.found["device"].median < _BOUND * self._host_s
        if not launch_bound or not self.found["library"] or "escaped" in self.found:
            return
        if not self._subject.has_time(_GRAPH_CALLS):
            self.found["graph_why"] = "not tried: no time was left"
            return
        taken = GraphPass(self._subject, self.found["library"], self.found["kernel_count"])
        try:
            taken.run(**self._asked(0.1))
        finally:
            self.found |= {"graph": _sample(taken.replayed), "plain": _sample(taken.plain), "graph_why": taken.why}

    def _cold(self) -> None:
        taken = ColdPass(self._subject, self._host_s)
        try:
            if self.found["way"] == "gate":
                taken.run(**self._asked(0.15))
                if not taken.samples:
                    self._warnings.append("no cold figure: the gate opened by itself before the calls were queued")
            else:
                self._warnings.append(f"no cold figure without a gate: {self.found['why']}")
        except (GateTakenError, NoRoomError) as error:
            self._warnings.append(f"no cold figure: {error}")
        finally:
            self.found["cold"] = _sample(taken.samples, self.found["floor"].tick if "floor" in self.found else 0.0)

    def _roof(self) -> Roof | None:
        """How near the statement comes to this device's measured ceilings, where that can be known."""
        wishes, device = self._wishes, self.found["device"]
        given = wishes.bytes is not None or wishes.flops is not None
        bound = self.found["way"] in ("gate", "events") and device.median >= self._host_s
        if not (given or bound):
            return None
        own = self.found["kernels"] if self.found["kernels"].samples else device
        if not self.found["kernels"].samples and self.found["way"] == "throughput":
            self._warnings.append("bytes and flops are held against nothing: the GPU's own time could not be taken")
            return None
        value = self._subject.code.value()
        cost = Cost(wishes.bytes, wishes.flops, "given") if given else inferred(self._subject.code, value)
        dtype = computed_in(self._subject.code, value)
        if cost.bytes is None and cost.flops is None:
            return None
        self._subject.tell("this device's ceilings, once")
        limits = ceilings(dtype if cost.flops else None)
        return roof(cost, own.median, dtype, limits) if limits else None


def _sample(values: Sequence[float], tick: float = 0.0) -> Sample:
    known = tuple(value for value in values if math.isfinite(value))
    return Sample(known, tick) if known else NOTHING


def _sm_clock() -> int | None:
    clock = environment.state().get("clock_sm_mhz")
    return clock if isinstance(clock, int) else None
