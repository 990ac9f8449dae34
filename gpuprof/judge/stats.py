"""Samples to intervals, without assuming a distribution."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gpuprof.judge.autocorrelation import batch_means, effective_number, inflation

FAR_OUT = 3.0
"""Beyond the quartiles by this many interquartile ranges a sample is an outlier (Tukey, 1977, §2D)."""
FIRST_LOOK, GROWTH, LAST_LOOK = 30, 1.3, 2000


class Interval(NamedTuple):
    """A median and the interval that covers it with the confidence asked for; NaN where samples are too few.

    From `batch_interval` the median is the mean of the middle 60 % of the batch means.
    """

    median: float
    low: float
    high: float


def median_interval(samples: ArrayLike, z: float = 1.96) -> Interval:
    """The median of `samples` and its interval between two order statistics; 95 % with z = 1.96.

    The number of samples below the true median is binomial (n, 1/2), so ranks n/2 ± z √n / 2 bracket it whatever
    the distribution (Conover, Practical Nonparametric Statistics, §3.2). Neighbours in time are alike: n is
    first divided by how much longer the autocorrelation makes the series count for (`effective_number`).
    The interval is NaN for fewer than 6 samples: with 5, no pair of them covers 95 %.
    """
    values = np.asarray(samples, dtype=float)
    n = len(values)
    if n == 0:
        return Interval(math.nan, math.nan, math.nan)
    ordered = np.sort(values)
    median = float(np.median(ordered))
    if n < 6:
        return Interval(median, math.nan, math.nan)
    half = z / 2 * n / math.sqrt(effective_number(values))
    below = max(0, math.floor(n / 2 - half - 0.5))
    return Interval(median, float(ordered[below]), float(ordered[n - 1 - below]))


class Mean(NamedTuple):
    """A mean, its standard error and that error's degrees of freedom."""

    value: float
    error: float
    freedom: float

    def interval(self, confidence: float) -> Interval:
        """Student's interval about the mean."""
        half = t_quantile((1 + confidence) / 2, self.freedom) * self.error
        return Interval(self.value, self.value - half, self.value + half)


def batch_interval(samples: ArrayLike, confidence: float = 0.95, tick: float = 0.0) -> Interval:
    """The typical sample and the interval that covers the truth `confidence` of the time, in the samples' unit.

    Far-out samples are left out (`outliers`); neighbours that are alike are merged into batches, at least 20
    where there are 20 samples; then Student's interval about the 20 % trimmed mean of the batch means (Tukey &
    McLaughlin, Sankhyā A 25, 1963), widened by the autocorrelation that is left (`inflation`). A trimmed mean
    needs two thirds of the samples a median needs to be as sure.
    `tick` is the clock's step in the samples' unit (its resolution / calls in a sample); when 0 it is read from
    ties, which cannot be done where all samples are equal. Samples spread over only a few ticks are averaged
    untrimmed: of a clock of random phase the mean alone is unbiased.
    The interval is NaN for fewer than 6 samples. Under 60, neighbours that are alike cannot be told from chance:
    of 20 that correlate by 0.6, 95 % means about 93 %.
    """
    values = np.asarray(samples, dtype=float)
    if len(values) < 6:
        return Interval(float(np.median(values)) if len(values) else math.nan, math.nan, math.nan)
    step = tick or tick_of(values)
    low, high = quartiles(values)
    kept = values[~outliers(values, step)]
    means = batch_means(kept)
    wider = inflation(kept, means)
    if step > 0 and high - low <= 3 * step:
        return mean_of_ticks(kept, means, step, wider).interval(confidence)
    return widened(trimmed(means, 0.2), wider).interval(confidence)


def quartiles(values: NDArray[np.float64]) -> tuple[float, float]:
    """The 25 % and 75 % points, interpolated; a tenth of the time `np.percentile` takes."""
    ordered = np.sort(values)
    places = [(len(values) - 1) / 4, (len(values) - 1) * 3 / 4]
    low, high = np.interp(places, np.arange(len(values)), ordered)
    return float(low), float(high)


def tick_of(values: NDArray[np.float64]) -> float:
    """The clock's step, read from ties: the least gap between distinct samples where at least half are ties, else 0.

    A gap above a tenth of the median is no tick: two calls may truly differ by that much.
    """
    ordered = np.sort(values)
    size = abs(float(ordered[len(ordered) // 2]))
    gaps = np.diff(ordered)
    gaps = gaps[gaps > 1e-9 * size]  # rounding is no tick
    if not len(gaps) or len(gaps) + 1 > len(values) / 2 or gaps.min() > size / 10:
        return 0.0
    return float(gaps.min())


def outliers(samples: ArrayLike, tick: float = 0.0) -> NDArray[np.bool_]:
    """Which samples lie far out: beyond the quartiles by over 3 interquartile ranges (Tukey, 1977, §2D).

    The range counts as a tick at least, so that where over half the samples tie, the next tick is not far out;
    `tick` is as in `batch_interval`. Fewer than 6 samples have no outliers.
    """
    values = np.asarray(samples, dtype=float)
    if len(values) < 6:
        return np.zeros(len(values), dtype=bool)
    low, high = quartiles(values)
    fence = FAR_OUT * max(high - low, tick or tick_of(values), 1e-9 * abs(high))
    return (values < low - fence) | (values > high + fence)


def trimmed(values: NDArray[np.float64], share: float) -> Mean:
    """The mean without `share` of the values at either end; its error from the winsorised variance.

    Yuen, Biometrika 61, 1974: SE² = Σ (winsorised - their mean)² / h (h - 1), with h values left and h - 1
    degrees of freedom.
    """
    ordered = np.sort(values)
    n = len(ordered)
    cut = int(share * n)
    left = n - 2 * cut
    winsorised = np.clip(ordered, ordered[cut], ordered[n - 1 - cut])
    error = math.sqrt(float(winsorised.var()) * n / (left * (left - 1)))
    return Mean(float(ordered[cut : n - cut].mean()), error, left - 1)


def widened(mean: Mean, by: float) -> Mean:
    """The mean with its variance `by` times as large, and the fewer degrees of freedom of correlated values."""
    return Mean(mean.value, mean.error * math.sqrt(by), max(2.0, (mean.freedom + 1) / math.sqrt(by) - 1))


def mean_of_ticks(values: NDArray[np.float64], means: NDArray[np.float64], tick: float, wider: float) -> Mean:
    """The mean of samples that a clock's tick rounds to a few values, and an error that is never 0.

    Two neighbouring ticks are a proportion: the interval of Agresti & Coull (The American Statistician 52, 1998),
    who add 4 samples, half of them on either tick. Over more ticks, half a tick² is added to the sum of squares.
    """
    length = len(values) / len(means)
    n, mean = len(means), float(means.mean())
    squares = float(means.var()) * n
    if np.ptp(values) > 1.5 * tick:
        error = math.sqrt((squares + tick**2 / (2 * length)) / (n * (n - 1)))
        return widened(Mean(mean, error, n - 1), wider)
    added = 4 * wider / length
    between = (math.floor(mean / tick + 1e-9) + 0.5) * tick
    centre = (n * mean + added * between) / (n + added)
    squares += n * (mean - centre) ** 2 + added * ((between - centre) ** 2 + tick**2 / (4 * length))
    return widened(Mean(centre, math.sqrt(squares) / (n + added), n - 1), wider)


def looks() -> Iterator[int]:
    """The numbers of samples at which to ask whether they are `enough`: 30, 39, 51 … to 2000."""
    count = FIRST_LOOK
    while count < LAST_LOOK:
        yield count
        count = math.ceil(count * GROWTH)
    yield LAST_LOOK


def enough(samples: ArrayLike, precision: float, tick: float = 0.0) -> bool:
    """Whether the interval of `samples` is within ± `precision` of its middle, and was so at the look before.

    Who stops at the first narrow interval stops where the spread was underrated by chance, and covers the truth
    too seldom (Chow & Robbins, Annals of Mathematical Statistics 36, 1965): of neighbours that correlate by 0.6,
    91 times in 100 for 95. Two looks in a row, at 30 samples or more, make up for it.
    """
    values = np.asarray(samples, dtype=float)
    before = values[: math.ceil(len(values) / GROWTH)]
    return len(values) >= FIRST_LOOK and half_width(values, tick) <= precision and half_width(before, tick) <= precision


def half_width(samples: ArrayLike, tick: float = 0.0) -> float:
    """Half the `batch_interval` as a share of its middle; NaN where there is none."""
    interval = batch_interval(samples, tick=tick)
    return (interval.high - interval.low) / 2 / abs(interval.median) if interval.median else math.nan


def t_quantile(probability: float, freedom: float) -> float:
    """Student's t that is not exceeded with `probability` (above 1/2), to 1 in 2000 from 2 degrees of freedom on.

    Hill, Algorithm 396, Communications of the ACM 13, 1970.
    """
    tails, n = 2 * (1 - probability), freedom
    a = 1 / (n - 0.5)
    b = 48 / a**2
    c = ((20700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * math.sqrt(a * math.pi / 2) * n
    y = (d * tails) ** (2 / n)
    if y <= 0.05 + a:
        y = ((1 / (((n + 6) / (n * y) - 0.089 * d - 0.822) * (n + 2) * 3) + 0.5 / (n + 4)) * y - 1) * (n + 1) / (
            n + 2
        ) + 1 / y
        return math.sqrt(n * y)
    x = NormalDist().inv_cdf(tails / 2)  # near the normal: an expansion about its quantile
    y = x**2
    c += 0.3 * (n - 4.5) * (x + 0.6) if n < 5 else 0
    c += (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b
    y = (((((0.4 * y + 6.3) * y + 36) * y + 94.5) / c - y - 3) / b + 1) * x
    return math.sqrt(n * math.expm1(a * y**2))
