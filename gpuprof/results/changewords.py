"""A comparison of profiles in sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from gpuprof.results.rowchange import ADDED, NOISE, PACE, REAL, REMOVED, STEP_PATH, UNCLEAR, UNJUDGED, RowChange
from gpuprof.units import percent, seconds_text, several

_TOLD = 3  # rows that are named
_WORTH = 0.03  # a gain below is next to nothing, as in the advice


def verdict(rows: Sequence[RowChange], unlike: Sequence[str], why: str, bottleneck: str, disagreement: str) -> str:
    """First what was not alike, then what changed, then where most is to be gained now."""
    sentences = [f"Not alike: {'; '.join(unlike)}." if unlike else "", disagreement]
    if why:
        times = " on the times" if any(row.busy_verdict != UNJUDGED for row in rows) else ""
        sentences += [f"No verdict{times}: {why}.", *_worked(rows), *_certain(rows), *_came_and_went(rows)]
    else:
        sentences += [*_real(rows), *_came_and_went(rows), *_worked(rows), _whole(rows), _paced(rows), _rest(rows)]
    return " ".join(filter(None, [*sentences, bottleneck]))


def bottleneck(new: Sequence[tuple[str, float]], old: Sequence[tuple[str, float]]) -> str:
    """Where most is to be gained now and was before, from names and gains, the largest gain first."""
    if not new:
        return ""
    name, gain = new[0]
    before = f" (before: {old[0][0]}, {percent(old[0][1])})" if old else ""
    if gain < _WORTH:
        return f"Now no single layer would gain a step {percent(_WORTH)}{before}."
    return f"Now most is to be gained at {name}: {percent(gain)} of a step{before}."


def _real(rows: Sequence[RowChange]) -> Iterator[str]:
    found = [row for row in rows if row.verdict == REAL and row.path != STEP_PATH]
    for row in found[:_TOLD]:
        verb = "is" if row.ratio >= 1 else "takes"
        yield f"{row.name} {verb} {row.times}: {_way(row.old_us, row.new_us)} ({REAL})."
    if len(found) > _TOLD:
        yield f"So it is with {several(len(found) - _TOLD, 'more row')} ({REAL})."


def _came_and_went(rows: Sequence[RowChange]) -> Iterator[str]:
    for word in (ADDED, REMOVED):
        names = [row.name for row in rows if row.verdict == word]
        if names:
            yield f"{word.capitalize()}: {_list(names)}."


def _worked(rows: Sequence[RowChange]) -> Iterator[str]:
    """What the kernels of a row run less or more, where its time does not tell."""
    found = [row for row in rows if row.busy_verdict == REAL and row.verdict != REAL and row.path != STEP_PATH]
    for row in found[:_TOLD]:
        way, verb = _way(row.old_busy_us, row.new_busy_us), "are" if row.busy_ratio >= 1 else "take"
        yield f"The kernels of {row.name} {verb} {row.busy_times}: {way} ({REAL}; its time: {row.verdict})."
    if len(found) > _TOLD:
        yield f"So it is with those of {several(len(found) - _TOLD, 'more row')} ({REAL})."


def _paced(rows: Sequence[RowChange]) -> str:
    if not any(row.verdict == PACE for row in rows):
        return ""
    return f"What sets the pace has changed, so a layer's time is not its own alone ({PACE}): see what its kernels run."


def _way(old_us: float, new_us: float) -> str:
    return f"{seconds_text(old_us * 1e-6)} → {seconds_text(new_us * 1e-6)}"


def _whole(rows: Sequence[RowChange]) -> str:
    step = next((row for row in rows if row.path == STEP_PATH), None)
    if step is None:
        return ""
    if step.verdict == NOISE:
        return f"The step: {NOISE} (within ±{percent(step.floor)})."
    if math.isnan(step.low):
        return ""
    verb = "is" if step.ratio >= 1 else "takes"
    return f"The step {verb} {step.times}: {_way(step.old_us, step.new_us)} ({step.verdict})."


def _rest(rows: Sequence[RowChange]) -> str:
    layers = [row for row in rows if row.path != STEP_PATH]
    noise, unclear = (sum(row.verdict == word for row in layers) for word in (NOISE, UNCLEAR))
    some = any(row.verdict == REAL for row in layers)
    text = ", ".join(f"{word} in {several(n, 'row')}" for word, n in ((NOISE, noise), (UNCLEAR, unclear)) if n)
    if not text:
        return ""
    return f"{text[:1].upper()}{text[1:]}." if some else f"No layer's difference is {REAL}: {text}."


def _certain(rows: Sequence[RowChange]) -> Iterator[str]:
    """What is known without any times."""
    found = [row for row in rows if row.changed]
    for row in found[:_TOLD]:
        yield f"{row.name} for certain: {', '.join(row.changed)}."
    if len(found) > _TOLD:
        yield f"{several(len(found) - _TOLD, 'more row')} changed, too."


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    return f"{', '.join(names[:_TOLD])}{more}"
