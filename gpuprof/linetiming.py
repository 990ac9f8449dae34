"""The verb `linetime`: a call made some times, and the lines of the function it calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpuprof.hooks.functions import name_of
from gpuprof.hooks.source import code_of, is_lazy, self_of
from gpuprof.latest import keep, one_run
from gpuprof.linewatch import method_name, qualified
from gpuprof.profiling import LayerTime
from gpuprof.record.clocks import Clock, clock_for
from gpuprof.record.schedule import KERNELS, Mode
from gpuprof.results.lines import LineProfile


@one_run
def line_time(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], repeat: int, clock: Clock | None = None
) -> LineProfile:
    """`gpuprof.linetime`."""
    if repeat < 1:
        raise ValueError(f"repeat must be 1 or more; got {repeat}")
    code_of(function)  # which refuses what has none
    if is_lazy(function):
        raise TypeError(
            f"{getattr(function, '__qualname__', function)!s} is a coroutine or a generator: a call returns before its "
            "work is begun; give the function that does the work"
        )
    owner, name = self_of(function), qualified(function)
    if owner is not None:
        name = f"{name_of(owner)}.{method_name(function)}"
    given = _Given(lambda: function(*args, **kwargs))
    clock = clock or clock_for([*args, *kwargs.values(), *([] if owner is None else [owner])], guess=True)
    kinds = [KERNELS | Mode.LINES, Mode.EVENTS | Mode.LINES, Mode.EVENTS | Mode.LINES | Mode.INSPECT]
    given.forward()
    with LayerTime((given,), clock, lines=[(name, function)], blocks=()) as run:
        for kind in kinds if clock.on_device else kinds[1:2]:
            run.switch(kind)
            for _ in range(repeat):
                given.forward()
    lines = run.profile.lines[name]
    keep(lines)
    return lines


class _Given:
    """A call that is to be made again and again, as a layer."""

    name = "(the call)"

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call

    def forward(self) -> Any:
        """Make it."""
        return self._call()
