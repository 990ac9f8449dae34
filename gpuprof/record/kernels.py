"""Kernel records: when each kernel and copy ran, by CUPTI's own clock. One log a process.

libcupti is called directly: its records come in buffers, which are decoded in bulk when asked for, and a launch
pays nothing for Python. The layouts are those of CUPTI 12 and 13 (cupti_activity.h: records only ever grow at the end).
"""

from __future__ import annotations

import ctypes
import functools
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ctypes import CFUNCTYPE, POINTER, byref, c_char_p, c_size_t, c_uint32, c_uint64, c_void_p
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpuprof.record.gate import injected_tool

_BUFFER = 4 << 20
_COPY, _FILL, _KERNEL = 1, 2, 10  # CUPTI_ACTIVITY_KIND_MEMCPY, _MEMSET, _CONCURRENT_KERNEL
_HELD_BY_ANOTHER = 39  # CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED
_START = {"start": ("<u8", 16), "end": ("<u8", 24)}
_LAYOUTS: dict[int, dict[str, tuple[str, int]]] = {
    _KERNEL: _START
    | {"device": ("<u4", 40), "stream": ("<u4", 48), "name": ("<u8", 104)}
    | {"grid": ("(3,)<i4", 52), "block": ("(3,)<i4", 64)},
    _COPY: _START | {"device": ("<u4", 32), "stream": ("<u4", 40), "copy": ("u1", 4)},
    _FILL: _START | {"device": ("<u4", 32), "stream": ("<u4", 40)},
}
_COPIES = {1: "copy to the device", 2: "copy to the host", 8: "copy on the device"}  # CUpti_ActivityMemcpyKind

_Requested = CFUNCTYPE(None, POINTER(c_void_p), POINTER(c_size_t), POINTER(c_size_t))
_Completed = CFUNCTYPE(None, c_void_p, c_uint32, c_void_p, c_size_t, c_size_t)


class Records(NamedTuple):
    """Kernels, copies and fills in the order in which they began."""

    names: tuple[str, ...]
    """Kernels by their mangled name."""
    start: NDArray[np.int64]
    """ns on CUPTI's clock."""
    end: NDArray[np.int64]
    stream: NDArray[np.int64]
    """CUPTI's number of the stream, which is not its address."""
    device: NDArray[np.int64]
    threads: NDArray[np.int64]
    """Threads launched; 0 for a copy or fill."""
    dropped: int
    """Records that CUPTI says it had no room for, and those with impossible times."""


class NoRecordsError(RuntimeError):
    """Kernel records cannot be had here; the text says why."""


class _Log:
    """The process's one subscription. CUPTI keeps what it is given: buffers and callbacks live as long as this."""

    def __init__(self, cupti: ctypes.CDLL) -> None:
        self.cupti = cupti
        self._free: list[ctypes.Array[Any]] = []
        self._out: dict[int, ctypes.Array[Any]] = {}
        self._full: list[tuple[ctypes.Array[Any], int]] = []
        self._callbacks = (_Requested(self._requested), _Completed(self._completed))
        self.lock = threading.Lock()

    def begin(self) -> None:
        """Ask for records; where one kind of them cannot be had, for none."""
        self._full.clear()
        self._call("cuptiActivityRegisterCallbacks", *self._callbacks)
        try:
            for kind in _LAYOUTS:
                self._call("cuptiActivityEnable", kind)
        except NoRecordsError:
            self.detach()
            raise

    def end(self) -> Records:
        """What was recorded; all work must be done. Raises NoRecordsError where it cannot be had; detaches anyway."""
        dropped = c_size_t()
        try:
            self._call("cuptiActivityFlushAll", 1)
            self.cupti.cuptiActivityGetNumDroppedRecords(None, 0, byref(dropped))
            parts = [part for buffer, size in self._full for part in self._decoded(buffer, size)]
        finally:
            self.detach()
        self._free += [buffer for buffer, _ in self._full]
        self._full = []
        return _joined(parts, dropped.value)

    def detach(self) -> None:
        """Take CUPTI off the process, else something of it stays on every launch; whatever state it is in."""
        for kind in _LAYOUTS:
            self.cupti.cuptiActivityDisable(kind)
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

    def _decoded(self, block: ctypes.Array[Any], valid: int) -> Iterator[dict[str, Any]]:
        """The records of one buffer by kind: their addresses first, then all fields of a kind in one go."""
        base = (ctypes.addressof(block) + 7) & ~7
        record = c_void_p()
        offsets: dict[int, list[int]] = {kind: [] for kind in _LAYOUTS}
        following = self.cupti.cuptiActivityGetNextRecord
        while following(c_void_p(base), c_size_t(valid), byref(record)) == 0:
            address = record.value or 0
            offsets.get(c_uint32.from_address(address).value, []).append(address - base)
        data = np.frombuffer(memoryview(block), dtype=np.uint8)[base - ctypes.addressof(block) :]
        for kind, places in offsets.items():
            if places:
                yield _fields(data, np.array(places), kind)

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self.cupti, name)(*arguments)
        if status == _HELD_BY_ANOTHER:
            raise NoRecordsError("another tool in this process holds CUPTI (a profiler, a debugger)")
        if status:
            text = c_char_p()
            self.cupti.cuptiGetResultString(status, byref(text))
            raise NoRecordsError(f"{name}: {(text.value or b'').decode()} ({status})")


def _fields(data: NDArray[np.uint8], places: NDArray[np.int64], kind: int) -> dict[str, Any]:
    """Columns of the records of one kind at these places; names as text, and copied: the buffer is used again."""
    layout = _LAYOUTS[kind]
    size = max(offset + np.dtype(form).itemsize for form, offset in layout.values())
    form = np.dtype({"names": list(layout), "formats": [f for f, _ in layout.values()],
                     "offsets": [o for _, o in layout.values()], "itemsize": size})  # fmt: skip
    rows = data[places[:, None] + np.arange(size)].copy().view(form)[:, 0]
    found: dict[str, Any] = {name: rows[name].astype(np.int64) for name in ("start", "end", "stream", "device")}
    if kind == _KERNEL:
        known = {address: _name(address) for address in set(rows["name"].tolist())}
        found["names"] = [known[address] for address in rows["name"].tolist()]
        found["threads"] = rows["grid"].prod(axis=1, dtype=np.int64) * rows["block"].prod(axis=1, dtype=np.int64)
    elif kind == _COPY:
        found["names"] = [_COPIES.get(int(code), "copy") for code in rows["copy"]]
    else:
        found["names"] = ["fill"] * len(rows)
    found.setdefault("threads", np.zeros(len(rows), dtype=np.int64))
    return found


def _name(address: int) -> str:
    """A kernel's name; CUPTI keeps the text for as long as the module is loaded."""
    return ctypes.string_at(address).decode(errors="replace") if address else "?"


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
    log = _log()
    if isinstance(log, str):
        raise NoRecordsError(log)
    if holder := "torch.profiler" if _torch_profiles() else injected_tool():
        raise NoRecordsError(f"{holder} is recording in this process, and CUPTI serves one at a time")
    if not log.lock.acquire(blocking=False):
        raise NoRecordsError("another thread of this process is taking kernel records")
    found = Recording(log)
    try:
        log.begin()
        try:
            yield found
        except BaseException:
            with suppress(NoRecordsError):  # the error of the code inside is the one to tell
                found.records = log.end()
            raise
        found.records = log.end()
    finally:
        log.lock.release()


def _torch_profiles() -> bool:
    """Whether a `torch.profiler` session is open."""
    torch: Any = sys.modules.get("torch")
    return bool(torch and getattr(torch.autograd.profiler, "_is_profiler_enabled", False))


def _joined(parts: list[dict[str, Any]], dropped: int) -> Records:
    names = [name for part in parts for name in part["names"]]
    columns = ("start", "end", "stream", "device", "threads")
    values = {c: np.concatenate([p[c] for p in parts]) if parts else np.zeros(0, dtype=np.int64) for c in columns}
    possible = (values["start"] > 0) & (values["end"] >= values["start"])
    order = np.argsort(values["start"], kind="stable")
    order = order[possible[order]]
    return Records(
        tuple(names[i] for i in order),
        **{name: column[order] for name, column in values.items()},
        dropped=dropped + int((~possible).sum()),
    )


@functools.cache
def _log() -> _Log | str:
    """The log, or why there is none."""
    for place in _places():
        try:
            return _Log(ctypes.CDLL(place))
        except OSError:
            continue
    return "libcupti was not found; it comes with: pip install nvidia-cuda-cupti (CUDA 13) or nvidia-cuda-cupti-cu12"


def _places() -> Iterator[str]:
    """Where libcupti may be: loaded already, in NVIDIA's wheels, where the loader looks, in the toolkit."""
    maps = Path("/proc/self/maps")
    if maps.exists():
        lines = maps.read_text(encoding="utf-8", errors="replace").splitlines()
        yield from {line.split()[-1] for line in lines if "libcupti.so" in line}
    if spec := find_spec("nvidia"):
        for folder in spec.submodule_search_locations or ():
            yield from map(
                str, sorted(Path(folder).glob("*/lib/libcupti.so.*"), key=lambda file: file.suffix, reverse=True)
            )
    yield from ("libcupti.so.13", "libcupti.so.12", "libcupti.so")
    yield from map(str, sorted(Path("/usr/local").glob("cuda*/**/libcupti.so.1?"), reverse=True))
