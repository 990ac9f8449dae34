"""The verbs, in plain Python: `timeit`, `compare`, `sweep`, `layertime`, `linetime`, `region`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, overload

from gpuprof.comparing import compare
from gpuprof.hooks.methods import OUTSIDE_PATH
from gpuprof.latest import last
from gpuprof.linetiming import line_time
from gpuprof.passes.measurement import Wishes
from gpuprof.profiling import LayerTime, innermost
from gpuprof.progressline import ProgressLine
from gpuprof.record.calls import in_a_line
from gpuprof.record.clocks import Clock
from gpuprof.record.log import CallLog
from gpuprof.record.tape import RAISED
from gpuprof.results.lines import LineProfile
from gpuprof.results.stepsweep import StepSweep
from gpuprof.results.sweep import Sweep
from gpuprof.results.timing import Timing
from gpuprof.statement import Timed, from_function, from_source
from gpuprof.sweeping import sweep_steps
from gpuprof.timer import sweep_code, time_code

__all__ = ["LayerTime", "compare", "last", "layertime", "linetime", "region", "sweep", "timeit"]


def layertime(
    model: object,
    *more: object,
    kernels: bool | None = None,
    lines: str | Callable[..., Any] | Iterable[str | Callable[..., Any]] = (),
    hot: bool = False,
    graph: bool = False,
    schedule: Iterable[int] | None = None,
    progress: bool = False,
    nvtx: bool = False,
    clock: Clock | None = None,
) -> LayerTime:
    """A context manager that profiles what is run inside it, layer by layer and phase by phase.

    `model` is an object with `layers`, a list or dict of layers, or a layer (anything with `forward`, `backward` or
    `update`); a method of one object (`a.encode`), or a plain function. Their calls are timed with CUDA events where
    arrays on a GPU are found in them, else with the host clock; nothing is synchronised inside. `clock` takes another
    clock, such as `gpuprof.testing.FakeClock`.

        with gpuprof.layertime(model) as run:
            train(model)
        run.profile.table

    kernels: True takes kernel records from the first step on, in turns with steps that are timed without them; None
    (the default) on a share of what lasts longer than a second; False never. lines: the name of a method
    ("Pool1.backward") or a function, or some, whose statements are followed on a share of the steps: see
    `profile.lines`. hot: note the line of each launch on a share of the steps: see `profile.hot`.
    graph: afterwards, capture a typical step on copies of the layers and replay it: see `profile.graph`.
    schedule: (skip, warmup, active, repeat), numbers of steps as in `torch.profiler.schedule`: of each cycle the
    `active` steps alone are measured, after `skip` steps and `warmup` ones; repeat 0 (or left out) is for ever.
    progress: say on a line of stderr, between steps, how far it is; from a second on, twice a second.
    nvtx: put each call and region into an NVTX range named path/phase, for Nsight Systems; backwards and updates of
    PyTorch modules have none. Costs some 0.3 µs a call while no tool is attached, outside of the call's own time.

    A run may last for hours: beyond some 300 000 calls it keeps steps drawn at random, and of the others exact counts
    and totals. The profile is made even where the code inside raises. Raises ValueError where there are no layers and
    for a schedule that is none, TypeError for what cannot be wrapped.
    """
    wanted = [lines] if isinstance(lines, str) or callable(lines) else list(lines)
    return LayerTime(
        (model, *more),
        clock,
        kernels=kernels,
        lines=wanted,
        hot=hot,
        graph=graph,
        schedule=schedule,
        progress=ProgressLine("stderr") if progress else None,
        nvtx=nvtx,
    )


def linetime(
    method: Callable[..., Any], *args: Any, repeat: int = 4, clock: Clock | None = None, **kwargs: Any
) -> LineProfile:
    """Where the time of one method or function goes, line by line: it is called with the arguments given.

    Called once first, unmeasured, then `repeat` times for each of the passes there are: its lines with kernel
    records, with events alone, and watched for memory and waits; on the host clock `repeat` times in all. What it
    changes, it changes as often. Raises what it raises, TypeError for what is not written in Python.
    """
    return line_time(method, args, kwargs, repeat, clock)


@contextmanager
def region(name: str) -> Iterator[None]:
    """A row of its own, named `name`, for the code inside, in the profile being taken; without one, nothing.

    Raises TypeError for a name that is no text, ValueError for one without anything to print.
    """
    if not isinstance(name, str):
        raise TypeError(f"a region's name is text; got {type(name).__name__}: {name!r}")
    row = in_a_line(name)
    if row in ("", OUTSIDE_PATH):
        raise ValueError(f"a region needs a name that no other row has; got {name!r}: give it one such as 'augment'")
    log = innermost()
    if log is None:
        yield
        return
    if log.ranges:
        with log.ranges.range(f"{row}/region"):
            yield from _entered(log, row)
    else:
        yield from _entered(log, row)


def _entered(log: CallLog, row: str) -> Iterator[None]:
    call = log.enter(log.scope(row, "region"))
    try:
        yield
    except GeneratorExit:  # a generator that is done with half way: nothing has failed
        log.leave(call)
        raise
    except BaseException:
        log.leave(call, RAISED)
        raise
    log.leave(call)


def timeit(
    statement: str | Callable[..., Any],
    *args: Any,
    number: int | None = None,
    repeat: int | None = None,
    setup: str = "pass",
    globals: dict[str, Any] | None = None,  # noqa: A002 - the standard library's name for it
    precision: float = 0.01,
    cold: bool = False,
    bytes: float | None = None,  # noqa: A002 - what the quantity is called
    flops: float | None = None,
    clock: Clock | None = None,
) -> Timing:
    """How long `statement` takes: source text, or a function called with `args`.

    number: calls in a batch, by default as many as fill some milliseconds; repeat: batches, by default until the
    95 % interval of each median is within `precision` of it, for about 2 s in all (10 s for a call of 1 s). `setup`
    runs before each batch, untimed; names are looked up in `globals`. `cold` measures with an emptied L2 cache, too.
    `bytes` (read and written) and `flops` of one call are held against what this device was measured to do.

    The statement is called as often as that takes: a fast one a million times. With `number` and `repeat` it is called
    about ten times besides on a GPU (the first call, the probe for waits, memory, kernels). Raises what it raises; what
    was measured until then is in `gpuprof.last`. Ctrl-C returns what has been measured, once there is a batch.
    RuntimeError inside a capture.
    """
    if callable(statement):
        if setup != "pass" or globals is not None:
            raise TypeError("setup and globals go with source text; a function brings its own names")
        code = from_function(statement, *args)
    elif args:
        raise TypeError(f"arguments go with a function; got the source text {statement!r} and {len(args)} arguments")
    else:
        code = from_source(statement, setup, globals)
    return time_code(code, Wishes(number, repeat, precision, 3, cold, bytes, flops), clock=clock)


@overload
def sweep(
    statement: str | Callable[[Any], Any],
    over: Mapping[str, Iterable[Any]],
    *,
    number: int | None = None,
    repeat: int | None = None,
    setup: str = "pass",
    globals: dict[str, Any] | None = None,
    precision: float = 0.01,
    cold: bool = False,
    clock: Clock | None = None,
) -> Sweep: ...


@overload
def sweep(
    statement: str | Callable[[Any], Any],
    over: Mapping[str, Iterable[Any]],
    *,
    model: object,
    number: int | None = None,
    repeat: int | None = None,
    setup: str = "pass",
    globals: dict[str, Any] | None = None,
    clock: Clock | None = None,
) -> StepSweep: ...


def sweep(
    statement: str | Callable[[Any], Any],
    over: Mapping[str, Iterable[Any]],
    *,
    model: object = None,
    number: int | None = None,
    repeat: int | None = None,
    setup: str = "pass",
    globals: dict[str, Any] | None = None,  # noqa: A002 - as in timeit
    precision: float = 0.01,
    cold: bool = False,
    clock: Clock | None = None,
) -> Sweep | StepSweep:
    """`timeit` of a statement for each value of one variable: `sweep("f(x)", {"n": [1, 2, 4]}, setup="x = make(n)")`.

    `over` names the variable, which the statement and its setup may use, and its values; a function is called with
    the value; the rest is as in `timeit`. Each point takes up to about 2 s.

    With a `model` (whatever `layertime` takes) the statement runs a step of it, or some: `sweep(lambda n: step(n),
    {"n_batch": [8, 16, 32]}, model=lm)`. For each value it is called twice unmeasured, then in `repeat` batches (9) of
    `number` calls without a profiler, then 16 times or `number` under `layertime(model, kernels=True)`: how long a
    step is, how much of it the GPU is busy, and where launch-bound ends. The model is trained as many steps.

    Ctrl-C returns the points there are. Raises ValueError for more or fewer than one variable, or no values.
    """
    if not isinstance(over, Mapping) or not all(isinstance(values, Iterable) for values in over.values()):
        raise TypeError(f'over is a variable and its values, as in {{"n": [1, 2, 4]}}; got {over!r:.60}')
    if len(over) != 1:
        raise ValueError(f"expected one variable to go over; got {', '.join(over) or 'none'}")
    variable, values = next((name, list(values)) for name, values in over.items())

    def code(value: Any) -> Timed:
        if callable(statement):
            return from_function(statement, value)
        return from_source(statement, setup, {**(globals or {}), variable: value})

    named = from_function(statement, ...).text.partition("(")[0] if callable(statement) else statement
    text = named.rpartition("<locals>.")[2]
    if model is not None:
        if cold or precision != 0.01:
            raise TypeError("cold and precision are of a statement's sweep, and this one has a model")
        options: dict[str, Any] = {"number": number, "repeat": repeat, "clock": clock, "namespace": globals}
        return sweep_steps(code, variable, values, text, (model,), **options)
    wishes = Wishes(number, repeat, precision, cold=cold)
    return sweep_code(code, variable, values, text, wishes=lambda _: wishes, clock=clock)
