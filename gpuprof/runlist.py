"""The runs of this process, the newest last: `gpuprof.runs`, which shows itself as a table."""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, overload

from gpuprof.judge.figures import Figures
from gpuprof.results.comparison import Comparison
from gpuprof.results.lines import LineProfile
from gpuprof.results.profile import Profile
from gpuprof.results.profilecomparison import ProfileComparison
from gpuprof.saved import Result
from gpuprof.units import digits, seconds_text, several
from gpuprof.views.grid import Cell, Grid

KEPT = 20
"""So many results are held, the newest, whoever else holds them."""
ROOM = 256 << 20
"""And no more than some so many bytes of them; the newest anyhow."""
LISTED = 1000
"""So many runs are in the table; older ones go."""
_LONG = 60


@dataclass
class Run:
    """A line of the table, and the result while anybody holds it."""

    number: int
    """Its index in `gpuprof.runs`."""
    when: datetime
    what: str
    """The first line of the cell, or the statement."""
    kind: str
    """What the result is: "Profile", "Timing"."""
    room: int
    """About how many bytes the result takes."""
    reference: weakref.ref[Any]
    held: Result | None = field(repr=False)
    """None once there are enough newer ones."""
    told: tuple[str, str] | None = None

    @property
    def result(self) -> Result | None:
        """The result, or None where nobody holds it any more."""
        found: Result | None = self.held if self.held is not None else self.reference()
        return found

    @property
    def words(self) -> tuple[str, str]:
        """Its figure and its verdict, made when they are first asked for, or the result is about to go."""
        if self.told is None:
            result = self.result
            self.told = ("", "") if result is None else (_figure(result), _verdict(result))
        return self.told

    def release(self) -> None:
        """Hold the result no longer."""
        if self.held is not None:
            _ = self.words
            self.held = None


class Runs:
    """What was measured in this process: `runs[-2]` is the result before the newest, `runs[3]` that of run 3.

    It shows itself as a table with a row a run. The newest 20 results are held, as long as they take no more than some
    256 MB together; older ones can be had while something else holds them (a name, `Out`), and have their row in any
    case. `save()` keeps a result for good.
    """

    def __init__(self) -> None:
        self._runs: list[Run] = []
        self._next = 0

    def add(self, result: Result, what: str = "") -> None:
        """A run more; `what` was asked for."""
        run = Run(
            number=self._next,
            when=datetime.now().astimezone(),
            what=_first_line(what or _what(result)),
            kind=type(result).__name__,
            room=_room(result),
            reference=weakref.ref(result),
            held=result,
        )
        self._next += 1
        self._runs = [*self._runs[1 - LISTED :], run]
        self._let_go()

    def clear(self) -> None:
        """Forget all of them, and count from 0 again. `gpuprof.last` stays."""
        self._runs, self._next = [], 0

    @property
    def table(self) -> Any:
        """A DataFrame with a row a run: number (its index here), when, what, kind, figure, verdict, held."""
        import pandas as pd

        rows = [(r.number, r.when, r.what, r.kind, *r.words, r.result is not None) for r in self._runs]
        return pd.DataFrame(rows, columns=["number", "when", "what", "kind", "figure", "verdict", "held"])

    @overload
    def __getitem__(self, number: int) -> Result: ...
    @overload
    def __getitem__(self, number: slice) -> list[Result]: ...
    def __getitem__(self, number: int | slice) -> Result | list[Result]:
        """The result of a run: by its number, or counted from the newest. Of a slice, those that are still there.

        Raises IndexError for a run that there is not, LookupError for one whose result nobody holds any more, TypeError
        for what is no number.
        """
        if isinstance(number, slice):
            chosen = range(self._next)[number]
            return [run.result for run in self._runs if run.number in chosen and run.result is not None]
        if not isinstance(number, int):
            raise TypeError(f"a run is had by its number, or a slice of them; got {number!r}")
        wanted = number + self._next if number < 0 else number
        run = next((run for run in self._runs if run.number == wanted), None)
        if run is None:
            there = f"{self._runs[0].number} to {self._runs[-1].number}" if self._runs else "none"
            raise IndexError(f"there is no run {number}; there are {there}")
        if run.result is None:
            raise LookupError(
                f"the result of run {wanted} ({run.what}) is gone: the newest {KEPT} are held, up to {ROOM >> 20} MB; "
                "give one a name, or save() it, to keep it"
            )
        return run.result

    def __iter__(self) -> Iterator[Result]:
        """The results that are still there, the oldest first."""
        return iter(self[:])

    def __len__(self) -> int:
        """How many runs the table has."""
        return len(self._runs)

    def _let_go(self) -> None:
        """Hold only the newest results, as many as there is room for."""
        taken = 0
        for back, run in enumerate(reversed(self._runs)):
            taken += run.room if run.held is not None else 0
            if back >= KEPT or (back and taken > ROOM):
                run.release()

    @property
    def _grid(self) -> Grid:
        rows = [
            (
                Cell(f"{run.number}"),
                Cell(f"{run.when:%H:%M:%S}"),
                Cell(run.what),
                Cell(run.kind if run.result is not None else f"({run.kind})"),
                Cell(run.words[0]),
                Cell(run.words[1]),
            )
            for run in self._runs
        ]
        return Grid(("run", "when", "what", "kind", "figure", "verdict"), tuple(rows), frozenset({1, 2, 3, 5}))

    @property
    def _note(self) -> str:
        gone = sum(run.result is None for run in self._runs)
        return f"In brackets: {several(gone, 'result')} that nobody holds any more." if gone else ""

    def __repr__(self) -> str:
        return f"<gpuprof.runs: {several(len(self._runs), 'run')}>"

    def __str__(self) -> str:
        if not self._runs:
            return "No runs yet: %%layertime, %gpu_timeit and gpuprof's functions put them here."
        return "\n".join(filter(None, [self._grid.text(), self._note]))

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text("gpuprof.runs" if cycle else str(self))

    def _repr_html_(self) -> str:
        from gpuprof.views.html import report

        return report("" if self._runs else str(self), self._grid if self._runs else None, [self._note])


def _first_line(text: str) -> str:
    """The first line with anything on it, on at most so many letters."""
    line = next((" ".join(line.split()) for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= _LONG else f"{line[: _LONG - 1]}…"


def _what(result: Result) -> str:
    """What was measured, where nobody said."""
    if isinstance(result, Profile):
        paths = dict.fromkeys(scope.path for scope in result.log.scopes if scope.phase != "line")
        return ", ".join(paths)
    if isinstance(result, LineProfile):
        return result.name
    if isinstance(result, (Comparison, ProfileComparison)):
        return " vs ".join(result.names)
    return result.statement


def _figure(result: Result) -> str:
    """The one figure to know."""
    with suppress(Exception):  # a damaged one has none
        if isinstance(result, Profile):
            return f"{seconds_text(result.step)} a step" if result.step == result.step else "no step"
        if isinstance(result, Figures):
            gpu = result.gpu
            name, found = ("host", result.host.median) if math.isnan(gpu) else ("GPU", gpu)
            return f"{name} {seconds_text(found)}"
        if isinstance(result, (Comparison, ProfileComparison)):
            return f"{digits(result.ratio)}×" if result.ratio == result.ratio else ""
        if isinstance(result, LineProfile):
            return f"{seconds_text(result.total / max(1, result.calls))} a call"
        return several(len(result.points), "value")
    return ""


def _verdict(result: Result) -> str:
    """Its first sentence."""
    with suppress(Exception):
        return _first_line(result.verdict.partition(". ")[0])
    return ""


def _room(result: Result) -> int:
    """About how many bytes it holds."""
    profiles = [result] if isinstance(result, Profile) else getattr(result, "profiles", ())
    columns = [column for p in profiles for part in (p.log, p.seen.kernels) for column in part.columns.values()]
    return sum(column.nbytes for column in columns)
