"""Is B faster than A? Quartets of times, taken in turns, to an interval and a word."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from gpuprof.judge.stats import t_quantile, trimmed

TRIM = 0.1
ASSURANCE = 0.93
"""How sure a plan is of the spread: it reaches its width 9 times in 10, for the spread then varies once more."""
MOST = 1_000_000
"""What `planned` and `needed` answer at most."""


class Estimate(NamedTuple):
    """log(time of A / time of B) and its interval: above 0 where B is faster; 0.01 is 1 %."""

    value: float
    low: float
    high: float


class Ratio(NamedTuple):
    """How many times faster B is than A in one quantity: time of A / time of B, with a 99 % interval."""

    quantity: str
    ratio: float
    low: float
    high: float
    floor: float
    """How far copies of A over other memory were from A, as a share; 0.5 % at least."""
    word: str
    """"FASTER", "SLOWER" (beyond the floor), "SAME" (within it) or "UNCLEAR"."""
    quartets: int
    needed: int
    """Quartets that a clear answer would take."""
    a: float
    """Median of A, seconds a call."""
    b: float
    """Median of B."""


def orders(count: int, rng: np.random.Generator) -> list[str]:
    """In which order to take each of `count` quartets of times: "ABBA" and "BAAB" equally often, shuffled.

    Either order cancels a linear drift within the quartet; equal numbers cancel what first place alone costs.
    """
    first, second = rng.permutation(["ABBA", "BAAB"]).tolist()
    return list(map(str, rng.permutation([first, second] * (count // 2) + [first] * (count % 2))))


def log_ratio(order: str, times: ArrayLike) -> float:
    """One quartet's mean log(time of A) - mean log(time of B): above 0 where B is faster.

    `order` names who was timed, as "ABBA"; `times` are theirs, in that order.
    """
    logs = np.log(np.asarray(times, dtype=float))
    if len(order) != len(logs) or set(order) != {"A", "B"}:
        raise ValueError(f"expected a time for each letter of an order of A and B; got {len(logs)} for {order!r}")
    of_a = np.array([letter == "A" for letter in order])
    return float(logs[of_a].mean() - logs[~of_a].mean())


def trimmed_interval(values: ArrayLike, confidence: float = 0.99, trim: float = TRIM) -> Estimate:
    """The mean of `values` without the share `trim` at either end, and Student's interval about it.

    Tukey & McLaughlin, Sankhyā A 25, 1963; Yuen, Biometrika 61, 1974: the error is from the winsorised variance,
    on one degree of freedom less than values are left. Fewer than 3 values have no interval: NaN.
    """
    found = np.asarray(values, dtype=float)
    if len(found) < 3:
        return Estimate(float(found.mean()) if len(found) else math.nan, math.nan, math.nan)
    return Estimate(*trimmed(found, trim).interval(confidence))


def planned(pilot: ArrayLike, half_width: float, confidence: float = 0.99, trim: float = TRIM) -> int:
    """How many quartets make the `trimmed_interval` no wider than ± `half_width`, in 9 plans of 10.

    From the winsorised variance of the `pilot` (3 quartets or more), raised to what the true one exceeds 7 times
    in 100: s² f / χ², with f degrees of freedom (Kupper & Hafner, The American Statistician 43, 1989). Look once,
    when they are all there.
    """
    values = np.asarray(pilot, dtype=float)
    if len(values) < 3:
        raise ValueError(f"a pilot needs 3 quartets or more to show their spread; got {len(values)}")
    mean = trimmed(values, trim)
    spread = mean.error**2 * (mean.freedom + 1) * mean.freedom / (len(values) - 1)
    spread *= mean.freedom / chi_square(1 - ASSURANCE, mean.freedom)
    normal = NormalDist().inv_cdf((1 + confidence) / 2) / (1 - 2 * trim)
    count = max(len(values), math.floor(min(MOST, 0.9 * spread * (normal / half_width) ** 2)))
    while count < MOST and planned_half(spread, count, confidence, trim) > half_width:
        count += 1 + count // 200
    return min(MOST, count)


def planned_half(spread: float, count: int, confidence: float, trim: float) -> float:
    """Half the width of the `trimmed_interval` of `count` values whose winsorised variance is `spread`."""
    left = count - 2 * int(trim * count)
    return t_quantile((1 + confidence) / 2, left - 1) * math.sqrt(spread * (count - 1) / (left * (left - 1)))


def chi_square(probability: float, freedom: float) -> float:
    """The χ² that is not exceeded with `probability`, to about 1 % (Wilson & Hilferty, PNAS 17, 1931)."""
    part = 2 / (9 * freedom)
    return float(freedom * (1 - part + NormalDist().inv_cdf(probability) * math.sqrt(part)) ** 3)


def decide(estimate: Estimate, floor: float) -> str:
    """Which word the interval allows for B: "FASTER", "SLOWER", "SAME" or "UNCLEAR".

    Faster or slower by more than `floor` all along the interval (0.005 is 0.5 %), the same within it.
    """
    limit = math.log1p(floor)
    if estimate.low > limit:
        return "FASTER"
    if estimate.high < -limit:
        return "SLOWER"
    if -limit < estimate.low and estimate.high < limit:
        return "SAME"
    return "UNCLEAR"


def needed(values: ArrayLike, estimate: Estimate, floor: float) -> int:
    """How many quartets a clear answer would take, were the estimate and the spread of `values` to stay.

    The interval shrinks with √n, until it no longer reaches from the estimate to the nearer end of ± `floor`.
    """
    count = len(np.asarray(values))
    room = abs(abs(estimate.value) - math.log1p(floor))
    half = (estimate.high - estimate.low) / 2
    if math.isnan(half) or half >= room * math.sqrt(MOST / count):
        return MOST
    return max(count, math.ceil(count * (half / room) ** 2))
