"""Tapes: what is written at the boundaries of calls, by the shortest way, and read when all has ended."""

from __future__ import annotations

import operator
import threading
from array import array
from typing import Any, NamedTuple

import numpy as np

from gpuprof.record.clocks import Ints

RETURNED, RAISED, NOTED = 0, 1, 2  # the last: it was not followed, only known to come
UNSAID, NO, YES = -1, 0, 1  # what a call said about `train=`
NO_MARK, FAILED = -2, -1
TOGETHER_NS = 2_500  # boundaries this near share a mark: no library launches anything in less
NO_SHAPE = -1

_AT_ONCE = 2048
_FIELDS = ("call", "until", "scope", "train", "shape", "began", "start", "end", "done", "first", "last", "status")
_SHAPE = _FIELDS.index("shape")


class Flag:
    """Something that has happened, or has not."""

    __slots__ = ("up",)

    def __init__(self) -> None:
        self.up = False


class Tape:
    """One thread's finished calls, a row each: see `_FIELDS`.

    `call` and `until` are running numbers of its beginning and its end; `shape` is what the first argument had for
    one; the host's times are those before and after the log's own work at both; `first` and `last` are marks.
    """

    __slots__ = ("_packed", "_rows", "_shapes", "add", "depth", "done", "ident", "inside", "mark", "number", "open",
                 "place")  # fmt: skip

    def __init__(self, number: int, shapes: dict[tuple[int, ...], int]) -> None:
        self.number = number
        self.ident = threading.get_ident()
        self._shapes = shapes
        self._rows: list[tuple[Any, ...]] = []
        self.add = self._rows.append
        """Takes a row."""
        self._packed = [array("b" if name in ("train", "status") else "q") for name in _FIELDS]
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
        if len(self._rows) < max(1, at_least):
            return
        columns = list(zip(*self._rows, strict=True))
        self._rows.clear()
        columns[_SHAPE] = tuple(map(self._shape_id, columns[_SHAPE]))
        for packed, column in zip(self._packed, columns, strict=True):
            packed.extend(column)

    def columns(self) -> dict[str, Ints]:
        """All rows in the order the calls began."""
        self.pack(0)
        columns = [np.array(packed, dtype=np.int64) for packed in self._packed]
        order = np.argsort(columns[0], kind="stable")
        return {name: column[order] for name, column in zip(_FIELDS, columns, strict=True)}

    def _shape_id(self, shape: Any) -> int:
        """The number of a shape; -1 for none, and for what is no tuple of whole numbers."""
        try:
            return self._shapes[shape]
        except (KeyError, TypeError):
            pass
        try:
            known = tuple(map(operator.index, shape)) if isinstance(shape, tuple) else None
        except Exception:  # an odd object's own trouble
            known = None
        return NO_SHAPE if known is None else self._shapes.setdefault(known, len(self._shapes))


class Opened(NamedTuple):
    """What is known of a call when it has begun."""

    kind: int
    scope: int
    train: int
    shape: object
    began: int
    start: int
    mark: int


class Here(threading.local):
    """The calling thread's tape."""

    def __init__(self, tapes: list[Tape], shapes: dict[tuple[int, ...], int]) -> None:
        self.tape = Tape(len(tapes), shapes)
        tapes.append(self.tape)


def paired(tapes: list[Tape]) -> tuple[dict[str, Ints], Ints, Ints]:
    """The calls of all threads as columns, in the order they began, and their two marks."""
    parts = [_of_a_thread(tape) for tape in tapes]
    order = np.argsort(np.concatenate([part["call"] for part in parts]), kind="stable")
    columns = {name: np.concatenate([part[name] for part in parts])[order] for name in parts[0]}
    marks = columns.pop("first_mark"), columns.pop("last_mark")
    return columns, *marks


def _of_a_thread(tape: Tape) -> dict[str, Ints]:
    rows = tape.columns()
    return {
        "call": rows["call"],
        "parent": _parents(rows["call"], rows["until"]),
        "scope": rows["scope"],
        "train": rows["train"],
        "shape": rows["shape"],
        "thread": np.full(len(rows["call"]), tape.number, dtype=np.int64),
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
