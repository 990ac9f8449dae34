"""Kernels and the calls that launched them: records and marks put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gpuprof.record.calls import Calls
from gpuprof.record.clocks import Ints
from gpuprof.record.taken import Taken

OUTSIDE, UNKNOWN = -1, -2
COLUMNS = (
    "name", "start", "end", "call", "after", "device", "stream", "threads", "registers", "bytes", "block",
    "correlation", "node",
)  # fmt: skip
_MOST_DRIFT = 5e-4  # the host's clock is slewed by no more


@dataclass(frozen=True, eq=False)
class Kernels:
    """Kernels, copies and fills, as columns of int64, in the order they began on the device.

    name (a position in `names`), start, end (ns on the host's axis), call (the position of the innermost call open at
    the launch; OUTSIDE: none; UNKNOWN: it cannot be told), after (that of the call begun last before the launch, on
    any thread; OUTSIDE: none since records were taken), device, stream (CUPTI's number), threads, registers (a
    thread's), bytes (copied or filled), block (of steps in which records were taken), correlation (CUPTI's number of
    the launching call, within a block), node (of a graph, rising in the order of capture; 0 for none).
    """

    columns: dict[str, Ints]
    names: tuple[str, ...]
    blocks: int = 0
    dropped: int = 0
    """Records that CUPTI had no room for, or with impossible times."""

    def __len__(self) -> int:
        return len(self.columns["start"])

    def __getitem__(self, column: str) -> Ints:
        return self.columns[column]

    def where(self, chosen: Any) -> Kernels:
        """Those chosen by a mask or by positions."""
        return replace(self, columns={name: column[chosen] for name, column in self.columns.items()})

    def moved(self, to: Ints) -> Kernels:
        """The same with the calls at other positions: `to` has the new one of each old one."""
        both = {name: self[name] for name in ("call", "after")}
        moved = {n: np.where(old >= 0, to[np.maximum(old, 0)] if len(to) else OUTSIDE, old) for n, old in both.items()}
        return replace(self, columns={**self.columns, **moved})

    @property
    def unknown(self) -> int:
        """How many of them cannot be given to a call."""
        return int((self["call"] == UNKNOWN).sum())


def kernels_of(taken: Sequence[Taken], calls: Calls) -> Kernels:
    """All blocks of records with the calls that launched them."""
    known: dict[str, int] = {}
    parts: list[dict[str, Ints]] = []
    for block, each in enumerate(taken):
        records = each.launched.records
        (host, there), (host_end, there_end) = each.bearings
        rate = (host_end - host) / (there_end - there) if there_end > there else 1.0
        rate = min(1 + _MOST_DRIFT, max(1 - _MOST_DRIFT, rate))  # over a moment, the error of reading two clocks
        names = np.array([known.setdefault(name, len(known)) for name in records.known] or [0], dtype=np.int64)
        parts.append(
            {
                "name": names[records.name],
                "start": host + np.rint((records.start - there) * rate).astype(np.int64),
                "end": host + np.rint((records.end - there) * rate).astype(np.int64),
                "call": launching_calls(each, calls),
                "after": _begun_before(each, calls),
                "device": records.device,
                "stream": records.stream,
                "threads": records.threads,
                "registers": records.registers,
                "bytes": records.bytes,
                "correlation": records.correlation,
                "node": records.node,
                "block": np.full(len(records.start), block, dtype=np.int64),
            }
        )
    empty = np.zeros(0, dtype=np.int64)
    columns = {name: np.concatenate([part[name] for part in parts] or [empty]) for name in COLUMNS}
    dropped = sum(each.launched.records.dropped for each in taken)
    return Kernels(columns, tuple(known), blocks=len(taken), dropped=dropped)


def launching_calls(taken: Taken, calls: Calls) -> Ints:
    """For each record the position of the innermost call that was open on the launching thread; OUTSIDE, UNKNOWN.

    The numbers that CUPTI gives to CUDA calls rise in the order of calling, so a launch belongs to what its thread's
    last mark before it said. Where the launches' own threads were not recorded, it has to be the one thread that
    marked; where several did, it cannot be told.
    """
    launched = taken.launched
    wanted = launched.records.correlation
    if len(launched.calls):
        at = np.minimum(np.searchsorted(launched.calls, wanted), len(launched.calls) - 1)
        known = launched.calls[at] == wanted
        thread = np.where(known, launched.threads[at], -1)
        marks_at = np.minimum(np.searchsorted(launched.calls, launched.mark_calls), len(launched.calls) - 1)
        mark_thread = launched.threads[marks_at]
    else:
        thread = np.zeros(len(wanted), dtype=np.int64)
        mark_thread = np.zeros(len(launched.marks), dtype=np.int64)
        marking = calls.positions(launched.marks >> 1)
        if len(np.unique(calls["thread"][marking[marking >= 0]])) > 1:
            return np.full(len(wanted), UNKNOWN, dtype=np.int64)
    opened = _open_after(launched.marks, calls)
    found = np.where(thread < 0, UNKNOWN, OUTSIDE)
    for number in np.unique(mark_thread):
        marks = mark_thread == number
        launches = thread == number
        last = np.searchsorted(launched.mark_calls[marks], wanted[launches]) - 1
        found[launches] = np.where(last >= 0, opened[marks][np.maximum(last, 0)], OUTSIDE)
    return found


def _begun_before(taken: Taken, calls: Calls) -> Ints:
    """For each record the position of the call that began last before its launch; OUTSIDE for none."""
    launched = taken.launched
    at = calls.positions(launched.marks >> 1)
    begins = (launched.marks & 1 == 0) & (at >= 0)
    last = np.searchsorted(launched.mark_calls[begins], launched.records.correlation) - 1
    return np.concatenate([at[begins], [OUTSIDE]])[last]


def _open_after(marks: Ints, calls: Calls) -> Ints:
    """The innermost call open after each mark: at a call's beginning itself, at its end its parent.

    UNKNOWN where the log has not that call: it never ended, as a region in a generator that was left half done.
    """
    at = calls.positions(marks >> 1)
    ended = (marks & 1).astype(bool)
    beneath = np.concatenate([_beneath(calls), [OUTSIDE]])
    return np.where(at < 0, UNKNOWN, np.where(ended, beneath[at], at))


def _beneath(calls: Calls) -> Ints:
    """The innermost call open on its thread when each has ended: its parent, unless regions overlap.

    Of those that do, none of which lies in the other, it is the one that began last.
    """
    parents = calls.parents
    inside = parents >= 0
    if not (inside & (calls["last"] > calls["last"][parents])).any():
        return parents
    found = np.full(len(calls), OUTSIDE, dtype=np.int64)
    for thread in np.unique(calls["thread"]):
        mine = np.flatnonzero(calls["thread"] == thread)
        events = [(int(calls["first"][i]), i, True) for i in mine] + [(int(calls["last"][i]), i, False) for i in mine]
        still_open: dict[int, None] = {}
        for _, i, begins in sorted(events):
            if begins:
                still_open[int(i)] = None
            else:
                del still_open[int(i)]
                found[i] = next(reversed(still_open), OUTSIDE)
    return found
