"""Saved results of any kind: loaded, held against each other, and written in other forms."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from gpuprof.results.compared import compare_profiles
from gpuprof.results.comparison import Comparison
from gpuprof.results.files import kind_of
from gpuprof.results.lines import LineProfile
from gpuprof.results.profile import Profile
from gpuprof.results.profilecomparison import ProfileComparison
from gpuprof.results.rowchange import REAL
from gpuprof.results.stepsweep import StepSweep
from gpuprof.results.sweep import Sweep
from gpuprof.results.timing import Timing

Result: TypeAlias = Profile | Timing | Comparison | Sweep | StepSweep | ProfileComparison | LineProfile
"""All that gpuprof gives."""
Kind = TypeVar("Kind", Profile, Timing)
KINDS: dict[str, type[Any]] = {
    "profile": Profile,
    "timing": Timing,
    "comparison": Comparison,
    "sweep": Sweep,
    "step sweep": StepSweep,
    "profile comparison": ProfileComparison,
    "lines": LineProfile,
}


def load(path: Path) -> Result:
    """The result in a file, of whatever kind it says it is. Raises ValueError for what holds none, OSError."""
    if path.is_dir():
        raise ValueError(f"expected one saved result; {path} is a folder, of which each file can be given")
    kind = kind_of(path)
    if kind not in KINDS:
        kinds = f"a gpuprof result ({', '.join(KINDS)})"
        raise ValueError(f"{path} should hold {kinds}; it holds {kind or 'other JSON'}")
    found: Result = KINDS[kind].load(path)
    return found


def load_all(path: Path) -> list[Result]:
    """The results in a file, or in all files of a folder, in the order of their names."""
    if not path.is_dir():
        return [load(path)]
    files = sorted(each for each in path.iterdir() if each.name.endswith((".json", ".json.gz")))
    if not files:
        raise ValueError(f"the folder {path} should hold saved results (.json, .json.gz); it holds none")
    return [load(each) for each in files]


def profiles_in(path: Path) -> list[Profile]:
    """The profile in a file, or all those in a folder. Raises ValueError for anything else, OSError."""
    if not path.is_dir():
        return [Profile.load(path)]
    results = load_all(path)
    if others := sorted({_kind(each) for each in results} - {"profile"}):
        raise ValueError(f"{path} should hold profiles; it holds: {', '.join(others)}")
    return _of(Profile, results)


def names_of(old: Path, new: Path) -> tuple[str, str]:
    """What to call two files or folders: by their names, without what all saved results end in."""
    names = name_of(old), name_of(new)
    if names[0] != names[1]:
        return names
    first, second = (f"{path.absolute().parent.name}/{name_of(path)}" for path in (old, new))
    return first, second


def name_of(path: Path) -> str:
    """What to call a saved result: its file's name, without what all of them end in."""
    return path.absolute().name.removesuffix(".gz").removesuffix(".json")


def compared(old: Path, new: Path) -> Comparison | ProfileComparison:
    """New against old: two timings, or profiles, of which a folder may hold several runs of the same.

    Raises ValueError for what cannot be compared.
    """
    before, after = load_all(old), load_all(new)
    kinds = sorted({_kind(each) for each in (*before, *after)})
    if kinds == ["profile"]:
        return compare_profiles(_of(Profile, before), _of(Profile, after), names=names_of(old, new))
    if kinds == ["timing"] and len(before) == len(after) == 1:
        (first,), (second,) = _of(Timing, before), _of(Timing, after)
        return second.compare(first)
    if kinds == ["timing"]:
        raise ValueError(f"expected one timing on each side; {old} and {new} hold {len(before)} and {len(after)}")
    raise ValueError(f"expected two timings, or profiles on both sides; {old} and {new} hold: {', '.join(kinds)}")


def regressed(comparison: Comparison | ProfileComparison) -> list[str]:
    """What is slower now, and surely so; [] where nothing is, or nothing can be said.

    Of two timings it is what decides. Of profiles the step, or where that did not become faster, each row: its time,
    or, where all kernels of a step together do not run less, what its kernels run.
    """
    if isinstance(comparison, Comparison):
        said = f"{comparison.deciding} is slower: {comparison.verdict}"
        return [said] if comparison.word == "SLOWER" else []
    step = comparison.step
    if step.verdict == REAL:
        return [f"the step takes {step.times}"] if step.ratio < 1 else []
    slower = [f"{row.name} takes {row.times}" for row in comparison.rows if row.verdict == REAL and row.ratio < 1]
    if step.busy_verdict == REAL and step.busy_ratio > 1:
        return slower
    busier = [row for row in comparison.rows if row.busy_verdict == REAL and row.busy_ratio < 1 and row.verdict != REAL]
    return [*slower, *(f"the kernels of {row.name} take {row.busy_times}" for row in busier)]


def document(result: Result, title: str) -> str:
    """A page of its own with what a notebook shows: static, without scripts or anything from elsewhere."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n</head>\n"
        f'<body style="font-family:sans-serif;margin:2em">\n{result._repr_html_()}\n</body>\n</html>\n'
    )


def _kind(result: Result) -> str:
    return next(name for name, kind in KINDS.items() if type(result) is kind)


def _of(kind: type[Kind], results: Sequence[Result]) -> list[Kind]:
    return [each for each in results if isinstance(each, kind)]
