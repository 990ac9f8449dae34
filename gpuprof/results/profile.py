"""Profile: where a cell's time went, layer by layer and phase by phase."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from gpuprof.judge import advice
from gpuprof.judge.account import Account, account
from gpuprof.judge.pace import Pace, pace
from gpuprof.record.log import RAISED, Calls
from gpuprof.results.files import read_calls, write_calls
from gpuprof.results.tables import KERNEL_COLUMNS, call_table, layer_table
from gpuprof.units import percent
from gpuprof.views.grid import Grid, layer_grid


@dataclass(frozen=True, repr=False)
class Profile:
    """What `layertime` measured; IPython shows it as a table with a verdict.

    `log` is the raw call log, from which all else is derived.
    """

    log: Calls
    clock: str
    """Which clock the times come from: "host clock" or "CUDA events"."""
    about: dict[str, str] = field(default_factory=dict)
    """The machine and its versions."""
    ended_by: str = ""
    """The exception that ended the cell, where one did."""

    @cached_property
    def account(self) -> Account:
        """Who owned each instant."""
        return account(self.log)

    @cached_property
    def pace(self) -> Pace:
        """A typical step, on the host and on the device."""
        return pace(self.log, self.account)

    @cached_property
    def table(self) -> Any:
        """A DataFrame with a row for each (path, phase): what would gain most on top, "(outside)" last.

        first_ms is the first call alone, total_ms all calls together; mean, median and the 95 % interval from
        low_us to high_us are of one call, the first left out, less the layers inside it. host_us: wall time of
        the Python call, median. span_us: start mark to end mark on the device, median; empty on the host clock.
        busy_us, idle_us, launches need kernel records and are empty without them. share: of the cell's time,
        the first step left out. gain: the share of a typical step saved if the row took no time, from
        max(host, device) with and without it; where the device's work is not certain, it is at most this.
        gpu_gain: the same if only its work on the GPU went. For "(outside)" a call is a step. `attrs["passes"]`
        names the pass each column comes from: "events" or "host", "kernels" once there are records; columns of
        different passes must not be subtracted.
        """
        return layer_table(self.log, self.account, self.pace, self.clock)

    @cached_property
    def calls(self) -> Any:
        """A DataFrame with a row a call, in the order they began; times in µs from the cell's beginning."""
        return call_table(self.log, self.account)

    @cached_property
    def kernels(self) -> Any:
        """A DataFrame with a row a kernel. Without kernel records it has columns and no rows."""
        import pandas as pd

        return pd.DataFrame(columns=list(KERNEL_COLUMNS))

    def __getitem__(self, key: tuple[str, str]) -> Any:
        """The row of `table` for (path, phase), as a Series: `profile["Pool1", "backward"].median_us`."""
        path, phase = key
        rows = self.table[(self.table["path"] == path) & (self.table["phase"] == phase)]
        if rows.empty:
            known = ", ".join(repr(tuple(scope)) for scope in self.account.rows)
            raise KeyError(f"no row {(path, phase)!r} in this profile; it has {known}")
        return rows.iloc[0]

    @property
    def verdict(self) -> str:
        """What sets the step's length, which layer to look at, and what mending it would gain."""
        if not len(self.log):
            return advice.nothing_called(self.log.scopes)
        evaluated = self.table.loc[self.table["phase"] == "evaluate", "share"].sum()
        return advice.verdict(self.account.rows, self.pace, float(evaluated))

    @property
    def closure(self) -> float:
        """How far the rows' sum is from the host's wall clock over the whole cell, as a share of it."""
        return self.account.closure(self.log)

    @property
    def own_share(self) -> float:
        """The host time of the profiler's own code, as a share of a step without it; measured as it went.

        What its marks slow the measured code by comes on top: benchmarks/overhead.py compares whole steps.
        """
        rest = self.pace.step - self.pace.own
        return self.pace.own / rest if rest > 0 else math.nan

    @property
    def grid(self) -> Grid:
        """The layer × phase view."""
        rows: dict[str, list[int]] = {}
        for row, scope in enumerate(self.account.rows):
            if scope.phase != "evaluate":
                rows.setdefault(scope.path, []).append(row)
        gains = {path: self.pace.without(*rows[path]) for path in rows} if self.pace.steps else {}
        return layer_grid(self.table, self._paths, gains)

    @property
    def _paths(self) -> list[str]:
        return list(dict.fromkeys(scope.path for scope in self.account.rows))

    @property
    def warnings(self) -> list[str]:
        """What the reader must know before trusting the figures."""
        raised = int((self.log["status"] == RAISED).sum())
        devices = np.unique(self.log["device"])
        found = [
            (bool(self.ended_by), f"The cell ended early ({self.ended_by}); this is what was measured until then."),
            (bool(raised), f"Calls that raised: {raised}. What they took until then is in the table."),
            (bool(self.log.failure), f"CUDA reported an error, and later marks could not be read: {self.log.failure}"),
            (self.log.lost > 0, f"{self.log.lost} calls are left out: their events could not be read."),
            (len(devices) > 1, f"Calls ran on {len(devices)} devices; their times lie on one axis here, side by side."),
            (
                len(self.log) > 0 and not self.log.failure and self.closure > 0.02,
                f"The rows miss the wall clock by {percent(self.closure)}.",
            ),
        ]
        return [text for holds, text in found if holds]

    @property
    def notes(self) -> list[str]:
        """The small print: clock, steps, closure, the profiler's own cost, the machine."""
        first = self.table["first_ms"].sum()
        source = (
            "no kernel records: busy and idle unknown"
            if self.log.on_device
            else "no GPU in use: host time, not GPU time"
        )
        found = [
            f"{self.clock} ({source})",
            f"{self.pace.steps} steps" if self.pace.steps != 1 else "1 step",
            f"first calls apart: {first:.0f} ms" if first >= 1 else "",
            "" if self.log.failure else f"closes to {percent(self.closure)}",
            f"profiler's own code {percent(self.own_share)}" if self.own_share == self.own_share else "",
            self.about.get("gpu" if self.log.on_device else "processor", ""),
        ]
        return [text for text in found if text]

    def plot(self, ax: Any = None, *, log: bool = False) -> Any:
        """The Axes of a bar chart: a group a layer, a bar a phase, time a call with its interval."""
        from gpuprof.views.plot import bars

        return bars(self.table, self._paths, clock=self.clock, ax=ax, log=log)

    def timeline(self, step: int | None = None, ax: Any = None) -> Any:
        """The Axes of one step as host lane over device lane; by default a step in the middle.

        Raises ValueError for a step that was not recorded.
        """
        from gpuprof.views.plot import lanes

        last = int(self.account.call_step.max(initial=-1))
        if last < 0:
            raise ValueError("no step was recorded, so there is none to draw: no layer was called")
        chosen = (last + 1) // 2 if step is None else step
        if not 0 <= chosen <= last:
            raise ValueError(f"step must be from 0 to {last}, the steps recorded; got {chosen}")
        return lanes(self.calls, chosen, clock=self.clock, ax=ax)

    def save(self, path: str | Path) -> Path:
        """The file written: JSON, compressed where the name ends in .gz. `Profile.load` reads it."""
        about = {"clock": self.clock, "about": self.about, "ended_by": self.ended_by}
        return write_calls(Path(path), self.log, about)

    @classmethod
    def load(cls, path: str | Path) -> Profile:
        """The profile saved at `path`. Raises ValueError for a file that is not a profile, or cut off."""
        log, about = read_calls(Path(path))
        return cls(log=log, **about)

    def to_trace(self, path: str | Path) -> Path:
        """The file written: a Chrome trace for Perfetto, host calls and device spans in lanes."""
        import json

        from gpuprof.views.trace import chrome_trace

        Path(path).write_text(json.dumps(chrome_trace(self.calls, self.about)), encoding="utf-8")
        return Path(path)

    def __repr__(self) -> str:
        return f"<Profile: {len(self.log)} calls, {self.pace.steps} steps, {self.clock}>"

    def __str__(self) -> str:
        parts = [self.verdict, "", self.grid.text() if len(self.log) else "", ""]
        parts += [f"! {warning}" for warning in self.warnings]
        parts.append(" · ".join(self.notes))
        return "\n".join(parts)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text("Profile(...)" if cycle else str(self))

    def _repr_html_(self) -> str:
        from gpuprof.views.html import report

        return report(self.verdict, self.grid if len(self.log) else None, self.notes, self.warnings)
