"""What the rules look at: a typical step, the table's rows, the waits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpuprof.judge.pace import Floats, Pace
from gpuprof.record.calls import Scope
from gpuprof.record.waits import WaitLine

_ISSUING = 1e-4  # seconds; a launch from Python takes 5 to 20 µs, so a row above this works or waits besides


class KernelFact(NamedTuple):
    """Kernels of one name in a row: a call's."""

    name: str
    launches: float
    seconds: float
    threads: int
    """The most of one of them."""


class RowFact(NamedTuple):
    """One row of the table; times and numbers are of a call, NaN where they were not measured."""

    scope: Scope
    calls_a_step: float
    busy: float
    """Seconds its kernels ran."""
    launches: float
    threads: float
    """The most of one of its kernels."""
    elements: int
    """Of the array that a call returned; 0 for none."""
    dtype: str
    """Of its arithmetic; "" where that is not known."""
    grown: float
    """Bytes a call for which the pool asked the driver."""
    kernels: tuple[KernelFact, ...]


@dataclass(frozen=True)
class Facts:
    """What the rules look at."""

    pace: Pace
    rows: tuple[RowFact, ...]
    """As in the account, `OUTSIDE` last."""
    waits: tuple[WaitLine, ...] = ()
    inspected: int = 0
    """The steps in which waits and memory were watched."""
    parameters: int = 0
    """Arrays that all layers together learn."""
    modules: frozenset[str] = frozenset()
    """The paths of PyTorch's modules: their backwards are no methods, and they are not items of the model."""
    model: str = "lm"
    """What the user calls the model."""

    def of_step(self) -> Iterator[tuple[int, RowFact]]:
        """The rows of a step, numbered as the pace's; an evaluation is none of it."""
        return ((number, row) for number, row in enumerate(self.rows) if row.scope.phase != "evaluate")

    @property
    def launches(self) -> Floats:
        """A step's, by row; 0 where they are not known."""
        if self.pace.launches is not None:
            return self.pace.launches
        found = np.zeros(len(self.rows))
        for number, row in self.of_step():
            found[number] = row.launches * row.calls_a_step
        return np.nan_to_num(found)

    @property
    def issuing(self) -> NDArray[np.bool_]:
        """The rows in which the host does little but launch."""
        launches = self.launches
        return np.asarray((launches > 0) & (self.pace.host <= _ISSUING * launches))

    @property
    def launch_bound(self) -> bool:
        """Whether launching sets the step's length."""
        pace = self.pace
        return pace.on_device and pace.bound == "host" and 2 * pace.host[self.issuing].sum() > pace.host.sum()

    def totals(self, field: str) -> dict[str, float]:
        """The layers' launches by phase or by path, the most first."""
        totals: dict[str, float] = {}
        for number, row in self.of_step():
            if row.scope.phase and self.launches[number] > 0:
                key = getattr(row.scope, field)
                totals[key] = totals.get(key, 0.0) + float(self.launches[number])
        return dict(sorted(totals.items(), key=lambda item: -item[1]))

    def work_of(self, number: int, *kernels: KernelFact) -> float:
        """The seconds of a step's work of a row that `kernels` take."""
        seconds = sum(kernel.seconds for kernel in kernels) * self.rows[number].calls_a_step
        return min(seconds, float(self.pace.work[number]))
