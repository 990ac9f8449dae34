"""The verbs, in plain Python: `timeit`, `compare`, `sweep`, `layertime`, `region`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any

from gpuprof.device import machine
from gpuprof.hooks.methods import find_layers, timed
from gpuprof.latest import keep, last
from gpuprof.passes.measurement import Wishes
from gpuprof.record.clocks import Clock, clock_for
from gpuprof.record.log import RAISED, CallLog
from gpuprof.results.comparison import Comparison
from gpuprof.results.profile import Profile
from gpuprof.results.sweep import Sweep
from gpuprof.results.timing import Timing
from gpuprof.statement import Timed, from_function, from_source
from gpuprof.timer import compare_code, sweep_code, time_code

__all__ = ["LayerTime", "compare", "last", "layertime", "region", "sweep", "timeit"]

_open: list[CallLog] = []


class LayerTime:
    """`with layertime(model) as run:` profiles the layers' calls inside; afterwards `run.profile` has them."""

    def __init__(self, models: tuple[object, ...], clock: Clock | None, names: Iterable[object] = ()) -> None:
        self._layers = find_layers(*models)
        self._log = CallLog(clock or clock_for([*(layer for _, layer in self._layers), *models], names, guess=True))
        self._stack = ExitStack()
        self._profile: Profile | None = None

    @property
    def ended(self) -> bool:
        """Whether there is a profile: the `with` has been entered and left."""
        return self._profile is not None

    @property
    def profile(self) -> Profile:
        """What was measured. Raises RuntimeError before the `with` has ended."""
        if self._profile is None:
            raise RuntimeError("the profile is made when the `with` ends; ask for it after that")
        return self._profile

    def __enter__(self) -> LayerTime:
        self._log.__enter__()
        self._stack.enter_context(timed(self._layers, self._log))
        _open.append(self._log)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _open.remove(self._log)
        self._stack.close()
        self._log.__exit__(kind, error, trace)
        self._profile = Profile(
            log=self._log.calls,
            clock=self._log.clock.name,
            about=machine(),
            ended_by=f"{type(error).__name__}: {error}".rstrip(": ") if error else "",
        )
        keep(self._profile)


def layertime(model: object, *more: object, clock: Clock | None = None) -> LayerTime:
    """A context manager that profiles what is run inside it, layer by layer and phase by phase.

    `model` is an object with `layers`, a list or dict of layers, or a layer: anything with `forward`, `backward`
    or `update`. Their calls are timed with CUDA events where arrays on a GPU are found in them, else with the host
    clock; nothing is synchronised inside. `clock` takes another clock, such as `gpuprof.testing.FakeClock`.

        with gpuprof.layertime(model) as run:
            train(model)
        run.profile.table

    The profile is made even where the code inside raises. Raises ValueError where there are no layers.
    """
    return LayerTime((model, *more), clock)


@contextmanager
def region(name: str) -> Iterator[None]:
    """A row of its own, named `name`, for the code inside, in the profile being taken; without one, nothing."""
    if not _open:
        yield
        return
    log = _open[-1]
    call = log.enter(log.scope(name, "region"))
    try:
        yield
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


def compare(
    first: str | Callable[[], Any],
    second: str | Callable[[], Any],
    *,
    number: int | None = None,
    setup: str = "pass",
    globals: dict[str, Any] | None = None,  # noqa: A002 - as in timeit
    quantity: str = "",
    clock: Clock | None = None,
) -> Comparison:
    """Whether `second` is faster than `first`: two functions without arguments, or two statements.

    They are run in turns (ABBA and BAAB quartets at random), on the GPU behind a gate for the device's time and
    without for the host's; one look is taken at a number of quartets that a pilot has planned, in about 4 s. How far
    `first` is from copies of itself over other memory is the floor: nothing below it, nor below 0.5 % (1 % on the
    host), is called faster. What sets the pace of calls one after another decides; where that is the host in one and
    the GPU in the other, the pace itself is compared. Whether the two come to the same value is part of the answer.
    `number`: calls in a batch. `quantity` "host" or "device" compares that alone. Ctrl-C returns what there is.
    """
    if callable(first) != callable(second):
        raise TypeError(
            f"expected two functions or two statements; got {type(first).__name__} and {type(second).__name__}"
        )
    codes = [from_function(s) if callable(s) else from_source(s, setup, globals) for s in (first, second)]
    return compare_code(codes[0], codes[1], clock=clock, number=number, quantity=quantity)


def sweep(
    statement: str | Callable[[Any], Any],
    over: Mapping[str, Iterable[Any]],
    *,
    number: int | None = None,
    repeat: int | None = None,
    setup: str = "pass",
    globals: dict[str, Any] | None = None,  # noqa: A002 - as in timeit
    precision: float = 0.01,
    cold: bool = False,
    clock: Clock | None = None,
) -> Sweep:
    """`timeit` of a statement for each value of one variable: `sweep("f(x)", {"n": [1, 2, 4]}, setup="x = make(n)")`.

    `over` names the variable, which the statement and its setup may use, and its values; a function is called with
    the value; the rest is as in `timeit`. Each point takes up to about 2 s. Ctrl-C returns the points there are.
    Raises ValueError for more or fewer than one variable, or no values.
    """
    if len(over) != 1:
        raise ValueError(f"expected one variable to go over; got {', '.join(over) or 'none'}")
    variable, values = next((name, list(values)) for name, values in over.items())

    def code(value: Any) -> Timed:
        if callable(statement):
            return from_function(statement, value)
        return from_source(statement, setup, {**(globals or {}), variable: value})

    text = statement if isinstance(statement, str) else from_function(statement, ...).text.partition("(")[0]
    wishes = Wishes(number, repeat, precision, cold=cold)
    return sweep_code(code, variable, values, text, wishes=lambda _: wishes, clock=clock)
