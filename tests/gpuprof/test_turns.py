"""The call log and its schedule: what is done at the boundaries of which step."""

import itertools
import threading

import pytest

from gpuprof.record.calls import Calls
from gpuprof.record.clocks import MISSING
from gpuprof.record.launches import kernels_of
from gpuprof.record.log import CallLog
from gpuprof.record.schedule import KERNELS, Block, Mode, Schedule
from gpuprof.record.tape import NO, UNSAID, YES
from gpuprof.testing import FakeClock

PLAIN, EVENTS, RECORDS, INSPECT, TURNING = Mode.PLAIN, Mode.EVENTS, Mode.RECORDS, Mode.INSPECT, Mode.TURNING


class Cell:
    """A cell whose steps are one forward and one backward, 1 ms of the host and 0.1 ms of the device each."""

    def __init__(self, *blocks: Block, device: bool = True, watch: object = None, **clock: float) -> None:
        self.clock = FakeClock(device=device, **clock)
        self.schedule = Schedule(device=device, blocks=blocks)
        self.log = CallLog(self.clock, self.schedule, {INSPECT: watch} if watch else {})

    def __enter__(self) -> "Cell":
        self.log.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.log.__exit__(*error)

    def call(self, path: str, phase: str, train: int = UNSAID) -> None:
        call = self.log.enter(self.log.scope(path, phase), train)
        self.clock.spend(1e-3)
        self.clock.launch(1e-4)
        self.log.leave(call)

    def region(self, name: str = "augment") -> None:
        self.call(name, "region")

    def steps(self, number: int) -> None:
        for _ in range(number):
            self.call("A", "forward", YES)
            self.clock.spend(1e-3)
            self.call("A", "backward")
            self.clock.spend(1e-3)

    def evaluate(self) -> None:
        self.call("A", "forward", NO)
        self.clock.spend(1e-3)

    @property
    def calls(self) -> Calls:
        return self.log.calls

    @property
    def modes(self) -> list[tuple[Mode, int]]:
        """The modes of the calls, with how many follow each other."""
        return [(Mode(m), len(list(group))) for m, group in itertools.groupby(self.calls["mode"].tolist())]

    @property
    def marked(self) -> list[bool]:
        return (self.calls["end"] != MISSING).tolist()

    @property
    def recorded(self) -> list[int]:
        """How many kernels belong to each call."""
        call = kernels_of(self.log.taken, self.calls)["call"].tolist()
        return [call.count(position) for position in range(len(self.calls))]


# Modes by steps


def test_a_calls_mode_is_that_of_its_step() -> None:
    with Cell(Block(EVENTS, 2), Block(PLAIN, 3), Block(EVENTS, 1)) as cell:
        cell.steps(7)
    assert cell.modes == [(EVENTS, 4), (PLAIN, 6), (EVENTS, 2), (PLAIN, 2)]


def test_only_marked_steps_have_times_on_the_device() -> None:
    with Cell(Block(EVENTS, 1), Block(PLAIN, 1), Block(EVENTS, 1)) as cell:
        cell.steps(3)
    assert cell.marked == [True, True, False, False, True, True]


def test_a_plain_step_has_one_mark_at_its_beginning() -> None:
    taken = []

    class Counting(FakeClock):
        def mark(self, place: object = None) -> int:
            taken.append(self.host())
            return super().mark(place)

    cell = Cell(Block(EVENTS, 1))
    cell.clock = Counting(device=True)
    cell.log = CallLog(cell.clock, cell.schedule)
    with cell:
        cell.steps(1)
        before = len(taken)
        cell.steps(5)
        assert len(taken) - before == 5


def test_plain_steps_have_their_hosts_times() -> None:
    with Cell(Block(PLAIN, 1)) as cell:
        cell.steps(3)
    assert (cell.calls["host_end"] - cell.calls["host_start"]).tolist() == [1_000_000] * 6


def test_on_the_hosts_clock_plain_steps_have_all_their_times() -> None:
    with Cell(Block(EVENTS, 1), device=False) as cell:
        cell.steps(2)
    assert cell.marked == [True] * 4


def test_without_a_schedule_every_call_is_marked() -> None:
    cell = Cell()
    cell.log = CallLog(cell.clock)
    with cell:
        cell.steps(20)
    assert cell.modes == [(EVENTS, 40)]
    assert all(cell.marked)


def test_the_first_call_in_a_mode_is_of_that_mode_and_the_last_before_it_is_not() -> None:
    with Cell(Block(KERNELS, 1), Block(EVENTS, 1)) as cell:
        cell.steps(3)
    assert cell.modes == [(KERNELS, 2), (TURNING, 2), (EVENTS, 2)]
    assert cell.recorded == [1, 1, 0, 0, 0, 0]


# A mark that two boundaries share


@pytest.mark.parametrize(("apart", "shared"), [(0.0, True), (2e-6, True), (3e-6, False)])
def test_boundaries_that_are_near_share_a_mark(apart: float, shared: bool) -> None:
    with Cell(Block(EVENTS, 9)) as cell:
        for name in "AB":
            call = cell.log.enter(cell.log.scope(name, "forward"))
            cell.clock.spend(1e-3)
            cell.log.leave(call)
            cell.clock.spend(apart)
    assert (cell.calls["end"][0] == cell.calls["start"][1]) == shared


def test_a_short_calls_two_marks_are_two() -> None:
    with Cell(Block(EVENTS, 9)) as cell:
        call = cell.log.enter(cell.log.scope("A", "forward"))
        cell.clock.launch(1e-3)
        cell.log.leave(call)
    assert (cell.calls["end"] - cell.calls["start"]).tolist() == [1_000_000]


def test_another_stream_shares_no_mark() -> None:
    cell = Cell(Block(EVENTS, 9))
    cell.clock.place = object  # type: ignore[method-assign,assignment] # never the same
    with cell:
        call = cell.log.enter(cell.log.scope("A", "forward"))
        cell.clock.launch(1e-3)
        cell.log.leave(call)
        cell.clock.launch(1e-3)
        call = cell.log.enter(cell.log.scope("B", "forward"))
        cell.log.leave(call)
    assert cell.calls["start"][1] - cell.calls["end"][0] == 1_000_000


# Regions


def test_a_region_in_a_plain_step_is_marked() -> None:
    with Cell(Block(PLAIN, 1)) as cell:
        cell.steps(2)
        cell.region()
        cell.steps(1)
    assert cell.marked == [False] * 4 + [True] + [False] * 2
    assert cell.calls["end"][4] - cell.calls["start"][4] == 1_100_000


def test_a_region_before_the_first_layer_begins_no_step() -> None:
    with Cell(Block(EVENTS, 1), Block(PLAIN, 9)) as cell:
        for _ in range(3):
            cell.region()
        cell.steps(2)
    assert cell.modes == [(EVENTS, 5), (PLAIN, 2)]


def test_steps_inside_a_region_take_turns_all_the_same() -> None:
    with Cell(Block(EVENTS, 1), Block(PLAIN, 1)) as cell:
        call = cell.log.enter(cell.log.scope("epoch", "region"))
        cell.steps(2)
        cell.log.leave(call)
    assert cell.modes == [(EVENTS, 3), (PLAIN, 2)]
    assert cell.marked == [True, True, True, False, False]


# Evaluations


def test_an_evaluation_amid_plain_steps_is_marked_and_they_go_on() -> None:
    with Cell(Block(EVENTS, 1), Block(PLAIN, 9)) as cell:
        cell.steps(2)
        cell.evaluate()
        cell.steps(1)
    assert cell.modes == [(EVENTS, 2), (PLAIN, 2), (EVENTS, 1), (PLAIN, 2)]
    assert cell.marked == [True] * 2 + [False] * 2 + [True] + [False] * 2


def test_an_evaluation_is_never_recorded() -> None:
    with Cell(Block(KERNELS, 9), Block(EVENTS, 9)) as cell:
        cell.steps(2)
        cell.evaluate()
        cell.evaluate()
        cell.steps(1)
    assert cell.modes == [(KERNELS, 4), (EVENTS | TURNING, 2), (EVENTS, 2)]
    assert cell.recorded == [1, 1, 1, 1, 0, 0, 0, 0]
    assert all(cell.marked)


def test_an_evaluation_counts_for_no_block() -> None:
    with Cell(Block(EVENTS, 3), Block(PLAIN, 9)) as cell:
        for _ in range(2):
            cell.steps(1)
            for _ in range(5):
                cell.evaluate()
        cell.steps(2)
    assert cell.modes == [(EVENTS, 16), (PLAIN, 2)]


def test_a_cell_that_evaluates_after_each_step_takes_turns_all_the_same() -> None:
    with Cell(Block(KERNELS, 1), Block(EVENTS, 1), Block(PLAIN, 9)) as cell:
        for _ in range(5):
            cell.steps(1)
            cell.evaluate()
    assert (PLAIN, 2) in cell.modes


def test_an_evaluation_before_any_training_is_like_any_pass() -> None:
    with Cell(Block(EVENTS, 2), Block(PLAIN, 9)) as cell:
        for _ in range(3):
            cell.evaluate()
    assert cell.modes == [(EVENTS, 2), (PLAIN, 1)]


# Turning


def test_between_records_and_the_next_pass_lies_a_step_of_neither() -> None:
    with Cell(Block(KERNELS, 2), Block(PLAIN, 9)) as cell:
        cell.steps(4)
    assert cell.modes == [(KERNELS, 4), (TURNING, 2), (PLAIN, 2)]


def test_steps_turn_until_the_device_has_passed_what_was_recorded() -> None:
    cell = Cell(Block(KERNELS, 2), Block(EVENTS, 2))
    with cell:
        cell.steps(1)
        cell.clock.launch(10e-3)  # a queue of 10 ms, with steps of 4 ms
        cell.steps(9)
    assert cell.modes[:2] == [(KERNELS, 4), (TURNING, 4)]
    assert cell.modes[2:] == [(EVENTS, 4), (PLAIN, 8)]


def test_nobody_waits_for_the_turn() -> None:
    with Cell(Block(KERNELS, 2), Block(EVENTS, 2), latency=0.1) as cell:
        before = cell.clock.waits
        cell.steps(40)
        assert cell.clock.waits == before


def test_records_of_a_cell_that_ends_amid_them_are_there() -> None:
    with Cell(Block(KERNELS, 9)) as cell:
        cell.steps(2)
    assert cell.recorded == [1] * 4


def test_records_of_a_cell_that_ends_while_turning_are_there() -> None:
    with Cell(Block(KERNELS, 1), Block(EVENTS, 1), latency=1.0) as cell:
        cell.steps(3)
    assert cell.modes == [(KERNELS, 2), (TURNING, 4)]
    assert cell.recorded == [1, 1, 0, 0, 0, 0]


def test_records_cost_their_own_steps_and_no_others() -> None:
    with Cell(Block(KERNELS, 2), Block(PLAIN, 2), record_cost=5e-4, launch_cost=1e-5) as cell:
        cell.steps(6)
    took = (cell.calls["host_end"] - cell.calls["host_start"]).tolist()
    assert took == [1_510_000] * 4 + [1_010_000] * 8


def test_what_watches_begins_with_its_step_and_comes_off_after_it() -> None:
    said: list[str] = []

    class Watcher:
        def __init__(self) -> None:
            said.append("begun")

        def entered(self, call: int) -> None:
            said.append("in")

        def left(self, call: int) -> None:
            said.append("out")

        def stop(self) -> None:
            said.append("stopped")

        def finish(self) -> None:
            said.append("off")

    with Cell(Block(EVENTS, 1), Block(INSPECT, 1), watch=Watcher) as cell:
        cell.steps(2)
        assert said == ["begun", "in", "out", "in", "out"]
        cell.steps(1)
        assert said[5:] == ["stopped"]
        cell.steps(1)
        assert said[6:] == ["off"]


def test_a_call_that_is_open_when_its_watcher_begins_is_left_to_itself() -> None:
    left: list[int] = []

    class Watcher:
        def entered(self, call: int) -> None:
            left.append(call)

        def left(self, call: int) -> None:
            left.remove(call)

        def stop(self) -> None: ...

        def finish(self) -> None: ...

    with Cell(Block(EVENTS, 1), Block(INSPECT, 1), watch=Watcher) as cell:
        call = cell.log.enter(cell.log.scope("epoch", "region"))
        cell.steps(3)
        cell.log.leave(call)
    assert left == []


# What a step is


def test_a_cell_whose_first_layer_never_comes_again_is_of_one_mode() -> None:
    with Cell(Block(EVENTS, 1), Block(PLAIN, 1)) as cell:
        cell.call("stem", "forward", YES)
        for _ in range(20):
            cell.call("block", "forward", YES)
            cell.call("block", "backward")
    assert cell.modes == [(EVENTS, 41)]


def test_a_first_layer_used_twice_in_a_step_begins_one() -> None:
    with Cell(Block(EVENTS, 2), Block(PLAIN, 1)) as cell:
        for _ in range(3):
            cell.call("A", "forward", YES)
            cell.call("B", "forward", YES)
            cell.call("A", "backward")
            cell.call("A", "forward", YES)  # generated again, say
            cell.call("A", "backward")
    # the second forward came after a backward: it is a step of its own
    assert cell.modes == [(EVENTS, 5), (PLAIN, 10)]


def test_forwards_alone_are_steps_each_time_the_first_comes_again() -> None:
    with Cell(Block(EVENTS, 2), Block(PLAIN, 1)) as cell:
        for _ in range(4):
            cell.call("A", "forward")
            cell.call("B", "forward")
    assert cell.modes == [(EVENTS, 4), (PLAIN, 4)]


def test_a_first_layer_called_inside_another_begins_no_step() -> None:
    with Cell(Block(EVENTS, 1), Block(PLAIN, 1)) as cell:
        cell.steps(1)
        outer = cell.log.enter(cell.log.scope("checkpoint", "backward"))
        cell.call("A", "forward", YES)
        cell.log.leave(outer)
    assert cell.modes == [(EVENTS, 4)]


def test_another_thread_goes_on_with_the_steps_where_the_first_has_nothing_open() -> None:
    with Cell(Block(EVENTS, 1), Block(PLAIN, 9)) as cell:
        cell.steps(1)
        thread = threading.Thread(target=cell.steps, args=(3,))
        thread.start()
        thread.join()
        cell.steps(1)
    assert cell.modes == [(EVENTS, 2), (PLAIN, 8)]


# Calls that end out of order


def test_a_region_that_ends_after_the_one_around_it_does_no_harm() -> None:
    with Cell() as cell:
        outer = cell.log.enter(cell.log.scope("epoch", "region"))
        inner = cell.log.enter(cell.log.scope("batch", "region"))  # of a generator that is closed later
        cell.log.leave(outer)
        cell.log.leave(inner)
    assert len(cell.calls) >= 1


def test_a_region_that_is_left_on_another_thread_does_no_harm() -> None:
    with Cell() as cell:
        call = cell.log.enter(cell.log.scope("epoch", "region"))
        failed: list[BaseException] = []

        def leave() -> None:
            try:
                cell.log.leave(call)
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=leave)
        thread.start()
        thread.join()
    for error in failed:
        raise error
