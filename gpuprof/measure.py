"""The verbs, in plain Python: `timeit`, `layertime`, `region`."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from types import TracebackType
from typing import Any

from gpuprof.device import machine
from gpuprof.hooks.methods import find_layers, timed
from gpuprof.output import Output
from gpuprof.passes.measurement import Measurement, Wishes
from gpuprof.passes.pair import Pair, Runner
from gpuprof.passes.subject import Progress, Subject
from gpuprof.record.clocks import Clock, clock_for
from gpuprof.record.gate import CAPTURING, CaptureError
from gpuprof.record.log import RAISED, CallLog
from gpuprof.results.comparison import Comparison
from gpuprof.results.profile import Profile
from gpuprof.results.sweep import Sweep
from gpuprof.results.timing import Timing
from gpuprof.statement import Timed, from_function, from_source
from gpuprof.values import agreement

Result = Profile | Timing | Comparison | Sweep

_ALLOWED_S = 4.0
_COPIES = 3  # of the first statement, over other memory
_last: Result | None = None
_open: list[CallLog] = []
_measuring = threading.RLock()
_PATIENCE_S = 30.0


def last() -> Result | None:
    """The newest result; None before the first."""
    return _last


def keep(result: Result) -> None:
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

    The statement is called some hundred times. Raises what it raises; what was measured until then is in
    `gpuprof.last`. Ctrl-C returns what has been measured, once there is a batch. RuntimeError inside a capture.
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


def time_code(
    code: Timed,
    wishes: Wishes,
    *,
    clock: Clock | None = None,
    progress: Progress | None = None,
    output: Output | None = None,
) -> Timing:
    """`timeit` for what is compiled already.

    `progress` is told what is going on once it has taken a second; `output`, entered already, shows what it prints.
    """
    clock = clock or clock_for(code.objects, guess=bool(code.objects))
    _refuse_in_a_capture(clock)
    with _one_at_a_time() as alone, nullcontext(output) if output else Output() as printed:
        subject = Subject(code, clock, progress)
        printed.hide()
        measurement = Measurement(subject, wishes)
        if not alone:
            measurement.warn("another thread of this process was measuring at the same time")
        try:
            with _collecting_nothing():
                measurement.run()
        except KeyboardInterrupt:
            if not measurement.begun:
                raise
            return _kept(measurement, printed, "interrupted")
        except Exception as error:
            if measurement.begun:
                _kept(measurement, printed, f"{type(error).__name__}: {error}")
                error.add_note("What gpuprof had measured until then is in gpuprof.last.")
            raise
        return _kept(measurement, printed)


def compare(
    first: str | Callable[[], Any],
    second: str | Callable[[], Any],
    *,
    setup: str = "pass",
    globals: dict[str, Any] | None = None,  # noqa: A002 - as in timeit
    quantity: str = "",
    clock: Clock | None = None,
) -> Comparison:
    """Whether `second` is faster than `first`: two functions without arguments, or two statements.

    They are run in turns (ABBA and BAAB quartets at random), on the GPU behind a gate for the device's time and
    without for the host's; one look is taken at a number of quartets that a pilot has planned, in about 4 s. How far
    `first` is from copies of itself over other memory is the floor: nothing below it, nor below 0.5 %, is called
    faster. Whether the two come to the same value is part of the answer. `quantity` "host" or "device" compares that
    alone. Ctrl-C returns what there is.
    """
    if callable(first) != callable(second):
        raise TypeError(
            f"expected two functions or two statements; got {type(first).__name__} and {type(second).__name__}"
        )
    codes = [from_function(s) if callable(s) else from_source(s, setup, globals) for s in (first, second)]
    return compare_code(codes[0], codes[1], clock=clock, quantity=quantity)


def compare_code(
    first: Timed,
    second: Timed,
    *,
    clock: Clock | None = None,
    progress: Progress | None = None,
    output: Output | None = None,
    number: int | None = None,
    quantity: str = "",
    allowed: float = _ALLOWED_S,
) -> Comparison:
    """`compare` for what is compiled already, in `allowed` seconds."""
    clock = clock or clock_for(first.objects, second.objects, guess=bool(first.objects or second.objects))
    known = ["", "host", *(["device"] if clock.on_device else [])]
    if quantity not in known:
        raise ValueError(f"quantity must be one of {', '.join(map(repr, known))} here; got {quantity!r}")
    _refuse_in_a_capture(clock)
    with _one_at_a_time(), nullcontext(output) if output else Output() as printed, _collecting_nothing():
        subjects = [Subject(code, clock, progress) for code in (first, second)]
        printed.hide()
        subjects += [Subject(first.fresh(), clock, progress) for _ in range(_COPIES)]
        agreed = agreement(first.value(), second.value())
        ours, theirs = (Runner(subject, number) for subject in subjects[:2])
        pair = Pair(ours, theirs, [Runner(subject, ours.number) for subject in subjects[2:]])
        pair.run(max(allowed, 40 * subjects[0].usual), quantity)
    result = Comparison(
        names=(first.text, second.text),
        ratios=tuple(pair.ratios),
        deciding=pair.deciding,
        agreement=agreed,
        stopped="interrupted" if pair.interrupted else "",
        clock=clock.name,
        warnings=tuple(filter(None, (pair.why and f"no device time of its own: {pair.why}", _printing(printed)))),
        about=machine(),
    )
    keep(result)
    return result


def sweep(
    statement: str | Callable[[Any], Any],
    over: Mapping[str, Iterable[Any]],
    *,
    setup: str = "pass",
    globals: dict[str, Any] | None = None,  # noqa: A002 - as in timeit
    clock: Clock | None = None,
) -> Sweep:
    """`timeit` of a statement for each value of one variable: `sweep("f(x)", {"n": [1, 2, 4]}, setup="x = make(n)")`.

    `over` names the variable, which the statement and its setup may use, and its values; a function is called with
    the value. Each point takes up to about a second. Ctrl-C returns the points there are. Raises ValueError for more
    or fewer than one variable, or no values.
    """
    if len(over) != 1:
        raise ValueError(f"expected one variable to go over; got {', '.join(over) or 'none'}")
    variable, values = next((name, list(values)) for name, values in over.items())

    def code(value: Any) -> Timed:
        if callable(statement):
            return from_function(statement, value)
        return from_source(statement, setup, {**(globals or {}), variable: value})

    return sweep_code(code, variable, values, statement if isinstance(statement, str) else code(0).text, clock=clock)


def sweep_code(
    code: Callable[[Any], Timed],
    variable: str,
    values: Sequence[Any],
    text: str,
    *,
    wishes: Wishes | None = None,
    clock: Clock | None = None,
    progress: Progress | None = None,
    output: Output | None = None,
) -> Sweep:
    """`sweep` where `code(value)` gives what to time."""
    if not values:
        raise ValueError(f"expected values of {variable} to go over; got none")
    points: list[Timing] = []

    def so_far(stopped: str) -> Sweep:
        result = Sweep(text, variable, tuple(values[: len(points)]), tuple(points), stopped)
        keep(result)
        return result

    try:
        for value in values:
            points.append(time_code(code(value), wishes or Wishes(), clock=clock, progress=progress, output=output))
            if points[-1].stopped == "interrupted":
                return so_far("interrupted")
    except KeyboardInterrupt:
        if not points:
            raise
        return so_far("interrupted")
    except Exception as error:
        if points:
            so_far(f"{type(error).__name__}: {error}")
            error.add_note("The points that gpuprof had measured until then are in gpuprof.last.")
        raise
    return so_far("")


def _kept(measurement: Measurement, printed: Output, stopped: str = "") -> Timing:
    """The result, made the newest."""
    if printing := _printing(printed):
        measurement.warn(printing)
    result = Timing(**measurement.end(stopped))
    keep(result)
    return result


def _printing(printed: Output) -> str:
    return "it prints: the output of its first call was shown, that of all others was not" if printed.hidden else ""


def _refuse_in_a_capture(clock: Any) -> None:
    if clock.on_device and clock.no_gate() == CAPTURING:
        raise CaptureError(
            "the current stream is being captured into a CUDA graph, so nothing queued now would run: end the capture "
            "(stream.end_capture()), then time the statement or graph.launch()"
        )


@contextmanager
def _one_at_a_time() -> Iterator[bool]:
    """Wait until no other thread measures, but not for ever: that thread may be waiting for this one."""
    alone = _measuring.acquire(timeout=_PATIENCE_S)
    try:
        yield alone
    finally:
        if alone:
            _measuring.release()


@contextmanager
def _collecting_nothing() -> Iterator[None]:
    """Without garbage collection, which would come at any time and take any."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
