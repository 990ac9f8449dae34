"""Two models that took turns, held against each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from gpuprof.judge.floors import LEAST
from gpuprof.judge.simultaneous import Floats, in_turns, middles, whole
from gpuprof.judge.steptimes import StepTimes
from gpuprof.record.calls import Scope
from gpuprof.results import busychange
from gpuprof.results.alike import other_machine
from gpuprof.results.changerows import Judged
from gpuprof.results.compared import comparison
from gpuprof.results.measured import Measured
from gpuprof.results.profilecomparison import Agreement, ProfileComparison
from gpuprof.results.sides import Side, Sides
from gpuprof.units import several


@dataclass
class Taken:
    """Of each round both models' steps; the profiles of the last."""

    rounds: list[Sequence[StepTimes]] = field(default_factory=list)
    profiles: Sequence[Measured] = ()
    names: tuple[str, str] = ("A", "B")
    ended_by: BaseException | None = None
    """What ended it before all rounds were done."""

    def add(self, times: Sequence[StepTimes], profiles: Sequence[Measured]) -> None:
        """A round more; an interrupt may come between."""
        self.profiles = profiles
        self.rounds.append(times)


def compare_turns(taken: Taken, agreement: Sequence[Agreement], no_copies: str) -> ProfileComparison:
    """B against A; `no_copies` says why each round was not of fresh copies of both."""
    sides = Sides(*(Side(profile, _all(taken, i, profile)) for i, profile in enumerate(taken.profiles)))
    number = len(taken.rounds)
    ended = type(taken.ended_by).__name__
    warnings = [f"Ended early ({ended}), after {several(number, 'round')}."] if taken.ended_by else []
    if no_copies:
        warnings.append(f"Each round is of the same two objects ({no_copies}): their memory can pass for a difference.")
    if why := _refusal(sides, taken.names):
        return comparison(sides, taken.names, None, why=why, agreement=agreement, warnings=warnings)
    seconds = [np.array([_seconds(times[i], sides.common) for times in taken.rounds]) for i in range(2)]
    logs = [np.log(np.where(each > 0, each, np.nan)) for each in seconds]
    estimates = in_turns(logs[0] - logs[1])
    floor = np.full(len(estimates.value), LEAST[sides.on_device])
    steps = len(taken.rounds[-1][0].times)
    of = "both" if no_copies else "fresh copies of both"
    note = f"in turns: {several(number, 'round')} of {several(steps, 'step')} of {of}, as ABBA or BAAB"
    judged = Judged(estimates, floor, "turns", note, _figures(logs, estimates.value))
    return comparison(
        sides, taken.names, judged, busychange.by_controls(sides, alone=True), agreement=agreement, warnings=warnings
    )


def _figures(logs: Sequence[Floats], value: Floats) -> tuple[Floats, Floats]:
    """Seconds of A and B, so many times apart as the ratio says, about the rounds' geometric middle."""
    about = middles((logs[0] + logs[1]) / 2, 1).value
    return np.exp(about + value / 2), np.exp(about - value / 2)


def _all(taken: Taken, which: int, profile: Measured) -> StepTimes:
    """The steps of all rounds."""
    rows = profile.account.rows
    times = [each[which] for each in taken.rounds]
    calls = [np.nan_to_num(StepTimes(each.rows, each.calls, each.calls).of(rows)) for each in times]
    return StepTimes(rows, np.concatenate([each.of(rows) for each in times]), np.concatenate(calls))


def _seconds(times: StepTimes, rows: Sequence[Scope]) -> Floats:
    """Of the rows and the step in a round; NaN for a row that it did not have."""
    step = whole(middles(times.times, 1), times.often).value[-1]
    return np.append(middles(times.of(rows), 1).value, step)


def _refusal(sides: Sides, names: tuple[str, str]) -> str:
    """Why their times cannot be compared."""
    old, new = sides.old.profile, sides.new.profile
    if machine := other_machine(old, new):
        return f"the difference may be the clock's: {machine}"
    if silent := [name for name, each in zip(names, (old, new), strict=True) if not len(each.log)]:
        return f"a step called no layer of {silent[0]}"
    failed = old.log.failure or new.log.failure
    return f"CUDA reported an error while they were measured ({failed})" if failed else ""
