"""Profiles held against each other: by repeats or by control rows; without either there is no verdict on times."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from gpuprof.judge.account import OUTSIDE
from gpuprof.judge.floors import FEWEST_CONTROLS, LEAST, held_to_controls
from gpuprof.judge.simultaneous import FEWEST, Floats, repeats, two_runs
from gpuprof.judge.steptimes import step_times
from gpuprof.record.calls import Scope
from gpuprof.results import busychange
from gpuprof.results.alike import other_machine, unlike
from gpuprof.results.changerows import Judged, change_rows
from gpuprof.results.changewords import bottleneck
from gpuprof.results.measured import Measured
from gpuprof.results.profilecomparison import Agreement, ProfileComparison
from gpuprof.results.replaychange import compare_replays
from gpuprof.results.sides import STEP, Side, Sides
from gpuprof.units import digits, percent, several

_REPEATS, _STEPS_OF_EACH = 3, 4
_IN_TURNS = "gpuprof.compare(model_a, model_b, step)"
_THRICE = "gpuprof.compare([a1, a2, a3], [b1, b2, b3])"

Profiles = Sequence[Measured]


def compare_profiles(old: Profiles, new: Profiles, names: tuple[str, str] = ("old", "new")) -> ProfileComparison:
    """New profiles against old ones, by the step alone where steps ran as captured graphs.

    Raises ValueError where there is none on a side.
    """
    if not old or not new:
        raise ValueError(f"expected a profile or more on each side; got {len(old)} and {len(new)}")
    old, new = _distinct(old), _distinct(new)
    sides = Sides.of(old[0], new[0])
    why, judged, busy = _refusal(old, new), None, None
    if any(run.replays for run in (*old, *new)):
        early = [f"One of the runs ended early ({run.ended_by})." for run in (*old, *new) if run.ended_by]
        return compare_replays(old, new, names, why, early)
    if not why:
        many = min(len(old), len(new)) >= _REPEATS
        judged = _by_repeats(sides, old, new) if many else _by_controls(sides)
        busy = busychange.by_repeats(sides, old, new) if many else busychange.by_controls(sides)
    further = "" if judged or why else _next(sides)
    why = why or ("" if judged else _unsure(sides, old, new))
    warnings = [*_warnings("old", old, sides.old), *_warnings("new", new, sides.new)]
    return comparison(sides, names, judged, busy, why=why, further=further, warnings=warnings)


def _warnings(name: str, runs: Profiles, first: Side) -> Iterator[str]:
    """What the reader must know of the runs of a side."""
    others = runs[1:]
    told = dict.fromkeys(each for run in others for each in unlike(runs[0], run, first.traits, Side.of(run).traits))
    if told:
        yield f"The {name} runs are not alike: {'; '.join(told)}."
    for run in runs:
        if run.ended_by:
            yield f"One of the {name} runs ended early ({run.ended_by}); what was measured until then is compared."


def comparison(
    sides: Sides,
    names: tuple[str, str],
    judged: Judged | None,
    busy: Judged | None = None,
    *,
    why: str = "",
    further: str = "",
    agreement: Sequence[Agreement] = (),
    warnings: Sequence[str] = (),
) -> ProfileComparison:
    """The result: what is said of the times and of what the kernels run, and what is known without either."""
    old, new = sides.old.profile, sides.new.profile
    steps = " and ".join(several(len(side.times.times), "step") for side in (sides.old, sides.new))
    told = [judged.note] if judged and judged.figures else [steps, judged.note if judged else ""]
    if sides.pace_changed:
        shares = [percent(side.kept_busy) for side in (sides.old, sides.new)]
        told.append(f"the GPU busy for {shares[0]} of a step of {names[0]} and {shares[1]} of {names[1]}")
    return ProfileComparison(
        names=names,
        rows=change_rows(sides, judged, busy),
        how=judged.how if judged else "",
        why=why,
        next=further,
        unlike=unlike(old, new, sides.old.traits, sides.new.traits),
        bottleneck=bottleneck(sides.new.gains(), sides.old.gains()),
        agreement=tuple(agreement),
        clock=new.clock,
        warnings=tuple(warnings),
        notes=tuple(filter(None, told)),
        about=new.about,
    )


def _distinct(runs: Profiles) -> list[Measured]:
    """Each run once, however often it was given or loaded: they lie at different times."""
    return list({_when(each): each for each in runs}.values())


def _when(run: Measured) -> tuple[int, ...]:
    return (*run.log.host_window, *run.log.window)


def _refusal(old: Profiles, new: Profiles) -> str:
    """Why no difference could be the code's, whatever the times."""
    if any(a is b or (len(a.log) and _when(a) == _when(b)) for a in old for b in new):
        return "the same profile is on both sides"
    if failed := next((each.log.failure for each in (*old, *new) if each.log.failure), ""):
        return f"CUDA reported an error while one of them was measured ({failed})"
    machine = next(filter(None, (other_machine(a, b) for a in old for b in new)), "")
    return f"the difference may be the machine's: {machine}" if machine else ""


def _by_controls(sides: Sides) -> Judged | None:
    """By the rows that launch the same kernels, where there are enough of them."""
    old, new = sides.middles()
    known = sides.controls & (old.value > 0) & (new.value > 0)
    if known.sum() < FEWEST_CONTROLS or sides.paced_by_host:
        return None
    common = float(np.median(np.log(old.value[known] / new.value[known])))
    found = two_runs(old, new, known)
    held = held_to_controls(found, known, LEAST[sides.on_device])
    spread = f"within ±{percent(held.spread)} of that beyond chance" if held.spread else "no further than by chance"
    note = (
        f"held against {int(known.sum())} rows that launch the same kernels, which are {digits(math.exp(common), 4)}× "
        f"as fast (divided out), two thirds of them {spread}"
    )
    return Judged(found, _of_a_step(sides, old.value, held.floor), "controls", note)


def _of_a_step(sides: Sides, old: Floats, floor: Floats) -> Floats:
    """The floors, that of "(outside)" no less than the least one of a whole step: it is the gaps between layers."""
    outside = sides.common.index(OUTSIDE)
    share = LEAST[sides.on_device] * old[-1] / old[outside] if old[outside] > 0 else math.inf
    floor = floor.copy()
    floor[outside] = max(floor[outside], math.log1p(share))
    return floor


def _by_repeats(sides: Sides, old: Profiles, new: Profiles) -> Judged | None:
    """By what differs between the runs of a side; beside the rows that launch the same kernels, where there are any."""
    logs = [np.array([_logs(run, sides.common) for run in runs]) for runs in (old, new)]
    figures = _geometric(logs[0]), _geometric(logs[1])
    known = ~np.isnan(np.concatenate(logs)).any(axis=0)
    if not known.any():
        return None
    controls, note = sides.controls & known, f"{len(old)} and {len(new)} runs{_of_steps([*old, *new])}"
    if controls.sum() >= FEWEST_CONTROLS and not sides.paced_by_host:
        logs = [runs - np.median(runs[:, controls], axis=1, keepdims=True) for runs in logs]
        note += f", each beside its {int(controls.sum())} rows that launch the same kernels"
    found = repeats(logs[0], logs[1], sides.layers)
    floor = np.full(len(found.value), LEAST[sides.on_device])
    return Judged(found, _of_a_step(sides, figures[0], floor), "repeats", note, figures)


def _of_steps(runs: Profiles) -> str:
    """Such as " of 98 steps", " of 16 to 20 steps"."""
    numbers = sorted({len(step_times(run.account).times) for run in runs})
    return f" of {f'{numbers[0]} to ' if len(numbers) > 1 else ''}{several(numbers[-1], 'step')}"


def _geometric(logs: Floats) -> Floats:
    """The geometric mean over the runs that have a row, of whose logarithms the ratio is; NaN where none has it."""
    there = ~np.isnan(logs)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.exp(np.where(there, logs, 0.0).sum(axis=0) / there.sum(axis=0)))


def _logs(run: Measured, rows: Sequence[Scope]) -> Floats:
    """Of the rows' and the step's seconds in one run; NaN for a row that it does not have."""
    times = step_times(run.account)
    there = [row for row in rows if row in times.rows]
    seconds = dict(zip([*there, STEP], Side(run, times).middle(there, _STEPS_OF_EACH).value, strict=True))
    found = np.array([seconds.get(row, math.nan) for row in [*rows, STEP]])
    return np.log(np.where(found > 0, found, np.nan))


def _unsure(sides: Sides, old: Profiles, new: Profiles) -> str:
    """Why neither way led to a verdict."""
    fewest = min(len(side.times.times) for side in (sides.old, sides.new))
    if fewest < FEWEST:
        return f"only {several(fewest, 'step')} could be compared, and it takes {FEWEST}"
    runs = "one run a side" if len(old) == len(new) == 1 else f"{len(old)} and {several(len(new), 'run')}"
    if not sides.on_device:
        return f"{runs}, and on the host clock nothing tells which layers did not change"
    if not sides.recorded:
        return f"{runs}, and without kernel records of both nothing tells which layers did not change"
    if sides.paced_by_host:
        return (
            f"{runs}, and the host sets the pace (the GPU is busy for {percent(sides.busy)} of a step), "
            "by which rows differ from run to run, not all alike"
        )
    same = several(int(sides.controls.sum()), "row")
    return f"{runs}, and {same} with the same kernels to hold them against, where it takes {FEWEST_CONTROLS}"


def _next(sides: Sides) -> str:
    """What to type for a verdict."""
    if min(len(side.times.times) for side in (sides.old, sides.new)) < FEWEST:
        return f"more steps in the cell; or with both models at hand {_IN_TURNS}"
    records = "both with %%layertime --kernels; " if sides.on_device and not sides.recorded else ""
    return f"{records}with both models at hand {_IN_TURNS}; else three profiles a side, {_THRICE}"
