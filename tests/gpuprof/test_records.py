"""What is recorded, without a GPU: records decoded from CUPTI's bytes, gates forbidden, a fake clock's own ways."""

import ctypes
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gpuprof.record import cupti as access
from gpuprof.record import driver, gate, graphs, kernels
from gpuprof.record.activity import COPY, DRIVER, FILL, KERNEL, LAYOUTS, RUNTIME, WORK, joined
from gpuprof.record.gate import Gate, GateTakenError, forbidden, injected_tool
from gpuprof.record.kernels import NoRecordsError, _Log, recording
from gpuprof.record.memory import watched
from gpuprof.testing import FakeClock

# CUPTI's bytes

_SIZES = {KERNEL: 160, COPY: 64, FILL: 56, DRIVER: 40, RUNTIME: 40}  # those of CUPTI 12, 8-byte steps
_NAMES = {name: ctypes.create_string_buffer(name.encode()) for name in ("gemm", "add")}
_UNKNOWN = 99


def record(kind: int, **fields: object) -> bytes:
    """One activity record."""
    data = np.zeros(_SIZES.get(kind, 32), dtype=np.uint8)
    data[:4] = np.array([kind], dtype="<u4").view(np.uint8)
    for name, value in fields.items():
        form, offset = LAYOUTS[kind][name]
        part = np.zeros(1, dtype=form)
        part[0] = ctypes.addressof(_NAMES[value]) if isinstance(value, str) else value
        data[offset : offset + part.nbytes] = part.view(np.uint8).ravel()
    return data.tobytes()


def kernel(start: int, end: int, name: str = "add", **others: object) -> bytes:
    return record(KERNEL, **{"start": start, "end": end, "name": name, "grid": (2, 3, 1), "block": (32, 1, 1)} | others)


class FakeCupti:
    """A libcupti that hands out a list of buffers and walks each, record by record."""

    def __init__(self, *buffers: list[bytes], dropped: int = 0, failing: int = 0) -> None:
        self._buffers = buffers
        self._dropped = dropped
        self._failing = failing
        self._lengths: dict[int, list[int]] = {}
        self.enabled: list[int] = []
        self.status: dict[str, int] = {}
        self.called: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., int]:
        if not name.startswith("cupti"):
            raise AttributeError(name)
        self.called.append(name)
        return lambda *_: 0

    def cuptiActivityRegisterCallbacks(self, requested: object, completed: object) -> int:
        self._requested, self._completed = requested, completed
        return self._failing

    def cuptiActivityEnable(self, kind: int) -> int:
        self.enabled.append(kind)
        return 0

    def cuptiActivityDisable(self, kind: int) -> int:
        if kind in self.enabled:
            self.enabled.remove(kind)
        return 0

    def cuptiActivityFlushAll(self, flag: int) -> int:
        if "cuptiActivityFlushAll" in self.status:
            return self.status["cuptiActivityFlushAll"]
        for rows in self._buffers:
            address, size, most = ctypes.c_void_p(), ctypes.c_size_t(), ctypes.c_size_t()
            self._requested(ctypes.pointer(address), ctypes.pointer(size), ctypes.pointer(most))
            data = b"".join(rows)
            assert size.value >= len(data)
            ctypes.memmove(address.value, data, len(data))
            self._lengths[address.value] = [len(row) for row in rows]
            self._completed(None, 0, address.value, size.value, len(data))
        return 0

    def cuptiActivityGetNextRecord(self, base: ctypes.c_void_p, valid: ctypes.c_size_t, record: object) -> int:
        places = np.cumsum([0, *self._lengths[base.value]]).tolist()
        found = record._obj
        at = places.index(found.value - base.value) + 1 if found.value else 0
        if places[at] >= valid.value:
            return 12  # CUPTI_ERROR_MAX_LIMIT_REACHED
        found.value = base.value + places[at]
        return 0

    def cuptiActivityGetNumDroppedRecords(self, context: object, stream: int, count: object) -> int:
        count._obj.value = self._dropped
        return 0

    def cuptiGetTimestamp(self, ns: object) -> int:
        ns._obj.value = 12_345
        return 0

    def cuptiGetResultString(self, status: int, text: object) -> int:
        text._obj.value = b"CUPTI_ERROR_INVALID_PARAMETER"
        return 0


def read(*buffers: list[bytes], dropped: int = 0) -> kernels.Records:
    log = _Log(FakeCupti(*buffers, dropped=dropped))
    log.begin()
    return log.end()


def test_a_kernels_record_is_read_by_its_layout() -> None:
    found = read([kernel(1000, 3500, "gemm", device=1, stream=7)])
    assert found.names == ("gemm",)
    assert (found.start.tolist(), found.end.tolist()) == ([1000], [3500])
    assert (found.stream.tolist(), found.device.tolist(), found.threads.tolist()) == ([7], [1], [192])


@pytest.mark.parametrize(
    ("code", "name"), [(1, "copy to the device"), (2, "copy to the host"), (8, "copy on the device"), (77, "copy")]
)
def test_a_copy_is_named_by_its_way(code: int, name: str) -> None:
    found = read([record(COPY, start=5, end=9, stream=7, copy=code)])
    assert (found.names, found.stream.tolist(), found.threads.tolist()) == ((name,), [7], [0])


def test_a_fill_is_one() -> None:
    assert read([record(FILL, start=5, end=9)]).names == ("fill",)


def test_records_of_all_kinds_come_in_the_order_in_which_they_began() -> None:
    found = read([kernel(50, 60, "add"), record(FILL, start=5, end=9), kernel(20, 30, "gemm")])
    assert found.names == ("fill", "gemm", "add")
    assert found.start.tolist() == [5, 20, 50]


def test_buffers_are_joined() -> None:
    assert read([kernel(50, 60)], [kernel(20, 30, "gemm")]).names == ("gemm", "add")


def test_a_buffer_without_records_holds_none() -> None:
    found = read([])
    assert (found.names, len(found.start), found.dropped) == ((), 0, 0)


def test_records_of_other_kinds_are_passed_over() -> None:
    assert read([record(_UNKNOWN), kernel(20, 30), record(_UNKNOWN)]).names == ("add",)


def test_longer_records_of_a_later_cupti_are_read_as_well() -> None:
    assert read([kernel(20, 30) + bytes(64), kernel(40, 50, "gemm") + bytes(64)]).names == ("add", "gemm")


def test_a_kernel_without_a_name_is_a_question_mark() -> None:
    assert read([record(KERNEL, start=5, end=9)]).names == ("?",)


def test_what_cupti_dropped_and_impossible_times_are_counted() -> None:
    found = read([kernel(0, 0), kernel(30, 20), kernel(20, 30)], dropped=5)
    assert (len(found.start), found.dropped) == (1, 7)


def test_a_kernel_of_more_threads_than_32_bits_hold_is_counted_right() -> None:
    assert read([kernel(1, 2, grid=(2**30, 8, 1), block=(1024, 1, 1))]).threads.tolist() == [2**43]


def test_times_above_32_bits_are_kept() -> None:
    assert read([kernel(2**60, 2**60 + 7)]).end.tolist() == [2**60 + 7]


def test_a_buffer_is_used_again() -> None:
    log = _Log(FakeCupti([kernel(1, 2)]))
    for _ in range(3):
        log.begin()
        assert log.end().names == ("add",)
    assert len(log._free) == 1


def test_after_the_end_nothing_is_enabled() -> None:
    cupti = FakeCupti([kernel(1, 2)])
    log = _Log(cupti)
    log.begin()
    assert sorted(cupti.enabled) == sorted(WORK)
    log.end()
    assert cupti.enabled == []


def test_cuptis_own_clock_is_read() -> None:
    assert _Log(FakeCupti()).now() == 12_345


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (1, r"cuptiActivityRegisterCallbacks: CUPTI_ERROR_INVALID_PARAMETER \(1\)"),
        (39, "another tool in this process holds CUPTI"),
    ],
)
def test_a_cupti_that_refuses_is_answered_with_why(status: int, says: str) -> None:
    with pytest.raises(NoRecordsError, match=says):
        _Log(FakeCupti(failing=status)).begin()


@pytest.fixture
def cupti(monkeypatch) -> FakeCupti:
    """The process's log is one of a fake libcupti."""
    fake = FakeCupti([kernel(1, 2)])
    log = _Log(fake)
    monkeypatch.setattr(kernels, "_log", lambda: log)
    return fake


def test_records_are_there_once_the_recording_has_ended(cupti) -> None:
    with recording() as found:
        assert found.records.names == ()
    assert found.records.names == ("add",)


def test_records_are_there_after_an_error_too(cupti) -> None:
    with pytest.raises(ZeroDivisionError), recording() as found:
        1 / 0  # noqa: B018
    assert found.records.names == ("add",)
    assert cupti.enabled == []


def test_two_recordings_at_once_are_refused(cupti) -> None:
    with recording(), pytest.raises(NoRecordsError, match="another thread"), recording():
        pass
    with recording() as found:
        pass
    assert found.records.names == ("add",)


def test_without_libcupti_it_is_said_what_to_install(monkeypatch) -> None:
    monkeypatch.setattr(access, "_library", lambda: None)
    monkeypatch.setattr(kernels, "_log", kernels._log.__wrapped__)
    with pytest.raises(NoRecordsError, match="pip install nvidia-cuda-cupti"), recording():
        pass


def test_no_parts_are_no_records() -> None:
    assert joined([], 3).dropped == 3


# Where no gate may be used


@pytest.fixture
def calm(monkeypatch) -> None:
    """No tool, no capture, nothing set."""
    for name in ("CUDA_LAUNCH_BLOCKING", *gate._INJECTED):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(driver, "capturing", lambda stream: False)


def test_where_nothing_forbids_it_a_gate_may_be_used(calm) -> None:
    assert forbidden(0) == ""


@pytest.mark.parametrize("value", ["", "0"])
def test_launches_that_do_not_block_forbid_nothing(calm, monkeypatch, value: str) -> None:
    monkeypatch.setenv("CUDA_LAUNCH_BLOCKING", value)
    assert forbidden(0) == ""


def test_launches_that_block_forbid_it(calm, monkeypatch) -> None:
    monkeypatch.setenv("CUDA_LAUNCH_BLOCKING", "1")
    assert forbidden(0) == "CUDA_LAUNCH_BLOCKING is set: every launch waits"


@pytest.mark.parametrize("variable", gate._INJECTED)
def test_a_tool_that_was_injected_forbids_it(calm, monkeypatch, variable: str) -> None:
    monkeypatch.setenv(variable, "/opt/tool.so")
    assert forbidden(0) == f"a CUDA tool ({variable}) is attached to this process"


@pytest.mark.parametrize("tool", gate._TOOLS)
def test_a_tool_that_is_loaded_forbids_it(calm, monkeypatch, tool: str) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: f"7f00 r-xp /opt/nvidia/{tool}64.so\n")
    assert injected_tool() == f"a CUDA tool ({tool})"


def test_maps_that_cannot_be_read_show_no_tool(calm, monkeypatch) -> None:
    def refused(*_: object, **__: object) -> str:
        raise PermissionError("/proc")

    monkeypatch.setattr(Path, "read_text", refused)
    assert injected_tool() == ""


def test_a_capture_forbids_it(calm, monkeypatch) -> None:
    monkeypatch.setattr(driver, "capturing", lambda stream: stream == 7)
    assert forbidden(7) == gate.CAPTURING
    assert forbidden(0) == ""


# The gate itself, its kernel aside


@pytest.fixture
def launched(monkeypatch) -> list[tuple[object, ...]]:
    """What would have been launched; the gate's two words are ordinary memory."""
    launches: list[tuple[object, ...]] = []
    words = (driver.Word * 2)()
    monkeypatch.setattr(driver, "context", lambda: 1)
    monkeypatch.setattr(driver, "host_words", lambda count, context: words)
    monkeypatch.setattr(driver, "launch", lambda *arguments: launches.append(arguments))
    return launches


def test_a_gate_launches_one_kernel_with_its_limit_in_nanoseconds(launched) -> None:
    with Gate(7, 5e-3):
        assert Gate.held
    assert not Gate.held
    ((name, stream, *_, limit),) = launched
    assert (name, stream, limit.value) == ("gpuprof_gate", 7, 5_000_000)


def test_each_gate_has_a_ticket_of_its_own_and_release_shows_it(launched) -> None:
    gates = [Gate(0, 1e-3) for _ in range(2)]
    for each in gates:
        with each:
            each.release()
            assert each._words[0] == each._ticket
    assert gates[0]._ticket != gates[1]._ticket


def test_a_gate_has_expired_where_the_device_says_so(launched) -> None:
    with Gate(0, 1e-3) as held:
        assert not held.expired
        held._words[1] = held._ticket
        assert held.expired


def test_after_an_error_a_gate_is_released_and_the_next_may_be_entered(launched) -> None:
    with pytest.raises(ZeroDivisionError), Gate(0, 1e-3) as held:
        1 / 0  # noqa: B018
    assert held._words[0] == held._ticket
    with Gate(0, 1e-3):
        pass


def test_a_gate_that_cannot_be_launched_leaves_the_next_free(launched, monkeypatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("cuLaunchKernel: illegal address (700)")

    working = driver.launch
    monkeypatch.setattr(driver, "launch", broken)
    with pytest.raises(RuntimeError, match="illegal address"), Gate(0, 1e-3):
        pass
    monkeypatch.setattr(driver, "launch", working)
    with Gate(0, 1e-3):
        pass


def test_there_is_one_gate_a_process(launched, monkeypatch) -> None:
    monkeypatch.setattr(gate, "_held", SimpleNamespace(acquire=lambda timeout: False))
    with pytest.raises(GateTakenError, match="another thread of this process holds the gate"), Gate(0, 1e-3):
        pass


# Graphs and memory, their libraries aside


def test_whatever_a_capture_raises_is_why_it_cannot_be_captured(monkeypatch) -> None:
    with pytest.raises(graphs.NotCapturableError, match="KeyError: 'jax'"):
        graphs.captured(lambda: None, "jax")


def test_without_a_library_no_memory_is_told(monkeypatch) -> None:
    monkeypatch.setattr(sys, "modules", {k: v for k, v in sys.modules.items() if k not in ("cupy", "torch")})
    with watched() as memory:
        pass
    assert (memory.peak, memory.allocations) == (None, 0)


# The fake clock


def test_behind_a_gate_the_device_waits_for_the_release() -> None:
    clock = FakeClock(device=True)
    with clock.gate(5e-3) as held:
        mark = clock.mark()
        clock.launch(1e-3)
        clock.spend(2e-3)
        assert clock.pending(mark)
        released = clock.host()
        held.release()
    clock.wait()
    assert clock.resolve(np.array([mark])).tolist() == [released]
    assert clock.host() == released + 1_000_000
    assert not held.expired


def test_a_gate_opens_by_itself_at_its_limit() -> None:
    clock = FakeClock(device=True)
    start = clock.host()
    with clock.gate(5e-3) as held:
        mark = clock.mark()
        clock.spend(8e-3)
        assert held.expired
        assert not clock.pending(mark)
    assert clock.resolve(np.array([mark])).tolist() == [start + 5_000_000]


def test_at_its_very_limit_a_gate_is_open() -> None:
    clock = FakeClock(device=True)
    with clock.gate(5e-3) as held:
        clock.spend(5e-3)
        assert held.expired


def test_whoever_waits_behind_a_gate_waits_until_it_opens() -> None:
    clock = FakeClock(device=True)
    start = clock.host()
    with clock.gate(5e-3) as held:
        clock.launch(1e-3)
        clock.wait()
        assert held.expired
    assert clock.host() == start + 6_000_000


def test_a_full_queue_behind_a_gate_holds_the_host_until_it_opens() -> None:
    clock = FakeClock(device=True, queue=4)
    start = clock.host()
    with clock.gate(5e-3) as held:
        for _ in range(5):
            clock.launch(1e-6)
        assert held.expired
    assert clock.host() >= start + 5_000_000


def test_a_gates_limit_begins_when_the_device_reaches_it() -> None:
    clock = FakeClock(device=True)
    clock.launch(1.0)
    with clock.gate(5e-3) as held:
        clock.spend(0.9)
        assert not held.expired


def test_every_gate_is_remembered() -> None:
    clock = FakeClock(device=True)
    with clock.gate(5e-3):
        pass
    assert [held.limit for held in clock.gates] == [5_000_000]


def test_a_recording_holds_the_launches_inside_it_and_no_others() -> None:
    clock = FakeClock(device=True)
    clock.launch(1e-3)
    with clock.recording() as found:
        clock.launch(2e-3)
        clock.launch_empty()
        clock.wait()
    clock.launch(1e-3)
    assert found.records.names == ("fake kernel", "gpuprof_empty")
    assert (found.records.end - found.records.start).tolist() == [2_000_000, 1]


def test_marks_are_no_kernels() -> None:
    clock = FakeClock(device=True)
    with clock.recording() as found:
        clock.mark()
    assert found.records.names == ()


def test_without_a_device_there_are_no_records() -> None:
    with pytest.raises(NoRecordsError, match="without a device"), FakeClock().recording():
        pass


def test_an_error_of_the_code_inside_is_not_hidden_by_one_of_the_recording(cupti) -> None:
    cupti.status["cuptiActivityFlushAll"] = 1
    with pytest.raises(ValueError, match="the user's"), recording():
        raise ValueError("the user's")
    with pytest.raises(NoRecordsError), recording():
        pass


def test_cupti_is_taken_off_whatever_happened(cupti) -> None:
    cupti.status["cuptiActivityFlushAll"] = 1
    with pytest.raises(NoRecordsError), recording():
        pass
    assert "cuptiFinalize" in cupti.called
