"""Neighbours in time are alike: by how much, how many samples that leaves, and batches that are less so."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def effective_number(values: NDArray[np.float64]) -> float:
    """How many independent samples `values` are worth: n / (1 + 2 Σ ρ_k), between 1 and n.

    ρ_k is the autocorrelation of the ranks at lag k, summed while neighbouring pairs stay positive
    (Geyer, Practical Markov Chain Monte Carlo, 1992): ranks, so that one outlier does not hide the rest.
    """
    n = len(values)
    ranks = centred_ranks(values)
    variance = float(ranks @ ranks)
    if n < 8 or variance == 0:
        return float(n)
    padded = np.fft.rfft(ranks, 2 * n)
    rho = np.fft.irfft(padded * padded.conj())[: n // 2] / variance
    pairs = rho[1:-1:2] + rho[2::2]
    stop = np.flatnonzero(pairs <= 0)
    total = float(pairs[: stop[0] if len(stop) else len(pairs)].sum())
    return max(1.0, n / (1 + 2 * max(0.0, total)))


def centred_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each value's rank less the mean rank; equal values share one: clocks tick."""
    _, same, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts + 1) / 2)[same]
    return np.asarray(ranks - ranks.mean())


def batch_means(values: NDArray[np.float64], least: int = 20) -> NDArray[np.float64]:
    """Means of consecutive samples, as many to a mean as makes neighbours unlike, in `least` batches or more.

    A batch is twice as long as the (1 + ρ) / (1 - ρ) samples that count for one, where ρ, the correlation of
    neighbours, is beyond chance. What does not fill a batch is left out at the beginning.
    """
    rho = correlation(values)
    if rho <= 2 / math.sqrt(len(values)):
        return values
    return merged(values, min(len(values) // least, math.ceil(2 * excess(rho))))


def merged(values: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """The means of consecutive batches of `length`; what does not fill one is left out at the beginning."""
    if length <= 1:
        return values
    return np.asarray(values[len(values) % length :].reshape(-1, length).mean(axis=1))


def correlation(values: NDArray[np.float64]) -> float:
    """The correlation of neighbours; 0 where nothing varies."""
    rest = values - values.mean()
    total = float(rest @ rest)
    return float(rest[1:] @ rest[:-1]) / total if total > 0 else 0.0


def excess(rho: float) -> float:
    """By how much a first-order autocorrelation of `rho` raises the variance of a mean: (1 + ρ) / (1 - ρ)."""
    rho = min(0.95, max(0.0, rho))
    return (1 + rho) / (1 - rho)


def inflation(values: NDArray[np.float64], means: NDArray[np.float64]) -> float:
    """By how much the variance of the mean of `means` exceeds that of as many independent ones; at least 1.

    The larger of two: from the correlation of the batch means, which assumes little and is rough with 20 of them;
    and from that of the samples, which is sharper where the noise is of first order.
    """
    direct = excess(cautious(correlation(means), len(means)))
    spread = float(means.var()) * len(values) / len(means)
    if len(means) == len(values) or spread == 0:
        return direct
    return max(direct, excess(cautious(correlation(values), len(values))) * float(values.var()) / spread)


def cautious(rho: float, n: int) -> float:
    """A correlation of `n` neighbours less its bias (Marriott & Pope, Biometrika 41, 1954), and half its error up."""
    return rho + (1 + 3 * rho) / n + 0.5 / math.sqrt(n)
