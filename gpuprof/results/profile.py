"""Profile: where a cell's time went, layer by layer and phase by phase."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from gpuprof import __version__
from gpuprof.judge import advice
from gpuprof.judge.facts import Facts
from gpuprof.judge.findings import Finding, findings
from gpuprof.record.schedule import KERNELS
from gpuprof.results import replays, replaywords, smallprint
from gpuprof.results.besides import facts
from gpuprof.results.compared import compare_profiles
from gpuprof.results.export import Exported
from gpuprof.results.files import PACKED, calls_content, calls_from, read_json, write_json, write_plain
from gpuprof.results.graphs import graph_sections, missing_graphs
from gpuprof.results.layersteps import calls_a_step, layer_steps
from gpuprof.results.linetimes import Followed
from gpuprof.results.measured import Measured
from gpuprof.results.profilecomparison import ProfileComparison
from gpuprof.results.sections import advised, sections
from gpuprof.results.seen import Seen
from gpuprof.units import percent, several
from gpuprof.views.grid import Grid, layer_grid
from gpuprof.views.report import Report

_GRID_NOTE = (
    "Under each phase: one call, ± the wider side of its 95 % interval. The rest: one step; gain: what it would save "
    "without the layer."
)


class Profile(Exported, Measured):
    """What `layertime` measured; IPython shows it as a table with a verdict.

    `log` is the raw call log, from which all else is derived.
    """

    def __getitem__(self, key: tuple[str, str]) -> Any:
        """The row of `table` for (path, phase), as a Series: `profile["Pool1", "backward"].median_us`."""
        if not isinstance(key, tuple) or len(key) != 2:
            raise KeyError(f'expected a path and a phase, as in profile["Pool1", "backward"]; got {key!r}')
        path, phase = key
        rows = self.table[(self.table["path"] == path) & (self.table["phase"] == phase)]
        if rows.empty:
            known = ", ".join(repr((row.path, row.phase)) for row in self.table.itertuples())
            raise KeyError(f"no row {(path, phase)!r} in this profile; it has {known}")
        return rows.iloc[0]

    @property
    def verdict(self) -> str:
        """What sets the step's length, which layer to look at, and what mending it would gain."""
        if not len(self.log):
            return advice.nothing_called(self.log.scopes)
        evaluated = float(self.table.loc[self.table["phase"] == "evaluate", "share"].sum())
        if self.replays:
            others = self.steps - self.replays.steps
            return replaywords.replay_verdict(self.replays, self.log.on_device, evaluated, others)
        return advice.verdict(self.account.rows, self.pace, evaluated)

    @cached_property
    def advice(self) -> tuple[Finding, ...]:
        """What the evidence says could be mended, the most worth first, each with the next thing to type.

        Nothing of steps that ran as captured graphs.
        """
        return () if self.replays else findings(self._facts)

    @property
    def _facts(self) -> Facts:
        return facts(self.account, self.pace, self._table, self.seen, self._kernel_table, self.memory)

    @property
    def grid(self) -> Grid:
        """The layer × phase view."""
        if self.replays:
            return replays.replay_grid(self.table, self.replays)
        return layer_grid(self.table, self._paths, layer_steps(self.account, self.pace, self.table))

    @property
    def _paths(self) -> list[str]:
        if self.replays:
            return list(dict.fromkeys(self.table["path"]))
        return list(dict.fromkeys(scope.path for scope in self.account.rows))

    @property
    def warnings(self) -> list[str]:
        """What the reader must know before trusting the figures."""
        found = smallprint.warnings(self.log, self.seen, self.closure, self.ended_by)
        found += replaywords.refused(self.replays) if self.replays else []
        return [*found, *smallprint.inactive(self.seen, self.account.modes)]

    @property
    def notes(self) -> list[str]:
        """The small print: the machine, passes, steps, closure, the profiler's own cost; what could not be had."""
        return [*self._small_print, *(f"not measured: {each}" for each in self._missing)]

    @property
    def _missing(self) -> list[str]:
        unknown = replaywords.unknown(self.replays, self.log.on_device, self.seen.no_records) if self.replays else []
        missing = [] if unknown else smallprint.missing(self.log, self.seen)
        return [*unknown, *missing, *missing_graphs(self.seen.graphs)]

    @property
    def _small_print(self) -> list[str]:
        device = self.log.on_device
        found = [
            replaywords.told(self.replays) if self.replays else "",
            self.about.get("gpu" if device else "processor", ""),
            *(
                replaywords.measured(self.replays, self.clock)
                if self.replays
                else smallprint.passes(self.clock, self.account.modes, device)
            ),
            *smallprint.chosen(self.log, self.seen, self.account.modes),
            smallprint.first_calls(self.table["first_ms"].sum()),
            "" if self.log.failure or not len(self.log) else f"closes to {percent(self.closure)}",
            f"profiler's own code {percent(self.own_share)}" if self.own_share == self.own_share else "",
        ]
        return [text for text in found if text]

    @property
    def shown(self) -> Report:
        """What people see of it."""
        often = calls_a_step(self.table, self.steps)
        asked = [self.lines[each.name] for each in self.followed if not each.part_of]
        return Report(
            verdict=self.verdict,
            advice=advised(self.advice),
            grid=self.grid if len(self.log) else None,
            note=replays.NOTE if self.replays else _GRID_NOTE,
            lines=tuple(lines.shown for lines in asked),
            sections=(
                *graph_sections(self.seen.graphs, self.graph),
                *sections(self.kernel_table, self.waits, self.hot, self.memory, self.costs, often),
            ),
            warnings=tuple(self.warnings),
            missing=tuple(self._missing),
            notes=tuple(self._small_print),
        )

    def plot(self, ax: Any = None, *, log: bool = False) -> Any:
        """The Axes of a bar chart: time a call of each layer, forward to the left and backward to the right.

        The update stands apart. `log` draws powers of ten, for times that lie far apart. Of steps that ran as captured
        graphs it shows the kernels of one.
        """
        from gpuprof.views.plot import bars

        given = {"clock": self.clock, "small_print": self._small_print[:3], "ax": ax, "log": log}
        if self.replays:
            table = replays.of_a_step(self.table, self.replays)
            return bars(table, list(dict.fromkeys(table["path"])), what="A captured step, kernel by kernel", **given)
        return bars(self.table, self._paths, **given)

    def timeline(self, step: int | None = None, ax: Any = None) -> Any:
        """The Axes of one step: the host's lane over the device's and, where they were recorded, the kernels'.

        By default a step in the middle, of those with kernel records where there are any. A captured graph of many
        steps is drawn as one. Raises ValueError for a step that was not recorded.
        """
        from gpuprof.views.timeline import lanes

        last = int(self.account.call_step.max(initial=-1))
        if last < 0:
            raise ValueError("no step was recorded, so there is none to draw: no layer was called")
        chosen = self._usual_step(last) if step is None else step
        if not 0 <= chosen <= last:
            raise ValueError(f"step must be from 0 to {last}, the steps recorded; got {chosen}")
        inside = [part.row.path for part in self.replays.parts] if self.replays else ()
        return lanes(
            self.calls, self.kernels, chosen, clock=self.clock, small_print=self._small_print[:3], ax=ax, inside=inside
        )

    def _usual_step(self, last: int) -> int:
        """One in the middle, with kernel records, else with marks, else the last."""
        candidates = (self.account.steps_of(KERNELS), self.account.marked_steps())
        steps = next((each for each in candidates if len(each)), [last])
        return int(steps[len(steps) // 2])

    def compare(self, old: Profile | Sequence[Profile]) -> ProfileComparison:
        """This profile, the new one, against an older one or several: see `gpuprof.compare`."""
        given = list(old) if isinstance(old, (list, tuple)) else [old]
        runs = [run for run in given if isinstance(run, Profile)]
        if len(runs) != len(given):
            raise TypeError(f"expected a Profile, or a list of them; got {type(old).__name__}")
        return compare_profiles(runs, [self])

    def content(self) -> dict[str, Any]:
        """All of it in a file's terms."""
        return {
            **calls_content(self.log),
            "clock": self.clock,
            "about": self.about,
            "ended_by": self.ended_by,
            "seen": self.seen.to_dict(),
            "followed": [each.to_dict() for each in self.followed],
        }

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> Profile:
        """The profile of which a file has this. Raises ValueError for anything else."""
        try:
            log, about = calls_from(content)
            seen, followed = Seen.from_dict(about.pop("seen")), map(Followed.from_dict, about.pop("followed"))
            return cls(log=log, **about, seen=seen, followed=tuple(followed))
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"a part missing or damaged: {error}") from None

    def save(self, path: str | Path) -> Path:
        """The file written: JSON, compressed where the name ends in .gz. `Profile.load` reads it."""
        return write_json(Path(path), "profile", self.content(), PACKED)

    @classmethod
    def load(cls, path: str | Path) -> Profile:
        """The profile saved at `path`. Raises ValueError for a file that is not a profile, or cut off."""
        content = read_json(Path(path), "profile")
        try:
            return cls.from_content(content)
        except ValueError as error:
            raise ValueError(f"{path} is a gpuprof profile with {error}") from None

    def tables(self) -> dict[str, Any]:
        """All its DataFrames by name, and for each function that was followed "lines of NAME"."""
        names = ("table", "calls", "kernels", "kernel_table", "memory", "waits", "hot", "costs", "graph")
        found = {name: getattr(self, name) for name in names}
        return found | {f"lines of {name}": lines.table for name, lines in self.lines.items()}

    def to_trace(self, path: str | Path) -> Path:
        """The file written: a Chrome trace for Perfetto, compressed where the name ends in .gz, which Perfetto reads.

        The host's calls, their spans on the device and the kernels in lanes, an arrow from a call to each kernel that
        it launched, memory as a counter; the machine and its versions in `otherData`.
        """
        from gpuprof.views.trace import chrome_trace

        opened = self.log.host_window[0]
        gaps = [((g.host_begin - opened) * 1e-3, (g.host_end - opened) * 1e-3, g.steps) for g in self.log.left_out.gaps]
        about = {**self.about, "clock": self.clock, "written by": f"gpuprof {__version__}"}
        return write_plain(Path(path), chrome_trace(self.calls, self.kernels, about, self.seen.memory, gaps))

    @property
    def _brief(self) -> str:
        steps = self.steps if self.replays else self.pace.steps
        return f"{several(len(self.log), 'call')}, {several(steps, 'step')}, {self.clock}"
