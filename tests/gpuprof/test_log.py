"""The call log: what is written, on which axis, with how many waits."""

import threading

import numpy as np
import pytest

from gpuprof.judge.account import account
from gpuprof.record.clocks import MISSING, HostClock
from gpuprof.record.log import CallLog
from gpuprof.record.tape import RAISED, RETURNED, YES
from gpuprof.testing import FakeClock


def test_a_call_has_its_host_times_and_its_device_times() -> None:
    clock = FakeClock(device=True)
    with CallLog(clock) as log:
        call = log.enter(log.scope("Pool1", "backward"))
        clock.spend(2e-3)
        clock.launch(5e-3)
        log.leave(call)
    calls = log.calls
    assert calls["host_end"][0] - calls["host_start"][0] == 2_000_000
    assert calls["end"][0] - calls["start"][0] == 7_000_000  # events see the wait for the launch as well


def test_calls_nest_and_know_their_parents() -> None:
    log = CallLog(FakeClock())
    with log:
        outer = log.enter(log.scope("block", "forward"))
        inner = log.enter(log.scope("block/conv", "forward"))
        log.leave(inner)
        log.leave(outer)
    assert log.calls["parent"].tolist() == [-1, outer]


def test_the_same_scope_has_one_id() -> None:
    log = CallLog(FakeClock())
    assert log.scope("A", "forward") == log.scope("A", "forward") != log.scope("A", "backward")


def test_what_a_call_said_and_took_is_kept_without_its_arrays() -> None:
    log = CallLog(FakeClock())
    with log:
        call = log.enter(log.scope("A", "forward"), YES, (8, 1, 28, 28))
        log.leave(call, RAISED)
    assert log.calls.shapes[log.calls["shape"][0]] == (8, 1, 28, 28)
    assert (log.calls["train"][0], log.calls["status"][0]) == (YES, RAISED)


def test_nothing_waits_between_opening_and_closing() -> None:
    clock = FakeClock(device=True)
    with CallLog(clock) as log:
        before = clock.waits
        for _ in range(10):
            log.leave(log.enter(log.scope("A", "forward")))
        assert clock.waits == before


class TwoStreams(FakeClock):
    """Its own marks are on a stream that has nothing to do; those of calls are behind the work."""

    def mark(self, place: object = None) -> int:
        if place is not None:
            return super().mark(place)
        free, self._free = self._free, 0
        number = super().mark()
        self._free = max(free, self._free)
        return number


def test_what_is_done_after_the_last_mark_on_another_stream_is_in_the_window() -> None:
    clock = TwoStreams(device=True)
    with CallLog(clock) as log:
        call = log.enter(log.scope("A", "forward"))
        clock.launch(5e-3)
        log.leave(call)
    assert log.calls.window[1] == log.calls["end"][0] == log.calls.window[0] + 5_000_000
    assert account(log.calls).closure(log.calls) == 0


def test_work_queued_before_the_log_is_not_billed_to_it() -> None:
    clock = FakeClock(device=True)
    clock.launch(1.0)
    with CallLog(clock) as log:
        pass
    assert log.calls.window[1] - log.calls.window[0] == 0


def test_an_interrupt_inside_leave_does_not_shift_later_calls() -> None:
    log = CallLog(FakeClock())
    with log:
        outer = log.enter(log.scope("A", "forward"))
        log.enter(log.scope("B", "forward"))  # never left
        log.leave(outer)
        later = log.enter(log.scope("A", "forward"))
        log.leave(later)
    assert log.calls["call"].tolist() == [outer, later]
    assert log.calls["parent"].tolist() == [-1, -1]


def test_each_thread_has_its_own_nesting() -> None:
    log = CallLog(HostClock())
    with log:
        outer = log.enter(log.scope("A", "forward"))
        thread = threading.Thread(target=lambda: log.leave(log.enter(log.scope("B", "forward"))))
        thread.start()
        thread.join()
        log.leave(outer)
    assert log.calls["parent"].tolist() == [-1, -1]
    assert len(set(log.calls["thread"].tolist())) == 2


def test_a_cuda_error_at_the_end_keeps_what_was_read() -> None:
    class Failing(FakeClock):
        broken = False

        def wait(self) -> None:
            if self.broken:
                raise RuntimeError("cudaErrorIllegalAddress: an illegal memory access was encountered")
            super().wait()

        def resolve(self, marks: np.ndarray) -> np.ndarray:
            return np.where(marks > 4, MISSING, super().resolve(marks))

    clock = Failing(device=True)
    with CallLog(clock) as log:
        for _ in range(3):
            log.leave(log.enter(log.scope("A", "forward")), RETURNED)
            clock.spend(1e-3)
        clock.broken = True
    assert log.calls.failure.startswith("cudaErrorIllegalAddress")
    assert (len(log.calls), log.calls.lost) == (1, 2)


def test_a_cuda_error_that_stops_marks_leaves_the_calls_to_the_measured_code() -> None:
    class Dead(FakeClock):
        dead = False

        def mark(self, place: object = None) -> int:
            if self.dead:
                raise RuntimeError("cudaErrorIllegalAddress")
            return super().mark(place)

    clock = Dead(device=True)
    with CallLog(clock) as log:
        log.leave(log.enter(log.scope("A", "forward")))
        clock.spend(1e-3)
        clock.dead = True
        log.leave(log.enter(log.scope("A", "forward")))
    assert (len(log.calls), log.calls.lost) == (1, 1)
    assert log.calls.failure == "cudaErrorIllegalAddress"


def test_threads_are_numbered_from_the_first_of_each_log() -> None:
    for _ in range(2):
        with CallLog(FakeClock()) as log:
            log.leave(log.enter(log.scope("A", "forward")))
        assert log.calls["thread"].tolist() == [0]


def test_host_marks_are_read_in_order() -> None:
    clock = HostClock()
    marks = np.array([clock.mark() for _ in range(5)])
    assert (np.diff(clock.resolve(marks)) >= 0).all()
    assert clock.where(marks)[0].tolist() == [-1] * 5


@pytest.mark.parametrize("device", [False, True])
def test_the_fake_clock_runs_only_when_told_to(device: bool) -> None:
    clock = FakeClock(device=device)
    start = clock.host()
    clock.spend(0.5)
    clock.launch(0.25)
    assert clock.host() - start == (500_000_000 if device else 750_000_000)
    clock.wait()
    assert clock.host() - start == 750_000_000


def test_a_full_queue_makes_the_fake_host_wait() -> None:
    clock = FakeClock(device=True, queue=2)
    start = clock.host()
    for _ in range(3):
        clock.launch(1.0)
    assert clock.host() - start == 1_000_000_000
