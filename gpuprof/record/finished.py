"""From what tapes hold to the columns of finished calls: parents, modes, and the times of marks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from gpuprof.record.calls import COLUMNS
from gpuprof.record.clocks import MISSING, Clock, Ints
from gpuprof.record.schedule import Mode
from gpuprof.record.tape import NO_MARK, paired


class Known(NamedTuple):
    """Marks that were read while the run went on, in the order of their numbers: their times, devices and streams."""

    marks: Ints
    ns: Ints
    device: Ints
    stream: Ints


NOTHING = Known(*(np.zeros(0, dtype=np.int64) for _ in range(4)))


class Marks:
    """The times of all marks: of those that were read early, and of the others, which the clock still has."""

    def __init__(self, clock: Clock, known: Iterable[Known] = ()) -> None:
        self._clock = clock
        columns = [np.concatenate(column) for column in zip(NOTHING, *known, strict=True)]
        _, first = np.unique(columns[0], return_index=True)
        self._known = Known(*(column[first] for column in columns))

    def read(self, marks: Ints) -> Known:
        """These marks, each once."""
        marks = np.unique(marks[marks >= 0])
        return Known(marks, self.times(marks), *self.where(marks))

    def times(self, marks: Ints) -> Ints:
        """ns; MISSING for what could not be read."""
        return self._with_known("ns", marks, self._clock.resolve(marks))

    def where(self, marks: Ints) -> tuple[Ints, Ints]:
        """The device and the stream of each."""
        device, stream = self._clock.where(marks)
        return self._with_known("device", marks, device), self._with_known("stream", marks, stream)

    def _with_known(self, column: str, marks: Ints, found: Ints) -> Ints:
        known = self._known
        if not len(known.marks):
            return found
        at = np.minimum(np.searchsorted(known.marks, marks), len(known.marks) - 1)
        return np.where(known.marks[at] == marks, getattr(known, column)[at], found)


def finished(
    tapes: Sequence[Any], turns: Sequence[tuple[int, int]], marks: Marks, on_device: bool
) -> tuple[dict[str, Ints], int]:
    """The columns of all calls on the tapes, in the order they began; and how many were lost, as marks of theirs were.

    `turns` has from which call on which mode was in force.
    """
    columns, first, last = paired(list(tapes))
    columns["mode"] = _modes(columns["call"], turns)
    if on_device:
        columns["start"], columns["end"] = marks.times(first), marks.times(last)
    else:
        columns["start"], columns["end"] = columns["host_start"].copy(), columns["host_end"].copy()
    columns["device"], columns["stream"] = marks.where(first)
    unread = (columns["start"] == MISSING) | (columns["end"] == MISSING)
    lost = unread & (first != NO_MARK) & (last != NO_MARK)
    columns["end"][columns["start"] == MISSING] = MISSING
    return {name: columns[name][~lost] for name in COLUMNS}, int(lost.sum())


def _modes(numbers: Ints, turns: Sequence[tuple[int, int]]) -> Ints:
    """The mode of each call: that of the step it is in."""
    if not turns:
        return np.full(len(numbers), int(Mode.EVENTS), dtype=np.int64)
    begins, modes = np.array(turns, dtype=np.int64).T
    return np.asarray(modes[np.maximum(0, np.searchsorted(begins, numbers, side="right") - 1)])
