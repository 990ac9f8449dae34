"""Each instant belongs to exactly one row."""

import dataclasses
import threading

import numpy as np
import pytest

from gpuprof.judge.account import OUTSIDE, account
from gpuprof.record.calls import Calls
from gpuprof.record.log import CallLog
from gpuprof.record.schedule import Schedule
from gpuprof.record.tape import NO, UNSAID, YES
from gpuprof.testing import FakeClock

from .models import FakeModel


def logged(model: FakeModel, steps: int, **keywords: float) -> Calls:
    from gpuprof.hooks.methods import find_layers, timed

    with CallLog(model.clock) as log, timed(find_layers(model), log):
        model.train(steps, **keywords)
    return log.calls


@pytest.mark.parametrize("device", [False, True])
def test_the_rows_add_up_to_the_wall_clock(device: bool) -> None:
    calls = logged(FakeModel(FakeClock(device=device), device=3e-3), 5, between=7e-4)
    found = account(calls)
    assert (found.end - found.begin).sum() == calls.window[1] - calls.window[0]
    assert found.closure(calls) < 1e-9


def test_outside_is_measured_between_marks() -> None:
    calls = logged(FakeModel(FakeClock()), 4, between=7e-4)
    found = account(calls)
    assert (found.end - found.begin)[found.row == found.outside].sum() == 4 * 700_000
    assert found.rows[found.outside] == OUTSIDE


def test_a_call_owns_its_time_less_that_of_the_calls_inside_it() -> None:
    clock = FakeClock()
    with CallLog(clock) as log:
        outer = log.enter(log.scope("block", "forward"))
        clock.spend(1e-3)
        inner = log.enter(log.scope("block/conv", "forward"))
        clock.spend(5e-3)
        log.leave(inner)
        clock.spend(2e-3)
        log.leave(outer)
    assert account(log.calls).call_own_ns.tolist() == [3_000_000, 5_000_000]


def test_recursion_is_counted_once() -> None:
    clock = FakeClock()
    with CallLog(clock) as log:
        scope = log.scope("tree", "forward")
        calls = [log.enter(scope) for _ in range(3)]
        clock.spend(1e-3)
        for call in reversed(calls):
            log.leave(call)
    found = account(log.calls)
    assert found.call_own_ns.sum() == 1_000_000


def test_with_two_threads_an_instant_goes_to_the_call_begun_last() -> None:
    clock = FakeClock()
    with CallLog(clock) as log:
        outer = log.enter(log.scope("A", "forward"))
        clock.spend(1e-3)

        def other() -> None:
            call = log.enter(log.scope("B", "forward"))
            clock.spend(4e-3)
            log.leave(call)

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        clock.spend(2e-3)
        log.leave(outer)
    found = account(log.calls)
    assert found.call_own_ns.tolist() == [3_000_000, 4_000_000]
    assert found.closure(log.calls) < 1e-9


@pytest.mark.parametrize("device", [False, True])
def test_of_calls_that_overlap_an_instant_goes_to_the_one_begun_last(device: bool) -> None:
    clock = FakeClock(device=device)
    with CallLog(clock) as log:
        outer = log.enter(log.scope("a", "region"))
        clock.spend(1e-3)
        inner = log.enter(log.scope("b", "region"))
        clock.spend(2e-3)
        log.leave(inner)
        clock.spend(4e-3)
        log.leave(outer)
    columns = dict(log.calls.columns)
    for name in ("end", "host_end", "last"):  # a is left before b
        columns[name] = columns[name][::-1].copy()
    overlapping = dataclasses.replace(log.calls, columns=columns)
    found = account(overlapping)
    assert found.call_own_ns.tolist() == [1_000_000, 6_000_000]
    assert found.closure(overlapping) == 0


def phases_of(*said: int) -> list[str]:
    log = CallLog(FakeClock())
    with log:
        for train in said:
            log.leave(log.enter(log.scope("A", "forward"), train))
    found = account(log.calls)
    return [found.rows[row].phase for row in found.call_row]


def test_a_forward_that_does_not_train_amid_training_is_an_evaluation() -> None:
    assert phases_of(YES, NO, YES) == ["forward", "evaluate", "forward"]


def test_forwards_are_forwards_where_none_says_that_it_trains() -> None:
    assert phases_of(NO, UNSAID, NO) == ["forward", "forward", "forward"]


def test_a_forward_inside_a_backward_is_a_recompute() -> None:
    log = CallLog(FakeClock())
    with log:
        back = log.enter(log.scope("A", "backward"))
        again = log.enter(log.scope("A", "forward"))
        log.leave(again)
        log.leave(back)
    found = account(log.calls)
    assert [found.rows[row].phase for row in found.call_row] == ["backward", "recompute"]


def test_a_step_begins_where_the_first_forward_recurs() -> None:
    model = FakeModel(FakeClock(), "A", "B")
    found = account(logged(model, 3))
    assert found.call_step.tolist() == [0] * 6 + [1] * 6 + [2] * 6


def test_an_evaluation_begins_no_step() -> None:
    clock = FakeClock()
    model = FakeModel(clock, "A")
    from gpuprof.hooks.methods import find_layers, timed

    with CallLog(clock) as log, timed(find_layers(model), log):
        model.train(2)
        model.evaluate()
        model.train(1)
    found = account(log.calls)
    assert found.call_step.tolist() == [0, 0, 0, 1, 1, 1, 1, 2, 2, 2]


def test_what_comes_after_the_last_call_is_in_no_step() -> None:
    found = account(logged(FakeModel(FakeClock(), "A"), 2, between=1e-3))
    assert found.step[-1] == -1
    assert (found.end - found.begin)[-1] == 1_000_000


def test_a_forward_that_says_nothing_goes_with_its_pass() -> None:
    log = CallLog(FakeClock())
    with log:
        for train in (YES, NO, NO):
            log.leave(log.enter(log.scope("A", "forward")))
            log.leave(log.enter(log.scope("Drop", "forward"), train))
    found = account(log.calls)
    assert [found.rows[row].phase for row in found.call_row] == ["forward"] * 2 + ["evaluate"] * 4


def test_a_first_layer_called_twice_begins_one_step() -> None:
    log = CallLog(FakeClock())
    with log:
        for _ in range(3):
            for name, phase in (("A", "forward"), ("B", "forward"), ("A", "forward"), ("A", "backward")):
                log.leave(log.enter(log.scope(name, phase)))
    assert account(log.calls).call_step.tolist() == [0] * 4 + [1] * 4 + [2] * 4


def test_a_region_around_everything_does_not_make_it_one_step() -> None:
    log = CallLog(FakeClock())
    with log:
        region = log.enter(log.scope("train", "region"))
        for _ in range(3):
            log.leave(log.enter(log.scope("A", "forward")))
        log.leave(region)
    assert account(log.calls).call_step.tolist() == [-1, 0, 1, 2]


def test_with_two_streams_an_instant_goes_to_the_call_begun_last() -> None:
    class TwoStreams(FakeClock):
        def where(self, marks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return np.zeros_like(marks), np.isin(marks, [4, 5]).astype(np.int64)

        def resolve(self, marks: np.ndarray) -> np.ndarray:
            # opening, A's begin at 0, its end at 8 ms; B's begin at 1, end at 2 ms, on another stream
            at = {2: 0, 3: 8_000_000, 4: 1_000_000, 5: 2_000_000}
            times = super().resolve(marks)
            base = super().resolve(np.array([1]))[0]
            return np.array([base + at.get(int(m), 0 if m < 2 else 8_000_000) for m in marks]) + 0 * times

        def place(self) -> object:
            return object()

    clock = TwoStreams(device=True)
    with CallLog(clock) as log:
        for name in "AB":
            log.leave(log.enter(log.scope(name, "forward")))
    found = account(log.calls)
    assert found.call_own_ns.tolist() == [7_000_000, 1_000_000]


def test_a_lone_call_that_was_not_marked_is_of_no_row() -> None:
    clock = FakeClock(device=True)
    with CallLog(clock, Schedule(device=True, blocks=[])) as log:
        log.leave(log.enter(log.scope("A", "forward")))
    found = account(log.calls)
    assert found.row.tolist() == [found.outside, -1]
    assert found.around.tolist() == [-1, found.outside]


def test_an_empty_log_has_one_row() -> None:
    with CallLog(FakeClock()) as log:
        pass
    found = account(log.calls)
    assert found.rows == (OUTSIDE,)
    assert np.array_equal(found.row, [0])
