"""The shape of a run of samples: does it drift, has it two modes, is the warm-up over?"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gpuprof.judge.autocorrelation import cautious, centred_ranks, correlation, excess, merged
from gpuprof.judge.stats import FIRST_LOOK, outliers, t_quantile, tick_of


def drift(samples: ArrayLike) -> float:
    """The change from the first sample to the last as a share of the median, where it is beyond chance; else 0.

    Theil and Sen's slope through the means of some 20 to 39 batches, and Student's test of Spearman's rank
    correlation at 1 in 200, with as many degrees of freedom as the batches around the slope are worth.
    Fewer than 30 samples cannot tell: 0.
    """
    values = np.asarray(samples, dtype=float)
    values = values[~outliers(values)]
    if len(values) < FIRST_LOOK:
        return 0.0
    means = merged(values, len(values) // 20)
    n, time = len(means), np.arange(len(means))
    slope = theil_sen(means)
    around = correlation(means - slope * time) + 1 / n  # a line takes up one more share of it than a mean does
    worth = n / excess(cautious(around, n)) if mad(means - slope * time) > 1e-3 * abs(slope * n) else n
    rho = spearman(means)
    if worth < 4 or abs(rho) * math.sqrt((worth - 2) / (1 - rho**2)) < t_quantile(0.9975, worth - 2):
        return 0.0
    return slope * n / float(np.median(means))


def spearman(values: NDArray[np.float64]) -> float:
    """The correlation of the values' ranks with time, just within ±1; 0 where all are equal."""
    ranks, time = centred_ranks(values), np.arange(len(values)) - (len(values) - 1) / 2
    size = math.sqrt(float(ranks @ ranks) * float(time @ time))
    return float(np.clip(ranks @ time / size, -1 + 1e-9, 1 - 1e-9)) if size > 0 else 0.0


def theil_sen(values: NDArray[np.float64]) -> float:
    """The median slope of all pairs (Sen, JASA 63, 1968), a step."""
    first, second = np.triu_indices(len(values), 1)
    return float(np.median((values[second] - values[first]) / (second - first)))


def modes(samples: ArrayLike, tick: float = 0.0) -> tuple[tuple[float, float], ...]:
    """(value, share) of each of two modes far apart, the smaller value first; () where there is one mode.

    The cut is Otsu's (IEEE Trans. SMC 9, 1979): the most variance between the parts. They are two modes if each
    has a tenth of the samples, their medians are over 1.5 ticks and 3 spreads apart (more where samples are few)
    and hardly a sample lies in the middle third between: 4 %, and what chance adds. `tick` is as in
    `batch_interval`. Fewer than 30 samples cannot tell: ().
    """
    ordered = np.sort(np.asarray(samples, dtype=float))
    n = len(ordered)
    if n < FIRST_LOOK:
        return ()
    step = tick or tick_of(ordered)
    cut = best_cut(ordered)
    parts = ordered[:cut], ordered[cut:]
    low, high = (float(np.median(part)) for part in parts)
    apart = high - low
    spread = max(step / 2, math.sqrt(sum(len(part) * mad(part) ** 2 for part in parts) / n))  # a tick hides some
    third = np.searchsorted(ordered, [low + apart / 3, high - apart / 3])
    between = int(third[1] - third[0])
    clear = min(cut, n - cut) >= max(5, n / 10) and apart > 1.5 * step
    if not clear or apart < (3 + 60 / n) * spread or between > 0.04 * n + 0.45 * math.sqrt(n):
        return ()
    return (low, cut / n), (high, 1 - cut / n)


def best_cut(ordered: NDArray[np.float64]) -> int:
    """How many of the ascending values belong below the cut that leaves the most variance between the parts.

    The outer 5 % are drawn in first, so that the cut does not merely set outliers apart.
    """
    n = len(ordered)
    edge = int(0.05 * n)
    values = np.clip(ordered, ordered[edge], ordered[n - 1 - edge])
    below = np.arange(1, n)
    sums = np.cumsum(values - values.mean())[:-1]
    return int(np.argmax(sums**2 / (below * (n - below)))) + 1


def mad(values: NDArray[np.float64]) -> float:
    """The median distance from the median, scaled to the standard deviation of normal noise."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def halves_agree(samples: ArrayLike) -> bool:
    """Whether warm-up is over: the two halves' medians are within 5 %, or within their noise, of each other.

    As pyperf's calibration asks of its warm-ups; the noise is 3 standard errors of the difference. Fewer than
    4 samples cannot tell: False.
    """
    values = np.asarray(samples, dtype=float)
    if len(values) < 4:
        return False
    halves = values[: len(values) // 2], values[len(values) // 2 :]
    first, second = (float(np.median(half)) for half in halves)
    noise = 3 * 1.2533 * math.sqrt(sum(mad(half) ** 2 / len(half) for half in halves))
    return abs(first - second) <= max(0.05 * abs(second), noise)
