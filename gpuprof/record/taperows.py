"""The rows of tapes, taken off them while the run goes on: in columns as narrow as the tape has them."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpuprof.record import tape as taping
from gpuprof.record.clocks import Ints
from gpuprof.record.interrupts import undisturbed
from gpuprof.record.tape import Tape

FIELDS = {name: "b" if name in ("train", "status") else "q" for name in taping._FIELDS}
"""The columns of a tape and how they are packed."""
Rowed = dict[str, Any]
"""Rows by these columns."""


class Rows(NamedTuple):
    """Rows in place of a thread's tape."""

    number: int
    rows: Rowed

    def columns(self) -> dict[str, Ints]:
        """All of them in the order the calls began."""
        order = np.argsort(self.rows["call"], kind="stable")
        return {name: column[order].astype(np.int64) for name, column in self.rows.items()}


def packed(tape: Tape, at_least: int) -> None:
    """Pack the rows of this thread's tape, once there are so many: an interrupt midway would lose some."""
    if len(tape._rows) >= at_least:
        with undisturbed():
            tape.pack()


def rows_of(tape: Tape) -> Rowed:
    """What the tape has, in the order the calls ended; its own thread may go on writing."""
    number = len(tape._rows)
    rows = tape._rows[:number]
    packed = [array(each.typecode, each) for each in tape._packed]
    if rows:
        columns = list(zip(*rows, strict=True))
        columns[taping._SHAPE] = tuple(map(tape._shape_id, columns[taping._SHAPE]))
        for each, column in zip(packed, columns, strict=True):
            each.extend(column)
        tape._packed = packed
        del tape._rows[:number]
    return {name: np.array(each, dtype=each.typecode) for name, each in zip(FIELDS, packed, strict=True)}


def put_back(tape: Tape, rows: Rowed) -> None:
    """Let these be what the tape has, besides what its thread has written since."""
    tape._packed = [array(typed, rows[name].tobytes()) for name, typed in FIELDS.items()]


def parted(rows: Rowed, number: int) -> tuple[Rowed, Rowed]:
    """The rows of a tape that ended before a running number was given out, in room of their own; and the others."""
    at = int(np.searchsorted(rows["until"], number))
    return {name: rows[name][:at].copy() for name in FIELDS}, {name: rows[name][at:] for name in FIELDS}


def apart(rows: Rowed, chosen: NDArray[np.bool_]) -> tuple[Rowed, Rowed]:
    """The rows chosen, and the others."""
    one, other = ({name: column[which] for name, column in rows.items()} for which in (chosen, ~chosen))
    return one, other


def joined(parts: Sequence[Rowed]) -> Rowed:
    """The rows of all parts."""
    return {name: np.concatenate([part[name] for part in parts]) for name in FIELDS}
