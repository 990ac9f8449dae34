"""Two profiles side by side, row by row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuprof.judge.account import OUTSIDE
from gpuprof.judge.changes import Traits, unchanged
from gpuprof.judge.simultaneous import FEWEST, Middle, middles, whole
from gpuprof.judge.steptimes import StepTimes, step_times
from gpuprof.record.calls import LINE, Scope
from gpuprof.results.measured import Measured
from gpuprof.results.rowchange import STEP_PATH
from gpuprof.results.traits import traits

STEP = Scope(STEP_PATH, "")
_BUSY = 0.97
_APART = 0.1  # of a step: more, and rows wait for the other of host and device than before
"""Of a step: where a device is busy for less, the host sets the pace here and there."""


@dataclass(frozen=True, eq=False)
class Side:
    """A profile, and what can be compared of it."""

    profile: Measured
    times: StepTimes

    @classmethod
    def of(cls, profile: Measured) -> Side:
        """A profile, by the steps it has."""
        return cls(profile, step_times(profile.account))

    @cached_property
    def traits(self) -> dict[Scope, Traits]:
        """What a usual call of each row does."""
        calls, moved = self.profile.log.without(LINE)
        return traits(calls, self.profile.account, self.profile.seen.kernels.moved(moved), self.profile.seen)

    def middle(self, rows: Sequence[Scope], fewest: int = FEWEST) -> Middle:
        """Seconds of a call of these rows, and of the step, which has all the rows there are."""
        every = whole(middles(self.times.times, fewest), self.times.often)
        at = [*map(self.times.rows.index, rows), -1]
        return Middle(every.value[at], every.parts[:, at])

    def seconds(self, row: Scope) -> float:
        """Of a call of a row, from however few steps."""
        return float(self.middle([row], 1).value[0])

    def steps(self, row: Scope) -> int:
        """In how many the row was timed."""
        return len(self.times.times) if row == STEP else int((~np.isnan(self.times.of([row]))).sum())

    def busy(self, row: Scope) -> float:
        """Seconds that the kernels of a call run."""
        return float(self._figures[row].busy_us) * 1e-6 if row in self._figures else math.nan

    @property
    def kept_busy(self) -> float:
        """The share of a typical step in which kernels ran, as recorded."""
        pace = self.profile.pace
        return float(pace.work.sum()) / pace.step if pace.step > 0 else math.nan

    def gains(self) -> list[tuple[str, float]]:
        """The layers' rows with what a step would gain without them, the most first."""
        rows = [row for scope, row in self._figures.items() if scope != OUTSIDE and row.gain == row.gain]
        return sorted(((f"{row.path}.{row.phase}", float(row.gain)) for row in rows), key=lambda each: -each[1])

    @cached_property
    def _figures(self) -> dict[tuple[str, str], Any]:
        return {(row.path, row.phase): row for row in self.profile.table.itertuples()}


@dataclass(frozen=True, eq=False)
class Sides:
    """The old one and the new."""

    old: Side
    new: Side

    @classmethod
    def of(cls, old: Measured, new: Measured) -> Sides:
        """Two profiles, by the steps they have."""
        return cls(Side.of(old), Side.of(new))

    @cached_property
    def rows(self) -> tuple[Scope, ...]:
        """The new one's in their order, then those that are gone; what is outside is last."""
        found = [row for side in (self.new, self.old) for row in side.traits if row != OUTSIDE]
        return (*dict.fromkeys(found), OUTSIDE)

    @cached_property
    def common(self) -> tuple[Scope, ...]:
        """Those that both have."""
        return tuple(row for row in self.rows if row in self.old.traits and row in self.new.traits)

    @property
    def layers(self) -> NDArray[np.bool_]:
        """Of the common rows and the step: which are layers'."""
        return np.array([*(row != OUTSIDE for row in self.common), False], dtype=bool)

    @cached_property
    def controls(self) -> NDArray[np.bool_]:
        """The same: which layers' rows are known to launch the very same kernels."""
        same = [unchanged(self.old.traits[row], self.new.traits[row]) for row in self.common]
        return np.asarray(self.layers & np.array([*same, False], dtype=bool))

    def middles(self) -> tuple[Middle, Middle]:
        """Of the common rows and the step, old and new."""
        return self.old.middle(self.common), self.new.middle(self.common)

    @property
    def on_device(self) -> bool:
        """Whether the new one's times are a device's."""
        return self.new.profile.log.on_device

    @property
    def busy(self) -> float:
        """The lesser share of a typical step in which the device is busy."""
        return min(self.old.kept_busy, self.new.kept_busy)

    @property
    def pace_changed(self) -> bool:
        """Whether the host sets the pace of one more than of the other: rows' times then do not compare."""
        apart = abs(self.old.kept_busy - self.new.kept_busy)
        return self.recorded and self.paced_by_host and apart > _APART

    @property
    def paced_by_host(self) -> bool:
        """Whether rows take as long as the host lets them: then all do not change alike from run to run."""
        return self.on_device and self.busy < _BUSY

    @property
    def recorded(self) -> bool:
        """Whether both have kernel records."""
        return all(len(side.profile.seen.kernels) for side in (self.old, self.new))
