"""The verb `compare`: two statements, two models, or profiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, overload

from gpuprof.hooks.modules import is_module
from gpuprof.latest import keep
from gpuprof.modelpair import compare_models
from gpuprof.record.clocks import Clock
from gpuprof.results.compared import compare_profiles
from gpuprof.results.comparison import Comparison
from gpuprof.results.profile import Profile
from gpuprof.results.profilecomparison import ProfileComparison
from gpuprof.statement import from_function, from_source
from gpuprof.timer import compare_code


@overload
def compare(
    first: str | Callable[[], Any],
    second: str | Callable[[], Any],
    *,
    number: int | None = None,
    setup: str = "pass",
    globals: dict[str, Any] | None = None,
    quantity: str = "",
    clock: Clock | None = None,
) -> Comparison: ...


@overload
def compare(
    first: Profile | Sequence[Profile], second: Profile | Sequence[Profile], *, names: tuple[str, str] = ...
) -> ProfileComparison: ...


@overload
def compare(
    first: object,
    second: object,
    step: Callable[[Any], Any],
    *,
    steps: int | None = None,
    check: bool = False,
    copies: bool = True,
    progress: bool = False,
    names: tuple[str, str] = ...,
    clock: Clock | None = None,
) -> ProfileComparison: ...


def compare(first: Any, second: Any, step: Callable[[Any], Any] | None = None, **options: Any) -> Any:
    """Whether `second` is faster than `first`: two statements or functions, two models, or profiles.

    **Two functions without arguments, or two statements** (options: number, setup, globals, quantity, clock) are run
    in turns (ABBA and BAAB quartets at random), on the GPU behind a gate for the device's time and without for the
    host's; one look is taken at a number of quartets that a pilot has planned, in about 4 s. How far `first` is from
    copies of itself over other memory is the floor: nothing below it, nor below 0.5 % (1 % on the host), is called
    faster. What sets the pace of calls one after another decides; where that is the host in one and the GPU in the
    other, the pace itself is compared. Whether the two come to the same value is part of the answer. `number`: calls
    in a batch. `quantity` "host" or "device" compares that alone.

    **Two models and a `step`** that trains the one it is given, with the same data for both (options: steps, check,
    copies, progress, names, clock): 48 rounds, each with fresh deep copies of both and blocks of their steps as ABBA or
    BAAB. Each (layer, phase) and the whole step is real, noise or unclear, with intervals that hold for all at once.
    `steps` of each model, by default as many as fill some 10 s, 500 at most; but a round has six of each at least, and
    seven that do not count, so all of it takes the time of 1250 steps or more. `progress` tells on a line of stderr how
    far it is. `check=True` compares outputs and gradients of one step first. The models stay as they are; with
    `copies=False`, or where copies cannot be had, they are trained themselves, and where their memory lies can pass for
    a difference.

    **Two profiles**, an old one and a new, or a list of profiles a side: rows that launch the same kernels are what the
    others are held against; without such rows it takes three profiles a side.

    `names` are what two models, or the profiles of both sides, are called in the answer. Ctrl-C returns what there is;
    where a step raises, the rounds there were are in `gpuprof.last`. Raises TypeError for anything else.
    """
    if "names" in options:
        options["names"] = _two(options["names"])
    given = [each if isinstance(each, (list, tuple)) else [each] for each in (first, second)]
    if any(isinstance(each, Profile) for side in given for each in side) or (step is None and not all(given)):
        return _compare_runs(given[0], given[1], {"step": step, **options} if step is not None else options)
    if step is not None:
        return compare_models(first, second, step, **options)
    return _compare_statements(first, second, **options)


def _compare_runs(first: Sequence[Any], second: Sequence[Any], options: dict[str, Any]) -> ProfileComparison:
    kinds = [", ".join(dict.fromkeys(type(each).__name__ for each in side)) or "none" for side in (first, second)]
    if kinds != ["Profile", "Profile"] or options.keys() - {"names"}:
        more = "".join(f", {name}" for name in options)
        raise TypeError(
            "profiles are compared with profiles, one or more a side, and no option but names; got "
            f"{kinds[0]} and {kinds[1]}{more}"
        )
    result = compare_profiles(first, second, **options)
    keep(result)
    return result


def _two(names: object) -> tuple[str, str]:
    found = list(names) if isinstance(names, (list, tuple)) else []
    if len(found) != 2 or not all(isinstance(name, str) for name in found):
        raise ValueError(f"names must be two, of the first side and of the second; got {names!r}")
    return found[0], found[1]


def _compare_statements(
    first: str | Callable[[], Any],
    second: str | Callable[[], Any],
    *,
    number: int | None = None,
    setup: str = "pass",
    globals: dict[str, Any] | None = None,  # noqa: A002 - as in timeit
    quantity: str = "",
    clock: Clock | None = None,
) -> Comparison:
    given = f"got {type(first).__name__} and {type(second).__name__}"
    if number is not None and number < 1:
        raise ValueError(f"number must be at least 1; got {number}")
    if not all(isinstance(each, str) or (callable(each) and not is_module(each)) for each in (first, second)):
        raise TypeError(f"two models are compared by a step: compare(model_a, model_b, step); {given}")
    if callable(first) != callable(second):
        raise TypeError(f"expected two functions or two statements; {given}")
    codes = [from_function(s) if callable(s) else from_source(s, setup, globals) for s in (first, second)]
    return compare_code(codes[0], codes[1], clock=clock, number=number, quantity=quantity)
