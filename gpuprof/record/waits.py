"""Where the host waits for the GPU: each call of CUDA that waits, or may, with the user's line that made it.

CUPTI calls back where such a call begins and ends, on the thread that makes it: the Python frame beneath the callback
is the one that made the call.
"""

from __future__ import annotations

import linecache
import threading
from array import array
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from ctypes import c_uint32, c_uint64
from functools import cached_property
from time import perf_counter_ns
from types import FrameType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpuprof.record import cupti
from gpuprof.record.apis import CALLS, LAUNCHES, RUNTIME, SYNCHRONISE, WAYS
from gpuprof.record.callbacks import ENTER, Data, subscribed
from gpuprof.record.cupti import NoRecordsError
from gpuprof.record.places import Place, Places

_one = threading.Lock()
_ISSUED_NS = 20_000  # issuing an asynchronous copy takes less, what was waited for more
_FASTEST = 500  # bytes a ns: no host's link to a GPU carries more
_COLUMNS = ("call", "way", "place", "thread", "start", "end", "own", "bytes")


class Wait(NamedTuple):
    """A call of CUDA that waits, or may; a copy and the synchronisation right after it on the same line are one."""

    api: str
    """CUDA's name for it; "cudaMemcpyAsync + cudaStreamSynchronize" for what is one with its synchronisation."""
    kind: str
    """synchronise, allocate, free, copy, copy to the host, to the device, on the device or on the host."""
    file: str
    """That of the innermost of the user's frames, with its line and function; "" and 0 on a thread without any."""
    line: int
    function: str
    thread: int
    start_ns: int
    """The host's `perf_counter_ns`."""
    end_ns: int
    took_ns: int
    """The host's time in the call, without that of watching it."""
    bytes: int
    """Copied or allocated; 0 where the call's arguments do not say it simply."""

    @property
    def waited(self) -> bool:
        """Whether it held the host.

        An asynchronous copy that was merely issued did not: in under 20 µs, or in less than its bytes can take.
        """
        issued = self.api.endswith("Async") or self.kind == WAYS[3]
        return not issued or self.took_ns > max(_ISSUED_NS, self.bytes // _FASTEST)


class WaitLine(NamedTuple):
    """The waits of one kind on one line."""

    file: str
    line: int
    function: str
    source: str
    """The line's text; "" where there is none to be had."""
    kind: str
    api: str
    times: int
    seconds: float
    """In all."""
    longest: float
    bytes: int


class Launches(NamedTuple):
    """Which line launched what: `table[places[i]]` launched the kernel whose record has the correlation `ids[i]`."""

    ids: NDArray[np.int64]
    """Ascending."""
    places: NDArray[np.int64]
    table: tuple[Place, ...]


class Watch:
    """What `watching()` hands out; read it once its `with` has ended."""

    def __init__(self, also: frozenset[str]) -> None:
        self._places = Places(also)
        self._rows = array("q")
        self._launched = array("q")
        self._open: dict[int, list[int]] = {}
        self._last = -1
        self.missed = 0
        """Callbacks that failed; 0 unless something is wrong here."""

    @cached_property
    def calls(self) -> tuple[Wait, ...]:
        """All calls that were seen, those that did not wait too, in the order they began."""
        rows = np.array(self._rows, dtype=np.int64).reshape(-1, len(_COLUMNS))
        ordered = rows[np.argsort(rows[:, _COLUMNS.index("start")], kind="stable")]
        table = self._places.table
        return merged(_wait(row, table) for row in ordered.tolist())

    @property
    def waits(self) -> tuple[Wait, ...]:
        """Those that held the host."""
        return tuple(call for call in self.calls if call.waited)

    @cached_property
    def launches(self) -> Launches:
        """The launches, where they were asked for."""
        rows = np.array(self._launched, dtype=np.int64).reshape(-1, 2)
        ids, first = np.unique(rows[:, 0], return_index=True)
        return Launches(ids, rows[first, 1], tuple(self._places.table))

    def see(self, key: int, data: Data, frame: FrameType | None) -> None:
        """One callback. A driver's call inside one of the runtime's is part of that."""
        now = perf_counter_ns()
        if key in LAUNCHES:
            self._see_launch(data, frame)
            return
        thread = threading.get_ident()
        opened = self._open.get(thread)
        if data.site == ENTER:
            if opened is None or opened[0] < RUNTIME or key >= RUNTIME:  # else it is inside
                self._open[thread] = began = [key, *_arguments(key, data.parameters), 0, 0]
                began[-1] = perf_counter_ns()
                return
        elif opened and opened[0] == key:
            del self._open[thread]
            _, way, size, own, start = opened
            if (place := self._places.of(frame)) >= 0:
                self._rows.extend((key, way, place, thread, start, now, own, size))
            return
        if opened:
            opened[3] += perf_counter_ns() - now

    def _see_launch(self, data: Data, frame: FrameType | None) -> None:
        number = data.correlation
        if data.site == ENTER and number != self._last:  # the driver's inside the runtime's has the same
            self._last = number
            if (place := self._places.of(frame)) >= 0:
                self._launched.extend((number, place))


@contextmanager
def watching(also: frozenset[str] = frozenset(), *, launches: bool = False) -> Iterator[Watch]:
    """Find the calls inside, on every thread, by which the host waits; their work must be done before it ends.

    also: top-level packages whose code counts as the user's, such as those of the layers profiled.
    launches: note the line of each launch too.

    A kernel recording of this process may be open around it, and must then outlive it. Raises NoRecordsError where
    CUPTI cannot be had, or another watches.
    """
    cupti.library()
    cupti.refuse_where_held()
    if not _one.acquire(blocking=False):
        raise NoRecordsError("this process is being watched for waits already; one at a time")
    watch = Watch(also)
    with ExitStack() as stack:
        stack.callback(_one.release)
        if cupti.in_use.acquire(blocking=False):
            stack.callback(cupti.in_use.release)
            stack.callback(cupti.detach)
        stack.enter_context(subscribed(watch, [*CALLS, *(LAUNCHES if launches else ())]))
        yield watch


def merged(calls: Iterable[Wait]) -> tuple[Wait, ...]:
    """`calls`, in the order they began, where a copy and the synchronisation right after it on its line are one."""
    found: list[Wait] = []
    latest: dict[int, int] = {}
    for call in calls:
        at = latest.get(call.thread, -1)
        copy = found[at] if at >= 0 else None
        if copy and call.kind == SYNCHRONISE and copy.api.endswith("Async") and copy[2:5] == call[2:5]:
            api, took = f"{copy.api} + {call.api}", copy.took_ns + call.took_ns
            found[at] = copy._replace(api=api, end_ns=call.end_ns, took_ns=took)
        else:
            latest[call.thread] = len(found)
            found.append(call)
    return tuple(found)


def summary(waits: Iterable[Wait]) -> list[WaitLine]:
    """The waits by kind and line, the dearest first."""
    groups: dict[tuple[str, str, int], list[Wait]] = {}
    for wait in waits:
        groups.setdefault((wait.kind, wait.file, wait.line), []).append(wait)
    return sorted((_line(group) for group in groups.values()), key=lambda row: -row.seconds)


def _line(group: list[Wait]) -> WaitLine:
    first = group[0]
    took = [wait.took_ns * 1e-9 for wait in group]
    return WaitLine(
        first.file,
        first.line,
        first.function,
        linecache.getline(first.file, first.line).strip(),
        first.kind,
        ", ".join(sorted({wait.api for wait in group})),
        len(group),
        sum(took),
        max(took),
        sum(wait.bytes for wait in group),
    )


def _wait(row: list[int], table: list[Place]) -> Wait:
    key, way, place, thread, start, end, own, size = row
    call = CALLS[key]
    return Wait(call.name, WAYS.get(way, call.kind), *table[place], thread, start, end, end - start - own, size)


def _arguments(key: int, parameters: int | None) -> tuple[int, int]:
    """Which way a copy goes (cudaMemcpyKind, or -1), and the bytes, of the call with these parameters."""
    _, _, size_at, way_at = CALLS[key]
    if parameters is None:
        return -1, 0
    way = c_uint32.from_address(parameters + way_at).value if way_at >= 0 else -1
    return way, c_uint64.from_address(parameters + size_at).value if size_at >= 0 else 0
