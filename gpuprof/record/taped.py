"""A callable in place of another one, whose calls it writes down by the shortest way."""

from __future__ import annotations

import functools
from collections.abc import Callable
from threading import get_ident
from typing import Any, NamedTuple, Protocol, Self

import numpy as np

from gpuprof.record.clocks import Clock
from gpuprof.record.tape import FAILED, NO, NO_MARK, RAISED, RETURNED, TOGETHER_NS, UNSAID, YES, Flag, Here, Tape


class Train(NamedTuple):
    """Where a call says whether it trains."""

    name: str
    position: int
    default: object

    def said(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
        """What a call said: YES, NO or UNSAID."""
        name, position = self.name, self.position
        return meant(kwargs[name] if name in kwargs else args[position] if len(args) > position else self.default)


class Says(Protocol):
    """What else may tell whether a call trains."""

    def said(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
        """What a call said: YES, NO or UNSAID."""


def meant(value: object) -> int:
    """What a value given for `train=` means."""
    return (YES if value else NO) if isinstance(value, (int, np.bool_)) else UNSAID


class Log(Protocol):
    """What a `TapedCall` needs of the log; `CallLog` is one."""

    clock: Clock
    here: Here
    taped: list[TapedCall]
    next_number: Callable[[], int]
    gone_back: Flag
    leading: int
    mark: Callable[[Any], int]
    graphs: Any

    def goes_back(self, scope: int) -> bool:
        """Whether a call of this scope means that a step has gone beyond its forward."""

    def dispatch(self, call: TapedCall) -> None:
        """Tell a callable how its next calls are to be written down."""

    def enter(self, scope: int, train: int = UNSAID, shape: object = None) -> int:
        """Begin a call."""

    def leave(self, call: int, status: int = RETURNED) -> None:
        """End it."""

    def tell_begun(self, call: int) -> None:
        """Tell those that watch."""

    def tell_ended(self, call: int) -> None:
        """Tell those that watch."""

    def mark_now(self, tape: Tape, now: int, fresh: bool = False) -> int:
        """A mark."""


class Way(NamedTuple):
    """How the calls of one callable are written down."""

    special: bool = True
    """Through the log."""
    quiet: int = 0
    """So many of them need not, though the steps begin with them."""
    opens: bool = False
    """Whether each begins with a mark."""
    marks: bool = False
    watched: bool = False
    """Whether somebody is told of each."""


class TapedCall(functools.partial[Any]):
    """A callable in place of another one, whose calls it writes down.

    Where nothing but times and marks is to be taken, it writes them itself, in as few steps as can be, for what it
    does is done between two layers of the user's; else it goes through the log. It is a `partial` of the function
    that does so, or of what `around` makes of that, since Python calls such a one without looking anything up.
    """

    method: Callable[..., Any]
    scope: int
    log: Log
    train: Train | Says | None
    seen: bool
    """Whether it has been called: `first` is told once."""
    set_way: Callable[[Way], None]
    left_quiet: Callable[[], int]
    """How many of the calls that may be quiet are left."""

    def __new__(
        cls,
        method: Callable[..., Any],
        scope: int,
        log: Log,
        train: Train | Says | None = None,
        around: Callable[[Callable[..., Any]], Callable[..., Any]] | None = None,
    ) -> Self:
        """In place of `method`; a call belongs to `scope` of `log`, and says by `train` whether it trains."""
        taped, set_way, left_quiet, bind = _writer(method, scope, log, train)
        self = super().__new__(cls, around(taped) if around else taped)
        vars(self).update(
            method=method, scope=scope, log=log, train=train, seen=False, set_way=set_way, left_quiet=left_quiet
        )
        bind(self)
        log.taped.append(self)
        return self

    def first(self, args: tuple[Any, ...], result: object) -> None:
        """Its first call has returned `result`."""

    def specially(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call through the log; the method's value."""
        log = self.log
        call = log.enter(self.scope, self.train.said(args, kwargs) if self.train else UNSAID, shape_in(args))
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


def shape_in(args: tuple[Any, ...]) -> object:
    """What a call's first argument has for a shape; None where there is none. An odd object's trouble is its own."""
    try:
        return args[0].shape if args else None
    except Exception:
        return None


def _writer(  # noqa: C901
    method: Callable[..., Any], scope: int, log: Log, train: Train | Says | None
) -> tuple[Any, Any, Any, Any]:
    """A function in place of `method`; what sets its `Way`; how many quiet calls are left; what gives it its callable.

    All it needs is in its own cells: what is looked up between two layers comes from memory, not from a cache.
    """
    special, quiet, opens, marks, watched = Way()
    here, number, now, place_now, mark = log.here, log.next_number, log.clock.host, log.clock.place, log.mark
    its_tape, thread = here.tape, get_ident()  # asking for another thread's takes longer
    back, gone_back = log.goes_back(scope), log.gone_back
    name, position, default = train if isinstance(train, Train) else ("", 0, None)
    says = None if train is None or name else train.said
    together = TOGETHER_NS
    call: Any = None

    def taped(*args: Any, **kwargs: Any) -> Any:  # noqa: C901 - every step of it is a part of what it costs
        """The method's value; what it raises rises."""
        nonlocal quiet
        began = now()
        said = UNSAID
        if name:
            value = kwargs[name] if name in kwargs else args[position] if len(args) > position else default
            said = YES if value is True else NO if value is False else meant(value)
        elif says:
            said = says(args, kwargs)
        tape = its_tape if get_ident() == thread else here.tape
        if special:
            if not quiet or said == NO or tape.depth or tape.number != log.leading:
                return call.specially(args, kwargs)
            quiet -= 1
            gone_back.up = False
        if back:
            gone_back.up = True
        shape = None
        if args:
            try:
                shape = args[0].shape
            except Exception:  # an odd object's own trouble; its call goes on
                shape = None
        begun = number()
        first = last = NO_MARK
        marked = marks  # another thread may end the mode meanwhile
        if marked or opens:
            try:
                place = place_now()
                if began - tape.done < together and place == tape.place:
                    first = tape.mark
                else:
                    first = tape.mark = mark(place)
                    tape.place = place
            except RuntimeError:  # CUDA takes no marks any more; its error rises in the measured code
                first, tape.place = FAILED, None
        if watched:
            log.tell_begun(begun)
        tape.depth += 1
        start = now()
        if first != NO_MARK:
            tape.done = start
        try:
            result = method(*args, **kwargs)
        except BaseException:
            end = now()
            if marked:
                last = log.mark_now(tape, end, fresh=tape.done == start)
            if watched:
                log.tell_ended(begun)
            tape.depth -= 1
            done = now()
            if marked:
                tape.done = done
            tape.add((begun, number(), scope, said, shape, began, start, end, done, first, last, RAISED))
            raise
        end = now()
        if marked:
            try:
                place = place_now()
                if end - tape.done < together and place == tape.place and tape.done != start:
                    last = tape.mark
                else:
                    last = tape.mark = mark(place)
                    tape.place = place
            except RuntimeError:
                last, tape.place = FAILED, None
        if watched:
            log.tell_ended(begun)
        tape.depth -= 1
        done = now()
        if marked:
            tape.done = done
        tape.add((begun, number(), scope, said, shape, began, start, end, done, first, last, RETURNED))
        return result

    def set_way(way: Way) -> None:
        nonlocal special, quiet, opens, marks, watched
        special, quiet, opens, marks, watched = way

    def left_quiet() -> int:
        return quiet

    def bind(its: TapedCall) -> None:
        nonlocal call
        call = its

    return taped, set_way, left_quiet, bind
