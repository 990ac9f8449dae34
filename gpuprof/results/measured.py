"""What was measured in a cell, and the tables that follow from it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from gpuprof.judge.account import Account, account
from gpuprof.judge.pace import Pace, pace
from gpuprof.judge.replays import ReplayFigures, replay_figures
from gpuprof.record.calls import LINE, Calls
from gpuprof.record.launches import Kernels
from gpuprof.results.besides import cost_table, hot_table, memory_table, roofs, wait_table
from gpuprof.results.graphs import graph_table
from gpuprof.results.kerneltable import KernelFigures, by_name, kernel_figures
from gpuprof.results.lines import LineProfile
from gpuprof.results.linetimes import Followed, line_profiles
from gpuprof.results.replays import named_kernels, owned_kernels, with_parts
from gpuprof.results.seen import Seen
from gpuprof.results.tables import call_table, kernel_table, layer_table


@dataclass(frozen=True, repr=False, eq=False)
class Measured:
    """A cell's call log, what the other passes saw, and what can be derived from both."""

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
    def replays(self) -> ReplayFigures | None:
        """Of training steps that ran as captured graphs, what a step takes and each of its kernels; None without."""
        calls, kernels = self._layers
        return replay_figures(calls, self.account, kernels, self.seen.replays) if len(self.seen.replays) else None

    @property
    def steps(self) -> int:
        """How many steps there were, those inside graphs too."""
        if not self.replays:
            return self.account.steps
        trained = {"forward", "backward", "update"} & {row.phase for row in self.account.rows}
        return self.replays.steps + (self.account.steps if trained else 0)

    @property
    def step(self) -> float:
        """Seconds of a typical step, of those in graphs where there are any; NaN without."""
        if self.replays:
            return self.replays.step.median
        return self.pace.step if self.pace.steps else math.nan

    @cached_property
    def table(self) -> Any:
        """A DataFrame with a row for each (path, phase): what would gain most on top, "(outside)" last.

        first_ms is the first call alone, total_ms all calls together (those that were not marked by the others' mean,
        and so is share: see docs/layers.md); mean, median and the 95 % interval from low_us to high_us are of one
        call, the first left out, less the layers inside it. host_us: wall time of the Python call, median. span_us:
        start mark to end mark on the device, median; empty on the host clock. busy_us (its kernels' own time, median),
        idle_us (gaps between its kernels, median), launches (kernels, copies and fills, mean) and threads (the most of
        one kernel) are of one call, from kernel records, less the layers inside it, and empty without them. share: of
        the cell's time, the first step left out. gain: the share of a typical step saved if the row took no time, from
        max(host, device) with and without it; without kernel records the device's work is a least, and so the gain a
        most. gpu_gain: the same if only its work on the GPU went; roof_gain: if that took no longer than the device's
        ceilings ask (see `costs`). For "(outside)" a call is a step. `attrs["passes"]` names the pass each column
        comes from: "plain", "events" or "host", "kernels"; columns of different passes must not be subtracted.

        Of steps that ran as captured graphs there is a row for each kernel, whose path and phase name all the layers
        and phases that it does; its calls are steps, its times the part of a step that was not recorded, and
        "(between kernels)" is what is left of that.
        """
        return with_parts(self._table, self.replays) if self.replays else self._table

    @cached_property
    def _table(self) -> Any:
        """The same with whole graphs as one row."""
        calls, kernels = self._layers
        seen = replace(self.seen, kernels=kernels)
        return layer_table(calls, self.account, self.pace, self.clock, seen, self._roofs)

    @cached_property
    def graph(self) -> Any:
        """A DataFrame with a row a (path, phase), and "(step)" last: a call now, and as a captured graph; in ms.

        Measured where it was asked for, on copies of the layers with made-up arrays. a_step: calls in a typical step;
        launches: in the graph; now_ms: `host_us` of `table` where the host sets the pace, else `span_us`; of "(step)"
        the sum over its calls. graph_ms: the median of the replays with its 95 % interval from low_ms to high_ms;
        gain_ms: what a call would save; why: why there is none. `attrs["plain_ms"]`: a step of the copies without
        graphs.
        """
        return graph_table(self.seen.graphs, self.table, self.pace.bound)

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
        found = kernel_table(calls, self.account, replace(self.seen, kernels=kernels))
        return owned_kernels(found, self.replays) if self.replays else found

    @cached_property
    def kernel_table(self) -> Any:
        """A DataFrame with a row for the kernels of one name in a row of `table`: launches and busy_us a call."""
        return named_kernels(self._kernel_table, self.replays) if self.replays else self._kernel_table

    @cached_property
    def _kernel_table(self) -> Any:
        """The same with those of whole graphs in one row."""
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
        time they take at this GPU's measured ceilings, and the share of it that was reached; empty without records.
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

    @property
    def closure(self) -> float:
        """How far the rows' sum is from the host's wall clock over the whole cell, as a share of it."""
        return self.account.closure(self._layers[0])

    @property
    def own_share(self) -> float:
        """The host time of the profiler's own code, as a share of a step without it; measured as it went.

        What its marks slow the measured code by comes on top: benchmarks/overhead.py compares whole steps. NaN where
        steps ran as captured graphs: there it works while the device does, but for the row "(profiler)".
        """
        if self.replays:
            return math.nan
        rest = self.pace.step - self.pace.own
        return self.pace.own / rest if rest > 0 else math.nan
