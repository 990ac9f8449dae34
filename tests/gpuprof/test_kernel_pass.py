"""Kernels of a call, from records: their own time, their number, what is missing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from gpuprof.judge.figures import Kernel
from gpuprof.passes.kernels import KernelPass, _union
from gpuprof.passes.subject import Subject
from gpuprof.record.kernels import NoRecordsError, Records
from gpuprof.statement import from_function
from gpuprof.testing import FakeClock


class Changed(FakeClock):
    """A clock whose kernel records are changed before they are read."""

    def __init__(self, change: Callable[[Records], Records]) -> None:
        super().__init__(device=True)
        self._change = change

    @contextmanager
    def recording(self) -> Iterator[object]:
        change = self._change
        with super().recording() as found:

            class Recording:
                now = found.now
                records = property(lambda self: change(found.records))

            yield Recording()


def passed(clock: FakeClock, *lengths: float) -> KernelPass:
    """A statement with a kernel of each of these lengths."""
    return KernelPass(Subject(from_function(lambda: [clock.launch(length) for length in lengths]), clock))


def test_the_time_of_a_call_is_the_sum_of_its_kernels() -> None:
    taken = passed(FakeClock(device=True, launch_cost=1e-5), 1e-6, 3e-6)
    taken.run(5, 0.1)
    assert taken.samples == pytest.approx([4e-6] * 5)
    assert taken.count == 2


def test_the_hosts_delay_is_not_in_it() -> None:
    clock = FakeClock(device=True, launch_cost=1e-3, latency=1e-3)
    taken = passed(clock, 1e-6)
    taken.run(5, 0.1)
    assert taken.samples == pytest.approx([1e-6] * 5)


def test_kernels_of_one_name_are_one_row() -> None:
    taken = passed(FakeClock(device=True), 1e-6, 3e-6)
    taken.run(5, 0.1)
    assert taken.kernels == (Kernel("fake kernel", 2.0, pytest.approx(4e-6), 1),)


def test_the_longest_kernel_comes_first() -> None:
    def renamed(records: Records) -> Records:
        lengths = records.end - records.start
        names = np.array([{1000: 0, 3000: 1}.get(ns, 2) for ns in lengths.tolist()])
        return records._replace(known=("a", "b", "empty"), name=names)

    taken = passed(Changed(renamed), 1e-6, 3e-6)
    taken.run(5, 0.1)
    assert [(kernel.name, kernel.launches) for kernel in taken.kernels] == [("b", 1.0), ("a", 1.0)]


def test_empty_kernels_are_read_apart() -> None:
    taken = passed(FakeClock(device=True), 1e-6)
    taken.run(5, 0.1)
    assert taken.empty == pytest.approx(1e-9)
    assert [kernel.name for kernel in taken.kernels] == ["fake kernel"]


def test_forty_batches_are_enough() -> None:
    taken = passed(FakeClock(device=True), 1e-6)
    taken.run(None, 0.1)
    assert len(taken.samples) == 40


@pytest.mark.parametrize(("length", "number"), [(1e-6, 32), (1e-3, 5), (1.0, 1)])
def test_a_recorded_batch_is_of_32_calls_and_5_ms_at_most(length: float, number: int) -> None:
    clock, calls = FakeClock(device=True), []

    def call() -> None:
        calls.append(None)
        clock.launch(length)

    taken = KernelPass(Subject(from_function(call), clock))
    calls.clear()
    taken.run(1, 0.1)
    assert len(calls) == number


def test_a_statement_without_kernels_has_none() -> None:
    taken = passed(FakeClock(device=True))
    taken.run(3, 0.1)
    assert (taken.samples, taken.count, taken.kernels, taken.why) == ([0.0] * 3, 0, (), "")


def test_a_kernel_that_began_before_the_batch_is_not_counted() -> None:
    taken = passed(Changed(lambda records: records._replace(start=records.start - 10**9)), 1e-6)
    taken.run(3, 0.1)
    assert taken.count == 0


def test_why_there_are_no_records_is_kept() -> None:
    clock = FakeClock(device=True)

    def recording() -> None:
        raise NoRecordsError("libcupti was not found")

    clock.recording = recording
    taken = passed(clock, 1e-6)
    taken.run(3, 0.1)
    assert (taken.why, taken.samples) == ("libcupti was not found", [])


def test_kernels_on_two_streams_are_told() -> None:
    taken = passed(Changed(lambda r: r._replace(stream=np.arange(len(r.start)) % 2)), 1e-6, 1e-6)
    taken.run(3, 0.1)
    assert taken.warnings == ["its kernels ran on 2 streams; `device` sees the one that was current"]


def test_dropped_records_are_told() -> None:
    taken = passed(Changed(lambda records: records._replace(dropped=7)), 1e-6)
    taken.run(3, 0.1)
    assert taken.warnings == ["7 kernel records were dropped, so `kernels` is too low"]


def test_calls_that_launch_differently_are_told() -> None:
    clock, calls = FakeClock(device=True), []

    def growing() -> None:
        calls.append(None)
        for _ in range(1 + (len(calls) > 33)):  # the first call, and the first batch
            clock.launch(1e-6)

    taken = KernelPass(Subject(from_function(growing), clock))
    taken.run(2, 0.1)
    assert taken.warnings == ["not every call launched the same: 1.00 to 2.00 kernels a call"]


def test_a_steady_statement_is_told_nothing() -> None:
    taken = passed(FakeClock(device=True), 1e-6)
    taken.run(3, 0.1)
    assert taken.warnings == []


def interrupted(after: int) -> KernelPass:
    """Ctrl-C comes in the call after so many."""
    clock, calls = FakeClock(device=True), []

    def call() -> None:
        calls.append(None)
        if len(calls) > after:
            raise KeyboardInterrupt
        clock.launch(1e-6)

    taken = KernelPass(Subject(from_function(call), clock))
    with pytest.raises(KeyboardInterrupt):
        taken.run(None, 0.1)
    return taken


def test_an_interrupt_leaves_the_batches_before_it() -> None:
    taken = interrupted(after=1 + 3 * 32)
    assert taken.samples == pytest.approx([1e-6] * 3)
    assert taken.count == 1


def test_an_interrupt_in_the_first_batch_leaves_nothing() -> None:
    assert interrupted(after=1).samples == []


def test_after_the_pass_nothing_is_recorded_any_more() -> None:
    clock = FakeClock(device=True)
    passed(clock, 1e-6).run(1, 0.1)
    assert clock._recording is None


def test_after_an_error_nothing_is_recorded_any_more() -> None:
    clock = FakeClock(device=True)
    with pytest.raises(ZeroDivisionError), clock.recording():
        1 / 0  # noqa: B018
    assert clock._recording is None


@pytest.mark.parametrize(
    ("spans", "together"),
    [
        ([], 0),
        ([(0, 5)], 5),
        ([(0, 5), (5, 7)], 7),
        ([(0, 5), (8, 9)], 6),
        ([(0, 9), (2, 3), (4, 12)], 12),
        ([(0, 9), (1, 2), (20, 21)], 10),
    ],
)
def test_intervals_that_overlap_cover_their_union(spans: list[tuple[int, int]], together: int) -> None:
    start, end = (np.array([span[i] for span in spans], dtype=np.int64) for i in range(2))
    assert _union(start, end) == together
