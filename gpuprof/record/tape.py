"""Tapes: what is written at the boundaries of calls, by the shortest way, and read when all has ended."""

from __future__ import annotations

import itertools
import threading
from array import array
from typing import NamedTuple

import numpy as np

from gpuprof.record.clocks import Ints

RETURNED, RAISED = 0, 1
UNSAID, NO, YES = -1, 0, 1  # what a call said about `train=`
NO_MARK, FAILED = -2, -1
TOGETHER_NS = 2_500  # boundaries this near share a mark: no library launches anything in less
NO_SHAPE = -1

TRAIN_BITS, SHAPE_BITS = 24, 26  # from these bits on: what a call said, and its shape
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
    return scope | (train + 1) << TRAIN_BITS | (shape + 1) << SHAPE_BITS


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
        "scope": what & ((1 << TRAIN_BITS) - 1),
        "train": ((what >> TRAIN_BITS) & 3) - 1,
        "shape": (what >> SHAPE_BITS) - 1,
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
