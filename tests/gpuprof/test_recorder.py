"""Marks among the launches: told from the user's own fills, in order, by thread; whatever CUPTI refuses."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from gpuprof.record import cupti as access
from gpuprof.record import driver, kernels
from gpuprof.record.activity import DRIVER, FILL, LAUNCHES, MOST_CALLS, RUNTIME, WORK, joined
from gpuprof.record.kernels import NoRecordsError, Recorder, _Log, launched
from tests.gpuprof.test_records import FakeCupti, kernel, record

TAG = 0xA5000000
MAIN, OTHER = 11, 12


class Process(FakeCupti):
    """A process whose launches CUPTI numbers in the order of calling, each with a record of the call where wanted."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[bytes] = []
        self.thread = MAIN
        self.numbers = itertools.count(1)
        self.disabled: dict[str, list[int]] = {"Driver": [], "Runtime": []}

    def cuptiActivityEnableDriverApi(self, number: object, on: object) -> int:
        return self._choose("Driver", number.value, on.value)

    def cuptiActivityEnableRuntimeApi(self, number: object, on: object) -> int:
        return self._choose("Runtime", number.value, on.value)

    def _choose(self, which: str, number: int, on: int) -> int:
        assert not on
        self.disabled[which].append(number)
        return 1 if number > 900 else 0  # this CUPTI knows no more

    def cuptiActivityFlushAll(self, flag: int) -> int:
        self._buffers = (self.rows,)
        return super().cuptiActivityFlushAll(flag)

    def launch(self, name: str = "add") -> int:
        """A kernel; its number."""
        number = self._called(RUNTIME)
        self.rows.append(kernel(10 * number, 10 * number + 5, name, correlation=number))
        return number

    def fill(self, value: int) -> None:
        """A fill of four bytes, a mark or the user's own."""
        number = self._called(DRIVER)
        self.rows.append(record(FILL, start=10 * number, end=10 * number + 5, value=value, bytes=4, correlation=number))

    def _called(self, kind: int) -> int:
        number = next(self.numbers)
        if kind in self.enabled:
            self.rows.append(record(kind, start=10 * number, end=10 * number, thread=self.thread, correlation=number))
        return number


@pytest.fixture
def process(monkeypatch) -> Process:
    """The process's log is of a fake libcupti, and marks go where it sees them."""
    found = Process()
    log = _Log(found)
    monkeypatch.setattr(kernels, "_log", lambda: log)
    monkeypatch.setattr(driver, "Fills", lambda: SimpleNamespace(fill=found.fill))
    return found


def test_marks_come_back_with_what_they_say_in_the_order_of_calling(process) -> None:
    recorder = Recorder(launches=False)
    numbers = []
    for code in (7, 70_000_000_000, 7):
        recorder.mark(code)
        numbers.append(process.launch())
    recorder.stop()
    found = recorder.collect()
    assert found.marks.tolist() == [7, 70_000_000_000, 7]
    assert found.mark_calls.tolist() == [number - 1 for number in numbers]
    assert found.records.correlation.tolist() == numbers


def test_marks_are_no_work_of_the_users_and_fills_are(process) -> None:
    recorder = Recorder(launches=False)
    recorder.mark(1)
    process.fill(0)
    process.launch()
    recorder.mark(2)
    found = recorder.collect()
    assert found.records.names == ("fill", "add")
    assert found.marks.tolist() == [1, 2]


@pytest.mark.parametrize("value", [0, 5, TAG + 5, 0xA6000000, 0xFFFFFFFF, 0x3F800000])
def test_a_fill_of_the_users_is_no_mark_unless_it_has_the_number_of_one(process, value: int) -> None:
    recorder = Recorder(launches=False)
    for code in range(3):
        recorder.mark(code)
    process.fill(value)
    found = recorder.collect()
    assert found.marks.tolist() == [0, 1, 2]
    assert found.records.names == ("fill",)


def test_what_is_launched_after_the_stop_is_not_asked_for(process) -> None:
    recorder = Recorder(launches=False)
    recorder.stop()
    assert process.enabled == []
    recorder.collect()


def test_without_launches_no_call_is_recorded(process) -> None:
    recorder = Recorder(launches=False)
    assert sorted(process.enabled) == sorted(WORK)
    process.launch()
    found = recorder.collect()
    assert (found.calls.tolist(), found.threads.tolist()) == ([], [])


def test_with_launches_each_call_is_there_with_its_thread(process) -> None:
    recorder = Recorder(launches=True)
    recorder.mark(1)
    process.launch()
    process.thread = OTHER
    process.launch()
    found = recorder.collect()
    assert found.calls.tolist() == [1, 2, 3]
    assert found.threads.tolist() == [MAIN, MAIN, OTHER]


def test_of_all_calls_those_that_launch_alone_are_left(process) -> None:
    Recorder(launches=True).collect()
    for which, kind in (("Driver", DRIVER), ("Runtime", RUNTIME)):
        assert not set(process.disabled[which]) & set(LAUNCHES[kind])
        assert max(process.disabled[which]) < MOST_CALLS
    assert process.enabled == []


def test_calls_come_in_the_order_of_their_numbers_whatever_the_buffers_hold(process) -> None:
    recorder = Recorder(launches=True)
    for code in range(4):
        recorder.mark(code)
        process.launch()
    process.rows.reverse()
    found = recorder.collect()
    assert found.calls.tolist() == list(range(1, 9))
    assert found.marks.tolist() == [0, 1, 2, 3]
    assert found.mark_calls.tolist() == [1, 3, 5, 7]


def test_records_that_cupti_dropped_are_counted(process) -> None:
    process._dropped = 3
    recorder = Recorder(launches=False)
    process.rows.append(kernel(0, 0))
    assert recorder.collect().records.dropped == 4


def test_a_recorder_and_a_recording_exclude_each_other_until_it_has_collected(process) -> None:
    recorder = Recorder(launches=False)
    with pytest.raises(NoRecordsError, match="another thread"):
        Recorder(launches=False)
    recorder.collect()
    Recorder(launches=False).collect()


@pytest.mark.parametrize("broken", ["log", "fills"])
def test_a_recorder_that_cannot_begin_leaves_the_next_one_free(process, monkeypatch, broken: str) -> None:
    def refused() -> None:
        raise RuntimeError("no CUDA driver")

    with monkeypatch.context() as patch:
        if broken == "fills":
            patch.setattr(driver, "Fills", refused)
        else:
            patch.setattr(process, "_failing", 39)
        with pytest.raises(RuntimeError):
            Recorder(launches=False)
    Recorder(launches=False).collect()


def test_a_recorder_that_cannot_collect_leaves_the_next_one_free(process) -> None:
    recorder = Recorder(launches=False)
    process.status["cuptiActivityFlushAll"] = 1
    with pytest.raises(NoRecordsError):
        recorder.collect()
    assert "cuptiFinalize" in process.called
    assert not access.in_use.locked()


def test_the_time_of_the_records_clock_can_be_asked_for_meanwhile(process) -> None:
    recorder = Recorder(launches=False)
    assert recorder.now() == 12_345
    recorder.collect()


# The function alone


def columns(**given: list[int]) -> dict[str, np.ndarray]:
    return {name: np.array(values, dtype=np.int64) for name, values in given.items()}


NO_CALLS = columns(correlation=[], thread=[])


def test_nothing_launched_is_nothing() -> None:
    found = launched(joined([], 2), columns(value=[], correlation=[]), NO_CALLS, {})
    assert (len(found.records.start), found.records.dropped) == (0, 2)
    assert (found.marks.tolist(), found.calls.tolist()) == ([], [])


def test_a_tagged_value_that_was_never_given_out_is_the_users() -> None:
    fills = columns(value=[TAG, TAG + 1], correlation=[4, 2])
    found = launched(joined([], 0), fills, NO_CALLS, {0: 9})
    assert (found.marks.tolist(), found.mark_calls.tolist()) == ([9], [4])


def test_marks_in_the_buffers_of_two_threads_come_in_the_order_of_calling() -> None:
    fills = columns(value=[TAG, TAG + 2, TAG + 1, TAG + 3], correlation=[1, 5, 3, 7])
    found = launched(joined([], 0), fills, NO_CALLS, {i: 10 * i for i in range(4)})
    assert found.marks.tolist() == [0, 10, 20, 30]
    assert found.mark_calls.tolist() == [1, 3, 5, 7]


def test_after_all_the_numbers_that_a_value_holds_they_begin_again(process, monkeypatch) -> None:
    monkeypatch.setattr(kernels, "_UNTAGGED", 0xF)
    recorder = Recorder(launches=False)
    for code in range(100, 150):
        recorder.mark(code)
    assert recorder.collect().marks.tolist() == list(range(100, 150))


def test_where_they_begin_again_two_threads_may_be_out_of_order(monkeypatch) -> None:
    monkeypatch.setattr(kernels, "_UNTAGGED", 0xF)
    given = [*range(14), 16, 15, 14, 18, 17, 19]
    fills = columns(value=[TAG + (n & 0xF) for n in given], correlation=list(range(len(given))))
    found = launched(joined([], 0), fills, NO_CALLS, {n: 100 + n for n in range(20)})
    assert found.marks.tolist() == [100 + n for n in given]
