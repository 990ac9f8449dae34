"""The newest result of this process: `gpuprof.last`."""

from __future__ import annotations

from gpuprof.results.comparison import Comparison
from gpuprof.results.lines import LineProfile
from gpuprof.results.profile import Profile
from gpuprof.results.profilecomparison import ProfileComparison
from gpuprof.results.stepsweep import StepSweep
from gpuprof.results.sweep import Sweep
from gpuprof.results.timing import Timing

Result = Profile | Timing | Comparison | Sweep | StepSweep | LineProfile | ProfileComparison

_last: Result | None = None
_profile: Profile | None = None


def last() -> Result | None:
    """The newest result; None before the first."""
    return _last


def last_profile() -> Profile | None:
    """The newest profile, whatever has come since; None before the first."""
    return _profile


def keep(result: Result) -> None:
    """Make `result` the newest."""
    global _last, _profile
    _last = result
    _profile = result if isinstance(result, Profile) else _profile
