"""Kernel records: when each kernel and copy ran, by CUPTI's own clock. One log a process.

libcupti is called directly: its records come in buffers, which are decoded in bulk when asked for, and a launch
pays nothing for Python. The layouts are those of CUPTI 12 and 13 (cupti_activity.h: records only ever grow at the end).
"""

from __future__ import annotations

import ctypes
import functools
import itertools
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ctypes import CFUNCTYPE, POINTER, byref, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpuprof.record import cupti as access
from gpuprof.record import driver
from gpuprof.record.cupti import NoRecordsError

__all__ = ["Launched", "NoRecordsError", "Recorder", "Recording", "Records", "recording"]

Ints = NDArray[np.int64]

_BUFFER = 4 << 20
_COPY, _FILL, _DRIVER, _RUNTIME, _KERNEL = 1, 2, 4, 5, 10  # CUPTI_ACTIVITY_KIND_MEMCPY, _MEMSET, …, _CONCURRENT_KERNEL
_WORK = (_KERNEL, _COPY, _FILL)
_START = {"start": ("<u8", 16), "end": ("<u8", 24)}
_API = {"start": ("<u8", 8), "end": ("<u8", 16), "thread": ("<u4", 28), "correlation": ("<u4", 32)}
_LAYOUTS: dict[int, dict[str, tuple[str, int]]] = {
    _KERNEL: _START
    | {"device": ("<u4", 40), "stream": ("<u4", 48), "correlation": ("<u4", 92), "name": ("<u8", 104)}
    | {"grid": ("(3,)<i4", 52), "block": ("(3,)<i4", 64), "registers": ("<u2", 6)},
    _COPY: _START
    | {"device": ("<u4", 32), "stream": ("<u4", 40), "correlation": ("<u4", 44)}
    | {"copy": ("u1", 4), "bytes": ("<u8", 8)},
    _FILL: _START
    | {"device": ("<u4", 32), "stream": ("<u4", 40), "correlation": ("<u4", 44)}
    | {"value": ("<u4", 4), "bytes": ("<u8", 8)},
    _DRIVER: _API,
    _RUNTIME: _API,
}
_COPIES = {1: "copy to the device", 2: "copy to the host", 8: "copy on the device"}  # CUpti_ActivityMemcpyKind

# The calls that launch work (cupti_driver_cbid.h, cupti_runtime_cbid.h), with those for per-thread default streams.
_LAUNCHES = {
    _DRIVER: (
        *(307, 442, 652, 653, 477, 478, 514, 515),  # cuLaunchKernel, …Ex, …Cooperative, cuGraphLaunch
        *(276, 277, 278, 279, 280, 281, 248, 305, 306, 418, 421, 422, 423, 289, 291, 319),  # cuMemcpy…
        *(216, 218, 220, 222, 224, 226, 249, 250, 251, 428, 429, 430),  # cuMemset…
    ),
    _RUNTIME: (211, 214, 430, 431, 269, 270, 311, 312, 31, 32, 41, 44, 225, 228, 49, 51, 233, 235),
}
_MOST_CALLS = 1200  # more numbers of calls than CUPTI 13 has
_TAG, _UNTAGGED = 0xA5000000, 0x00FFFFFF  # a mark's value: what tells it from other fills, and its number

_Requested = CFUNCTYPE(None, POINTER(c_void_p), POINTER(c_size_t), POINTER(c_size_t))
_Completed = CFUNCTYPE(None, c_void_p, c_uint32, c_void_p, c_size_t, c_size_t)


class Records(NamedTuple):
    """Kernels, copies and fills in the order in which they began; all columns are of one length."""

    known: tuple[str, ...]
    """The distinct names; kernels by their mangled one."""
    name: Ints
    """Positions in `known`."""
    start: Ints
    """ns on CUPTI's clock."""
    end: Ints
    stream: Ints
    """CUPTI's number of the stream, which is not its address."""
    device: Ints
    threads: Ints
    """Threads launched; 0 for a copy or fill."""
    registers: Ints
    """A thread's; 0 for a copy or fill."""
    bytes: Ints
    """Copied or filled; 0 for a kernel."""
    correlation: Ints
    """The number of the CUDA call that launched it: they rise in the order of calling."""
    dropped: int
    """Records that CUPTI says it had no room for, and those with impossible times."""

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each."""
        return tuple(self.known[i] for i in self.name)

    def where(self, chosen: Any) -> Records:
        """The records chosen by a mask or by positions."""
        columns = {field: getattr(self, field)[chosen] for field in _COLUMNS}
        return self._replace(**columns)


_COLUMNS = ("name", "start", "end", "stream", "device", "threads", "registers", "bytes", "correlation")


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
        self._sizes: dict[int, int] = {}

    def begin(self, launches: bool = False) -> None:
        """Ask for records, with `launches` also of the calls that launch; where one kind cannot be had, for none."""
        self._full.clear()
        self._call("cuptiActivityRegisterCallbacks", *self._callbacks)
        try:
            for kind in _WORK:
                self._call("cuptiActivityEnable", kind)
            for kind, single in ((_DRIVER, "Driver"), (_RUNTIME, "Runtime")) if launches else ():
                self._call("cuptiActivityEnable", kind)
                self._only(f"cuptiActivityEnable{single}Api", _LAUNCHES[kind])
        except (NoRecordsError, AttributeError) as error:
            self.detach()
            raise NoRecordsError(str(error)) from None

    def _only(self, name: str, wanted: tuple[int, ...]) -> None:
        """Leave of all calls of a kind only those wanted: enabled one by one, CUPTI 13 records none."""
        choose = getattr(self.cupti, name)
        for number in set(range(1, _MOST_CALLS)) - set(wanted):
            if choose(c_uint32(number), c_uint8(0)):
                break  # beyond the last

    def stop(self) -> None:
        """Record no more launches; never waits, and what was launched is recorded when it is done."""
        for kind in _LAYOUTS:
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
        self._free += [buffer for buffer, _ in self._full]
        self._full = []
        work = [fields for kind, fields in parts if kind in _WORK]
        fills = [fields for kind, fields in parts if kind == _FILL]
        calls = [fields for kind, fields in parts if kind in _API_KINDS]
        return (
            _joined(work, dropped.value),
            _columns(fills, ("value", "correlation")),
            _columns(calls, ("correlation", "thread")),
        )

    def detach(self) -> None:
        """Take CUPTI off the process, else something of it stays on every launch; whatever state it is in."""
        self.stop()
        self.cupti.cuptiFinalize()

    def now(self) -> int:
        """The time on CUPTI's clock, ns."""
        ns = c_uint64()
        self._call("cuptiGetTimestamp", byref(ns))
        return ns.value

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
        """The records of one buffer by kind: their addresses first, then all fields of a kind in one go."""
        offset = -ctypes.addressof(block) & 7
        data = np.frombuffer(memoryview(block), dtype=np.uint8)[offset : offset + valid]
        for kind, places in self._places(ctypes.addressof(block) + offset, data).items():
            if places and kind in _LAYOUTS:
                yield kind, _fields(data, np.array(places), kind)

    def _places(self, base: int, data: NDArray[np.uint8]) -> dict[int, list[int]]:
        """Where in a buffer the records of each kind begin.

        CUPTI walks it the first time a kind is seen; then its size is known, and Python walks five times faster.
        """
        valid = len(data)
        places: dict[int, list[int]] = {}
        words = data[: valid & ~3].view(np.uint32).data
        place, sizes = 0, self._sizes
        while place + 4 <= valid:
            kind = words[place >> 2]
            size = sizes.get(kind)
            if size is None:
                size = self._size(base, valid, place)
                if size is None:  # the last record of the buffer; the next one of its kind will tell
                    places.setdefault(kind, []).append(place)
                    break
                if size <= 0 or size & 3:
                    break
                sizes[kind] = size
            places.setdefault(kind, []).append(place)
            place += size
        return places

    def _size(self, base: int, valid: int, place: int) -> int | None:
        """How long the record at `place` is: CUPTI is asked for the next one; None where there is none."""
        record = c_void_p(base + place)
        found = self.cupti.cuptiActivityGetNextRecord(c_void_p(base), c_size_t(valid), byref(record))
        return None if found else (record.value or 0) - base - place

    def _call(self, name: str, *arguments: Any) -> None:
        access.checked(self.cupti, name, *arguments)


_API_KINDS = (_DRIVER, _RUNTIME)


def _fields(data: NDArray[np.uint8], places: Ints, kind: int) -> dict[str, Any]:
    """Columns of the records of one kind at these places; copied: the buffer is used again."""
    layout = _LAYOUTS[kind]
    size = max(offset + np.dtype(form).itemsize for form, offset in layout.values())
    form = np.dtype({"names": list(layout), "formats": [f for f, _ in layout.values()],
                     "offsets": [o for _, o in layout.values()], "itemsize": size})  # fmt: skip
    rows = _rows(data, places, size).view(form)[:, 0]
    found: dict[str, Any] = {name: rows[name].astype(np.int64) for name in layout if name not in ("grid", "block")}
    if kind in _API_KINDS:
        return found
    if kind == _KERNEL:
        found["threads"] = rows["grid"].prod(axis=1, dtype=np.int64) * rows["block"].prod(axis=1, dtype=np.int64)
        found["known"], found["name"] = _distinct(found["name"], _name)
    elif kind == _COPY:
        found["known"], found["name"] = _distinct(found["copy"], lambda code: _COPIES.get(code, "copy"))
    else:
        found["known"], found["name"] = ("fill",), np.zeros(len(rows), dtype=np.int64)
    for name in _COLUMNS:
        found.setdefault(name, np.zeros(len(rows), dtype=np.int64))
    return found


def _rows(data: NDArray[np.uint8], places: Ints, size: int) -> NDArray[np.uint8]:
    """The first `size` bytes of the records at these places."""
    short = places + size > len(data)
    if short.any():  # an older CUPTI's record at the very end
        data = np.concatenate([data, np.zeros(size, dtype=np.uint8)])
    steps = np.diff(places)
    if len(steps) and (steps == steps[0]).all() and steps[0] >= size:
        whole = data[places[0] : places[0] + steps[0] * len(places)]
        if len(whole) == steps[0] * len(places):
            return np.ascontiguousarray(whole.reshape(-1, steps[0])[:, :size])
    view = np.lib.stride_tricks.sliding_window_view(data, size)
    return np.ascontiguousarray(view[places])


def _distinct(codes: Ints, text: Any) -> tuple[tuple[str, ...], Ints]:
    """The distinct names behind `codes`, and each one's position among them."""
    values, positions = np.unique(codes, return_inverse=True)
    return tuple(text(int(value)) for value in values), positions.reshape(-1).astype(np.int64)


def _name(address: int) -> str:
    """A kernel's name; CUPTI keeps the text for as long as the module is loaded."""
    return ctypes.string_at(address).decode(errors="replace") if address else "?"


def _columns(parts: list[dict[str, Any]], names: tuple[str, str]) -> dict[str, Ints]:
    return {n: np.concatenate([p[n] for p in parts]) if parts else np.zeros(0, dtype=np.int64) for n in names}


def _joined(parts: list[dict[str, Any]], dropped: int) -> Records:
    known = {name: position for position, name in enumerate(dict.fromkeys(n for part in parts for n in part["known"]))}
    values = {c: np.concatenate([p[c] for p in parts]) if parts else np.zeros(0, dtype=np.int64) for c in _COLUMNS}
    if parts:
        values["name"] = np.concatenate([np.array([known[n] for n in part["known"]])[part["name"]] for part in parts])
    possible = (values["start"] > 0) & (values["end"] >= values["start"])
    order = np.argsort(values["start"], kind="stable")
    order = order[possible[order]]
    columns = {name: column[order] for name, column in values.items()}
    return Records(tuple(known), **columns, dropped=dropped + int((~possible).sum()))


class Recording:
    """What `recording()` hands out; `records` are there once its `with` has ended."""

    def __init__(self, log: _Log) -> None:
        self._log = log
        self.records = _joined([], 0)

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
        np.array([codes[int(n)] for n in number[order]], dtype=np.int64),
        fills["correlation"][order],
        calls["correlation"][by_call],
        calls["thread"][by_call],
    )


def _take() -> None:
    """Be the one in this process that records, or raise NoRecordsError."""
    if tool := access.holder():
        raise NoRecordsError(f"{tool} is recording in this process, and CUPTI serves one at a time")
    if not access.in_use.acquire(blocking=False):
        raise NoRecordsError("another thread of this process is taking kernel records")


@functools.cache
def _log() -> _Log:
    """The log. Raises NoRecordsError where there is no libcupti."""
    return _Log(access.library())
