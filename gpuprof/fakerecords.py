"""Kernel records that a fake clock makes: see gpuprof.testing."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from gpuprof.record.kernels import Launched, Records, launched

_MASK = 0xFFFFFFFF


class _HasHost(Protocol):
    def host(self) -> int:
        """The host's time, ns."""


def fake_records(rows: Sequence[tuple[int, int, str]], threads: int = 1, correlation: Sequence[int] = ()) -> Records:
    """Records of (start ns, end ns, name), each of `threads` threads, on one stream of device 0."""
    known = {name: position for position, name in enumerate(dict.fromkeys(name for *_, name in rows))}
    times = np.array([row[:2] for row in rows], dtype=np.int64).reshape(-1, 2)
    same = np.ones(len(rows), dtype=np.int64)
    return Records(
        known=tuple(known),
        name=np.array([known[name] for *_, name in rows], dtype=np.int64),
        start=times[:, 0],
        end=times[:, 1],
        stream=same,
        device=0 * same,
        threads=threads * same,
        registers=0 * same,
        bytes=0 * same,
        correlation=np.array(correlation or range(len(rows)), dtype=np.int64),
        node=0 * same,
        dropped=0,
    )


class FakeRecording:
    """A fake clock's kernel records."""

    stopped = False

    def __init__(self, clock: _HasHost) -> None:
        self._clock = clock
        self._rows: list[tuple[int, int, str]] = []
        self._calls: list[int] = []
        self._threads: list[int] = []
        self._next = 0

    def add(self, start: int, end: int, name: str) -> None:
        """A record more, launched now by this thread."""
        self._rows.append((start, end, name))
        self._calls.append(self._call())
        self._threads.append(threading.get_ident() & _MASK)

    def now(self) -> int:
        """The time on the records' clock: here the host's."""
        return self._clock.host()

    @property
    def records(self) -> Records:
        """All of them."""
        return fake_records(self._rows, correlation=self._calls)

    def _call(self) -> int:
        self._next += 1
        return self._next


class FakeRecorder(FakeRecording):
    """The same with marks among the launches, as `gpuprof.record.kernels.Recorder` has them."""

    def __init__(self, clock: _HasHost, launches: bool) -> None:
        super().__init__(clock)
        self.launches = launches
        self._marks: list[tuple[int, int, int]] = []

    def mark(self, code: int) -> None:
        """A mark that says `code`."""
        self._marks.append((code, self._call(), threading.get_ident() & _MASK))

    def add(self, start: int, end: int, name: str) -> None:
        """A record more, unless it has stopped."""
        if not self.stopped:
            super().add(start, end, name)

    def stop(self) -> None:
        """Record no more."""
        self.stopped = True

    def collect(self) -> Launched:
        """What was recorded."""
        fills = {
            "value": np.array([0xA5000000 | i for i in range(len(self._marks))], dtype=np.int64),
            "correlation": np.array([call for _, call, _ in self._marks], dtype=np.int64),
        }
        made = [*zip(self._calls, self._threads, strict=True), *((call, thread) for _, call, thread in self._marks)]
        calls = np.array(made if self.launches else [], dtype=np.int64).reshape(-1, 2)
        codes = {i: code for i, (code, *_) in enumerate(self._marks)}
        return launched(self.records, fills, {"correlation": calls[:, 0], "thread": calls[:, 1]}, codes)
