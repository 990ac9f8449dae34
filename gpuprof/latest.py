"""The newest result of this process: `gpuprof.last`."""

from __future__ import annotations

from gpuprof.results.comparison import Comparison
from gpuprof.results.lines import LineProfile
from gpuprof.results.profile import Profile
from gpuprof.results.stepsweep import StepSweep
from gpuprof.results.sweep import Sweep
from gpuprof.results.timing import Timing

Result = Profile | Timing | Comparison | Sweep | StepSweep | LineProfile

_last: Result | None = None


def last() -> Result | None:
    """The newest result; None before the first."""
    return _last


def keep(result: Result) -> None:
    """Make `result` the newest."""
    global _last
    _last = result
