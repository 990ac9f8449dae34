"""What rows that did not change lie apart all the same: below that no difference is claimed."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpuprof.judge.simultaneous import CONFIDENCE, Estimates, Floats

LEAST = {True: 0.005, False: 0.01}
"""On a device and on the host: as where two statements are compared."""
FEWEST_CONTROLS = 6
_NOISIER = 2  # times as noisy as the controls within its run, and a row is taken to be noisier between runs, too
_TAILS = 5  # degrees of freedom: rows do not scatter alike, and not as the normal law says
_DRAWS = 4000
_SEED = 20_302


class Held(NamedTuple):
    """How far apart rows that did not change lie between the runs, and each row's floor because of it."""

    floor: Floats
    spread: float
    """Of log(old / new), between the runs: within which two thirds of those rows lie, what chance adds taken off."""


def held_to_controls(found: Estimates, controls: NDArray[np.bool_], least: float) -> Held:
    """Floors for log ratios that are already told beside the control rows, from how far these lie apart.

    A control group stands for what two runs differ by besides the change (Campbell & Stanley, Experimental and
    Quasi-Experimental Designs, 1963, design 10). Its limit is Dwass's (Annals of Mathematical Statistics 28, 1957):
    what the largest distance of so many rows, in units of the one within which two thirds of the controls lie, does
    not exceed 99 times in 100 where nothing changed, drawn from Student's t with 5 degrees of freedom. A row more than
    twice as noisy within its run as the controls are is taken to be noisier between runs, too. Limit and interval add
    as independent errors do; the floor is what the limit adds.
    """
    known = controls & ~np.isnan(found.value)
    usual = float(np.median(found.error[known]))
    wider = np.maximum(1.0, found.error / usual / _NOISIER) if usual > 0 else np.ones(len(found.value))
    distance = np.abs(found.value - np.median(found.value[known])) / wider
    spread = math.sqrt(max(0.0, _two_thirds(distance[known]) ** 2 - usual**2))
    number = int(known.sum())
    others = max(1, int((~np.isnan(found.value)).sum()) - number)
    limit = _limit(number, others) * spread * wider
    return Held(np.fmax(least, np.hypot(limit, found.half) - found.half), spread)


def _two_thirds(values: Floats) -> float:
    """The least value that two thirds of them do not exceed; 0 of none."""
    return float(np.sort(values)[math.ceil(2 * len(values) / 3) - 1]) if len(values) else 0.0


@functools.cache
def _limit(controls: int, others: int) -> float:
    """How many times the controls' two thirds the largest of all distances is, at most, 99 times in 100."""
    drawn = np.random.default_rng(_SEED).standard_t(_TAILS, size=(_DRAWS, controls + others))
    inside = drawn[:, :controls]
    middle = np.median(inside, axis=1, keepdims=True)
    unit = np.sort(np.abs(inside - middle), axis=1)[:, math.ceil(2 * controls / 3) - 1]
    return float(np.quantile(np.abs(drawn - middle).max(axis=1) / unit, CONFIDENCE))
