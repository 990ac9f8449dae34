"""The verbs, in plain Python: `timeit`, `layertime`, `region`."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any

from gpuprof.device import machine
from gpuprof.hooks.methods import find_layers, timed
from gpuprof.record.clocks import MISSING, Clock, clock_for
from gpuprof.record.log import RAISED, CallLog
from gpuprof.results.profile import Profile
from gpuprof.results.timing import NOTHING, Sample, Timing
from gpuprof.statement import Timed, from_function, from_source

_last: Profile | Timing | None = None
_open: list[CallLog] = []

_ENOUGH_S = 1.5  # no new batch is begun after this
_LEAST = 7  # batches, as many as %timeit runs


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
    batches = _Batches(code, clock, number)
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


class _Batches:
    """The measuring of one statement: its first call, then batches until they are enough."""

    def __init__(self, code: Timed, clock: Clock, number: int | None) -> None:
        self._code = code
        self._clock = clock
        self._host: list[float] = []
        self._latency: list[float] = []
        self._marks: list[tuple[int, int]] = []
        clock.wait()
        self._first = self._finished(1)
        self.number = number or self._fitting_number()

    def fill(self, repeat: int | None, precision: float) -> str:
        """Measure batches; why it stopped."""
        began = self._clock.host()
        try:
            while True:
                self._batch()
                count = len(self._host)
                if repeat is not None:
                    if count == repeat:
                        return f"{repeat} batches asked for"
                elif count >= _LEAST and self._widest() <= precision:
                    return f"intervals within ±{precision:.1%}"
                elif (self._clock.host() - began) * 1e-9 > _ENOUGH_S and count >= min(_LEAST, 1 + int(1 / self._first)):
                    return f"{_ENOUGH_S} s have passed"
        except KeyboardInterrupt:
            if not self._host:
                raise
            return "interrupted"

    def timing(self, stopped: str, digits: int) -> Timing:
        """The result."""
        self._clock.wait()
        return Timing(
            statement=self._code.text,
            host=Sample(tuple(self._host)),
            device=self._device(),
            latency=Sample(tuple(self._latency)),
            number=self.number,
            first=self._first,
            clock=self._clock.name,
            stopped=stopped,
            about=machine(),
            digits=digits,
        )

    def _batch(self) -> None:
        clock = self._clock
        run = self._code.prepared(self.number)
        clock.wait()
        first = clock.mark()
        start = clock.host()
        run()
        end = clock.host()
        last = clock.mark()
        clock.wait()
        self._host.append((end - start) * 1e-9 / self.number)
        if clock.on_device:
            self._marks.append((first, last))
            self._latency.append(self._finished(1))

    def _finished(self, number: int) -> float:
        """Seconds for `number` calls and all their work."""
        run = self._code.prepared(number)
        self._clock.wait()
        start = self._clock.host()
        run()
        self._clock.wait()
        return (self._clock.host() - start) * 1e-9

    def _fitting_number(self) -> int:
        """Calls that fill about 2 ms on a device (and at most 100: more would fill its queue), 10 ms on the host."""
        most, fill = (100, 2e-3) if self._clock.on_device else (10_000_000, 10e-3)
        number = 1
        while number < most and (took := self._finished(number)) < fill / 2:
            number = min(most, max(number * 2, min(number * 10, int(number * fill / max(took, 1e-9)))))
        return number

    def _device(self) -> Sample:
        import numpy as np

        if not self._marks:
            return NOTHING
        ns = self._clock.resolve(np.array(self._marks, dtype=np.int64).ravel()).reshape(-1, 2)
        read = ns[(ns != MISSING).all(axis=1)]
        return Sample(tuple(float(length) * 1e-9 / self.number for length in read[:, 1] - read[:, 0]))

    def _widest(self) -> float:
        samples = [Sample(tuple(self._host)), self._device()]
        return max(sample.width for sample in samples if sample.samples)
