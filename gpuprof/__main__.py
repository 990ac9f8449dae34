"""`python -m gpuprof info` and `python -m gpuprof show FILE`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gpuprof import device
from gpuprof.results.comparison import Comparison
from gpuprof.results.files import kind_of
from gpuprof.results.profile import Profile
from gpuprof.results.profilecomparison import ProfileComparison
from gpuprof.results.stepsweep import StepSweep
from gpuprof.results.sweep import Sweep
from gpuprof.results.timing import Timing


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0, or 1 with a sentence on standard error."""
    parser = argparse.ArgumentParser(prog="python -m gpuprof", description="GPU time, told truthfully")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("info", help="this machine: GPU, driver, versions, clocks")
    show = commands.add_parser("show", help="print a saved profile, timing, comparison or sweep")
    show.add_argument("file", type=Path)
    options = parser.parse_args(arguments)
    if options.command == "info":
        print(device.info())
        return 0
    try:
        print(_load(options.file))
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _load(path: Path) -> Profile | Timing | Comparison | Sweep | StepSweep | ProfileComparison:
    """The result in the file, of whatever kind it says it is."""
    kinds = {
        "profile": Profile,
        "timing": Timing,
        "comparison": Comparison,
        "sweep": Sweep,
        "step sweep": StepSweep,
        "profile comparison": ProfileComparison,
    }
    kind = kind_of(path)
    if kind not in kinds:
        raise ValueError(f"{path} should hold a gpuprof {', '.join(kinds)}; it holds {kind!r}")
    found: Profile | Timing | Comparison | Sweep | StepSweep | ProfileComparison
    found = kinds[kind].load(path)  # type: ignore[attr-defined] # all have it
    return found


if __name__ == "__main__":
    sys.exit(main())
