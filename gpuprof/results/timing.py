"""Timing: how long an expression takes, on the host, on the device, and end to end."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from gpuprof.judge.stats import Interval, median_interval
from gpuprof.results.files import read_json, write_json
from gpuprof.units import percent, seconds_text


@dataclass(frozen=True)
class Sample:
    """Repeated measurements of one quantity, seconds a call. Each is the mean of a batch of calls."""

    samples: tuple[float, ...]

    @cached_property
    def interval(self) -> Interval:
        """The median and its 95 % interval; the interval is NaN for fewer than 6 samples."""
        return median_interval(self.samples)

    @property
    def median(self) -> float:
        """The median, seconds."""
        return self.interval.median

    @property
    def low(self) -> float:
        """The lower end of the 95 % interval of the median, seconds."""
        return self.interval.low

    @property
    def high(self) -> float:
        """The upper end, seconds."""
        return self.interval.high

    @property
    def width(self) -> float:
        """Half the interval as a share of the median; 0 where both are 0, NaN without an interval."""
        half = (self.high - self.low) / 2
        return half / self.median if self.median else half

    def text(self, figures: int = 3) -> str:
        """The median such as "12.3 µs"."""
        return seconds_text(self.median, figures)


NOTHING = Sample(())
_LONG = 5e-4  # a call that keeps the host for longer than this may well be waiting inside


@dataclass(frozen=True, repr=False)
class Timing:
    """What `timeit` measured; it prints as one line and a sentence.

    Quantities that were not measured have no samples, and a NaN median.
    """

    statement: str
    host: Sample
    """Until the call returned. On a GPU the work may not be done by then."""
    device: Sample = NOTHING
    """Between two events around a batch of calls one after another: the GPU's time, or the host's if that is longer."""
    latency: Sample = NOTHING
    """One call on an idle device until its work was done."""
    kernels: Sample = NOTHING
    """The sum of its kernels' own times; needs kernel records."""
    kernel_count: int | None = None
    number: int = 1
    """Calls in a batch."""
    first: float = math.nan
    """The first call, synchronised, seconds: compiling and allocating included."""
    clock: str = "host clock"
    stopped: str = ""
    """Why no more batches were run."""
    about: dict[str, str] = field(default_factory=dict)
    digits: int = 3

    @property
    def verdict(self) -> str:
        """What the figures mean."""
        if not self.device.samples:
            return "Host time; no array on a GPU was found in it."
        if self.host.median > _LONG and self.latency.median < 1.05 * self.host.median:
            return (
                f"bound by the host: a call keeps it for {self.host.text(self.digits)}, working or waiting for the GPU "
                "itself (.get(), float(), printing); kernel records would tell."
            )
        if self.device.median < 1.15 * self.host.median:
            return (
                f"launch-bound: the GPU gets the next call only every {self.host.text(self.digits)}, so its own time "
                f"is at most {self.device.text(self.digits)}; kernel records would tell how much less."
            )
        ahead = percent(1 - self.host.median / self.device.median)
        return f"GPU-bound: calls one after another keep the GPU busy, and the host is free for {ahead} of that time."

    @cached_property
    def table(self) -> Any:
        """A DataFrame with a row a quantity: median_us, low_us, high_us, samples."""
        import pandas as pd

        rows = [
            {
                "quantity": name,
                "median_us": sample.median * 1e6,
                "low_us": sample.low * 1e6,
                "high_us": sample.high * 1e6,
                "samples": len(sample.samples),
            }
            for name, sample in self._measured()
        ]
        return pd.DataFrame(rows, columns=["quantity", "median_us", "low_us", "high_us", "samples"])

    def save(self, path: str | Path) -> Path:
        """The JSON file written; `Timing.load` reads it."""
        content: dict[str, Any] = {name: list(getattr(self, name).samples) for name in _QUANTITIES}
        content |= {name: getattr(self, name) for name in _PLAIN}
        return write_json(Path(path), "timing", content)

    @classmethod
    def load(cls, path: str | Path) -> Timing:
        """The timing saved at `path`. Raises ValueError for a file that is not one."""
        content = read_json(Path(path), "timing")
        try:
            quantities: dict[str, Any] = {name: Sample(tuple(content[name])) for name in _QUANTITIES}
            plain = {name: content[name] for name in _PLAIN}
            return cls(**quantities | plain | {"first": math.nan if plain["first"] is None else plain["first"]})
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is a gpuprof timing with a part missing or damaged: {error}") from None

    def __repr__(self) -> str:
        return f"<Timing: {str(self).splitlines()[0]}>"

    def __str__(self) -> str:
        names = {"device": "device ≤" if self.verdict.startswith("launch") else "device"}
        parts = [f"{names.get(name, name)} {sample.text(self.digits)}" for name, sample in self._measured()]
        widest = max((sample.width for _, sample in self._measured()), default=math.nan)
        spread = f"±{percent(widest)}, " if not math.isnan(widest) else ""
        runs = len(self.host.samples)
        size = f"{runs} batch{'es' if runs != 1 else ''} of {self.number}"
        return f"{' · '.join(parts)}      {spread}{size} ({self.clock})\n{self.verdict}"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text("Timing(...)" if cycle else str(self))

    def _measured(self) -> Iterable[tuple[str, Sample]]:
        for name in _QUANTITIES:
            sample: Sample = getattr(self, name)
            if sample.samples:
                yield name, sample


_QUANTITIES = ("host", "device", "kernels", "latency")
_PLAIN = ("statement", "kernel_count", "number", "first", "clock", "stopped", "about", "digits")
