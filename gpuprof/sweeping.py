"""A model's step over the values of a variable: timed without a profiler, then profiled, one value after another."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from gpuprof.device import machine
from gpuprof.latest import gathered, keep, one_run
from gpuprof.profiling import LayerTime
from gpuprof.record.clocks import Clock
from gpuprof.results.profile import Profile
from gpuprof.results.stepsweep import StepPoint, StepSweep, step_point
from gpuprof.statement import Timed

_BATCH_S = 0.03  # so long that the wait at its end is little of it
_MOST_S = 2.0  # for all batches of a value, unless a call alone takes long
_CALLS = 100  # in a batch, and profiled, at most
_BATCHES = 9
_FEWEST = 3  # batches, of calls that take long
_PROFILED = 16  # calls at least: a few steps of each pass


@one_run
def sweep_steps(
    code: Callable[[Any], Timed],
    variable: str,
    values: Sequence[Any],
    text: str,
    models: tuple[object, ...],
    *,
    number: int | None = None,
    repeat: int | None = None,
    clock: Clock | None = None,
    namespace: dict[str, Any] | None = None,
) -> StepSweep:
    """`sweep` with a model, where `code(value)` gives what runs its steps."""
    if not values:
        raise ValueError(f"expected values of {variable} to go over; got none")
    for name, given in (("number", number), ("repeat", repeat)):
        if given is not None and given < 1:
            raise ValueError(f"{name} must be 1 or more; got {given}")
    points: list[StepPoint] = []
    profiles: list[Profile] = []

    def so_far(stopped: str) -> StepSweep:
        name = profiles[0].clock if profiles else ""
        shown = tuple(values[: len(points)])
        found = StepSweep(text, variable, shown, tuple(points), name, machine(), stopped, tuple(profiles))
        keep(found)
        return found

    def measure() -> None:
        for value in values:
            run = LayerTime(models, clock, kernels=True, namespace=namespace)
            samples, profile = _measured(code(value), run, number, repeat)
            points.append(step_point(samples, profile))
            profiles.append(profile)

    return gathered(measure, points, so_far)


def _measured(code: Timed, run: LayerTime, number: int | None, repeat: int | None) -> tuple[list[float], Profile]:
    """Seconds a step in batches of calls without a profiler, then a profile of some calls more.

    The first call may compile and allocate; the second says how many calls make a batch.
    """
    clock = run.clock
    for _ in range(2):
        one = _seconds(code, 1, clock)
    calls = number or min(_CALLS, max(1, math.ceil(_BATCH_S / max(one, 1e-6))))
    batches = repeat or max(_FEWEST, min(_BATCHES, int(_MOST_S / max(calls * one, 1e-9))))
    taken = [_seconds(code, calls, clock) / calls for _ in range(batches)]
    profiled = number or min(_CALLS, max(_PROFILED, calls))
    call = code.prepared(profiled)
    with run:
        call()
    steps = max(1, run.profile.steps) / profiled
    return [seconds / steps for seconds in taken], run.profile


def _seconds(code: Timed, calls: int, clock: Clock) -> float:
    """From one wait for the device to the next, with so many calls between them."""
    call = code.prepared(calls)
    clock.wait()
    begin = clock.host()
    call()
    clock.wait()
    return (clock.host() - begin) * 1e-9
