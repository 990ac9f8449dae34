"""The truth about GPU time, in a notebook or a script.

In IPython: `%load_ext gpuprof`, then `%gpu_timeit`, `%%layertime`, `%gpu_info`. In Python: `timeit`, `compare`,
`sweep`, `layertime`, `linetime`, `region`; `last`, the newest result, and `runs`, all of them.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    "Comparison",
    "LineProfile",
    "Profile",
    "ProfileComparison",
    "StepSweep",
    "Sweep",
    "Timing",
    "compare",
    "last",
    "layertime",
    "linetime",
    "load_ipython_extension",
    "region",
    "runs",
    "sweep",
    "timeit",
    "unload_ipython_extension",
]

if TYPE_CHECKING:
    from gpuprof.latest import runs
    from gpuprof.measure import compare, layertime, linetime, region, sweep, timeit
    from gpuprof.results.comparison import Comparison
    from gpuprof.results.lines import LineProfile
    from gpuprof.results.profile import Profile
    from gpuprof.results.profilecomparison import ProfileComparison
    from gpuprof.results.stepsweep import StepSweep
    from gpuprof.results.sweep import Sweep
    from gpuprof.results.timing import Timing

_HOMES = {
    "Comparison": "gpuprof.results.comparison",
    "LineProfile": "gpuprof.results.lines",
    "Profile": "gpuprof.results.profile",
    "ProfileComparison": "gpuprof.results.profilecomparison",
    "StepSweep": "gpuprof.results.stepsweep",
    "Sweep": "gpuprof.results.sweep",
    "Timing": "gpuprof.results.timing",
    "compare": "gpuprof.measure",
    "layertime": "gpuprof.measure",
    "linetime": "gpuprof.measure",
    "region": "gpuprof.measure",
    "sweep": "gpuprof.measure",
    "timeit": "gpuprof.measure",
}


def __getattr__(name: str) -> Any:
    """The public names, imported when first used: `import gpuprof` loads neither NumPy nor pandas."""
    from importlib import import_module

    if name == "runs":
        return import_module("gpuprof.latest").runs
    if name == "last":
        return import_module("gpuprof.measure").last()
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'gpuprof' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    """The public names, too, before they are imported: what Tab shows after `gpuprof.`."""
    return sorted({*globals(), *__all__})


def load_ipython_extension(shell: Any) -> None:
    """What `%load_ext gpuprof` calls."""
    from gpuprof.extension import load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """What `%unload_ext gpuprof` calls: the magics go, and what they took the place of comes back."""
    from gpuprof.extension import unload

    unload(shell)
