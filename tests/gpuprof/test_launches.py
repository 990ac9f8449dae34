"""Kernels and the calls that launched them."""

import threading
from collections.abc import Callable

import numpy as np
import pytest

from gpuprof.fakerecords import FakeRecorder, fake_records
from gpuprof.record.calls import Calls
from gpuprof.record.kernels import Launched
from gpuprof.record.launches import OUTSIDE, UNKNOWN, Kernels, kernels_of
from gpuprof.record.log import CallLog
from gpuprof.record.schedule import KERNELS, Block, Schedule
from gpuprof.record.taken import Taken
from gpuprof.record.tape import RAISED
from gpuprof.testing import FakeClock


class Session:
    """A log whose steps are all recorded, and a layer in it."""

    def __init__(self, **clock: float) -> None:
        self.clock = FakeClock(device=True, **clock)
        self.log = CallLog(self.clock, Schedule(device=True, blocks=[Block(KERNELS, 1 << 60, 1e9)]))

    def __enter__(self) -> "Session":
        self.log.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.log.__exit__(*error)

    def call(self, path: str, work: Callable[[], object] = lambda: None, phase: str = "forward") -> None:
        """Launch one kernel, do `work`, launch another one."""
        call = self.log.enter(self.log.scope(path, phase))
        try:
            self.clock.launch(1e-3)
            work()
            self.clock.launch(1e-3)
        except ZeroDivisionError:
            self.log.leave(call, RAISED)
            raise
        self.log.leave(call)

    @property
    def kernels(self) -> Kernels:
        return kernels_of(self.log.taken, self.log.calls)

    @property
    def owners(self) -> list[str]:
        """The path of each kernel's call."""
        names = {OUTSIDE: "outside", UNKNOWN: "unknown"}
        calls = self.log.calls
        paths = [calls.scopes[scope].path for scope in calls["scope"]]
        return [names.get(call, paths[call]) for call in self.kernels["call"].tolist()]


def test_kernels_belong_to_the_call_that_launched_them() -> None:
    with Session() as run:
        run.call("A")
        run.call("B")
    assert run.owners == ["A", "A", "B", "B"]


def test_kernels_of_a_call_inside_another_belong_to_the_inner_one() -> None:
    with Session() as run:
        run.call("block", lambda: run.call("conv", lambda: run.call("pad")))
    assert run.owners == ["block", "conv", "pad", "pad", "conv", "block"]


def test_recursion_gives_each_depth_its_own() -> None:
    with Session() as run:
        run.call("tree", lambda: run.call("tree", lambda: run.call("tree")))
    assert run.kernels["call"].tolist() == [0, 1, 2, 2, 1, 0]


def test_a_layer_used_twice_has_two_calls() -> None:
    with Session() as run:
        run.call("A")
        run.call("shared")
        run.call("B")
        run.call("shared")
    assert run.kernels["call"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert run.owners.count("shared") == 4


def test_what_a_call_launched_before_it_raised_is_its_own() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    with Session() as run:
        with pytest.raises(ZeroDivisionError):
            run.call("A", lambda: run.call("B", fail))
        run.call("C")
    assert run.owners == ["A", "B", "C", "C"]


def test_a_kernel_between_calls_belongs_to_none() -> None:
    with Session() as run:
        run.call("A")
        run.clock.launch(1e-3)
        run.call("B")
        run.clock.launch(1e-3)
    assert run.owners == ["A", "A", "outside", "B", "B", "outside"]


def test_a_kernel_before_the_first_call_belongs_to_none() -> None:
    with Session() as run:
        run.clock.launch(1e-3)
        run.call("A")
    assert run.owners == ["outside", "A", "A"]
    assert run.kernels["after"].tolist() == [OUTSIDE, 0, 0]


def test_a_kernel_of_no_call_knows_which_call_began_last_before_it() -> None:
    with Session() as run:
        run.call("A", lambda: run.call("B"))
        run.clock.launch(1e-3)
        empty = run.log.enter(run.log.scope("C", "forward"))  # which launches nothing
        run.log.leave(empty)
        run.clock.launch(1e-3)
    assert run.kernels["after"].tolist() == [0, 1, 1, 1, 1, 2]


def test_what_is_launched_in_a_region_that_is_never_left_is_nobodys_and_told_apart_from_what_lies_outside() -> None:
    with Session() as run:
        run.call("A")
        run.log.enter(run.log.scope("half done", "region"))
        run.clock.launch(1e-3)
        run.call("B")
    assert run.kernels["call"].tolist()[2:] == [UNKNOWN, 1, 1]
    assert run.kernels.unknown == 1


def test_of_two_regions_that_overlap_the_one_still_open_has_what_follows() -> None:
    with Session() as run:
        a, b = (run.log.enter(run.log.scope(name, "region")) for name in "AB")
        run.log.leave(a)
        run.clock.launch(1e-3)
        run.log.leave(b)
        run.clock.launch(1e-3)
    assert run.owners == ["B", "outside"]


def test_work_that_is_done_long_after_its_call_has_returned_is_still_its_own() -> None:
    with Session(latency=5.0) as run:
        run.call("A")
        run.call("B")
    assert run.owners == ["A", "A", "B", "B"]


def test_two_threads_are_told_apart_where_launches_were_recorded() -> None:
    def both() -> None:
        thread = threading.Thread(target=run.call, args=("B",))
        thread.start()
        thread.join()

    with Session() as run:
        run.call("A", both)
    assert run.owners == ["A", "B", "B", "A"]


def test_a_thread_that_calls_no_layer_launches_for_nobody() -> None:
    def both() -> None:
        thread = threading.Thread(target=run.clock.launch, args=(1e-3,))
        thread.start()
        thread.join()

    with Session() as run:
        run.call("A", both)
    assert run.owners == ["A", "outside", "A"]


def without_threads(run: Session) -> list[int]:
    """Whose the kernels are if the launches' own threads had not been recorded."""
    none = np.zeros(0, dtype=np.int64)
    taken = [each._replace(launched=each.launched._replace(calls=none, threads=none)) for each in run.log.taken]
    return kernels_of(taken, run.log.calls)["call"].tolist()


def test_one_thread_needs_no_launches_recorded() -> None:
    with Session() as run:
        run.clock.launch(1e-3)
        run.call("A", lambda: run.call("B"))
        run.clock.launch(1e-3)
    assert without_threads(run) == [OUTSIDE, 0, 1, 1, 0, OUTSIDE]


def test_of_two_threads_nothing_can_be_told_where_launches_were_not_recorded() -> None:
    with Session() as run:
        run.call("A")
        thread = threading.Thread(target=run.call, args=("B",))
        thread.start()
        thread.join()
    assert without_threads(run) == [UNKNOWN] * 4


def test_kernels_that_cannot_be_given_to_a_call_are_counted() -> None:
    with Session() as run:
        run.call("A")
    (taken,) = run.log.taken
    launches = taken.launched
    lost = launches.calls != launches.records.correlation[1]
    less = launches._replace(calls=launches.calls[lost], threads=launches.threads[lost])
    found = kernels_of([taken._replace(launched=less)], run.log.calls)
    assert found["call"].tolist() == [0, UNKNOWN]
    assert found.unknown == 1


@pytest.mark.parametrize("threads", [1, 2])
def test_after_the_first_block_launches_are_recorded_only_where_there_are_several_threads(threads: int) -> None:
    asked = []

    class Watched(FakeClock):
        def recorder(self, launches: bool) -> FakeRecorder:
            asked.append(launches)
            return super().recorder(launches)

    log = CallLog(Watched(device=True), Schedule(device=True, blocks=[Block(KERNELS, 1), Block(KERNELS, 1)]))
    with log:
        for _ in range(4):
            log.leave(log.enter(log.scope("A", "forward")))
            for _ in range(threads - 1):
                thread = threading.Thread(target=lambda: log.leave(log.enter(log.scope("B", "forward"))))
                thread.start()
                thread.join()
    assert asked == [True, threads > 1]


# The host's axis


def taken(
    rows: list[tuple[int, int]], begin: tuple[int, int], end: tuple[int, int], dropped: int = 0
) -> tuple[list[Taken], Calls]:
    """A block of records with the times of the host and of the records at its beginning and end."""
    with CallLog(FakeClock(device=True)) as log:
        pass
    none = np.zeros(0, dtype=np.int64)
    records = fake_records([(*row, "gemm") for row in rows])._replace(dropped=dropped)
    return [Taken(Launched(records, none, none, none, none), (begin, end), {})], log.calls


def test_records_are_put_on_the_hosts_axis() -> None:
    found = kernels_of(*taken([(1_500, 1_700)], begin=(10_000, 1_000), end=(20_000, 11_000)))
    assert (found["start"].tolist(), found["end"].tolist()) == ([10_500], [10_700])


def test_a_clock_that_runs_faster_is_slowed_down() -> None:
    second = 1_000_000_000
    found = kernels_of(*taken([(second, 2 * second)], begin=(0, 0), end=(10 * second, 10 * second + 1_000_000)))
    assert found["start"].tolist() == [round(second / 1.0001)]
    assert found["end"].tolist() == [round(2 * second / 1.0001)]


def test_a_moment_of_records_does_not_stretch_them() -> None:
    found = kernels_of(*taken([(100, 1_000_100)], begin=(0, 100), end=(100, 100)))
    assert (found["end"] - found["start"]).tolist() == [1_000_000]


def test_bearings_that_are_off_over_a_short_block_change_lengths_by_half_a_thousandth_at_most() -> None:
    found = kernels_of(*taken([(0, 100_000)], begin=(0, 0), end=(102_000, 100_000)))
    assert (found["end"] - found["start"]).tolist() == [100_050]


def test_times_keep_their_nanoseconds_however_large_they_are() -> None:
    far = 1_790_000_000_000_000_000  # the nanoseconds since 1970, as CUPTI counts them
    found = kernels_of(*taken([(far + 7, far + 12)], begin=(5_000, far), end=(1_000_005_000, far + 1_000_000_000)))
    assert (found["start"].tolist(), found["end"].tolist()) == ([5_007], [5_012])


def test_blocks_are_numbered_and_names_shared() -> None:
    (one,), calls = taken([(5, 6)], (0, 0), (100, 100))
    (two,), _ = taken([(205, 206), (207, 208)], (200, 200), (300, 300))
    found = kernels_of([one, two], calls)
    assert (found["block"].tolist(), found.names, found.blocks) == ([0, 1, 1], ("gemm",), 2)
    assert found["name"].tolist() == [0, 0, 0]


def test_dropped_records_are_counted_over_all_blocks() -> None:
    (one,), calls = taken([(5, 6)], (0, 0), (100, 100), dropped=3)
    (two,), _ = taken([], (200, 200), (300, 300), dropped=4)
    assert kernels_of([one, two], calls).dropped == 7


def test_without_blocks_there_are_no_kernels() -> None:
    _, calls = taken([], (0, 0), (1, 1))
    found = kernels_of([], calls)
    assert (len(found), found.names, found.blocks, found.unknown) == (0, (), 0, 0)


def test_kernels_move_with_the_calls_they_belong_to() -> None:
    with Session() as run:
        run.call("A", lambda: run.call("B"))
        run.clock.launch(1e-3)
    moved = run.kernels.moved(np.array([0, 0]))
    assert moved["call"].tolist() == [0, 0, 0, 0, OUTSIDE]
    assert moved["after"].tolist() == [0, 0, 0, 0, 0]


def test_some_of_the_kernels_are_kernels() -> None:
    with Session() as run:
        run.call("A")
        run.call("B")
    assert run.kernels.where(run.kernels["call"] == 1)["call"].tolist() == [1, 1]
