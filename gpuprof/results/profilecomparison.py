"""ProfileComparison: what a change did to each layer and phase, and how sure that is."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from gpuprof.results.changegrid import change_grid
from gpuprof.results.changewords import verdict
from gpuprof.results.export import Exported
from gpuprof.results.files import read_json, write_json
from gpuprof.results.rowchange import PACE, STEP_PATH, SURE, RowChange
from gpuprof.units import digits
from gpuprof.views.report import Advice, Report

COLUMNS = (
    "path", "layer", "phase", "old_us", "new_us", "ratio", "low", "high", "floor", "verdict", "old_busy_us",
    "new_busy_us", "busy_ratio", "busy_low", "busy_high", "busy_verdict", "old_launches", "new_launches", "old_bytes",
    "new_bytes", "old_steps", "new_steps", "changed",
)  # fmt: skip
_DRAWN = 40
_TIMES = "Times are of a call; those of (outside) and (step), of a step."
_JUDGED = (
    "× as fast: old / new, with a 99 % interval that holds for all rows at once. real: all of it is beyond the floor; "
    "noise: it is within, or within 5 % (of a step: 2 %); unclear: neither."
)
_PACE = "pace: the host sets it more in one than in the other, so rows wait for other things."
_BUSY = "GPU busy: what the call's own kernels run, whoever sets the pace."


class Agreement(NamedTuple):
    """How far an output, or a layer's gradient, of one model is from the other's after the same step."""

    path: str
    what: str
    apart: float
    """As a share of the largest element; infinite where shapes differ."""
    allowed: float

    @property
    def agrees(self) -> bool:
        """Whether it is within what the type's rounding explains."""
        return self.apart <= self.allowed

    @property
    def name(self) -> str:
        """Such as "Pool1 dW"."""
        return f"{self.path} {self.what}".strip()

    def text(self) -> str:
        """Such as "Pool1 dW differs by 0.02 of the largest element"."""
        if not math.isfinite(self.apart):
            return f"{self.name} differs in shape or in what is finite"
        return f"{self.name} differs by {digits(self.apart, 2)} of its largest element"


@dataclass(frozen=True, repr=False)
class ProfileComparison(Exported):
    """The new profile against the old: a `RowChange` for each (path, phase), and for the step."""

    names: tuple[str, str]
    rows: tuple[RowChange, ...]
    """The most telling first; "(outside)" and "(step)" last."""
    how: str
    """"turns", "controls", "repeats", or "" without a verdict."""
    why: str = ""
    """Why there is no verdict on the times."""
    next: str = ""
    """What to type for one."""
    unlike: tuple[str, ...] = ()
    """What else differs between the two, told before any figure."""
    bottleneck: str = ""
    """Where most is to be gained now."""
    agreement: tuple[Agreement, ...] = ()
    """Outputs and gradients, where they were checked."""
    clock: str = "host clock"
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    about: dict[str, str] = field(default_factory=dict)
    """The machine of the new profile."""

    def __getitem__(self, key: tuple[str, str]) -> RowChange:
        """The row of (path, phase); `["(step)", ""]` is the step. Raises KeyError, which names those there are."""
        for row in self.rows:
            if (row.path, row.phase) == key:
                return row
        raise KeyError(f"no row {key!r} was compared; there are {', '.join(repr(row[:2]) for row in self.rows)}")

    @property
    def step(self) -> RowChange:
        """The whole step."""
        return next((row for row in self.rows if row.path == STEP_PATH), RowChange(STEP_PATH, ""))

    @property
    def ratio(self) -> float:
        """How many times as fast a step is: old / new."""
        return self.step.ratio

    @property
    def word(self) -> str:
        """What is to be said of the step: "real", "noise", "unclear" or "no verdict"."""
        return self.step.verdict

    @property
    def verdict(self) -> str:
        """What was not alike, what changed, by how much, and where most is to be gained now."""
        return verdict(self.rows, self.unlike, self.why, self.bottleneck, self._disagreement)

    @property
    def _disagreement(self) -> str:
        """What was found where outputs and gradients were checked."""
        wrong = sorted((each for each in self.agreement if not each.agrees), key=lambda each: -each.apart)
        if wrong:
            more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
            return f"The two do not compute the same: {wrong[0].text()}{more}."
        if not self.agreement:
            return ""
        worst = max(each.apart for each in self.agreement)
        return f"Outputs and gradients {f'agree to {worst:.0e}' if worst else 'are equal'}."

    @cached_property
    def table(self) -> Any:
        """A DataFrame with a row a (path, phase), what changed most on top, "(outside)" and "(step)" last.

        old_us and new_us: of a call, of "(outside)" and "(step)" of a step; ratio (old / new, above 1 where the new is
        faster) with its interval from low to high, which holds for all rows at once 99 times in 100; floor (a share):
        below it no difference is claimed; verdict: real, noise, unclear, added, removed, no verdict. busy_us, launches
        and bytes: of a call, as recorded and watched; busy_ratio to busy_verdict: the same of busy_us, whose intervals
        hold for all rows, too. steps: in which the row was timed. changed: what changed without any noise.
        """
        import pandas as pd

        rows = [
            (row.path, row.path.rpartition("/")[2], row.phase, *row[2:-1], "; ".join(row.changed)) for row in self.rows
        ]
        return pd.DataFrame(rows, columns=list(COLUMNS))

    @property
    def _recorded(self) -> bool:
        """Whether there are kernels' times of both sides."""
        return any(row.old_busy_us + row.new_busy_us >= 0 for row in self.rows)

    @property
    def shown(self) -> Report:
        """What people see of it."""
        return Report(
            verdict=self.verdict,
            advice=(Advice("For a verdict on the times:", self.next),) if self.next else (),
            grid=change_grid(self.rows, self.names) if self.rows else None,
            note=self._note,
            warnings=self.warnings,
            notes=tuple(filter(None, [self._machine, self.clock, *self.notes])),
        )

    @property
    def _note(self) -> str:
        """What the table's words mean, those that stand in it."""
        paced = any(row.verdict == PACE for row in self.rows)
        told = ((_TIMES, True), (_JUDGED, bool(self.how)), (_PACE, paced), (_BUSY, self._recorded))
        return " ".join(text for text, holds in told if holds)

    @property
    def _machine(self) -> str:
        return self.about.get("gpu") or self.about.get("processor", "")

    def plot(self, ax: Any = None) -> Any:
        """The Axes of a chart of bars in pairs: what a call of each row took before and takes now."""
        from gpuprof.views.paired import Pair, paired

        drawn = [row for row in self.rows if row.path != STEP_PATH and (row.old_us > 0 or row.new_us > 0)]
        times = sorted(value for row in drawn for value in (row.old_us, row.new_us) if value > 0)
        return paired(
            [
                Pair(row.name, row.old_us * 1e-6, row.new_us * 1e-6, word=row.told, sure=row.verdict in SURE)
                for row in drawn[:_DRAWN]
            ],
            self.names,
            title=f"Layers before and after, {self.clock}",
            small_print=[self._machine, *self.notes],
            ax=ax,
            log=bool(times) and times[-1] > 100 * times[0],
        )

    def save(self, path: str | Path) -> Path:
        """The JSON file written; `ProfileComparison.load` reads it."""
        content = {f.name: getattr(self, f.name) for f in fields(self)}
        agreement = [each._replace(apart=None) if math.isinf(each.apart) else each for each in self.agreement]  # type: ignore[arg-type]
        return write_json(Path(path), "profile comparison", content | {"agreement": agreement})

    @classmethod
    def load(cls, path: str | Path) -> ProfileComparison:
        """The comparison saved at `path`. Raises ValueError for a file that is not one."""
        content = read_json(Path(path), "profile comparison")
        try:
            plain = {f.name: content[f.name] for f in fields(cls)}
            lists = {name: tuple(plain[name]) for name in ("names", "unlike", "warnings", "notes")}
            rows = tuple(_revived(row) for row in plain["rows"])
            agreement = tuple(_agreement(*row) for row in plain["agreement"])
            return cls(**plain | lists | {"rows": rows, "agreement": agreement})
        except (KeyError, TypeError, ValueError) as error:
            what = "is a gpuprof profile comparison with a part missing or damaged"
            raise ValueError(f"{path} {what}: {error}") from None

    @property
    def _brief(self) -> str:
        return self.verdict


def _revived(row: list[Any]) -> RowChange:
    """A row from what JSON had; None stands for NaN."""
    values: list[Any] = [math.nan if value is None else value for value in row]
    return RowChange._make([*values[:-1], tuple(values[-1])])


def _agreement(path: str, what: str, apart: float | None, allowed: float) -> Agreement:
    """The same; None stands for what is infinite."""
    return Agreement(path, what, math.inf if apart is None else apart, allowed)
