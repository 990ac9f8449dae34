"""CUDA events as a clock, through CuPy or PyTorch: pooled, queued on the stream in use, read later."""

from __future__ import annotations

import itertools
import threading
import time
from abc import ABC, abstractmethod
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from gpuprof.record import cache, driver
from gpuprof.record.clocks import MANY, MISSING, Ints, look_up
from gpuprof.record.gate import Gate, forbidden
from gpuprof.record.kernels import Recorder, recording

Event = TypeVar("Event")

_AT_FIRST = 2048  # events made when a device is first marked
_TOO_MANY = 1 << 15  # marks waiting before they are read in the midst of what is measured, to have events again
_REBASE_NS = 8_000_000  # event differences are float32 ms: of 8 ms they lose 1 ns, of a second 60 ns


class _EventClock(ABC, Generic[Event]):
    """The bookkeeping both libraries share: a pool, marks in order, one time axis a device.

    A subclass says how an event is made, recorded, asked and compared.
    """

    name = "CUDA events"
    on_device = True
    pool: ClassVar[dict[int, list[Any]]]
    """Events at rest, by device; shared by all clocks of a library, for making one takes longer than recording it."""
    resolution = 0.5e-6  # CUDA Runtime API, cudaEventElapsedTime: "around 0.5 microseconds"

    host = staticmethod(time.perf_counter_ns)

    def __init__(self) -> None:
        self._ns = array("q")
        self._device = array("b")
        self._stream = array("q")
        self._gone = 0
        """Marks with lower numbers are forgotten: where the arrays begin."""
        self._number = itertools.count().__next__
        self._waiting: deque[tuple[int, Event, int, Any]] = deque()
        """Number, event, device and stream of each mark not yet read; about in the order of recording."""
        self._lock = threading.Lock()
        self._base: dict[int, tuple[Event, int]] = {}
        self._at_rest: dict[int, list[Any]] = {}
        """`pool`, of the devices that have a base."""
        self.lost = 0
        """Marks that CUDA could not read, such as one taken while a stream was capturing."""

    def __del__(self) -> None:
        for device, (base, _) in getattr(self, "_base", {}).items():
            self.pool[device].append(base)

    def mark(self, place: Any = None) -> int:
        """The number of an event recorded now on the current stream of the current device."""
        return self.marker()(place)

    def marker(self) -> Callable[[Any], int]:
        """`mark` with all it needs in its own cells: it is called between two layers, where every look up is slow."""
        at_rest, here, record = self._at_rest, self._here, self._record
        next_number, wait_for, another = self._number, self._waiting.append, self._another

        def mark(place: Any = None) -> int:
            device, stream = place or here()
            try:
                event = at_rest[device].pop()
            except LookupError:
                event = another(device, stream)
            record(event, stream)
            number = next_number()
            wait_for((number, event, device, stream))
            return number

        return mark

    def place(self) -> tuple[int, Any]:
        """The current device, and the stream that would be marked."""
        return self._here()

    def tidy(self, at_least: int = MANY) -> None:
        """Read the events that have happened, if so many are waiting."""
        if len(self._waiting) >= at_least:
            with self._lock:
                self._read()

    def wait(self) -> None:
        """Return when every device that was marked has done all its work."""
        for device in list(self._base) or [self._here()[0]]:
            self._synchronize(device)

    def resolve(self, marks: Ints) -> Ints:
        """The time of each mark, ns: on its device's axis, which began at the host's time.

        MISSING for what CUDA could not read: see `lost`; after a CUDA error, all that came after it.
        """
        with self._lock:
            self._read()
        return look_up(self._ns, self._places(marks), MISSING)

    def where(self, marks: Ints) -> tuple[Ints, Ints]:
        """The device ordinal and the stream (its address) of each mark; -1 of one that could not be read yet."""
        with self._lock:
            self._read()
        at = self._places(marks)
        return look_up(self._device, at, -1), look_up(self._stream, at, -1)

    def forget(self, before: int) -> None:
        """Marks with lower numbers will not be asked for any more: what was read of them goes."""
        with self._lock:
            gone = min(max(0, before - self._gone), len(self._ns))
            for column in (self._ns, self._device, self._stream):
                del column[:gone]
            self._gone += gone

    def _places(self, marks: Ints) -> Ints:
        """Where the arrays have them; below 0 for what they have not."""
        return np.where(marks < 0, marks, marks - self._gone)

    def gate(self, limit: float) -> Gate:
        """A gate on the current stream that opens by itself after `limit` seconds."""
        return Gate(self._address(), limit)

    def no_gate(self) -> str:
        """Why no gate may be used now; "" where it may."""
        device, stream = self._here()
        driver.enter(device)
        return forbidden(self._stream_number(stream))

    def capturing(self) -> bool:
        """Whether the stream in use is being captured into a graph."""
        try:
            return driver.capturing(self._stream_number(self._here()[1]))
        except RuntimeError:  # a thread that has no context yet captures nothing
            return False

    def pending(self, mark: int) -> bool:
        """Whether the device has yet to reach a mark."""
        with self._lock:
            found = next((event for number, event, _, _ in reversed(self._waiting) if number == mark), None)
            return found is not None and not self._done(found)

    def settle(self, mark: int) -> None:
        """Return when the device has reached a mark; work on other streams may go on."""
        while self.pending(mark):
            pass

    def launch_empty(self) -> None:
        """Queue a kernel that does nothing."""
        driver.launch("gpuprof_empty", self._address())

    @contextmanager
    def flushing(self) -> Iterator[Callable[[], None]]:
        """A function that queues the writing, then the reading, of twice the L2 cache."""
        self._address()  # the context has to be this thread's
        with cache.flushing(self._address) as flush:
            yield flush

    recording = staticmethod(recording)
    recorder = staticmethod(Recorder)
    rest = staticmethod(time.sleep)

    def _address(self) -> int:
        """The address of the stream in use, for the driver, which wants its context current on this thread."""
        device, stream = self._here()
        driver.enter(device)
        with self._lock:
            self._begin(device, stream)  # a first mark would wait for the device, behind the gate too
        return self._stream_number(stream)

    def _begin(self, device: int, stream: Any) -> None:
        """Start a device's axis: on a drained device an event happens when the host records it."""
        if device in self._base:
            return
        pool = self.pool.setdefault(device, [])
        pool.extend(self._make() for _ in range(len(pool), _AT_FIRST))
        base = pool.pop()
        self._record(base, stream)  # the first record loads what records need
        self._synchronize(device)
        now = self.host()
        self._record(base, stream)
        self._synchronize(device)
        self._base[device] = (base, now)
        self._at_rest[device] = pool

    def _another(self, device: int, stream: Any) -> Event:
        """An event where none is at rest: a new one, for to read those that wait takes longer."""
        with self._lock:
            self._begin(device, stream)
            if len(self._waiting) >= _TOO_MANY:
                self._read()
        try:
            event: Event = self.pool[device].pop()
        except IndexError:
            event = self._make()
        return event

    def _read(self) -> None:
        """Turn events that have happened into ns, oldest first, and put them back into the pool."""
        while self._waiting:
            number, event, device, stream = self._waiting[0]
            base, base_ns = self._base[device]
            try:
                if not self._done(event):
                    return
                ns = base_ns + round(self._elapsed_ms(base, event) * 1e6)
            except RuntimeError:  # recorded in a capture, or CUDA has failed; the event is not used again
                self.lost += 1
                ns = MISSING
            self._waiting.popleft()
            self._note(number, ns, device, self._stream_number(stream))
            if ns - base_ns > _REBASE_NS:
                self._base[device] = (event, ns)
                event = base
            if ns != MISSING:
                self.pool[device].append(event)

    def _note(self, number: int, ns: int, device: int, stream: int) -> None:
        """Keep what was read of a mark, in its place: threads may have put marks down in another order."""
        at = number - self._gone
        if at < 0:
            return  # forgotten before the device had come to it
        while len(self._ns) <= at:
            self._ns.append(MISSING)
            self._device.append(-1)
            self._stream.append(-1)
        self._ns[at], self._device[at], self._stream[at] = ns, device, stream

    @abstractmethod
    def _here(self) -> tuple[int, Any]: ...

    @abstractmethod
    def _stream_number(self, stream: Any) -> int: ...

    @abstractmethod
    def _make(self) -> Event: ...

    @abstractmethod
    def _record(self, event: Event, stream: Any) -> None: ...

    @abstractmethod
    def _done(self, event: Event) -> bool: ...

    @abstractmethod
    def _elapsed_ms(self, start: Event, stop: Event) -> float: ...

    @abstractmethod
    def _synchronize(self, device: int) -> None: ...


class CupyClock(_EventClock[int]):
    """CUDA events on CuPy's current stream, or on the stream at the address given, by the runtime's own handles."""

    pool: ClassVar[dict[int, list[Any]]] = {}
    library = "cupy"

    def __init__(self, stream: int | None = None) -> None:
        super().__init__()
        import cupy

        self._given = stream
        self._cuda = cupy.cuda
        self._runtime = cupy.cuda.runtime
        current, device = cupy.cuda.get_current_stream, cupy.cuda.runtime.getDevice
        if stream is None:
            self._here = self.place = lambda: (device(), current().ptr)  # type: ignore[method-assign] # the shortest way

    def _here(self) -> tuple[int, int]:
        return self._runtime.getDevice(), self._given or 0

    def _stream_number(self, stream: int) -> int:
        return stream

    def _make(self) -> int:
        return int(self._runtime.eventCreate())

    def _record(self, event: int, stream: int) -> None:
        self._runtime.eventRecord(event, stream)

    def _done(self, event: int) -> bool:
        return bool(self._runtime.eventQuery(event) != 600)  # cudaErrorNotReady

    def _elapsed_ms(self, start: int, stop: int) -> float:
        return float(self._runtime.eventElapsedTime(start, stop))

    def _synchronize(self, device: int) -> None:
        with self._cuda.Device(device):
            self._runtime.deviceSynchronize()


class Placed(threading.local):
    """What this thread has to say about where its marks are to be taken."""

    device: int | None = None
    """The number of the GPU, where that is not the current one."""


class TorchClock(_EventClock[Any]):
    """CUDA events on PyTorch's current stream, or on the stream at the address given."""

    pool: ClassVar[dict[int, list[Any]]] = {}
    library = "torch"

    def __init__(self, stream: int | None = None) -> None:
        super().__init__()
        import torch

        self._cuda: Any = torch.cuda
        self._cuda.init()
        self._given = None if stream is None else self._cuda.ExternalStream(stream)
        self.placed = Placed()
        binding: Any = torch._C  # what torch.cuda's functions ask, without the objects that they make each time
        self._device_now, self._stream_now = binding._cuda_getDevice, binding._cuda_getCurrentRawStream
        event = binding._CudaEventBase
        self._record_on, self._asked, self._between = event.record, event.query, event.elapsed_time
        self._streams: dict[tuple[int, int], Any] = {}

    def _here(self) -> tuple[int, Any]:
        device = self.placed.device
        if device is None:
            device = self._device_now()
        if self._given:
            return device, self._given
        address = self._stream_now(device)
        try:
            return device, self._streams[device, address]
        except KeyError:
            stream = self._streams[device, address] = self._cuda.current_stream(device)
            return device, stream

    def _stream_number(self, stream: Any) -> int:
        return int(stream.cuda_stream)

    def _make(self) -> Any:
        return self._cuda.Event(enable_timing=True)

    def _record(self, event: Any, stream: Any) -> None:
        self._record_on(event, stream)

    def _done(self, event: Any) -> bool:
        return bool(self._asked(event))

    def _elapsed_ms(self, start: Any, stop: Any) -> float:
        return float(self._between(start, stop))

    def _synchronize(self, device: int) -> None:
        self._cuda.synchronize(device)
