"""Ratios of many rows at once: intervals that all hold together, from two runs, from turns, or from repeats.

All work on logarithms: `value` is log(old / new), above 0 where the new is faster; 0.01 is 1 %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpuprof.judge.stats import t_quantile, trimmed

Floats = NDArray[np.float64]

CONFIDENCE = 0.99
TRIM = 0.2
FEWEST = 16
"""Steps a row must have on each side for an interval."""
_BLOCKS = 30
_DRAWS = 1999
_SEED = 20_301
_REPEATS_CONFIDENCE = 0.995  # a variance from few runs misses more of the noisy rows than Student's t says


class Estimates(NamedTuple):
    """Log ratios, their standard errors, and how far their intervals reach to either side; NaN for what is unknown."""

    value: Floats
    error: Floats
    half: Floats


class Middle(NamedTuple):
    """The trimmed mean of each column, and what each sample adds to its error."""

    value: Floats
    parts: Floats
    """(samples, columns); a column's parts add up to 0."""


def middles(samples: Floats, fewest: int = FEWEST) -> Middle:
    """The trimmed mean of each column's samples that are not NaN; NaN for columns with fewer than `fewest`.

    A sample's part is its influence on the trimmed mean over the number of samples: winsorised, less their mean
    (Huber, Robust Statistics, 1981, §3.3; its square sum is the variance of Tukey & McLaughlin, Sankhyā A 25, 1963).
    """
    value, parts = np.full(samples.shape[1], np.nan), np.zeros(samples.shape)
    for column, there in enumerate(~np.isnan(samples.T)):
        ordered = np.sort(samples[there, column])
        n = len(ordered)
        if n < fewest:
            continue
        cut = int(TRIM * n)
        winsorised = np.clip(samples[there, column], ordered[cut], ordered[n - 1 - cut])
        value[column] = ordered[cut : n - cut].mean()
        parts[there, column] = (winsorised - winsorised.mean()) / (n - 2 * cut)
    return Middle(value, parts)


def whole(middle: Middle, often: Floats) -> Middle:
    """The same with one column more: the step, in which each row is so often; rare rows without a middle left out."""
    known = ~np.isnan(middle.value)
    step = float(middle.value[known] @ often[known]) if known.any() else math.nan
    total = np.append(middle.value, step)
    return Middle(total, np.column_stack([middle.parts, middle.parts @ often]))


def two_runs(old: Middle, new: Middle, beside: NDArray[np.bool_] | None = None) -> Estimates:
    """log(old / new) of each column, with intervals that cover all truths at once 99 times in 100, within these runs.

    Where there are columns `beside` which they are told, it is less the median of these, and what slowed all of them
    alike widens no interval.

    Both runs' steps are cut into 30 blocks, longer than neighbours are alike; the blocks are drawn with replacement
    (Carlstein, Annals of Statistics 14, 1986; Künsch, 17, 1989), all columns together, and the largest of the
    columns' |t| in each draw says how far the intervals reach (Romano & Wolf, Econometrica 73, 2005). A mean's blocks
    stand for the trimmed mean's by its influence, so that a draw is a product of matrices. Few long blocks need no
    model of the noise (Ibragimov & Müller, Journal of Business & Economic Statistics 28, 2010).
    """
    known = (old.value > 0) & (new.value > 0)
    first, second = (np.where(known, side.value, np.nan) for side in (old, new))
    with np.errstate(invalid="ignore"):
        value = np.log(first / second)
    sides = [_blocks(old.parts, first), _blocks(new.parts, second)]
    if beside is not None and (known := beside & ~np.isnan(value)).any():
        value = value - np.median(value[known])
        sides = [side - side[:, known].mean(axis=1, keepdims=True) for side in sides]
    return _bootstrapped(value, sides)


def two_samples(old: Middle, new: Middle, beside: NDArray[np.bool_] | None = None) -> Estimates:
    """The same of a few samples that do not depend on their neighbours, such as what kernels run in some steps.

    Student's interval about the trimmed means (Yuen, Biometrika 61, 1974), on the degrees of freedom of the shorter
    run, at a confidence that lets so many columns miss once in 100 all together (Dunn, 1961, as in `in_turns`).
    """
    known = (old.value > 0) & (new.value > 0)
    first, second = (np.where(known, side.value, np.nan) for side in (old, new))
    with np.errstate(invalid="ignore"):
        value = np.log(first / second)
        sides = [old.parts / first, new.parts / second]
    if beside is not None and (told := beside & known).any():
        value = value - np.median(value[told])
        sides = [side - side[:, told].mean(axis=1, keepdims=True) for side in sides]
    samples = min(len(side) for side in sides)
    freedom = samples - 2 * int(TRIM * samples) - 1
    if samples < 3 or freedom < 1:
        return Estimates(value, *np.full((2, len(value)), np.nan))
    error = np.sqrt(sum((side**2).sum(axis=0) * len(side) / (len(side) - 1) for side in sides))
    reach = t_quantile(1 - (1 - CONFIDENCE) / 2 / max(1, int(known.sum())), freedom)
    return Estimates(value, error, reach * error)


def in_turns(rounds: Floats) -> Estimates:
    """The same of log ratios that were each taken within a short round: (rounds, columns).

    The trimmed mean over the rounds and Student's interval about it (Tukey & McLaughlin, Sankhyā A 25, 1963), at a
    confidence that lets so many columns miss once in 100 all together (Dunn, Journal of the American Statistical
    Association 56, 1961).
    """
    known = [column[~np.isnan(column)] for column in rounds.T]
    number = sum(len(values) >= FEWEST // 2 for values in known)
    found = np.full((3, len(known)), np.nan)
    for i, values in enumerate(known):
        if len(values) >= FEWEST // 2:
            mean = trimmed(values, TRIM)
            reach = t_quantile(1 - (1 - CONFIDENCE) / 2 / number, mean.freedom)
            found[:, i] = mean.value, mean.error, reach * mean.error
    return Estimates(*found)


def _blocks(parts: Floats, scale: Floats) -> Floats:
    """Each block's share of the relative error: (blocks, columns), centred."""
    n = len(parts)
    number = max(1, min(_BLOCKS, n // 2))
    edges = np.linspace(0, n, number + 1).astype(np.int64)[:-1]
    sums = np.add.reduceat(parts, edges, axis=0) if n else np.zeros((1, parts.shape[1]))
    sums = sums / scale
    return np.asarray(sums - sums.mean(axis=0))


def _bootstrapped(value: Floats, sides: Sequence[Floats]) -> Estimates:
    rng = np.random.default_rng(_SEED)
    variance = np.zeros(len(value))
    moved = drawn = np.zeros((_DRAWS, len(value)))
    for sums in sides:
        n = len(sums)
        wider = n / max(1, n - 1)
        times = rng.multinomial(n, np.full(n, 1 / n), size=_DRAWS).astype(float)
        sums = np.where(np.isnan(value), 0.0, sums)
        mean = times @ sums
        variance = variance + wider * (sums**2).sum(axis=0)
        drawn = drawn + wider * np.maximum(0.0, times @ sums**2 - mean**2 / n)
        moved = moved + mean
    error = np.where(np.isnan(value), np.nan, np.sqrt(variance))
    with np.errstate(invalid="ignore", divide="ignore"):
        largest = np.abs(moved) / np.sqrt(drawn)
    largest = np.where(np.nan_to_num(error) > 1e-12, largest, 0.0).max(axis=1, initial=0.0)
    reach = float(np.sort(largest)[math.ceil(CONFIDENCE * (_DRAWS + 1)) - 1])
    return Estimates(value, error, reach * error)


def repeats(old: Floats, new: Floats, spread_of: NDArray[np.bool_]) -> Estimates:
    """The same from the logs of several runs a side: (runs, columns). What differs between runs is in the intervals.

    Student's t on the runs' degrees of freedom, with each column's variance between runs, but no less than the mean
    of the columns in `spread_of`: three runs can lie close together by chance.
    """
    numbers, freedom = (len(old), len(new)), len(old) + len(new) - 2
    value = old.mean(axis=0) - new.mean(axis=0)
    if freedom < 2 or not len(value):
        nothing = np.full(len(value), np.nan)
        return Estimates(value, nothing, nothing)
    variance = sum(side.var(axis=0) * len(side) for side in (old, new)) / freedom
    usual = variance[spread_of & ~np.isnan(variance)]
    least = float(usual.mean()) if len(usual) else 0.0
    error = np.sqrt(np.maximum(variance, least) * sum(1 / n for n in numbers))
    return Estimates(value, error, t_quantile((1 + _REPEATS_CONFIDENCE) / 2, freedom) * error)
