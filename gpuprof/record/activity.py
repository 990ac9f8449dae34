"""CUPTI's activity records: their layouts, and buffers of them decoded in bulk into columns.

The layouts are those of CUPTI 12 and 13 (cupti_activity.h: records only ever grow at the end).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

COPY, FILL, DRIVER, RUNTIME, KERNEL = 1, 2, 4, 5, 10  # CUPTI_ACTIVITY_KIND_MEMCPY, _MEMSET, …, _CONCURRENT_KERNEL
WORK = (KERNEL, COPY, FILL)
CALLS = (DRIVER, RUNTIME)
_START = {"start": ("<u8", 16), "end": ("<u8", 24)}
_API = {"start": ("<u8", 8), "end": ("<u8", 16), "thread": ("<u4", 28), "correlation": ("<u4", 32)}
LAYOUTS: dict[int, dict[str, tuple[str, int]]] = {
    KERNEL: _START
    | {"device": ("<u4", 40), "stream": ("<u4", 48), "correlation": ("<u4", 92), "name": ("<u8", 104)}
    | {"node": ("<u8", 144)}
    | {"grid": ("(3,)<i4", 52), "block": ("(3,)<i4", 64), "registers": ("<u2", 6)},
    COPY: _START
    | {"device": ("<u4", 32), "stream": ("<u4", 40), "correlation": ("<u4", 44)}
    | {"copy": ("u1", 4), "bytes": ("<u8", 8)},
    FILL: _START
    | {"device": ("<u4", 32), "stream": ("<u4", 40), "correlation": ("<u4", 44)}
    | {"value": ("<u4", 4), "bytes": ("<u8", 8)},
    DRIVER: _API,
    RUNTIME: _API,
}
_COPIES = {1: "copy to the device", 2: "copy to the host", 8: "copy on the device"}  # CUpti_ActivityMemcpyKind

# The calls that launch work (cupti_driver_cbid.h, cupti_runtime_cbid.h), with those for per-thread default streams.
LAUNCHES = {
    DRIVER: (
        *(307, 442, 652, 653, 477, 478, 514, 515),  # cuLaunchKernel, …Ex, …Cooperative, cuGraphLaunch
        *(276, 277, 278, 279, 280, 281, 248, 305, 306, 418, 421, 422, 423, 289, 291, 319),  # cuMemcpy…
        *(216, 218, 220, 222, 224, 226, 249, 250, 251, 428, 429, 430),  # cuMemset…
    ),
    RUNTIME: (211, 214, 430, 431, 269, 270, 311, 312, 31, 32, 41, 44, 225, 228, 49, 51, 233, 235),
}
MOST_CALLS = 1200  # more numbers of calls than CUPTI 13 has


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
    node: Ints
    """CUPTI's number of the node of a graph that it is: they rise in the order of capture; 0 for none, or a copy."""
    dropped: int
    """Records that CUPTI says it had no room for, and those with impossible times."""

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each."""
        return tuple(self.known[i] for i in self.name)

    def where(self, chosen: Any) -> Records:
        """The records chosen by a mask or by positions."""
        kept = {field: getattr(self, field)[chosen] for field in COLUMNS}
        return self._replace(**kept)


COLUMNS = ("name", "start", "end", "stream", "device", "threads", "registers", "bytes", "correlation", "node")


def decoded(
    data: NDArray[np.uint8], sizes: dict[int, int], size_at: Callable[[int], int | None]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The records of one buffer by kind: their places first, then all fields of a kind in one go."""
    for kind, found in places(data, sizes, size_at).items():
        if found and kind in LAYOUTS:
            yield kind, fields(data, np.array(found), kind)


def places(
    data: NDArray[np.uint8], sizes: dict[int, int], size_at: Callable[[int], int | None]
) -> dict[int, list[int]]:
    """Where in a buffer the records of each kind begin.

    `size_at` (CUPTI, asked for the record after the one at a place; None where there is none) is called the first
    time a kind is seen; then `sizes` has it, and Python walks five times faster.
    """
    valid = len(data)
    found: dict[int, list[int]] = {}
    words = data[: valid & ~3].view(np.uint32).data
    place = 0
    while place + 4 <= valid:
        kind = words[place >> 2]
        size = sizes.get(kind)
        if size is None:
            size = size_at(place)
            if size is None:  # the last record of the buffer; the next one of its kind will tell
                found.setdefault(kind, []).append(place)
                break
            if size <= 0 or size & 3:
                break
            sizes[kind] = size
        found.setdefault(kind, []).append(place)
        place += size
    return found


def fields(data: NDArray[np.uint8], at: Ints, kind: int) -> dict[str, Any]:
    """Columns of the records of one kind at these places; copied: the buffer is used again."""
    layout = LAYOUTS[kind]
    size = max(offset + np.dtype(form).itemsize for form, offset in layout.values())
    form = np.dtype({"names": list(layout), "formats": [f for f, _ in layout.values()],
                     "offsets": [o for _, o in layout.values()], "itemsize": size})  # fmt: skip
    rows = _rows(data, at, size).view(form)[:, 0]
    found: dict[str, Any] = {name: rows[name].astype(np.int64) for name in layout if name not in ("grid", "block")}
    if kind in CALLS:
        return found
    if kind == KERNEL:
        found["threads"] = rows["grid"].prod(axis=1, dtype=np.int64) * rows["block"].prod(axis=1, dtype=np.int64)
        found["known"], found["name"] = _distinct(found["name"], _name)
    elif kind == COPY:
        found["known"], found["name"] = _distinct(found["copy"], lambda code: _COPIES.get(code, "copy"))
    else:
        found["known"], found["name"] = ("fill",), np.zeros(len(rows), dtype=np.int64)
    for name in COLUMNS:
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


def columns(parts: list[dict[str, Any]], names: tuple[str, ...]) -> dict[str, Ints]:
    """Columns of all parts, one after another; empty ones of none."""
    return {n: np.concatenate([p[n] for p in parts]) if parts else np.zeros(0, dtype=np.int64) for n in names}


def joined(parts: list[dict[str, Any]], dropped: int) -> Records:
    """What `fields` gave of all buffers as records, in the order of beginning; the impossible counted as dropped."""
    known = {name: position for position, name in enumerate(dict.fromkeys(n for part in parts for n in part["known"]))}
    values = {c: np.concatenate([p[c] for p in parts]) if parts else np.zeros(0, dtype=np.int64) for c in COLUMNS}
    if parts:
        values["name"] = np.concatenate([np.array([known[n] for n in part["known"]])[part["name"]] for part in parts])
    possible = (values["start"] > 0) & (values["end"] >= values["start"])
    order = np.argsort(values["start"], kind="stable")
    order = order[possible[order]]
    chosen = {name: column[order] for name, column in values.items()}
    return Records(tuple(known), **chosen, dropped=dropped + int((~possible).sum()))
