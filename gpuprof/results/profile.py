"""Profile: where a cell's time went, layer by layer and phase by phase."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from gpuprof.judge import advice
from gpuprof.judge.account import Account, account
from gpuprof.judge.findings import Facts, Finding, findings
from gpuprof.judge.pace import Pace, pace
from gpuprof.record.launches import Kernels
from gpuprof.record.log import LINE, RAISED, Calls
from gpuprof.record.schedule import Mode
from gpuprof.results.besides import cost_table, facts, hot_table, memory_table, roofs, wait_table
from gpuprof.results.files import read_calls, write_calls
from gpuprof.results.kerneltable import KernelFigures, by_name, kernel_figures
from gpuprof.results.lines import LineProfile
from gpuprof.results.linetimes import Followed, line_profiles
from gpuprof.results.seen import Seen
from gpuprof.results.tables import call_table, kernel_table, layer_table
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
    seen: Seen = field(default_factory=Seen)
    """What the other passes saw."""
    followed: tuple[Followed, ...] = ()
    """The functions whose statements were followed."""

    @cached_property
    def _layers(self) -> tuple[Calls, Kernels]:
        """The log without the statements that were followed, and the kernels as that has it."""
        calls, moved = self.log.without(LINE)
        return calls, self.seen.kernels.moved(moved)

    @cached_property
    def account(self) -> Account:
        """Who owned each instant."""
        return account(self._layers[0])

    @cached_property
    def pace(self) -> Pace:
        """A typical step, on the host and on the device."""
        calls, kernels = self._layers
        return pace(calls, self.account, kernels if len(kernels) else None)

    @cached_property
    def lines(self) -> dict[str, LineProfile]:
        """The lines of each function that was followed, by its name."""
        return line_profiles(self.followed, self.log, self.seen, self.clock, self.about)

    @cached_property
    def table(self) -> Any:
        """A DataFrame with a row for each (path, phase): what would gain most on top, "(outside)" last.

        first_ms is the first call alone, total_ms all calls together; mean, median and the 95 % interval from
        low_us to high_us are of one call, the first left out, less the layers inside it. host_us: wall time of
        the Python call, median. span_us: start mark to end mark on the device, median; empty on the host clock.
        busy_us (its kernels' own time, median), idle_us (gaps between its kernels, median), launches (kernels,
        copies and fills, mean) and threads (the most of one kernel) are of one call, from kernel records, less the
        layers inside it, and empty without them. share: of the cell's time, the first step left out. gain: the share
        of a typical step saved if the row took no time, from max(host, device) with and without it; without kernel
        records the device's work is a least, and so the gain a most. gpu_gain: the same if only its work on the GPU
        went; roof_gain: if that took no longer than the device's ceilings ask (see `costs`). For "(outside)" a call is
        a step. `attrs["passes"]` names the pass each column comes from: "plain", "events" or "host", "kernels";
        columns of different passes must not be subtracted.
        """
        calls, kernels = self._layers
        seen = replace(self.seen, kernels=kernels)
        return layer_table(calls, self.account, self.pace, self.clock, seen, self._roofs)

    @cached_property
    def calls(self) -> Any:
        """A DataFrame with a row a call, in the order they began; times in µs from the cell's beginning."""
        return call_table(self._layers[0], self.account)

    @cached_property
    def kernels(self) -> Any:
        """A DataFrame with a row a kernel, copy or fill recorded: whose, when, how long, threads, registers, bytes.

        span_us is from its start to its end, busy_us without what it shared with others that ran at the same time.
        Without kernel records it has columns and no rows.
        """
        calls, kernels = self._layers
        return kernel_table(calls, self.account, replace(self.seen, kernels=kernels))

    @cached_property
    def kernel_table(self) -> Any:
        """A DataFrame with a row for the kernels of one name in a row of `table`: launches and busy_us a call."""
        calls, kernels = self._layers
        return by_name(calls, self.account, kernels)

    @cached_property
    def memory(self) -> Any:
        """A DataFrame with a row a (path, phase) watched: bytes a call allocated, their peak, what it retained.

        Means over the calls watched, with those inside it; grown_bytes and growths: what the pool asked the driver.
        """
        return memory_table(self._layers[0], self.account, self.seen)

    @cached_property
    def waits(self) -> Any:
        """A DataFrame with a row a line on which the host waited for the GPU: what, how often a step, what it cost."""
        return wait_table(self.seen)

    @cached_property
    def hot(self) -> Any:
        """A DataFrame with a row a line that launched kernels, the longest first: a step's launches and busy_us."""
        return hot_table(self.seen)

    @cached_property
    def costs(self) -> Any:
        """A DataFrame with a row a (path, phase): operations and bytes of a call, from where they are known, the least
        time they take at this device's measured ceilings, and the share of it that was reached.
        """
        return cost_table(self.account.rows, self.seen, self._busy)

    @cached_property
    def _busy(self) -> dict[int, KernelFigures]:
        calls, kernels = self._layers
        return kernel_figures(calls, self.account, kernels)

    @property
    def _roofs(self) -> Any:
        """The least seconds a call of each row takes at the ceilings; NaN where that is not known."""
        return roofs(self.account.rows, self.seen, self._busy)

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

    @cached_property
    def advice(self) -> tuple[Finding, ...]:
        """What the evidence says could be mended, the most worth first, each with the next thing to type."""
        return findings(self._facts)

    @property
    def _facts(self) -> Facts:
        return facts(self.account.rows, self.pace, self.table, self.seen, self.kernel_table, self.memory)

    @property
    def closure(self) -> float:
        """How far the rows' sum is from the host's wall clock over the whole cell, as a share of it."""
        return self.account.closure(self._layers[0])

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
            (
                self.seen.kernels.unknown > 0,
                f"{self.seen.kernels.unknown} kernels were launched by threads that could not be told apart; they are "
                "in no row.",
            ),
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
        found = [
            f"{self.clock} ({self._source})",
            self._steps,
            f"first calls apart: {first:.0f} ms" if first >= 1 else "",
            "" if self.log.failure else f"closes to {percent(self.closure)}",
            f"profiler's own code {percent(self.own_share)}" if self.own_share == self.own_share else "",
            self.about.get("gpu" if self.log.on_device else "processor", ""),
        ]
        return [text for text in found if text]

    @property
    def _source(self) -> str:
        """Where busy and idle come from, or why from nowhere."""
        if not self.log.on_device:
            return "no GPU in use: host time, not GPU time"
        kernels = self.seen.kernels
        if len(kernels):
            lost = f", {kernels.dropped} records dropped" if kernels.dropped else ""
            return f"with CUPTI's records of {len(kernels)} kernels and copies{lost}"
        why = self.seen.no_records or "the cell was too short for them; --kernels takes them from the first step on"
        return f"no kernel records, busy and idle unknown: {why}"

    @property
    def _steps(self) -> str:
        """How many steps there were, and how they were measured."""
        modes = self.account.step_mode
        total = f"{len(modes)} steps" if len(modes) != 1 else "1 step"
        kinds = {
            "marked": (modes == int(Mode.EVENTS)).sum(),
            "with kernel records": ((modes > 0) & (modes & int(Mode.RECORDS) > 0)).sum(),
            "plain": (modes == int(Mode.PLAIN)).sum(),
        }
        several = [f"{number} {kind}" for kind, number in kinds.items() if number]
        return f"{total}: {', '.join(several)}" if len(several) > 1 else total

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
        marked = self.account.marked_steps()
        chosen = int(marked[len(marked) // 2] if len(marked) else last) if step is None else step
        if not 0 <= chosen <= last:
            raise ValueError(f"step must be from 0 to {last}, the steps recorded; got {chosen}")
        return lanes(self.calls, chosen, clock=self.clock, ax=ax)

    def save(self, path: str | Path) -> Path:
        """The file written: JSON, compressed where the name ends in .gz. `Profile.load` reads it."""
        about = {
            "clock": self.clock,
            "about": self.about,
            "ended_by": self.ended_by,
            "seen": self.seen.to_dict(),
            "followed": [each.to_dict() for each in self.followed],
        }
        return write_calls(Path(path), self.log, about)

    @classmethod
    def load(cls, path: str | Path) -> Profile:
        """The profile saved at `path`. Raises ValueError for a file that is not a profile, or cut off."""
        log, about = read_calls(Path(path))
        try:
            seen, followed = Seen.from_dict(about.pop("seen")), map(Followed.from_dict, about.pop("followed"))
            return cls(log=log, **about, seen=seen, followed=tuple(followed))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{path} is a gpuprof profile with a part missing or damaged: {error}") from None

    def to_trace(self, path: str | Path) -> Path:
        """The file written: a Chrome trace for Perfetto, host calls and device spans in lanes."""
        import json

        from gpuprof.views.trace import chrome_trace

        Path(path).write_text(json.dumps(chrome_trace(self.calls, self.kernels, self.about)), encoding="utf-8")
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
