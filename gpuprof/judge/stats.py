"""Samples to intervals, without assuming a distribution."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Interval(NamedTuple):
    """A median and the interval that covers it with the confidence asked for; NaN where samples are too few."""

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


def effective_number(values: NDArray[np.float64]) -> float:
    """How many independent samples `values` are worth: n / (1 + 2 Σ ρ_k), between 1 and n.

    ρ_k is the autocorrelation of the ranks at lag k, summed while neighbouring pairs stay positive
    (Geyer, Practical Markov Chain Monte Carlo, 1992): ranks, so that one outlier does not hide the rest.
    """
    n = len(values)
    _, same, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts + 1) / 2)[same]  # equal values share a rank: clocks tick
    ranks -= ranks.mean()
    variance = float(ranks @ ranks)
    if n < 8 or variance == 0:
        return float(n)
    padded = np.fft.rfft(ranks, 2 * n)
    rho = np.fft.irfft(padded * padded.conj())[: n // 2] / variance
    pairs = rho[1:-1:2] + rho[2::2]
    stop = np.flatnonzero(pairs <= 0)
    total = float(pairs[: stop[0] if len(stop) else len(pairs)].sum())
    return max(1.0, n / (1 + 2 * max(0.0, total)))
