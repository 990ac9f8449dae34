"""The call log: one row a call, written while the code runs, read when it has ended."""

from __future__ import annotations

import itertools
import threading
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from gpuprof.record.clocks import MISSING, Clock, Ints

RETURNED, RAISED = 0, 1
UNSAID, NO, YES = -1, 0, 1  # what a call said about `train=`

_WRITTEN = (
    "own",
    "call",
    "parent",
    "scope",
    "train",
    "shape",
    "thread",
    "host_start",
    "host_end",
    "first",
    "last",
    "status",
)
_READ = ("start", "end", "device", "stream")
COLUMNS = (*_WRITTEN, *_READ)
"""The columns of finished calls."""


class Scope(NamedTuple):
    """What a row of the table is about: the path of a layer, and a phase."""

    path: str
    phase: str


class Bearing(NamedTuple):
    """A moment on both axes, ns: a mark on a drained device, and the host's time just before it."""

    host: int
    device: int


@dataclass(frozen=True)
class Calls:
    """Finished calls as columns of int64, in the order they began.

    call, parent (a call, or -1), scope, train, shape, thread, host_start, host_end, start, end (the device's
    times), first, last (the numbers of its marks), device, stream, status, own (the host time that the log itself
    took since the call before began). All times are ns.
    """

    columns: dict[str, Ints]
    scopes: tuple[Scope, ...]
    shapes: tuple[tuple[int, ...], ...]
    window: tuple[int, int]
    """Device times of the log's opening and closing marks."""
    host_window: tuple[int, int, int]
    """Host times: opened, on a drained device; everything issued; everything done."""
    bearings: tuple[Bearing, ...]
    """From the log's opening and its end; fewer than two where a CUDA error ended it."""
    on_device: bool
    lost: int = 0
    """Calls left out because a mark of theirs could not be read."""
    failure: str = ""
    """What CUDA said, where the end of the work could not be waited for."""

    def __len__(self) -> int:
        return len(self.columns["call"])

    def __getitem__(self, column: str) -> Ints:
        return self.columns[column]

    @cached_property
    def parents(self) -> Ints:
        """The position of each call's parent; -1 for none, or for one that was left out."""
        numbers, wanted = self["call"], self["parent"]
        if not len(self):
            return wanted
        found = np.minimum(np.searchsorted(numbers, wanted), len(self) - 1)
        return np.where((wanted >= 0) & (numbers[found] == wanted), found, -1)


class CallLog:
    """`with CallLog(clock) as log:` records the calls between `enter` and `leave`; then `log.calls` has them.

    Entering drains the device, so that earlier work is not billed here; leaving waits once and reads the marks.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.scopes: list[Scope] = []
        self._scope_ids: dict[Scope, int] = {}
        self._shape_ids: dict[tuple[int, ...], int] = {}
        self._rows = array("q")
        self._numbers = itertools.count()
        self._here = _Here(itertools.count())

    def __enter__(self) -> CallLog:
        self.clock.wait()
        self._open_bearing = self._bearing()
        self._host_open = self.clock.host()
        self._first = self.clock.mark()
        return self

    def __exit__(self, *_: object) -> None:
        issued = self.clock.host()
        last = self._mark()
        bearings, failure = [self._open_bearing], ""
        try:
            self.clock.wait()
            done = self.clock.host()
            bearings.append(self._bearing())
        except RuntimeError as error:  # CUDA reports an error of the measured code only now
            done, failure = self.clock.host(), str(error)
        self.calls = self._read((self._first, last), (self._host_open, issued, done), bearings, failure)

    def scope(self, path: str, phase: str) -> int:
        """The id of the scope (path, phase): the same for the same pair."""
        key = Scope(path, phase)
        if key not in self._scope_ids:
            self._scope_ids[key] = len(self.scopes)
            self.scopes.append(key)
        return self._scope_ids[key]

    def enter(self, scope: int, train: int = UNSAID, shape: tuple[int, ...] | None = None) -> int:
        """Begin a call on this thread, right before the measured code; the call's number."""
        began = self.clock.host()
        self.clock.tidy()
        shape_id = -1 if shape is None else self._shape_ids.setdefault(shape, len(self._shape_ids))
        number = next(self._numbers)
        first = self._mark()
        here = self._here
        start = self.clock.host()
        here.calls.append((number, scope, train, shape_id, first, start, here.own + start - began))
        here.own = 0
        return number

    def leave(self, call: int, status: int = RETURNED) -> None:
        """End the call numbered `call`, right after the measured code; with it what an interrupt left open."""
        end = self.clock.host()
        last = self._mark()
        here = self._here
        opened = here.calls.pop()
        while opened[0] != call:
            opened = here.calls.pop()
        number, scope, train, shape, first, start, own = opened
        parent = here.calls[-1][0] if here.calls else -1
        self._rows.extend((own, number, parent, scope, train, shape, here.thread, start, end, first, last, status))
        here.own += self.clock.host() - end

    def _mark(self) -> int:
        """A mark, or -1 where CUDA takes none any more: its error is the measured code's, and rises there."""
        try:
            return self.clock.mark()
        except RuntimeError:
            return -1

    def _bearing(self) -> tuple[int, int]:
        """The host's time, and a mark taken then on a drained device."""
        now = self.clock.host()
        mark = self.clock.mark()
        self.clock.wait()
        return now, mark

    def _read(
        self, window: tuple[int, int], host_window: tuple[int, int, int], bearings: list[tuple[int, int]], failure: str
    ) -> Calls:
        rows = np.array(self._rows, dtype=np.int64).reshape(-1, len(_WRITTEN))
        rows = rows[np.argsort(rows[:, _WRITTEN.index("call")])]
        columns = {name: rows[:, i] for i, name in enumerate(_WRITTEN)}
        columns["start"] = self.clock.resolve(columns["first"])
        columns["end"] = self.clock.resolve(columns["last"])
        columns["device"], columns["stream"] = self.clock.where(columns["first"])
        read = (columns["start"] != MISSING) & (columns["end"] != MISSING)
        ends = self.clock.resolve(np.array(window, dtype=np.int64))
        met = self.clock.resolve(np.array([mark for _, mark in bearings], dtype=np.int64))
        columns = {name: column[read] for name, column in columns.items()}
        close = ends[1] if ends[1] != MISSING else columns["end"].max(initial=ends[0])
        return Calls(
            columns=columns,
            scopes=tuple(self.scopes),
            shapes=tuple(self._shape_ids),
            window=(int(ends[0]), int(close)),
            host_window=host_window,
            bearings=tuple(
                Bearing(host, int(device)) for (host, _), device in zip(bearings, met, strict=True) if device != MISSING
            ),
            on_device=self.clock.on_device,
            lost=int((~read).sum()),
            failure=failure,
        )


class _Here(threading.local):
    """Each thread's open calls, and the thread's number."""

    def __init__(self, numbers: Iterator[int]) -> None:
        self.calls: list[tuple[int, int, int, int, int, int, int]] = []
        self.own = 0
        """Host time the log has taken since the last call began, ns."""
        self.thread = next(numbers)
