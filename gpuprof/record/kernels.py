"""Kernel records: when each kernel and copy ran, by CUPTI's own clock. One log a process.

libcupti is called directly: its records come in buffers, which are decoded in bulk when asked for, and a launch
pays nothing for Python.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ctypes import CFUNCTYPE, POINTER, byref, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p
from time import perf_counter_ns
from typing import Any, NamedTuple

import numpy as np

from gpuprof.record import activity, driver
from gpuprof.record import cupti as access
from gpuprof.record.activity import Ints, Records
from gpuprof.record.cupti import NoRecordsError

__all__ = ["Launched", "NoRecordsError", "Recorder", "Recording", "Records", "launched", "recording"]

_BUFFER = 4 << 20
_KEPT = 8  # buffers kept for another time
_GLANCE_NS, _LOOK_NS, _OFF = 100_000, 30_000_000, 0.05
_TAG, _UNTAGGED = 0xA5000000, 0x00FFFFFF  # a mark's value: what tells it from other fills, and its number

_Requested = CFUNCTYPE(None, POINTER(c_void_p), POINTER(c_size_t), POINTER(c_size_t))
_Completed = CFUNCTYPE(None, c_void_p, c_uint32, c_void_p, c_size_t, c_size_t)


class Launched(NamedTuple):
    """What a `Recorder` collected."""

    records: Records
    """Its own marks left out."""
    marks: Ints
    """The values of its marks, in the order of `mark_calls`."""
    mark_calls: Ints
    """The marks' correlation ids, rising."""
    calls: Ints
    """Correlation ids of the CUDA calls that launched, rising; empty where those were not recorded."""
    threads: Ints
    """CUPTI's number of the thread that made each of those calls."""


class _Log:
    """The process's one subscription. CUPTI keeps what it is given: buffers and callbacks live as long as this."""

    def __init__(self, cupti: ctypes.CDLL) -> None:
        self.cupti = cupti
        self._free: list[ctypes.Array[Any]] = []
        self._out: dict[int, ctypes.Array[Any]] = {}
        self._full: list[tuple[ctypes.Array[Any], int]] = []
        self._callbacks = (_Requested(self._requested), _Completed(self._completed))
        self._origin, self._rate, self._cycle = 0, 1.0, 0.0
        self._sizes: dict[int, int] = {}

    def begin(self, launches: bool = False) -> None:
        """Ask for records, with `launches` also of the calls that launch; where one kind cannot be had, for none."""
        self._full.clear()
        self._call("cuptiActivityRegisterCallbacks", *self._callbacks)
        try:
            for kind in activity.WORK:
                self._call("cuptiActivityEnable", kind)
            for kind, single in ((activity.DRIVER, "Driver"), (activity.RUNTIME, "Runtime")) if launches else ():
                self._call("cuptiActivityEnable", kind)
                self._only(f"cuptiActivityEnable{single}Api", activity.LAUNCHES[kind])
            self._set_clock()
        except (NoRecordsError, AttributeError) as error:
            self.detach()
            raise NoRecordsError(str(error)) from None

    def _only(self, name: str, wanted: tuple[int, ...]) -> None:
        """Leave of all calls of a kind only those wanted: enabled one by one, CUPTI 13 records none."""
        choose = getattr(self.cupti, name)
        for number in set(range(1, activity.MOST_CALLS)) - set(wanted):
            if choose(c_uint32(number), c_uint8(0)):
                break  # beyond the last

    def stop(self) -> None:
        """Record no more launches; never waits, and what was launched is recorded when it is done."""
        for kind in activity.LAYOUTS:
            self.cupti.cuptiActivityDisable(kind)

    def end(self) -> Records:
        """What was recorded; all work must be done. Raises NoRecordsError where it cannot be had; detaches anyway."""
        return self.parts()[0]

    def parts(self) -> tuple[Records, dict[str, Ints], dict[str, Ints]]:
        """As `end`: the records; the fills' values and correlation ids; launching calls, their threads."""
        dropped = c_size_t()
        try:
            self._call("cuptiActivityFlushAll", 1)
            self.cupti.cuptiActivityGetNumDroppedRecords(None, 0, byref(dropped))
            parts = [part for buffer, size in self._full for part in self._decoded(buffer, size)]
        finally:
            self.detach()
        self._free = [*self._free, *(buffer for buffer, _ in self._full)][:_KEPT]
        self._full = []
        work = [fields for kind, fields in parts if kind in activity.WORK]
        fills = [fields for kind, fields in parts if kind == activity.FILL]
        calls = [fields for kind, fields in parts if kind in activity.CALLS]
        return (
            self._in_ns(activity.joined(work, dropped.value)),
            activity.columns(fills, ("value", "correlation")),
            activity.columns(calls, ("correlation", "thread")),
        )

    def detach(self) -> None:
        """Take CUPTI off the process, else something of it stays on every launch; whatever state it is in."""
        self.stop()
        self.cupti.cuptiFinalize()

    def now(self) -> int:
        """The time on CUPTI's clock, ns."""
        return self._origin + round((self._ticks() - self._origin) * self._rate)

    def _ticks(self) -> int:
        ticks = c_uint64()
        self._call("cuptiGetTimestamp", byref(ticks))
        return ticks.value

    def _set_clock(self) -> None:
        """How long a tick of CUPTI's clock is: torch.profiler leaves it counting the processor's cycles, not ns."""
        self._origin = self._ticks()
        if abs(_ns_a_tick(self._ticks, _GLANCE_NS) - 1) > _OFF:
            self._rate = self._cycle = self._cycle or _ns_a_tick(self._ticks, _LOOK_NS)
        else:
            self._rate = 1.0

    def _in_ns(self, records: Records) -> Records:
        if self._rate == 1.0:
            return records
        start, end = (
            self._origin + np.rint((times - self._origin) * self._rate).astype(np.int64)
            for times in (records.start, records.end)
        )
        return records._replace(start=start, end=end)

    def _requested(self, buffer: Any, size: Any, most: Any) -> None:
        block = self._free.pop() if self._free else ctypes.create_string_buffer(_BUFFER + 8)
        address = (ctypes.addressof(block) + 7) & ~7
        self._out[address] = block
        buffer[0], size[0], most[0] = address, _BUFFER, 0

    def _completed(self, _context: Any, _stream: int, address: int, _size: int, valid: int) -> None:
        block = self._out.pop(address, None)  # another tool in this process may have been handed one of its own
        if block is not None:
            self._full.append((block, valid))

    def _decoded(self, block: ctypes.Array[Any], valid: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """The records of one buffer by kind."""
        offset = -ctypes.addressof(block) & 7
        base = ctypes.addressof(block) + offset
        data = np.frombuffer(memoryview(block), dtype=np.uint8)[offset : offset + valid]
        return activity.decoded(data, self._sizes, lambda place: self._size(base, valid, place))

    def _size(self, base: int, valid: int, place: int) -> int | None:
        """How long the record at `place` is: CUPTI is asked for the next one; None where there is none."""
        record = c_void_p(base + place)
        found = self.cupti.cuptiActivityGetNextRecord(c_void_p(base), c_size_t(valid), byref(record))
        return None if found else (record.value or 0) - base - place

    def _call(self, name: str, *arguments: Any) -> None:
        access.checked(self.cupti, name, *arguments)


def _ns_a_tick(ticks: Callable[[], int], for_ns: int) -> float:
    """The host's ns in a tick of a clock, over so long a time; 1 for a clock that stands."""
    tries = []
    for _ in range(2):
        begun = [(perf_counter_ns(), ticks()) for _ in range(5)][-1]
        while (now := perf_counter_ns()) - begun[0] < for_ns:
            pass
        tries.append((now - begun[0]) / max(1, ticks() - begun[1]))
    rate = min(tries)
    return 1.0 if rate > for_ns / 2 else rate


class Recording:
    """What `recording()` hands out; `records` are there once its `with` has ended."""

    def __init__(self, log: _Log) -> None:
        self._log = log
        self.records = activity.joined([], 0)

    def now(self) -> int:
        """The time on the records' clock, ns."""
        return self._log.now()


@contextmanager
def recording() -> Iterator[Recording]:
    """Take records of the kernels inside; their work must be done before it ends. Raises NoRecordsError."""
    _take()
    try:
        log = _log()
        found = Recording(log)
        log.begin()
        try:
            yield found
        except BaseException:
            with suppress(NoRecordsError):  # the error of the code inside is the one to tell
                found.records = log.end()
            raise
        found.records = log.end()
    finally:
        access.in_use.release()


class Recorder:
    """Records from now on, with marks among the launches; nothing waits until `collect`.

    A mark is a fill of four bytes on a stream of its own, whose value comes back in its record: from the numbers
    that CUPTI gives to CUDA calls in the order of calling it follows between which marks each kernel was launched.
    With `launches` the thread of each launch is recorded, too, at 1.5 µs more a launch (CUPTI 13, H200).
    Raises NoRecordsError where records cannot be had.
    """

    def __init__(self, launches: bool) -> None:
        _take()
        try:
            self._log = _log()
            self._fills = driver.Fills()
            self._log.begin(launches)
        except BaseException:
            access.in_use.release()
            raise
        self.launches = launches
        self._numbers = itertools.count()
        self._codes: dict[int, int] = {}

    def now(self) -> int:
        """The time on the records' clock, ns."""
        return self._log.now()

    def mark(self, code: int) -> None:
        """Between what this thread launched before and what it will launch: a mark that says `code`."""
        number = next(self._numbers)
        self._codes[number] = code
        self._fills.fill(_TAG | (number & _UNTAGGED))

    def stop(self) -> None:
        """Record no more; never waits."""
        self._log.stop()

    def collect(self) -> Launched:
        """What was recorded; all that was launched until `stop` must be done. Raises NoRecordsError."""
        try:
            records, fills, calls = self._log.parts()
        finally:
            access.in_use.release()
        return launched(records, fills, calls, self._codes)


def launched(records: Records, fills: dict[str, Ints], calls: dict[str, Ints], codes: dict[int, int]) -> Launched:
    """The records without the marks, and the marks in the order of calling; `codes` by the marks' numbers."""
    number = fills["value"] & _UNTAGGED
    known = np.array([int(n) in codes for n in number], dtype=bool)
    ours = (fills["value"] & ~_UNTAGGED == _TAG) & known
    order = np.flatnonzero(ours)[np.argsort(fills["correlation"][ours], kind="stable")]
    by_call = np.argsort(calls["correlation"], kind="stable")
    return Launched(
        records.where(~np.isin(records.correlation, fills["correlation"][order])),
        np.array([codes[int(n)] for n in _unwrapped(number[order])], dtype=np.int64),
        fills["correlation"][order],
        calls["correlation"][by_call],
        calls["thread"][by_call],
    )


def _unwrapped(numbers: Ints) -> Ints:
    """Numbers that rise but for the disorder of a few threads, of which only the lower bits are left."""
    lap, steps = _UNTAGGED + 1, np.diff(numbers, prepend=numbers[:1])
    laps = np.cumsum((2 * steps < -lap).astype(np.int64) - (2 * steps > lap))
    return np.asarray(numbers + lap * laps)


def _take() -> None:
    """Be the one in this process that records, or raise NoRecordsError."""
    access.refuse_where_held()
    if not access.in_use.acquire(blocking=False):
        raise NoRecordsError(
            "kernel records are being taken already: by a profile around this one, or by another thread"
        )


@functools.cache
def _log() -> _Log:
    """The log. Raises NoRecordsError where there is no libcupti."""
    return _Log(access.library())
