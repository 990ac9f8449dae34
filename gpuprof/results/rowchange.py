"""One row of two profiles held against each other, and the words for it."""

from __future__ import annotations

import math
from typing import NamedTuple

from gpuprof.judge.ratio import Estimate, decide
from gpuprof.record.calls import Scope
from gpuprof.units import digits

REAL, NOISE, UNCLEAR = "real", "noise", "unclear"
ADDED, REMOVED, UNJUDGED = "added", "removed", "no verdict"
PACE = "pace"
"""Said of a time that lies between two events, where what sets the pace has changed: it is not the row's alone."""
STEP_PATH = "(step)"
SURE = (REAL, ADDED, REMOVED)
_NEAR = 1.1
_WORTH = {True: 0.02, False: 0.05}  # a difference below is none worth more steps: of a step, of a row


class RowChange(NamedTuple):
    """A row of the old profile and the new; NaN for what was not measured.

    Times, launches and bytes are of a call; of "(outside)" and "(step)" of a step.
    """

    path: str
    phase: str
    old_us: float = math.nan
    new_us: float = math.nan
    ratio: float = math.nan
    """Times faster: old / new, where there is a verdict less what rows that did not change have in common."""
    low: float = math.nan
    high: float = math.nan
    floor: float = math.nan
    """A share: below it no difference is claimed."""
    verdict: str = UNJUDGED
    old_busy_us: float = math.nan
    new_busy_us: float = math.nan
    busy_ratio: float = math.nan
    """The same of the kernels' own times; 99 times in 100 these intervals hold for all rows at once, too."""
    busy_low: float = math.nan
    busy_high: float = math.nan
    busy_verdict: str = UNJUDGED
    old_launches: float = math.nan
    new_launches: float = math.nan
    old_bytes: float = math.nan
    new_bytes: float = math.nan
    old_steps: int = 0
    """In which the row was timed."""
    new_steps: int = 0
    changed: tuple[str, ...] = ()
    """What changed without any noise in it."""

    @property
    def name(self) -> str:
        """Such as "Pool1.backward"."""
        return Scope(self.path, self.phase).name

    @property
    def apart_us(self) -> float:
        """What the row takes less now; 0 where it is not known."""
        apart = self.old_us - self.new_us
        return 0.0 if math.isnan(apart) else apart

    @property
    def of_time(self) -> tuple[float, float, float, str]:
        """The ratio of the times, its interval, the verdict."""
        return self.ratio, self.low, self.high, self.verdict

    @property
    def of_busy(self) -> tuple[float, float, float, str]:
        """The same of what its kernels run."""
        return self.busy_ratio, self.busy_low, self.busy_high, self.busy_verdict

    @property
    def times(self) -> str:
        """Such as "67.5× as fast [64.0, 70.1]" or "1.050× as long [1.020, 1.081]"; both are above 1."""
        return _times(self.ratio, self.low, self.high)

    @property
    def busy_times(self) -> str:
        """The same of what its kernels run."""
        return _times(self.busy_ratio, self.busy_low, self.busy_high)

    @property
    def told(self) -> str:
        """Such as "67.5×, real"."""
        return self.verdict if math.isnan(self.ratio) else f"{ratio_text(self.ratio)}×, {self.verdict}"


def ratio_text(value: float, ratio: float = math.nan) -> str:
    """A ratio, or an end of the interval of one: with three digits, near 1 with one more."""
    return digits(value, 4 if 1 / _NEAR < (value if math.isnan(ratio) else ratio) < _NEAR else 3)


def interval_text(ratio: float, low: float, high: float) -> str:
    """Such as "[64.0, 70.1]"; "" without one."""
    return "" if math.isnan(low) else f"[{ratio_text(low, ratio)}, {ratio_text(high, ratio)}]"


def _times(ratio: float, low: float, high: float) -> str:
    word = "fast"
    if ratio < 1:
        ratio, low, high, word = 1 / ratio, 1 / high, 1 / low, "long"
    return f"{ratio_text(ratio)}× as {word} {interval_text(ratio, low, high)}".rstrip()


def word(value: float, half: float, floor: float, step: bool = False) -> str:
    """What an interval of log(old / new) allows to say.

    "real" beyond the floor all along; "noise" within it, or within 5 % (of a step: 2 %); else "unclear".
    """
    if math.isnan(half):
        return UNCLEAR
    estimate = Estimate(value, value - half, value + half)
    if decide(estimate, floor) in ("FASTER", "SLOWER"):
        return REAL
    return NOISE if decide(estimate, max(floor, _WORTH[step])) == "SAME" else UNCLEAR
