"""Two statements in turns: quartets, the floor, and which quantity decides."""

import math
from collections.abc import Callable
from itertools import count

import pytest

import gpuprof
from gpuprof.passes.pair import Pair, Runner, compared
from gpuprof.passes.subject import Subject
from gpuprof.statement import from_function
from gpuprof.testing import FakeClock


def never() -> bool:
    return False


def always(seconds: float) -> Callable[[], float]:
    return lambda: seconds


def each(seconds: Callable[[int], float]) -> Callable[[], float]:
    """The n-th time by n."""
    steps = count()
    return lambda: seconds(next(steps))


def launching(clock: FakeClock, length: float) -> Subject:
    return Subject(from_function(clock.launch, length), clock)


def pair(clock: FakeClock, first: float, second: float, copies: tuple[float, ...] = ()) -> Pair:
    """Two statements of these lengths, compared."""
    runners = [Runner(launching(clock, length), 1) for length in (first, second, *copies)]
    found = Pair(runners[0], runners[1], runners[2:])
    found.run(4.0)
    return found


# Quartets


def test_half_the_time_is_twice_as_fast() -> None:
    found = compared("device", always(2e-3), always(1e-3), [], never)
    assert (found.ratio, found.word) == (pytest.approx(2.0), "FASTER")
    assert (found.a, found.b) == (2e-3, 1e-3)


def test_twice_the_time_is_half_as_fast() -> None:
    found = compared("device", always(1e-3), always(2e-3), [], never)
    assert (found.ratio, found.word) == (pytest.approx(0.5), "SLOWER")


def test_equal_times_are_the_same() -> None:
    assert compared("device", always(1e-3), always(1e-3), [], never).word == "SAME"


def test_a_steady_rise_of_both_cancels() -> None:
    rising = each(lambda n: 1e-3 * math.exp(1e-4 * n))
    found = compared("device", rising, rising, [], never)
    assert (found.ratio, found.word) == (pytest.approx(1.0, abs=1e-9), "SAME")


def test_either_letter_is_first_as_often_and_twice_in_each_quartet() -> None:
    letters: list[str] = []

    def taken(letter: str) -> Callable[[], float]:
        return lambda: letters.append(letter) or 1e-3

    found = compared("device", taken("A"), taken("B"), [], never)
    quartets = ["".join(letters[at : at + 4]) for at in range(0, len(letters), 4)]
    assert set(quartets) == {"ABBA", "BAAB"}
    assert len(quartets) == 12 + found.quartets  # a pilot of 12
    assert abs(quartets.count("ABBA") - quartets.count("BAAB")) <= 1


def test_without_any_spread_no_more_quartets_than_the_pilot_are_planned() -> None:
    assert compared("device", always(1e-3), always(1e-3), [], never).quartets == 12


def test_with_spread_more_quartets_are_planned() -> None:
    rough = each(lambda n: 1e-3 * (1 + 0.01 * (n * 7 % 5)))
    assert 12 < compared("device", rough, always(1e-3), [], never).quartets <= 400


def test_a_quartet_with_a_batch_that_failed_is_left_out() -> None:
    failing = each(lambda n: math.nan if n % 8 == 0 else 2e-3)
    found = compared("device", failing, always(1e-3), [], never)
    assert found.ratio == pytest.approx(2.0)
    assert found.quartets == 9  # of 12, each with two batches of A


def test_when_time_is_up_it_stays_unclear() -> None:
    found = compared("device", always(2e-3), always(1e-3), [], lambda: True)
    assert (found.word, found.quartets) == ("UNCLEAR", 0)
    assert math.isnan(found.low)


# The floor


@pytest.mark.parametrize(("quantity", "floor"), [("device", 0.005), ("host", 0.01), ("throughput", 0.01)])
def test_nothing_below_the_least_floor_is_looked_for(quantity: str, floor: float) -> None:
    assert compared(quantity, always(1e-3), always(1e-3), [always(1e-3)], never).floor == floor


def test_a_difference_below_the_least_floor_is_the_same() -> None:
    assert compared("device", always(1e-3), always(1.003e-3), [], never).word == "SAME"


def test_copies_that_differ_raise_the_floor() -> None:
    found = compared("device", always(1e-3), always(1e-3), [always(1.02e-3)], never)
    assert found.floor == pytest.approx(2.5 * math.log(1.02))


def test_what_copies_differ_by_is_not_called_faster() -> None:
    copies = [always(0.98e-3), always(1.02e-3)]
    assert compared("device", always(1e-3), always(0.97e-3), [], never).word == "FASTER"
    assert compared("device", always(1e-3), always(0.97e-3), copies, never).word == "SAME"


# The two on a clock


def test_without_a_device_the_hosts_time_alone_is_compared() -> None:
    clock = FakeClock()
    runners = [Runner(Subject(from_function(clock.spend, length), clock), 1) for length in (2e-3, 1e-3)]
    found = Pair(*runners, [])
    found.run(4.0)
    assert [(ratio.quantity, ratio.ratio) for ratio in found.ratios] == [("host", pytest.approx(2.0))]
    assert (found.deciding, found.why) == ("host", "")


def test_on_a_device_both_times_are_compared() -> None:
    found = pair(FakeClock(device=True, launch_cost=1e-5), 2e-4, 1e-4)
    assert [(ratio.quantity, ratio.word) for ratio in found.ratios] == [("device", "FASTER"), ("host", "SAME")]


@pytest.mark.parametrize(("cost", "deciding"), [(1e-5, "device"), (1e-3, "host")])
def test_what_sets_the_pace_decides(cost: float, deciding: str) -> None:
    assert pair(FakeClock(device=True, launch_cost=cost), 2e-4, 1e-4).deciding == deciding


def test_where_one_is_bound_by_the_host_and_one_by_the_gpu_their_pace_decides() -> None:
    clock = FakeClock(device=True, launch_cost=5e-6)

    def many() -> None:
        for _ in range(10):
            clock.launch(1.5e-6)

    found = gpuprof.compare(many, lambda: clock.launch(30e-6), clock=clock)
    assert (found.deciding, found.word) == ("throughput", "FASTER")
    assert found["device"].word == "SLOWER"
    assert found.ratio == pytest.approx(50 / 30, rel=0.03)


def test_without_a_gate_the_pace_is_compared_and_the_reason_kept() -> None:
    clock = FakeClock(device=True, launch_cost=1e-5)
    clock.refusal = "no gate today"
    found = pair(clock, 2e-3, 1e-3)
    assert [ratio.quantity for ratio in found.ratios] == ["throughput", "host"]
    assert found.ratios[0].word == "FASTER"
    assert (found.deciding, found.why, clock.gates) == ("throughput", "no gate today", [])


def test_one_that_waits_inside_takes_the_gate_from_both() -> None:
    clock = FakeClock(device=True)

    def waiting() -> None:
        clock.launch(1e-3)
        clock.wait()

    runners = [Runner(launching(clock, 1e-3), 1), Runner(Subject(from_function(waiting), clock), 1)]
    found = Pair(*runners, [])
    found.run(4.0)
    assert found.why == "its gate does not hold"
    assert found.ratios[0].quantity == "throughput"


def test_what_lies_between_events_is_of_batches_as_they_were_taken() -> None:
    clock = FakeClock(device=True, launch_cost=1e-5)
    runner = Runner(launching(clock, 2e-5), None)
    assert runner._device._between == pytest.approx([2e-5] * len(runner._device._between), rel=0.05)


def test_the_number_asked_for_is_kept() -> None:
    clock, calls = FakeClock(device=True), []
    runner = Runner(Subject(from_function(lambda: calls.append(clock.launch(1e-3))), clock), 50)
    calls.clear()
    runner.host()
    assert len(calls) == 50


# compare


def test_two_functions_are_compared() -> None:
    clock = FakeClock()
    found = gpuprof.compare(lambda: clock.spend(2e-3), lambda: clock.spend(1e-3), clock=clock)
    assert (found.ratio, found.word) == (pytest.approx(2.0), "FASTER")


def test_two_statements_are_compared_with_their_names_and_setup() -> None:
    clock = FakeClock()
    found = gpuprof.compare("f(t)", "f(2 * t)", setup="t = 1e-3", globals={"f": clock.spend}, clock=clock)
    assert (found.names, found.word) == (("f(t)", "f(2 * t)"), "SLOWER")


def test_a_function_and_a_statement_are_not_compared() -> None:
    with pytest.raises(TypeError, match="expected two functions or two statements; got str and function"):
        gpuprof.compare("1", lambda: 1)


@pytest.mark.parametrize(("second", "says"), [("1 + 1", "Results are equal"), ("3", "Results differ")])
def test_whether_the_results_agree_is_part_of_the_answer(second: str, says: str) -> None:
    found = gpuprof.compare("clock.spend(1e-3); 2", f"clock.spend(1e-3); {second}", **on(FakeClock()))
    assert says in found.verdict


def on(clock: FakeClock) -> dict[str, object]:
    return {"clock": clock, "globals": {"clock": clock}}


def test_the_comparison_is_the_newest_result() -> None:
    clock = FakeClock()
    found = gpuprof.compare(lambda: clock.spend(1e-3), lambda: clock.spend(1e-3), clock=clock)
    assert gpuprof.last is found


def test_why_there_is_no_device_time_is_told() -> None:
    clock = FakeClock(device=True)
    clock.refusal = "no gate today"
    found = gpuprof.compare(lambda: clock.launch(1e-3), lambda: clock.launch(1e-3), clock=clock)
    assert found.warnings == ("no device time of its own: no gate today",)


def test_what_the_two_print_is_shown_once_and_told(capsys) -> None:
    clock = FakeClock()
    found = gpuprof.compare(
        lambda: print("one", clock.spend(1e-3)), lambda: print("two", clock.spend(1e-3)), clock=clock
    )
    assert capsys.readouterr().out == "one None\ntwo None\n"
    assert found.warnings == ("it prints: the output of its first call was shown, that of all others was not",)


def interrupted(clock: FakeClock, after: float) -> Callable[[], None]:
    """A statement that Ctrl-C ends, once, when so many seconds of the clock have passed."""
    end = clock.host() + after * 1e9
    pressed: list[None] = []

    def call() -> None:
        clock.launch(1e-3)
        if clock.host() > end and not pressed:
            pressed.append(None)
            raise KeyboardInterrupt

    return call


def test_an_interrupt_while_the_device_is_compared_returns_the_quartets_so_far() -> None:
    clock = FakeClock(device=True)
    found = gpuprof.compare(interrupted(clock, 1.7), lambda: clock.launch(1e-3), clock=clock)
    assert found.stopped == "interrupted"
    assert [ratio.quantity for ratio in found.ratios] == ["device"]


def test_an_interrupt_before_there_is_anything_rises() -> None:
    clock = FakeClock(device=True)
    with pytest.raises(KeyboardInterrupt):
        gpuprof.compare(interrupted(clock, 0.0), lambda: clock.launch(1e-3), clock=clock)


def test_an_error_in_either_rises() -> None:
    clock = FakeClock()
    with pytest.raises(ZeroDivisionError):
        gpuprof.compare(lambda: clock.spend(1e-3), lambda: 1 / 0, clock=clock)


def test_one_quantity_may_be_asked_for_alone() -> None:
    clock = FakeClock(device=True, launch_cost=1e-5)
    found = gpuprof.compare(lambda: clock.launch(2e-5), lambda: clock.launch(1e-5), quantity="device", clock=clock)
    assert [ratio.quantity for ratio in found.ratios] == ["device"]


def test_a_quantity_that_cannot_be_had_is_answered_with_those_that_can() -> None:
    with pytest.raises(ValueError, match="quantity must be one of '', 'host' here; got 'device'"):
        gpuprof.compare("1", "2", quantity="device", clock=FakeClock())
