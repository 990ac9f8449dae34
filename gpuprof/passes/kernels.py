"""The kernels of a call: their own times by kernel records, and their number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuprof.judge.figures import Kernel
from gpuprof.passes.subject import Subject, repeated
from gpuprof.record.kernels import NoRecordsError, Records
from gpuprof.units import digits

_CALLS = 32  # in a recorded batch
_BATCH_S = 5e-3
_BATCHES = 40  # kernels vary little; more would only take time
_EMPTIES = 20


class KernelPass:
    """Kernel time a call, in `samples` (seconds), from ungated batches."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._clock: Any = subject.clock
        self._windows: list[tuple[int, int]] = []
        self._number = int(max(1, min(_CALLS, _BATCH_S / max(subject.usual, 1e-9))))
        self.samples: list[float] = []
        self.count = 0.0
        """Kernels, copies and fills a call."""
        self.working = math.nan
        """Seconds a call in which at least one of them ran."""
        self.kernels: tuple[Kernel, ...] = ()
        """The same by name."""
        self.empty = math.nan
        """What the record of a kernel that does nothing reads, seconds."""
        self.warnings: list[str] = []
        self.why = ""
        """Why there are no records."""

    def run(self, repeat: int | None, share: float) -> None:
        """Record `repeat` batches, or as many as there is time for; or find out why it cannot be."""
        try:
            with self._clock.recording() as found:
                self._recorded = found
                if self._clock.on_device:
                    self._around(lambda: [self._clock.launch_empty() for _ in range(_EMPTIES)])
                repeated(self._subject, "kernels", self._take, share=share, most=repeat or _BATCHES)
        except NoRecordsError as error:
            self.why = str(error)
        finally:
            if self._windows:
                self._read(found.records)

    def _take(self) -> Sequence[Sequence[float]]:
        self._around(self._subject.code.prepared(self._number))
        return []  # known only once the recording has ended

    def _around(self, run: Any) -> None:
        self._clock.wait()
        start = self._recorded.now()
        run()
        self._clock.wait()
        self._windows.append((start, self._recorded.now()))

    def _read(self, records: Records) -> None:
        lengths = (records.end - records.start) * 1e-9
        inside = [np.flatnonzero((records.start >= start) & (records.start < end)) for start, end in self._windows]
        if self._clock.on_device:
            empties = inside.pop(0)
            self.empty = float(np.median(lengths[empties])) if len(empties) else math.nan
        self.samples = [float(lengths[rows].sum()) / self._number for rows in inside]
        busy = [_union(records.start[rows], records.end[rows]) for rows in inside]
        self.working = float(np.median(busy)) * 1e-9 / self._number if busy else math.nan
        rows, calls = np.concatenate([[], *inside]).astype(int), self._number * len(inside)
        self.count = len(rows) / max(1, calls)
        self.kernels = _by_name(records, rows, lengths, calls)
        self._note(records, rows, {len(rows) for rows in inside})

    def _note(self, records: Records, rows: Any, sizes: set[int]) -> None:
        streams = len(set(zip(records.device[rows].tolist(), records.stream[rows].tolist(), strict=True)))
        if streams > 1:
            self.warnings.append(f"its kernels ran on {streams} streams; `device` sees the one that was current")
        if records.dropped:
            self.warnings.append(f"{records.dropped} kernel records were dropped, so `kernels` is too low")
        if len(sizes) > 1:
            low, high = (digits(size / self._number) for size in (min(sizes), max(sizes)))
            self.warnings.append(f"not every call launched the same: {low} to {high} kernels a call")


def _union(start: Any, end: Any) -> float:
    """The length of what intervals, in the order of their starts, cover together."""
    if not len(start):
        return 0.0
    reached = np.maximum.accumulate(end)
    return float((reached - np.maximum(start, np.concatenate([start[:1], reached[:-1]]))).clip(min=0).sum())


def _by_name(records: Records, rows: Any, lengths: Any, calls: int) -> tuple[Kernel, ...]:
    """A row a name, the longest first."""
    places: dict[int, list[int]] = {}
    for row in rows:
        places.setdefault(int(records.name[row]), []).append(row)
    found = [
        Kernel(records.known[name], len(at) / calls, float(lengths[at].sum()) / calls, int(records.threads[at].max()))
        for name, at in places.items()
    ]
    return tuple(sorted(found, key=lambda row: -row.seconds))
