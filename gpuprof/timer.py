"""The measuring of statements that are compiled already: one, two in turns, one over the values of a variable."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from gpuprof.device import machine
from gpuprof.latest import gathered, keep, one_run
from gpuprof.output import Output
from gpuprof.passes.measurement import Measurement, Wishes
from gpuprof.passes.pair import Pair, Runner
from gpuprof.passes.subject import Progress, Subject
from gpuprof.record.clocks import Clock, clock_for
from gpuprof.record.gate import CAPTURING, CaptureError
from gpuprof.results.comparison import Comparison
from gpuprof.results.sweep import Sweep
from gpuprof.results.timing import Timing
from gpuprof.statement import Timed
from gpuprof.values import agreement

_ALLOWED_S = 4.0
_COPIES = 3  # of the first statement, over other memory
_measuring = threading.RLock()
_PATIENCE_S = 30.0
_CROWD = "another thread of this process was measuring at the same time"


def time_code(
    code: Timed,
    wishes: Wishes,
    *,
    clock: Clock | None = None,
    progress: Progress | None = None,
    output: Output | None = None,
) -> Timing:
    """`timeit` for what is compiled already.

    `progress` is told what is going on once it has taken a second; `output` is where what it prints goes.
    """
    clock = clock or clock_for(code.objects, guess=bool(code.objects))
    _refuse_in_a_capture(clock)
    with _one_at_a_time() as alone, output or Output() as printed:
        subject = Subject(code, clock, progress)
        printed.hide()
        measurement = Measurement(subject, wishes)
        if not alone:
            measurement.warn(_CROWD)
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
    with _one_at_a_time() as alone, output or Output() as printed, _collecting_nothing():
        subjects = [Subject(code, clock, progress) for code in (first, second)]
        printed.hide()
        copies, short = _copies(first)
        subjects += [Subject(copy, clock, progress) for copy in copies]
        agreed, shorter = _agreed(first, second)
        ours, theirs = (Runner(subject, number, number) for subject in subjects[:2])
        pair = Pair(ours, theirs, [Runner(subject, ours.number, number) for subject in subjects[2:]])
        about = {"names": (first.text, second.text), "agreement": agreed, "clock": clock.name, "about": machine()}
        notes = [short or shorter, "" if alone else _CROWD]
        try:
            pair.run(max(allowed, 40 * subjects[0].usual), quantity)
        except Exception as error:
            if pair.ratios:
                _compared(pair, printed, f"{type(error).__name__}: {error}", about, notes)
                error.add_note("What gpuprof had compared until then is in gpuprof.last.")
            raise
        return _compared(pair, printed, "interrupted" if pair.interrupted else "", about, notes)


def _copies(code: Timed) -> tuple[list[Timed], str]:
    """The statement over other memory, three times or as often as there is room; and a note where there is not."""
    found: list[Timed] = []
    try:
        found.extend(code.fresh() for _ in range(_COPIES))
    except (MemoryError, RuntimeError):
        return found, f"there was memory for {len(found)} of {_COPIES} copies: the floor is less sure"
    return found, ""


def _agreed(first: Timed, second: Timed) -> tuple[str, str]:
    """Whether the two come to the same, each from copies, as they may change what they work on; a note if not seen."""
    try:
        return agreement(first.fresh().value(), second.fresh().value()), ""
    except (MemoryError, RuntimeError) as error:
        return "", f"whether the two come to the same could not be seen: {error}"


def _compared(pair: Pair, printed: Output, stopped: str, about: dict[str, Any], notes: list[str]) -> Comparison:
    """The result, made the newest."""
    warnings = (pair.why and f"no device time of its own: {pair.why}", _printing(printed), *notes)
    result = Comparison(
        ratios=tuple(pair.ratios),
        deciding=pair.deciding,
        stopped=stopped,
        warnings=tuple(filter(None, warnings)),
        **about,
    )
    keep(result)
    return result


@one_run
def sweep_code(
    code: Callable[[Any], Timed],
    variable: str,
    values: Sequence[Any],
    text: str,
    *,
    wishes: Callable[[Any], Wishes] = lambda _: Wishes(),
    clock: Clock | None = None,
    progress: Progress | None = None,
    output: Callable[[], Output] = Output,
) -> Sweep:
    """`sweep` where `code(value)` gives what to time."""
    if not values:
        raise ValueError(f"expected values of {variable} to go over; got none")
    points: list[Timing] = []

    def so_far(stopped: str) -> Sweep:
        result = Sweep(text, variable, tuple(values[: len(points)]), tuple(points), stopped)
        keep(result)
        return result

    def measure() -> None:
        for k, value in enumerate(values, 1):
            tell = _at(f"{variable} = {value} ({k} of {len(values)}), ", progress)
            points.append(time_code(code(value), wishes(value), clock=clock, progress=tell, output=output()))
            if points[-1].stopped == "interrupted":
                raise KeyboardInterrupt

    return gathered(measure, points, so_far)


def _at(place: str, progress: Progress | None) -> Progress | None:
    """`progress` told where in the sweep it is."""
    return (lambda text: progress(place + text)) if progress else None


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
