"""StepSweep: how long a model's step takes, over the values of one variable, such as the batch size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from gpuprof.judge.crossing import crossing
from gpuprof.judge.figures import Sample
from gpuprof.judge.findings import label
from gpuprof.record.calls import Scope
from gpuprof.results.export import Exported
from gpuprof.results.files import PACKED, read_json, write_json
from gpuprof.results.layersteps import layer_steps
from gpuprof.results.profile import Profile
from gpuprof.results.sweep import plain_value, where_bound
from gpuprof.units import column_unit, count, digits, percent, seconds_text
from gpuprof.views.colours import GPU, HOST
from gpuprof.views.grid import Cell, Grid
from gpuprof.views.report import Report

_FREE = 0.5  # of what a value grows by: a step that grows by less is nearly free


@dataclass(frozen=True)
class StepPoint:
    """A step at one value; seconds, NaN for what was not measured."""

    samples: tuple[float, ...]
    """Seconds a step, each of a batch of them without a profiler, from one wait for the GPU to the next."""
    host: float
    """What the host takes to issue a step."""
    busy: float = math.nan
    """Its kernels' and copies' own time."""
    launches: float = math.nan
    bound: str = "host"
    """What sets the step's length by the profile: "host" or "device"."""
    decides: str = ""
    """The row without which most of a step would be saved: "Pool1.backward"."""
    gain: float = math.nan
    """What that is, as a share of the step."""

    @property
    def step(self) -> Sample:
        """Its length, with an interval."""
        return Sample(self.samples)

    @property
    def idle(self) -> float:
        """What of a step the GPU has nothing to do."""
        return max(0.0, self.step.median - self.busy) if self.busy == self.busy else math.nan


def step_point(samples: Sequence[float], profile: Profile) -> StepPoint:
    """What was measured at one value: batches of calls, seconds a call, and a profile of some calls more."""
    if graphs := profile.replays:
        launches = sum(part.launches for part in graphs.parts) if graphs.parts else math.nan
        longest = graphs.longest if graphs.parts else None
        step = Sample(tuple(samples)).median  # with what an epoch needs besides its graphs
        bound = "host" if graphs.busy < step / 2 else graphs.bound
        name, gain = (label(longest.row), longest.seconds / step) if longest else ("", math.nan)
        return StepPoint(tuple(samples), graphs.host, graphs.busy, launches, bound, name, gain)
    figures = layer_steps(profile.account, profile.pace, profile.table).values()
    busy, launches = (
        sum(known) if (known := [each for each in column if each == each]) else math.nan
        for column in ([f.busy for f in figures], [f.launches for f in figures])
    )
    rows = profile.table[profile.table["gain"].notna()].sort_values("gain", ascending=False, kind="stable")
    top = next(rows.itertuples(), None)
    name, gain = ("", math.nan) if top is None else (label(Scope(top.path, top.phase)), float(top.gain))
    host = float(profile.pace.host.sum()) if profile.pace.host_known else math.nan
    return StepPoint(tuple(samples), host, busy, launches, profile.pace.bound, name, gain)


@dataclass(frozen=True, repr=False)
class StepSweep(Exported):
    """A `StepPoint` for each value of a variable."""

    statement: str
    variable: str
    values: tuple[Any, ...]
    points: tuple[StepPoint, ...]
    clock: str = ""
    about: dict[str, str] = field(default_factory=dict)
    stopped: str = ""
    profiles: tuple[Profile, ...] = field(default=(), compare=False)
    """The profile at each value."""

    @property
    def on_device(self) -> bool:
        """Whether a GPU was in use."""
        return any(point.busy == point.busy or point.bound == "device" for point in self.points)

    @property
    def verdict(self) -> str:
        """Where launch-bound ends, what a larger value costs up to there, and what decides a step at the last."""
        if not self.points:
            return "Nothing was measured."
        if not self.on_device:
            return f"Host time; no array on a GPU was found in it. {self._growth(len(self.points) - 1)}".strip()
        bound = [point.bound == "host" for point in self.points]
        meet = f"; host and GPU meet near {count(float(f'{self.ends:.2g}'))}" if self.ends == self.ends else ""
        where = where_bound(self.variable, self.values, bound)
        sentences = [f"{where[0].upper()}{where[1:]}{meet}."]
        if any(bound):
            sentences.append(self._growth(max(i for i, launch_bound in enumerate(bound) if launch_bound)))
        last = self.points[-1]
        if last.decides and last.gain > 0:
            saved = f"without it that step would be {percent(last.gain)} shorter"
            sentences.append(f"At {self.values[-1]} {last.decides} decides: {saved}.")
        return " ".join(filter(None, sentences))

    def _growth(self, at: int) -> str:
        """How the step grows from the first value to that one, where they are numbers."""
        first, value = (self.values[i] for i in (0, at))
        if at == 0 or not all(isinstance(each, (int, float)) and each > 0 for each in (first, value)):
            return ""
        steps = [self.points[i].step.median for i in (0, at)]
        if not steps[0] > 0 or not value > first:
            return ""
        times, more = steps[1] / steps[0], value / first
        free = ": up to there more is nearly free" if times < 1 + _FREE * (more - 1) and self.on_device else ""
        return (
            f"A step takes {seconds_text(steps[0])} at {first} and {seconds_text(steps[1])} at {value}, "
            f"{digits(times, 2)}× as long for {digits(more, 2)}× as much{free}."
        )

    @property
    def ends(self) -> float:
        """The value from which on the GPU takes longer than the host, between the measured ones; NaN if there is none.

        By straight lines in the logarithms of values and times, where values are positive numbers.
        """
        if not all(isinstance(value, (int, float)) and value > 0 for value in self.values):
            return math.nan
        places = [math.log(value) for value in self.values[: len(self.points)]]
        return math.exp(crossing(places, [p.host for p in self.points], [p.busy for p in self.points]))

    @cached_property
    def table(self) -> Any:
        """A DataFrame with a row a value: the variable, then the step as it is without a profiler, and what fills it.

        step_us with its 95 % interval from step_low_us to step_high_us; host_us: what the host takes to issue it;
        busy_us: its kernels' own time, idle_us: the rest of the step; launches; bound: "host" or "device"; decides:
        the row without which most of a step would be saved, and gain: that share. What was not measured is empty.
        """
        import pandas as pd

        rows = []
        for value, point in zip(self.values, self.points, strict=False):
            step = point.step
            times = {"step": step.median, "step_low": step.low, "step_high": step.high, "host": point.host}
            times |= {"busy": point.busy, "idle": point.idle}
            row = {self.variable: value, **{f"{name}_us": seconds * 1e6 for name, seconds in times.items()}}
            rows.append(row | {name: getattr(point, name) for name in ("launches", "bound", "decides", "gain")})
        return pd.DataFrame(rows)

    def plot(self, ax: Any = None) -> Any:
        """Step, host and busy against the variable on the Axes returned; where launch-bound ends is marked."""
        from gpuprof.views.swept import steps

        return steps(self.table, self.variable, small_print=self._notes, ax=ax)

    def save(self, path: str | Path) -> Path:
        """The JSON file written, its profiles too; compressed where the name ends in .gz. `StepSweep.load` reads it."""
        content = {
            "statement": self.statement,
            "variable": self.variable,
            "values": tuple(map(plain_value, self.values)),
            "points": tuple(asdict(point) for point in self.points),
            "clock": self.clock,
            "about": self.about,
            "stopped": self.stopped,
            "profiles": tuple(profile.content() for profile in self.profiles),
        }
        return write_json(Path(path), "step sweep", content, PACKED)

    @classmethod
    def load(cls, path: str | Path) -> StepSweep:
        """The sweep saved at `path`. Raises ValueError for a file that is not one."""
        content = read_json(Path(path), "step sweep")
        try:
            points = tuple(_point(point) for point in content.pop("points"))
            values = tuple(content.pop("values"))
            profiles = tuple(map(Profile.from_content, content.get("profiles", ())))  # an earlier gpuprof kept none
            names = ("statement", "variable", "clock", "about", "stopped")
            return cls(values=values, points=points, profiles=profiles, **{name: content[name] for name in names})
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is a gpuprof step sweep with a part missing or damaged: {error}") from None

    @property
    def _notes(self) -> list[str]:
        machine = self.about.get("gpu" if self.on_device else "processor", "")
        return [note for note in (self.statement, machine, self.clock, self.stopped) if note]

    @property
    def shown(self) -> Report:
        """What people see of it."""
        note = (
            "Host, busy and idle: parts of a step, with bars beside it; gain: what it would save without the row named."
        )
        return Report(self.verdict, grid=self._grid() if self.points else None, note=note, notes=tuple(self._notes))

    @property
    def _brief(self) -> str:
        return f"{self.statement} over {len(self.points)} values of {self.variable}"

    def _grid(self) -> Grid:
        """A row a value; what no point has is left out."""
        units = {name: column_unit(getattr(p, name) for p in self.points) for name in ("host", "busy", "idle")}
        size, unit = column_unit(point.step.median for point in self.points)
        columns = {
            self.variable: [Cell(str(value)) for value in self.values[: len(self.points)]],
            f"step ({unit})": [_step(point.step, size) for point in self.points],
            f"host ({units['host'][1]})": [_part(p, p.host, units["host"][0], HOST) for p in self.points],
            f"GPU busy ({units['busy'][1]})": [_part(p, p.busy, units["busy"][0], GPU) for p in self.points],
            f"GPU idle ({units['idle'][1]})": [_part(p, p.idle, units["idle"][0]) for p in self.points],
            "launches": [Cell(count(point.launches)) for point in self.points],
            "decides": [Cell(point.decides) for point in self.points],
            "gain": [Cell(percent(point.gain), share=point.gain) for point in self.points],
        }
        kept = {name: cells for name, cells in columns.items() if any(cell.text for cell in cells)}
        words = frozenset({0, *(i for i, name in enumerate(kept) if name == "decides")})
        return Grid(tuple(kept), tuple(zip(*kept.values(), strict=True)), words=words)


def _step(step: Sample, size: float) -> Cell:
    half = max(step.high - step.median, step.median - step.low)
    half = 0.0 if half < 1e-6 * step.median else half  # what adding up leaves
    return Cell(digits(step.median / size), after=f"±{digits(half / size, 1)}" if half == half else "")


def _part(point: StepPoint, seconds: float, size: float, colour: str = "") -> Cell:
    """A part of the step, with a bar as long as it is beside the step."""
    step = point.step.median
    return Cell(digits(seconds / size), share=seconds / step if step > 0 else math.nan, colour=colour)


def _point(stored: dict[str, Any]) -> StepPoint:
    """A point as a file has it: None for NaN."""
    fields: dict[str, Any] = {name: math.nan if value is None else value for name, value in stored.items()}
    return StepPoint(**fields | {"samples": tuple(fields["samples"])})
