"""Tapes: what is written at the boundaries of calls, by the shortest way, and read when all has ended."""

from __future__ import annotations

import itertools
import threading
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from gpuprof.record.clocks import Clock, Ints

RETURNED, RAISED = 0, 1
UNSAID, NO, YES = -1, 0, 1  # what a call said about `train=`
NO_MARK, FAILED = -2, -1
TOGETHER_NS = 2_500  # boundaries this near share a mark: no library launches anything in less
NO_SHAPE = -1

_TRAIN_BITS, _SHAPE_BITS = 24, 26  # from these bits on: what a call said, and its shape
_AT_ONCE = 2048
_FIELDS = ("call", "until", "what", "began", "start", "end", "done", "first", "last", "status")


class Tape:
    """One thread's finished calls, a row each: see `_FIELDS`.

    `call` and `until` are running numbers of its beginning and its end, `what` a code of scope, train and shape; the
    host's times are those before and after the log's own work at both; `first` and `last` are marks.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.ident = threading.get_ident()
        self.rows: list[tuple[int, ...]] = []
        self._packed = array("q")
        self.depth = 0
        """How many layers' calls are open."""
        self.open: dict[int, Opened] = {}
        """Those that were begun by `CallLog.enter`, in their order."""
        self.mark = NO_MARK
        """The last mark, where it was taken, and when the last boundary that has a mark was done with."""
        self.place: object = None
        self.done = 0
        self.inside = -1
        """The call that `CallLog.enter` began, where no boundary has come since."""

    def pack(self, at_least: int = _AT_ONCE) -> None:
        """Put the rows where they take little room, once there are so many: a list is the quickest to write to."""
        if len(self.rows) >= at_least:
            self._packed.extend(itertools.chain.from_iterable(self.rows))
            self.rows.clear()

    def columns(self) -> dict[str, Ints]:
        """All rows in the order the calls began."""
        self.pack(0)
        table = np.array(self._packed, dtype=np.int64).reshape(-1, len(_FIELDS))
        table = table[np.argsort(table[:, 0], kind="stable")]
        return {name: table[:, i] for i, name in enumerate(_FIELDS)}


class Opened(NamedTuple):
    """What is known of a call when it has begun."""

    scope: int
    kind: int
    what: int
    began: int
    start: int
    mark: int


class Here(threading.local):
    """The calling thread's tape."""

    def __init__(self, tapes: list[Tape]) -> None:
        self.tape = Tape(len(tapes))
        tapes.append(self.tape)


def code(scope: int, train: int, shape: int) -> int:
    """What a row says of a beginning."""
    return scope | (train + 1) << _TRAIN_BITS | (shape + 1) << _SHAPE_BITS


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
                what += (way.shapes[args[0].shape] + 1) << _SHAPE_BITS
            except (AttributeError, KeyError, TypeError):
                what += (way.log.shape_of(args) + 1) << _SHAPE_BITS
        if way.train:
            said = way.train(args, kwargs)
            if said == NO and way.quiet:  # an evaluation
                return self._specially(args, kwargs)
            what += (said + 1) << _TRAIN_BITS
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


def paired(tapes: list[Tape]) -> tuple[dict[str, Ints], Ints, Ints]:
    """The calls of all threads as columns, in the order they began, and their two marks."""
    parts = [_of_a_thread(tape) for tape in tapes]
    order = np.argsort(np.concatenate([part["call"] for part in parts]), kind="stable")
    columns = {name: np.concatenate([part[name] for part in parts])[order] for name in parts[0]}
    marks = columns.pop("first_mark"), columns.pop("last_mark")
    return columns, *marks


def _of_a_thread(tape: Tape) -> dict[str, Ints]:
    rows = tape.columns()
    what = rows["what"]
    return {
        "call": rows["call"],
        "parent": _parents(rows["call"], rows["until"]),
        "scope": what & ((1 << _TRAIN_BITS) - 1),
        "train": ((what >> _TRAIN_BITS) & 3) - 1,
        "shape": (what >> _SHAPE_BITS) - 1,
        "thread": np.full(len(what), tape.number, dtype=np.int64),
        "host_start": rows["start"],
        "host_end": rows["end"],
        "first": rows["call"],
        "last": rows["until"],
        "status": rows["status"],
        "own": _own(rows),
        "first_mark": rows["first"],
        "last_mark": rows["last"],
    }


def _own(rows: dict[str, Ints]) -> Ints:
    """The log's own time since the beginning of the call before, each call's beginning included."""
    order = np.argsort(np.concatenate([rows["call"], rows["until"]]), kind="stable")
    own = np.concatenate([rows["start"] - rows["began"], rows["done"] - rows["end"]])[order]
    until = np.cumsum(own)[order < len(rows["call"])]
    return np.diff(until, prepend=0)


def _parents(begun: Ints, ended: Ints) -> Ints:
    """The innermost call open when each began, by its number; -1 for none."""
    parents, stack = np.full(len(begun), -1, dtype=np.int64), [(-1, np.iinfo(np.int64).max)]
    for place, (number, until) in enumerate(zip(begun.tolist(), ended.tolist(), strict=True)):
        while stack[-1][1] < number:
            stack.pop()
        parents[place] = stack[-1][0]
        stack.append((number, until))
    return parents
