"""Finished calls: what a log has when all has ended, as columns."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpuprof.record.clocks import Ints
from gpuprof.record.leftout import LeftOut

LINE = "line"
"""The phase of a statement of a function that is followed; its path ends with the line's number."""
REPLAY = "captured steps"
"""The phase of a launch of training steps that run as a captured graph."""

COLUMNS = (
    "call", "parent", "scope", "train", "shape", "thread", "host_start", "host_end", "first", "last", "status",
    "own", "mode", "start", "end", "device", "stream",
)  # fmt: skip
"""The columns of finished calls."""


class Scope(NamedTuple):
    """What a row of the table is about: the path of a layer, and a phase."""

    path: str
    phase: str

    @property
    def name(self) -> str:
        """In a sentence: "Pool1.backward"; of several layers or phases "Conv1 + Pool1: forward"."""
        between = ": " if " + " in self.path + self.phase else "."
        return between.join(filter(None, self))


def in_a_line(name: object) -> str:
    """A name as a row has it: in one line, of what can be printed."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(name)).split())


class Bearing(NamedTuple):
    """A moment on both axes, ns: a mark on a drained device, and the host's time just before it."""

    host: int
    device: int


@dataclass(frozen=True)
class Calls:
    """Finished calls as columns of int64, in the order they began.

    call, parent (a call, or -1), scope, train, shape, thread, host_start, host_end, first, last (the running numbers
    of its boundaries), status, own (the host time that the log itself took since the call before began), mode (of its
    step), start, end (the device's times; MISSING where that boundary was not marked), device, stream. Times are ns.
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
    left_out: LeftOut = field(default_factory=LeftOut)
    """What is known of steps that a long run left out; their time is in the windows."""

    def __len__(self) -> int:
        return len(self.columns["call"])

    def __getitem__(self, column: str) -> Ints:
        return self.columns[column]

    @cached_property
    def parents(self) -> Ints:
        """The position of each call's parent; -1 for none, or for one that was left out."""
        return self.positions(self["parent"])

    def around(self, wanted: NDArray[np.bool_]) -> Ints:
        """For each call the innermost one of those wanted that was open when it began; -1 for none."""
        above = self.parents.copy()
        while (on := (above >= 0) & ~wanted[above]).any():
            above = np.where(on, self.parents[above], above)
        return above

    def without(self, phase: str) -> tuple[Calls, Ints]:
        """The log without the calls of a phase; and where each old position went: see `leaving_out`."""
        of_phase = np.array([*(scope.phase == phase for scope in self.scopes), False], dtype=bool)
        return self.leaving_out(of_phase[self["scope"]])

    def leaving_out(self, leaving: NDArray[np.bool_]) -> tuple[Calls, Ints]:
        """The log without some calls, as if nobody had asked for them; and where each old position went.

        A call left out goes to the innermost one around it that stayed, or to -1.
        """
        if not leaving.any():
            return self, np.arange(len(self))
        stays, around = ~leaving, self.around(~leaving)
        new = np.cumsum(stays) - 1
        above = np.where(stays, np.arange(len(self)), around)
        columns = {name: column[stays] for name, column in self.columns.items()}
        columns["parent"] = np.concatenate([self["call"], [-1]])[around[stays]]
        return replace(self, columns=columns), np.where(above >= 0, new[above], -1)

    def positions(self, numbers: Ints) -> Ints:
        """The positions of calls by their numbers; -1 for one that is not here."""
        if not len(self):
            return np.full(len(numbers), -1, dtype=np.int64)
        found = np.minimum(np.searchsorted(self["call"], numbers), len(self) - 1)
        return np.where((numbers >= 0) & (self["call"][found] == numbers), found, -1)
