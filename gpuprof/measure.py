"""The verbs, in plain Python: `timeit`, `layertime`, `region`."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any

from gpuprof.batches import Batches
from gpuprof.device import machine
from gpuprof.hooks.methods import find_layers, timed
from gpuprof.record.clocks import Clock, clock_for
from gpuprof.record.log import RAISED, CallLog
from gpuprof.results.profile import Profile
from gpuprof.results.timing import Timing
from gpuprof.statement import Timed, from_function, from_source

_last: Profile | Timing | None = None
_open: list[CallLog] = []


def last() -> Profile | Timing | None:
    """The newest result; None before the first."""
    return _last


def keep(result: Profile | Timing) -> None:
    """Make `result` the newest."""
    global _last
    _last = result


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
    clock: Clock | None = None,
) -> Timing:
    """How long `statement` takes: source text, or a function called with `args`.

    number: calls in a batch, by default as many as fill some milliseconds; repeat: batches, by default until the
    95 % interval of each median is within `precision` of it, at least 7 and for about 1.5 s. `setup` runs before
    each batch, untimed; names are looked up in `globals`. Raises what the statement raises. Ctrl-C returns what
    has been measured, once there is a batch.
    """
    if callable(statement):
        if setup != "pass" or globals is not None:
            raise TypeError("setup and globals go with source text; a function brings its own names")
        code = from_function(statement, *args)
    elif args:
        raise TypeError(f"arguments go with a function; got the source text {statement!r} and {len(args)} arguments")
    else:
        code = from_source(statement, setup, globals)
    return time_code(code, number=number, repeat=repeat, precision=precision, clock=clock)


def time_code(
    code: Timed,
    *,
    number: int | None = None,
    repeat: int | None = None,
    precision: float = 0.01,
    digits: int = 3,
    clock: Clock | None = None,
) -> Timing:
    """`timeit` for what is compiled already."""
    for name, value in (("number", number), ("repeat", repeat)):
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1; got {value}")
    if not precision > 0:
        raise ValueError(f"precision must be above 0; got {precision}")
    clock = clock or clock_for(code.objects, guess=bool(code.objects))
    batches = Batches(code, clock, number)
    collecting = gc.isenabled()
    gc.disable()
    try:
        stopped = batches.fill(repeat, precision)
    finally:
        if collecting:
            gc.enable()
    result = batches.timing(stopped, digits)
    keep(result)
    return result
