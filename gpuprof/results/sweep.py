"""Sweep: how long a statement takes, over the values of one variable."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from gpuprof.results.export import Exported
from gpuprof.results.files import read_json, write_json
from gpuprof.results.smallprint import machine
from gpuprof.results.timing import Timing
from gpuprof.units import column_unit, digits, percent
from gpuprof.views.grid import Cell, Grid

_QUANTITIES = ("host", "device", "kernels", "cold", "latency")


def where_bound(name: str, values: Sequence[Any], launch_bound: Sequence[bool]) -> str:
    """Up to which of the values of a variable it is launch-bound, of which the flags say at each."""
    if all(launch_bound):
        return f"launch-bound up to {name} = {values[-1]}: the host takes longer than the GPU all along"
    if not any(launch_bound):
        return f"GPU-bound from {name} = {values[0]} on"
    last = max(i for i, bound in enumerate(launch_bound) if bound)
    if last + 1 == len(values):
        return f"launch-bound at {name} = {values[last]}"
    return f"launch-bound up to {name} = {values[last]}, GPU-bound from {values[last + 1]} on"


@dataclass(frozen=True, repr=False)
class Sweep(Exported):
    """A `Timing` for each value of a variable."""

    statement: str
    variable: str
    values: tuple[Any, ...]
    points: tuple[Timing, ...]
    stopped: str = ""

    @property
    def verdict(self) -> str:
        """Where launch-bound ends."""
        gpu = [point.device if point.device.samples else point.kernels for point in self.points]
        bound = [sample.median < point.host.median for sample, point in zip(gpu, self.points, strict=True)]
        if not any(sample.samples for sample in gpu):
            return self.points[0].verdict if self.points else "nothing was measured."
        name, values = self.variable, self.values
        without = [(value, point.why) for value, point in zip(values, self.points, strict=True) if point.why]
        if without:
            paces, why = [f"{value}" for value, _ in without], without[0][1]
            return f"no device time of its own at {name} = {', '.join(paces)} ({why})."
        return f"{where_bound(name, values, bound)}."

    @cached_property
    def table(self) -> Any:
        """A DataFrame with a row a value: the variable, then median, low and high of each quantity in µs, kernel_count.

        `device_resolved` is False where the device time is below three times its floor, or was not gated.
        """
        import pandas as pd

        rows = []
        for value, point in zip(self.values, self.points, strict=True):
            row: dict[str, Any] = {self.variable: value}
            for name in _QUANTITIES:
                sample = getattr(point, name)
                row[f"{name}_us"] = sample.median * 1e6
                row[f"{name}_low_us"], row[f"{name}_high_us"] = sample.low * 1e6, sample.high * 1e6
            rows.append({**row, "kernel_count": point.kernel_count, "device_resolved": point.resolved})
        return pd.DataFrame(rows)

    def plot(self, ax: Any = None) -> Any:
        """Time against the variable, both logarithmic, on the Axes returned."""
        from gpuprof.views.swept import sweep

        return sweep(self.table, self.variable, small_print=[self.statement, self._machine, *self._clock], ax=ax)

    def to_markdown(self) -> str:
        """What is shown of it as GitHub's Markdown."""
        from gpuprof.views import markdown

        return markdown.joined(
            f"**{markdown.prose(self.verdict)}**",
            markdown.grid(self._grid()),
            markdown.small([f"`{self.statement}`", self._machine, *self._clock, self.stopped]),
        )

    def save(self, path: str | Path) -> Path:
        """The JSON file written; `Sweep.load` reads it. Values that JSON has no form for become text."""
        values = tuple(map(plain_value, self.values))
        content = {"statement": self.statement, "variable": self.variable, "values": values, "stopped": self.stopped}
        return write_json(Path(path), "sweep", content | {"points": tuple(point.content() for point in self.points)})

    @classmethod
    def load(cls, path: str | Path) -> Sweep:
        """The sweep saved at `path`. Raises ValueError for a file that is not one."""
        content = read_json(Path(path), "sweep")
        try:
            points = tuple(Timing.from_content(point) for point in content["points"])
            values = tuple(content["values"])
            return cls(content["statement"], content["variable"], values, points, content["stopped"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is a gpuprof sweep with a part missing or damaged: {error}") from None

    @property
    def _brief(self) -> str:
        return f"{self.statement} over {len(self.values)} values of {self.variable}"

    def __str__(self) -> str:
        stopped = [f"note: {self.stopped}"] if self.stopped else []
        return "\n".join([self.statement, self._grid().text(), self.verdict, *stopped])

    def _repr_html_(self) -> str:
        from gpuprof.views.html import report

        notes = [self.statement, self._machine, *self._clock, self.stopped]
        return report(self.verdict, self._grid(), [note for note in notes if note])

    @property
    def _clock(self) -> list[str]:
        return [self.points[0].clock] if self.points else []

    @property
    def _machine(self) -> str:
        return machine(self.points[0].about, self.points[0].clock) if self.points else ""

    def _grid(self) -> Grid:
        """A row a value; a quantity that no point has is left out."""
        shown = [name for name in _QUANTITIES if any(getattr(point, name).samples for point in self.points)]
        units = {name: column_unit(getattr(point, name).median for point in self.points) for name in shown}
        counted = any(point.kernel_count for point in self.points)
        roofs = any(point.roof and not math.isnan(point.roof.share) for point in self.points)
        rows = []
        for value, point in zip(self.values, self.points, strict=True):
            cells = [Cell(str(value)), *(Cell(_amount(point, name, units[name][0])) for name in shown)]
            cells += [Cell(f"{point.kernel_count or 0:.4g}")] if counted else []
            cells += [Cell(percent(point.roof.share) if point.roof else "")] if roofs else []
            rows.append(tuple(cells))
        head = [self.variable, *(f"{name} ({units[name][1]})" for name in shown)]
        head += (["launches"] if counted else []) + (["of the roof"] if roofs else [])
        return Grid(tuple(head), tuple(rows))


def _amount(point: Timing, name: str, size: float) -> str:
    """A point's quantity in the column's unit; ≤ where the device time is not its own."""
    bound = "≤ " if name == "device" and not point.resolved else ""
    return bound + digits(getattr(point, name).median / size)


def plain_value(value: Any) -> Any:
    """A value as JSON has it, NumPy's numbers as Python's."""
    value = value.item() if isinstance(value, np.generic) else value
    endless = isinstance(value, float) and math.isinf(value)
    return value if isinstance(value, (int, float, str)) and not endless else repr(value)
