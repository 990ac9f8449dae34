"""The statement being measured: its first call, its time, and when samples are enough."""

from itertools import cycle

import pytest

from gpuprof.passes.subject import Subject, repeated
from gpuprof.statement import from_function
from gpuprof.testing import FakeClock


def spending(clock: FakeClock, first: float, later: float) -> Subject:
    """A statement whose first call takes longer or shorter than all others."""
    lengths = iter([first])
    return Subject(from_function(lambda: clock.spend(next(lengths, later))), clock)


def test_the_first_call_is_timed_apart_with_all_its_work() -> None:
    clock = FakeClock(device=True, launch_cost=1e-5)
    subject = Subject(from_function(clock.launch, 4e-3), clock)
    assert subject.first == pytest.approx(4.01e-3)


def test_what_was_queued_before_is_not_billed_to_the_first_call() -> None:
    clock = FakeClock(device=True)
    clock.launch(5.0)
    assert Subject(from_function(clock.launch, 1e-3), clock).first == 1e-3


def test_after_a_long_first_call_the_usual_one_is_a_second() -> None:
    subject = spending(FakeClock(), 0.5, 1e-3)
    assert (subject.first, subject.usual) == (0.5, 1e-3)


def test_after_a_short_first_call_there_is_no_second() -> None:
    calls: list[None] = []
    subject = Subject(from_function(calls.append, None), FakeClock())
    assert len(calls) == 1
    assert subject.usual == subject.first


@pytest.mark.parametrize(("usual", "allowed"), [(1e-3, 1.7), (0.18, 1.7), (1.0, 9.0), (20.0, 60.0)])
def test_a_short_statement_has_under_two_seconds_and_a_long_one_nine_calls(usual: float, allowed: float) -> None:
    assert spending(FakeClock(), usual, usual).allowed == allowed


def test_on_a_device_where_there_are_more_passes_a_long_one_has_six_calls() -> None:
    assert spending(FakeClock(device=True), 1.0, 1.0).allowed == 6.0


def test_a_pass_has_its_share_of_the_time_and_no_more_than_is_left() -> None:
    clock = FakeClock()
    subject = spending(clock, 0.0, 0.0)
    began = clock.host()
    assert subject.deadline(0.5) == began + 0.85e9
    clock.spend(1.0)
    assert subject.deadline(0.5) == began + 1.7e9


def test_a_long_first_call_takes_nothing_from_the_passes() -> None:
    clock = FakeClock()
    subject = spending(clock, 3.0, 0.0)
    assert subject.deadline(1.0) == clock.host() + 1.7e9


def test_progress_is_told_after_a_second_and_then_four_times_a_second() -> None:
    clock, told = FakeClock(), []
    subject = Subject(from_function(lambda: None), clock, told.append)
    for step in range(16):
        clock.spend(0.125)
        subject.tell(f"{(step + 1) / 8} s")
    assert told == ["1.125 s", "1.5 s", "1.875 s"]


def taking(clock: FakeClock, lengths: list[float], **asked: float) -> tuple[str, int]:
    """Why `repeated` stopped, and after how many."""
    samples: list[float] = []
    endless = cycle(lengths)

    def take() -> list[list[float]]:
        samples.append(next(endless))
        clock.spend(1e-3)
        return [samples]

    why = repeated(spending(clock, 0.0, 0.0), "host", take, **{"share": 0.5, **asked})
    return why, len(samples)


def test_thirty_equal_samples_are_enough() -> None:
    assert taking(FakeClock(), [1.0]) == ("intervals within ±1.0%", 30)


def test_as_many_as_were_asked_for_are_taken_whatever_they_are() -> None:
    assert taking(FakeClock(), [1.0, 9.0], repeat=3) == ("3 batches asked for", 3)
    assert taking(FakeClock(), [1.0], repeat=100) == ("100 batches asked for", 100)


def test_samples_that_are_never_enough_end_with_the_time() -> None:
    assert taking(FakeClock(), [1.0, 2.0, 4.0], precision=1e-6) == ("its share of 1.7 s was up", 850)


def test_samples_end_at_the_most_there_may_be() -> None:
    assert taking(FakeClock(), [1.0, 2.0, 4.0], precision=1e-6, most=40) == ("40 batches are enough", 40)


def test_a_wider_precision_is_reached_sooner() -> None:
    lengths = [1.0, 1.1, 1.2]
    assert taking(FakeClock(), lengths, precision=0.05)[1] == 30
    assert taking(FakeClock(), lengths, precision=0.01)[1] > 100


def test_every_quantity_must_be_narrow_enough() -> None:
    clock = FakeClock()
    ones: list[float] = []
    wide: list[float] = []

    def take() -> list[list[float]]:
        ones.append(1.0)
        wide.append(float(len(wide) % 7))
        clock.spend(0.01)
        return [ones, wide]

    assert repeated(spending(clock, 0.0, 0.0), "graph", take, share=0.5) == "its share of 1.7 s was up"


def test_samples_that_are_known_only_later_are_never_enough() -> None:
    assert repeated(spending(FakeClock(), 0.0, 0.0), "kernels", list, share=0.5, most=50) == "50 batches are enough"
