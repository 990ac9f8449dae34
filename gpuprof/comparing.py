"""The verb `compare`: two statements, two models, or profiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, overload

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
    copies, clock): 48 rounds, each with fresh deep copies of both and blocks of their steps as ABBA or BAAB. Each
    (layer, phase) and the whole step is real, noise or unclear, with intervals that hold for all at once. `steps` of
    each model, by default as many as fill some 10 s, 500 at most; `check=True` compares outputs and gradients of one
    step first. The models stay as they are; with `copies=False`, or where copies cannot be had, they are trained
    themselves, and where their memory lies can pass for a difference.

    **Two profiles**, an old one and a new, or a list of profiles a side (`names` are what they are called): rows that
    launch the same kernels are what the others are held against; without such rows it takes three profiles a side.

    Ctrl-C returns what there is. Raises TypeError for anything else.
    """
    if step is not None:
        return compare_models(first, second, step, **options)
    profiles = [_profiles(each) for each in (first, second)]
    if any(profiles):
        if not all(profiles) or options.keys() - {"names"}:
            raise TypeError(
                "profiles are compared with profiles, and no option but names; got "
                f"{type(first).__name__} and {type(second).__name__}{''.join(f', {name}' for name in options)}"
            )
        result = compare_profiles(profiles[0], profiles[1], **options)
        keep(result)
        return result
    return _compare_statements(first, second, **options)


def _profiles(given: object) -> list[Profile]:
    """The profiles in what was given; none where it is anything else."""
    found = list(given) if isinstance(given, (list, tuple)) else [given]
    profiles = [each for each in found if isinstance(each, Profile)]
    return profiles if len(profiles) == len(found) else []


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
    if not all(isinstance(each, str) or callable(each) for each in (first, second)):
        raise TypeError(f"two models are compared by a step: compare(model_a, model_b, step); {given}")
    if callable(first) != callable(second):
        raise TypeError(f"expected two functions or two statements; {given}")
    codes = [from_function(s) if callable(s) else from_source(s, setup, globals) for s in (first, second)]
    return compare_code(codes[0], codes[1], clock=clock, number=number, quantity=quantity)
