"""A callable in place of another one, whose calls it writes down by the shortest way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from gpuprof.record.clocks import Clock
from gpuprof.record.tape import (
    FAILED,
    NO,
    NO_MARK,
    NO_SHAPE,
    RAISED,
    RETURNED,
    SHAPE_BITS,
    TOGETHER_NS,
    TRAIN_BITS,
    UNSAID,
    Here,
    Tape,
    code,
)


class Log(Protocol):
    """What a `TapedCall` needs of the log; `CallLog` is one."""

    clock: Clock
    here: Here
    shape_ids: dict[tuple[int, ...], int]
    taped: list[TapedCall]
    next_number: Callable[[], int]
    went_back: bool
    leading: int

    def goes_back(self, scope: int) -> bool:
        """Whether a call of this scope means that a step has gone beyond its forward."""

    def shape_of(self, args: tuple[Any, ...]) -> int:
        """The number of the shape of a call's first argument."""

    def dispatch(self, call: TapedCall) -> None:
        """Tell a callable how its next calls are to be written down."""

    def enter(self, scope: int, train: int = UNSAID, shape: tuple[int, ...] | int | None = None) -> int:
        """Begin a call."""

    def leave(self, call: int, status: int = RETURNED) -> None:
        """End it."""

    def mark_now(self, tape: Tape, now: int, fresh: bool = False) -> int:
        """A mark."""


@dataclass(slots=True)
class Way:
    """How the calls of one callable are written down, and all that is needed for it, one look away."""

    method: Callable[..., Any]
    log: Log
    here: Here
    now: Callable[[], int]
    number: Callable[[], int]
    place: Callable[[], object]
    mark: Callable[[Any], int]
    shapes: dict[tuple[int, ...], int]
    code: int
    back: bool
    """Whether a call of it means that the step has gone beyond its forward."""
    train: Callable[[tuple[Any, ...], dict[str, Any]], int] | None = None
    """Reads what a call says about `train=`, where it can say anything."""
    special: bool = True
    """Whether its calls go through the log."""
    quiet: int = 0
    """So many of them need not, though the steps begin with them."""
    opens: bool = False
    """Whether each of its calls begins with a mark."""
    marks: bool = False


class TapedCall:
    """A callable in place of another one, whose calls it writes down.

    Where nothing but times and marks is to be taken, it writes them itself, in as few steps as can be, for what it
    does is done between two layers of the user's; else it goes through the log.
    """

    def __init__(self, method: Callable[..., Any], scope: int, log: Log) -> None:
        self.method = method
        self.scope = scope
        self.log = log
        self.seen = False
        """Whether it has been called: `first` is told once."""
        self.way = Way(
            method=method,
            log=log,
            here=log.here,
            now=log.clock.host,
            number=log.next_number,
            place=log.clock.place,
            mark=log.clock.mark,
            shapes=log.shape_ids,
            code=code(scope, UNSAID, NO_SHAPE),
            back=log.goes_back(scope),
        )
        log.taped.append(self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: C901 - every step of it is a part of what it costs
        """The method's value; what it raises rises."""
        way = self.way
        if way.special and not way.quiet:
            return self._specially(args, kwargs)
        now = way.now
        began = now()
        tape = way.here.tape
        what = way.code
        if args:
            try:
                what += (way.shapes[args[0].shape] + 1) << SHAPE_BITS
            except (AttributeError, KeyError, TypeError):
                what += (way.log.shape_of(args) + 1) << SHAPE_BITS
        if way.train:
            said = way.train(args, kwargs)
            if said == NO and way.quiet:  # an evaluation
                return self._specially(args, kwargs)
            what += (said + 1) << TRAIN_BITS
        if way.quiet:
            if tape.depth or tape.number != way.log.leading:
                return self._specially(args, kwargs)
            way.quiet -= 1
            way.log.went_back = False
        if way.back:
            way.log.went_back = True
        number = way.number()
        first = last = NO_MARK
        marks = way.marks
        if marks or way.opens:
            try:
                place = way.place()
                if began - tape.done < TOGETHER_NS and place == tape.place:
                    first = tape.mark
                else:
                    first = tape.mark = way.mark(place)
                    tape.place = place
            except RuntimeError:  # CUDA takes no marks any more; its error rises in the measured code
                first, tape.place = FAILED, None
        tape.depth += 1
        start = now()
        if marks or way.opens:
            tape.done = start
        try:
            result = way.method(*args, **kwargs)
        except BaseException:
            self._raised(tape, (number, what, began, start, first), marks)
            raise
        end = now()
        if marks:
            try:
                place = way.place()
                if end - tape.done < TOGETHER_NS and place == tape.place and tape.done != start:
                    last = tape.mark
                else:
                    last = tape.mark = way.mark(place)
                    tape.place = place
            except RuntimeError:
                last, tape.place = FAILED, None
        tape.depth -= 1
        done = now()
        if marks:
            tape.done = done
        tape.rows.append((number, way.number(), what, began, start, end, done, first, last, RETURNED))
        return result

    def first(self, args: tuple[Any, ...], result: object) -> None:
        """Its first call has returned `result`."""

    def _specially(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        log, train = self.log, self.way.train
        call = log.enter(self.scope, train(args, kwargs) if train else UNSAID, log.shape_of(args))
        try:
            result = self.method(*args, **kwargs)
        except BaseException:
            log.leave(call, RAISED)
            raise
        log.leave(call)
        if not self.seen:
            self.seen = True
            self.first(args, result)
            log.dispatch(self)
        return result

    def _raised(self, tape: Tape, begun: tuple[int, int, int, int, int], marked: bool) -> None:
        """The end of a call that raised."""
        now = self.way.now
        number, what, began, start, first = begun
        end = now()
        last = self.log.mark_now(tape, end, fresh=tape.done == start) if marked else NO_MARK
        tape.depth -= 1
        done = now()
        if marked:
            tape.done = done
        tape.rows.append((number, self.way.number(), what, began, start, end, done, first, last, RAISED))
