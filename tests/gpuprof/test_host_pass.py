"""Host and latency: batches that fit, warm-up that is forgotten, one call alone."""

from collections.abc import Callable

import pytest

from gpuprof.passes.host import HostPass
from gpuprof.passes.subject import Subject
from gpuprof.statement import from_function
from gpuprof.testing import FakeClock


def passed(clock: FakeClock, call: Callable[[], object], number: int | None = None) -> HostPass:
    return HostPass(Subject(from_function(call), clock), number)


def launching(cost: float, length: float) -> tuple[FakeClock, Callable[[], None]]:
    clock = FakeClock(device=True, launch_cost=cost)
    return clock, lambda: clock.launch(length)


@pytest.mark.parametrize(
    ("cost", "length", "number"),
    [(1e-5, 1e-6, 100), (1e-4, 1e-6, 19), (1e-5, 1e-4, 19), (1e-5, 4e-3, 1), (4e-3, 1e-6, 1)],
)
def test_on_a_device_a_batch_fills_two_milliseconds_with_a_hundred_calls_at_most(
    cost: float, length: float, number: int
) -> None:
    assert passed(*launching(cost, length)).number == pytest.approx(number, rel=0.5)


@pytest.mark.parametrize(("length", "number"), [(1e-3, 10), (1e-5, 1000), (3.0, 1)])
def test_on_the_host_a_batch_fills_ten_milliseconds(length: float, number: int) -> None:
    clock = FakeClock()
    assert passed(clock, lambda: clock.spend(length)).number == number


def test_the_number_asked_for_is_the_number_used() -> None:
    assert passed(*launching(1e-5, 1e-6), number=7).number == 7


def test_a_batch_never_fills_the_devices_queue() -> None:
    clock = FakeClock(device=True, launch_cost=5e-6)

    def forty_launches() -> None:
        for _ in range(40):
            clock.launch(1e-7)

    assert passed(clock, forty_launches).number * 40 <= 400


def test_a_call_that_takes_no_time_has_a_number_too() -> None:
    assert passed(FakeClock(device=True), lambda: None).number == 1


def test_a_batch_begins_on_a_drained_device() -> None:
    clock = FakeClock(device=True, launch_cost=1e-5, queue=8)
    taken = passed(clock, lambda: clock.launch(1e-3), number=4)
    assert taken.batch() == taken.batch() == pytest.approx(1e-5)


def test_latency_is_one_call_alone_with_its_work() -> None:
    taken = passed(*launching(1e-5, 1e-6), number=10)
    taken.take()
    assert taken.host == pytest.approx([1e-5])
    assert taken.latency == pytest.approx([1.1e-5])


def test_a_batch_of_one_is_its_own_latency() -> None:
    calls: list[None] = []
    clock = FakeClock(device=True)

    def call() -> None:
        calls.append(None)
        clock.launch(1e-3)

    taken = passed(clock, call, number=1)
    taken.take()
    assert len(calls) == 2  # the first call, and the batch
    assert taken.latency == [1e-3]


def test_on_the_hosts_clock_a_call_has_no_latency_besides() -> None:
    clock = FakeClock()
    taken = passed(clock, lambda: clock.spend(1e-3), number=2)
    taken.take()
    assert (taken.host, taken.latency) == ([1e-3], [])


def test_a_clock_that_waits_through_a_library_has_a_latency() -> None:
    clock = FakeClock()
    clock.asynchronous = True
    taken = passed(clock, lambda: clock.spend(1e-3), number=2)
    taken.take()
    assert taken.latency == [1e-3]


def test_warming_up_ends_when_later_calls_are_as_fast_as_earlier_ones() -> None:
    clock, count = FakeClock(), iter(range(10**6))
    taken = passed(clock, lambda: clock.spend(2e-3 if next(count) < 5 else 1e-3), number=1)  # the first call, and 4
    taken.warm_up()
    assert next(count) == 1 + 16
    assert (taken.host, taken.latency) == ([], [])


def test_warming_up_ends_with_its_time_where_calls_never_settle() -> None:
    clock, count = FakeClock(), iter(range(1, 10**6))
    taken = passed(clock, lambda: clock.spend(1e-6 * next(count)), number=1)
    before = clock.host()
    taken.warm_up()
    assert clock.host() - before < 0.18e9


def test_warming_up_tells_what_a_call_usually_takes() -> None:
    clock, lengths = FakeClock(), iter([0.03])
    subject = Subject(from_function(lambda: clock.spend(next(lengths, 1e-3))), clock)
    assert subject.usual == pytest.approx(0.03)
    HostPass(subject, 1).warm_up()
    assert subject.usual == 1e-3


def test_a_long_statement_is_not_warmed_up() -> None:
    clock = FakeClock()
    taken = passed(clock, lambda: clock.spend(1.0), number=1)
    before = clock.host()
    taken.warm_up()
    assert clock.host() == before


@pytest.mark.parametrize(("cost", "length", "reads"), [(1e-5, 1e-3, 1e-3), (1e-3, 1e-5, 1e-3)])
def test_between_events_lies_the_devices_time_or_the_hosts_if_longer(cost: float, length: float, reads: float) -> None:
    taken = passed(*launching(cost, length), number=10)
    taken.take()
    assert taken.between() == pytest.approx([reads], rel=0.01)


def test_without_a_device_nothing_lies_between_events() -> None:
    clock = FakeClock()
    taken = passed(clock, lambda: clock.spend(1e-3), number=10)
    taken.take()
    assert taken.between() == ()


def test_an_interrupt_leaves_the_batches_before_it() -> None:
    clock, calls = FakeClock(), iter(range(10**6))

    def call() -> None:
        clock.spend(1e-3)
        if next(calls) == 5:
            raise KeyboardInterrupt

    taken = passed(clock, call, number=1)
    with pytest.raises(KeyboardInterrupt):
        taken.run(None, 0.01, 0.5)
    assert taken.host == [1e-3] * 4
