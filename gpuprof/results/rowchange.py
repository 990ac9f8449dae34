"""One row of two profiles held against each other, and the words for it."""

from __future__ import annotations

import math
from typing import NamedTuple

from gpuprof.judge.ratio import Estimate, decide
from gpuprof.units import digits

REAL, NOISE, UNCLEAR = "real", "noise", "unclear"
ADDED, REMOVED, UNJUDGED = "added", "removed", "no verdict"
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
        return ".".join(filter(None, (self.path, self.phase)))

    @property
    def apart_us(self) -> float:
        """What the row takes less now; 0 where it is not known."""
        apart = self.old_us - self.new_us
        return 0.0 if math.isnan(apart) else apart

    @property
    def times(self) -> str:
        """Such as "67.5× as fast [64.0, 70.1]" or "1.050× as long [1.020, 1.081]"; both are above 1."""
        ends, word = (self.ratio, self.low, self.high), "fast"
        if self.ratio < 1:
            ends, word = (1 / self.ratio, 1 / self.high, 1 / self.low), "long"
        middle, low, high = (digits(end, self.figures) for end in ends)
        return f"{middle}× as {word} [{low}, {high}]" if low else f"{middle}× as {word}"

    @property
    def told(self) -> str:
        """Such as "67.5×, real"."""
        return self.verdict if math.isnan(self.ratio) else f"{digits(self.ratio, self.figures)}×, {self.verdict}"

    @property
    def interval(self) -> str:
        """The interval of the ratio, such as "[64.0, 70.1]"; "" without one."""
        return "" if math.isnan(self.low) else f"[{digits(self.low, self.figures)}, {digits(self.high, self.figures)}]"

    @property
    def figures(self) -> int:
        """How many digits a ratio is told by: near 1 one more."""
        return 4 if 1 / _NEAR < self.ratio < _NEAR else 3


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
