"""The gate's policy, with a fake clock: when it holds, when it is given up, what is said instead."""

from collections.abc import Callable

import numpy as np
import pytest

from gpuprof.passes.device import DevicePass
from gpuprof.passes.extras import ColdPass, escaped_work, lasting
from gpuprof.passes.floor import floor_of, launch_cost
from gpuprof.passes.host import HostPass
from gpuprof.passes.subject import Subject
from gpuprof.passes.sync import _OURS, _Watch, waits_inside
from gpuprof.record.gate import GateTakenError
from gpuprof.statement import from_function, from_source
from gpuprof.testing import FakeClock


def passed(clock: FakeClock, call: Callable[[], object], host: float, between: tuple[float, ...] = ()) -> DevicePass:
    return DevicePass(Subject(from_function(call), clock), host, between)


def run(taken: DevicePass, refused: str = "", number: int | None = None, repeat: int | None = 6) -> DevicePass:
    taken.run(refused, number, repeat, 0.01, 0.3)
    return taken


def launching(cost: float = 1e-5, length: float = 2e-5, **queue: int) -> tuple[FakeClock, Callable[[], None]]:
    clock = FakeClock(device=True, launch_cost=cost, **queue)
    return clock, lambda: clock.launch(length)


# The batch and the deadline


@pytest.mark.parametrize(("host", "limit_ms"), [(1e-5, 5), (1.25e-3, 5), (2e-3, 8), (2e-2, 80), (0.1, 250), (1.0, 250)])
def test_a_gate_opens_by_itself_after_four_times_the_queueing_within_5_and_250_ms(host: float, limit_ms: int) -> None:
    clock, call = launching()
    passed(clock, call, host).gated(1)
    assert clock.gates[-1].limit == limit_ms * 1_000_000


def test_the_deadline_is_for_the_whole_batch() -> None:
    clock, call = launching()
    passed(clock, call, 1e-3).gated(10)
    assert clock.gates[-1].limit == 40_000_000


@pytest.mark.parametrize(
    ("host", "between", "asked", "number"),
    [
        (1e-6, (), None, 32),  # one launch: 400 / 3 would be 133
        (5e-5, (), None, 32),  # ten: 400 / 12
        (1e-4, (), None, 18),  # twenty: 400 / 22
        (1e-3, (), None, 1),  # two hundred: 400 / 202
        (1e-5, (1e-3,), None, 10),  # 10 ms behind a gate
        (1e-5, (1.0,), None, 1),
        (1e-5, (), 3, 3),
        (1e-5, (), 1000, 32),
    ],
)
def test_calls_behind_a_gate_are_few_enough_for_the_queue_and_the_time(
    host: float, between: tuple[float, ...], asked: int | None, number: int
) -> None:
    assert passed(*launching(), host, between).fitting(asked) == number


# The figure


def test_the_hosts_delay_is_not_in_the_device_time() -> None:
    clock = FakeClock(device=True, launch_cost=1e-5)

    def delayed() -> None:
        clock.spend(2e-4)
        clock.launch(2e-5)

    taken = run(passed(clock, delayed, 2.1e-4))
    assert (taken.way, taken.why) == ("gate", "")
    assert taken.samples == pytest.approx([2e-5] * 6)


def test_every_gate_is_released_long_before_its_deadline() -> None:
    clock, call = launching()
    run(passed(clock, call, 1e-5))
    assert len(clock.gates) == 6
    assert not any(gate.expired for gate in clock.gates)


def test_a_batch_counts_only_where_the_gate_held() -> None:
    clock = FakeClock(device=True, launch_cost=1e-5)
    calls = iter(range(10**6))

    def seldom_late() -> None:
        clock.launch(2e-5)
        if next(calls) % 3 == 0:  # the first call, and every third batch
            clock.spend(6e-3)

    taken = run(passed(clock, seldom_late, 1e-5), number=1, repeat=12)
    assert [gate.expired for gate in clock.gates] == [False, False, True] * 4
    assert (taken.way, taken.samples) == ("gate", pytest.approx([2e-5] * 8))


def test_a_batch_whose_first_mark_was_reached_before_the_release_does_not_count() -> None:
    clock, call = launching()
    clock.pending = lambda mark: False
    assert passed(clock, call, 1e-5).gated(1)[1] is False


def test_a_mark_that_could_not_be_read_does_not_count() -> None:
    clock, call = launching()
    clock.resolve = lambda marks: np.full(len(marks), np.iinfo(np.int64).min)
    assert passed(clock, call, 1e-5).gated(1)[1] is False


def test_an_error_in_the_statement_opens_the_gate() -> None:
    clock = FakeClock(device=True)
    calls = iter(range(10))

    def fails() -> None:
        clock.launch(1e-3)
        if next(calls):
            raise ValueError("enough")

    taken = passed(clock, fails, 1e-5)
    with pytest.raises(ValueError, match="enough"):
        taken.gated(1)
    gate = clock.gates[-1]
    clock.wait()
    assert not gate.expired
    assert clock.host() < gate.deadline


def test_an_interrupt_behind_the_gate_leaves_the_batches_before_it() -> None:
    clock = FakeClock(device=True)

    def interrupted() -> None:
        clock.launch(1e-3)
        if len(clock.gates) == 4:
            raise KeyboardInterrupt

    taken = passed(clock, interrupted, 1e-5)
    with pytest.raises(KeyboardInterrupt):
        run(taken)
    assert (taken.way, taken.samples) == ("gate", [1e-3] * 3)


def test_the_host_is_never_timed_under_a_gate() -> None:
    clock, call = launching()
    taken = HostPass(Subject(from_function(call), clock), None)
    taken.warm_up()
    taken.run(None, 0.01, 0.5)
    assert taken.host
    assert clock.gates == []


# The retreat


def ten_launches(clock: FakeClock) -> Callable[[], None]:
    def call() -> None:
        for _ in range(10):
            clock.launch(1e-6)

    return call


def test_a_batch_that_opens_the_gate_is_halved_twice() -> None:
    clock = FakeClock(device=True, launch_cost=1e-7, queue=100)
    taken = run(passed(clock, ten_launches(clock), 1e-6))
    assert (taken.way, taken.number) == ("gate", 8)
    assert taken.samples == pytest.approx([1e-5] * 6)


def test_a_batch_is_halved_after_six_that_leaked() -> None:
    clock = FakeClock(device=True, launch_cost=1e-7, queue=100)
    run(passed(clock, ten_launches(clock), 1e-6))
    assert [gate.expired for gate in clock.gates] == [True] * 12 + [False] * 6


def test_after_two_halvings_the_slope_of_ungated_calls_is_taken_and_named() -> None:
    clock = FakeClock(device=True, launch_cost=1e-7, queue=50)
    taken = run(passed(clock, ten_launches(clock), 1e-6))
    assert taken.way == "throughput"
    assert taken.why == "the gate opened by itself before a call was queued"
    assert len(clock.gates) == 18
    assert taken.samples == pytest.approx([1e-5] * 6)


def test_a_batch_of_one_is_not_halved() -> None:
    clock, call = launching()
    clock.pending = lambda mark: False
    run(passed(clock, call, 1e-5), number=1)
    assert len(clock.gates) == 6


@pytest.mark.parametrize(("cost", "length"), [(1e-5, 3e-5), (3e-5, 1e-5)])
def test_throughput_is_the_pace_of_calls_without_what_one_call_costs_besides(cost: float, length: float) -> None:
    clock = FakeClock(device=True, launch_cost=cost, latency=1e-4)
    taken = run(passed(clock, lambda: clock.launch(length), cost), refused="a reason")
    assert taken.samples == pytest.approx([3e-5] * 6)


def test_throughput_takes_as_many_calls_as_fill_two_milliseconds() -> None:
    clock, call = launching(1e-5, 9e-5)
    assert run(passed(clock, call, 1e-5), refused="a reason").number == 20


def test_a_long_call_is_read_between_events() -> None:
    clock, call = launching(0.06, 1e-3)
    taken = run(passed(clock, call, 0.06, between=(0.06, 0.061)), refused="a reason")
    assert (taken.way, taken.samples, taken.number) == ("events", [0.06, 0.061], 0)


def test_a_clock_that_forbids_gates_is_obeyed_and_quoted() -> None:
    clock, call = launching()
    clock.refusal = "CUDA_LAUNCH_BLOCKING is set: every launch waits"
    taken = run(passed(clock, call, 1e-5))
    assert clock.gates == []
    assert (taken.way, taken.why) == ("throughput", clock.refusal)


def test_a_call_that_keeps_the_host_longer_than_a_gate_may_hold_is_not_gated() -> None:
    clock, call = launching(0.3)
    taken = run(passed(clock, call, 0.3, between=(0.3,)))
    assert clock.gates == []
    assert taken.why == "a call keeps the host for longer than a gate may hold (250 ms)"
    assert taken.way == "events"


def test_a_gate_that_another_thread_holds_is_not_waited_for() -> None:
    clock, call = launching()

    def taken_by_another(limit: float) -> None:
        raise GateTakenError("another thread of this process holds the gate")

    clock.gate = taken_by_another
    taken = run(passed(clock, call, 1e-5))
    assert (taken.way, taken.why) == ("throughput", "another thread of this process holds the gate")


# Does it wait inside?


def synchronising(clock: FakeClock) -> Callable[[], None]:
    def call() -> None:
        clock.spend(1e-5)
        clock.launch(1e-3)
        clock.wait()

    return call


def subject(clock: FakeClock, call: Callable[[], object]) -> Subject:
    return Subject(from_function(call), clock)


def test_a_statement_that_waits_for_the_device_is_found_out() -> None:
    clock = FakeClock(device=True)
    assert waits_inside(subject(clock, synchronising(clock)), 1e-3)


def test_the_probe_opens_by_itself_after_two_milliseconds() -> None:
    clock = FakeClock(device=True)
    waits_inside(subject(clock, synchronising(clock)), 1e-4)
    assert [gate.limit for gate in clock.gates] == [2_200_000, 2_200_000, 4_500_000]


def test_a_statement_that_does_not_wait_is_asked_once() -> None:
    clock, call = launching()
    assert waits_inside(subject(clock, call), 1e-5) == ""
    assert len(clock.gates) == 1


def test_a_call_that_is_late_once_does_not_wait_inside() -> None:
    clock = FakeClock(device=True)
    lengths = iter([0.0, 5e-3])
    assert waits_inside(subject(clock, lambda: clock.spend(next(lengths, 0.0))), 1e-5) == ""
    assert len(clock.gates) == 2


@pytest.mark.parametrize(("refusal", "host"), [("no gate today", 1e-5), ("", 0.2)])
def test_where_a_gate_is_forbidden_or_too_short_nobody_asks(refusal: str, host: float) -> None:
    clock = FakeClock(device=True)
    clock.refusal = refusal
    assert waits_inside(subject(clock, synchronising(clock)), host) == ""
    assert clock.gates == []


def test_a_statement_that_waits_is_never_gated() -> None:
    clock = FakeClock(device=True)
    taken = run(passed(clock, synchronising(clock), 1e-3), refused="it waits inside")
    assert clock.gates == []
    assert (taken.way, taken.why) == ("throughput", "it waits inside")


@pytest.mark.parametrize(
    ("stack", "line"),
    [
        (
            [("/x/site-packages/cupy/a.py", 9, "get"), ("<cell>", 2, "loop"), (_OURS + "/x.py", 1, "run")],
            "line 2: y.get()",
        ),
        ([("/home/me/net.py", 7, "loss"), ("<cell>", 2, "loop"), (_OURS + "/x.py", 1, "run")], "net.py:7 in loss"),
        ([("/x/site-packages/cupy/a.py", 9, "get"), (_OURS + "/x.py", 1, "run"), ("<cell>", 1, "<module>")], ""),
        ([], ""),
    ],
)
def test_the_line_is_the_innermost_of_the_users_own(stack: list[tuple[str, int, str]], line: str) -> None:
    watch = _Watch(0.0)
    watch._stack = stack
    assert watch.line(from_source("y = x + 1\ny.get()", filename="<cell>")) == line


# The floor


def test_the_floor_is_what_events_read_of_nothing() -> None:
    floor = floor_of(FakeClock(device=True, mark_cost=1e-6, latency=5e-6))
    assert floor.pair == pytest.approx(1e-6)


def test_an_empty_launch_is_measured_in_a_row_of_them() -> None:
    assert floor_of(FakeClock(device=True)).launch == pytest.approx(1e-9)


def test_two_fake_clocks_have_each_its_own_floor() -> None:
    slow, fast = (FakeClock(device=True, mark_cost=cost, latency=1e-4) for cost in (2e-6, 0.0))
    assert (floor_of(slow).pair, floor_of(fast).pair) == (pytest.approx(2e-6), 0.0)


def test_the_floor_of_a_clock_is_measured_once() -> None:
    clock = FakeClock(device=True)
    floor_of(clock)
    count = len(clock.gates)
    floor_of(clock)
    assert len(clock.gates) == count


def test_what_a_launch_takes_the_host_is_measured_without_a_gate() -> None:
    clock = FakeClock(device=True, launch_cost=3e-6)
    assert launch_cost(clock) == pytest.approx(3e-6)
    assert clock.gates == []


# What may be asked besides


def test_a_cold_call_is_between_a_pair_of_its_own_behind_the_gate() -> None:
    clock, call = launching()
    taken = ColdPass(subject(clock, call), 1e-5)
    taken.run(3, 0.01, 0.15)
    assert taken.samples == pytest.approx([2e-5] * 12)
    assert len(clock.gates) == 3


def test_a_cold_batch_whose_gate_opened_does_not_count() -> None:
    clock, call = launching(cost=3e-3)
    taken = ColdPass(subject(clock, call), 1e-5)
    taken.run(3, 0.01, 0.15)
    assert taken.samples == []


def test_first_calls_after_a_rest_are_told_from_later_ones() -> None:
    clock, count = FakeClock(device=True, launch_cost=1e-5), iter(range(10**6))
    found = lasting(subject(clock, lambda: clock.launch(1e-3 if next(count) < 100 else 2e-3)), lambda: 1980)
    assert found == (pytest.approx(1e-3), pytest.approx(2e-3), 1980, 1980)


def test_work_that_goes_on_elsewhere_has_escaped() -> None:
    clock = FakeClock(device=True)
    clock.settle = lambda mark: None  # as if the work were on another stream than the mark
    assert escaped_work(subject(clock, lambda: clock.launch(3e-4))) == pytest.approx(3e-4)


def test_work_on_the_marked_stream_has_not_escaped() -> None:
    clock, call = launching()
    assert escaped_work(subject(clock, call)) == 0
