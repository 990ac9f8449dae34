"""A cell whose steps take turns at passes: every column from its own pass, and rows that add up."""

import math
import threading
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import gpuprof
from gpuprof.judge.busy import union_ns
from gpuprof.judge.hot import HotLine
from gpuprof.profiling import LayerTime
from gpuprof.record.kernels import NoRecordsError
from gpuprof.record.schedule import KERNELS, Block, Mode
from gpuprof.record.waits import WaitLine
from gpuprof.results.profile import Profile
from gpuprof.testing import FakeClock

from .models import PHASES, FakeModel

ROOT = Path(__file__).parents[2]
MEASURED = ["first_ms", "total_ms", "median_us", "host_us", "span_us", "busy_us", "idle_us", "launches", "gain"]


class Launching(FakeModel):
    """Each call takes the host 1 ms, then launches 0.2 ms, after 0.3 ms more 0.1 ms; a step 0.05 ms outside, too."""

    def __init__(self, clock: FakeClock, *names: str) -> None:
        super().__init__(clock, *names)
        for layer in self.layers:
            layer._work = self._work

    def _work(self, phase: str) -> None:
        self.clock.spend(1e-3)
        self.clock.launch(2e-4)
        self.clock.spend(3e-4)
        self.clock.launch(1e-4)

    def train(self, steps: int, between: float = 1e-3) -> None:
        for _ in range(steps):
            super().train(1)
            self.clock.launch(5e-5)
            self.clock.spend(between)


def profiled(steps: int = 40, kernels: bool | None = True, **clock: float) -> Profile:
    model = Launching(FakeClock(device=True, **clock), "A", "B")
    with gpuprof.layertime(model, clock=model.clock, kernels=kernels) as run:
        model.train(steps)
    return run.profile


@pytest.fixture(scope="module")
def profile() -> Profile:
    return profiled()


@pytest.fixture(scope="module")
def costly() -> Profile:
    """With launches that cost 10 µs, 5 more while they are recorded, and marks that cost 7."""
    return profiled(launch_cost=1e-5, record_cost=5e-6, mark_cost=7e-6, latency=3e-6)


def of_step(profile: Profile, mode: Mode) -> np.ndarray:
    return np.flatnonzero(profile.account.step_mode == int(mode))


# Which steps are of which pass


def test_every_pass_has_its_steps(profile: Profile) -> None:
    modes = [Mode(mode) for mode in profile.account.step_mode[:14].tolist()]
    assert modes[:4] == [KERNELS] * 4
    assert modes[4] == Mode.TURNING
    assert modes[5:7] == [Mode.INSPECT] * 2  # in which nothing watches a fake device, so nothing has to come off
    assert modes[7:13] == [Mode.EVENTS] * 3 + [Mode.PLAIN] * 3


def test_each_column_names_its_pass(profile: Profile) -> None:
    passes = profile.table.attrs["passes"]
    assert {name: passes[name] for name in MEASURED} == {
        "first_ms": "events",
        "total_ms": "events",
        "median_us": "events",
        "host_us": "plain",
        "span_us": "events",
        "busy_us": "kernels",
        "idle_us": "kernels",
        "launches": "kernels",
        "gain": "events",
    }
    assert passes["threads"] == "kernels"


def test_in_a_short_cell_without_records_their_columns_are_empty() -> None:
    found = profiled(steps=5, kernels=None)
    assert found.table[["busy_us", "idle_us", "launches", "threads"]].isna().all(axis=None)
    assert {found.table.attrs["passes"][name] for name in ("busy_us", "idle_us", "launches")} == {""}
    assert len(found.kernels) == 0


def test_in_a_cell_with_records_alone_the_hosts_column_is_empty() -> None:
    found = profiled(steps=4)
    assert found.table["host_us"].iloc[:-1].isna().all()
    assert found.table.attrs["passes"]["host_us"] == ""
    assert found["A", "forward"].launches == 2


def test_where_records_cannot_be_had_the_cell_is_marked_and_says_why() -> None:
    clock = FakeClock(device=True)
    clock.no_records = "Nsight Systems is recording"
    model = Launching(clock, "A")
    with gpuprof.layertime(model, clock=clock, kernels=True) as run:
        model.train(30)
    found = run.profile
    assert found["A", "forward"].median_us == pytest.approx(1400)
    assert math.isnan(found["A", "forward"].busy_us)
    assert any("Nsight Systems is recording" in note for note in found.notes)


# Rows that add up


@pytest.mark.parametrize("which", ["profile", "costly"])
def test_the_rows_add_up_to_the_wall_clock(which: str, request: pytest.FixtureRequest) -> None:
    found: Profile = request.getfixturevalue(which)
    start, end = found.log.window
    assert found.table["total_ms"].sum() == pytest.approx((end - start) * 1e-6, rel=1e-12)
    assert found.closure < 1e-4
    assert found.table["share"].sum() == pytest.approx(1)


def test_plain_steps_are_shared_out_as_the_marked_ones_were(profile: Profile) -> None:
    """A call's last kernel ends 0.1 ms after it: of its step's first call so much later, of the others as begun."""
    totals = [profile[name, phase].total_ms for name in "AB" for phase in PHASES]
    assert totals == pytest.approx([40 * 1.4, *[40 * 1.3] * 5], rel=1e-3)
    assert profile["(outside)", ""].total_ms == pytest.approx(40 * 0.9, rel=3e-3)  # and a last launch of 0.05 ms


def test_busy_times_add_up_to_the_union_of_the_kernels(profile: Profile) -> None:
    kernels, found = profile.seen.kernels, profile.account
    steps = of_step(profile, KERNELS)
    inside = np.isin(found.call_step[kernels["after"]], steps)
    table = profile.table
    assert table["busy_us"].sum() * len(steps) == pytest.approx(union_ns(kernels.where(inside)) * 1e-3)
    assert table["busy_us"].sum() == pytest.approx(6 * 300 + 50)


def test_busy_and_idle_add_up_to_the_length_of_a_step(profile: Profile) -> None:
    table = profile.table
    assert (table["busy_us"] + table["idle_us"]).sum() == pytest.approx(6 * 1300 + 1000)


def test_a_row_has_the_gaps_between_its_own_kernels_and_the_rest_lies_outside(profile: Profile) -> None:
    assert profile["A", "backward"].busy_us == pytest.approx(300)
    assert profile["A", "backward"].idle_us == pytest.approx(100)
    outside = profile["(outside)", ""]
    assert outside.busy_us == pytest.approx(50)
    # from a call's last kernel to the next one's first; the step's last: on to the kernel outside, and from it on
    assert outside.idle_us == pytest.approx(5 * 900 + 0 + 1000 + 1000 - 150)


def test_launches_are_counted_exactly(profile: Profile) -> None:
    assert [profile[name, phase].launches for name in "AB" for phase in PHASES] == [2] * 6
    assert profile["(outside)", ""].launches == 1
    assert profile.table["launches"].sum() == 13


def test_the_kernels_of_a_row_are_named(profile: Profile) -> None:
    found = profile.kernel_table
    assert len(found) == 6
    assert found["name"].unique().tolist() == ["fake kernel"]
    assert found["launches"].tolist() == [2.0] * 6
    assert found["busy_us"].tolist() == pytest.approx([300.0] * 6)


def test_every_kernel_has_its_layer_and_its_step(profile: Profile) -> None:
    kernels = profile.kernels
    steps = kernels.groupby("step").size()
    assert steps.tolist() == [13] * len(steps)
    assert steps.index.tolist() == of_step(profile, KERNELS).tolist()
    assert kernels["path"].iloc[:4].tolist() == ["A", "A", "B", "B"]
    assert kernels["path"].iloc[12] == "(outside)"


# No pass in another's figures


def test_records_do_not_slow_the_hosts_column(costly: Profile) -> None:
    assert costly["A", "forward"].host_us == pytest.approx(1300 + 2 * 10)


def test_marks_are_not_in_the_hosts_column() -> None:
    found = profiled(mark_cost=1e-4)
    assert found["B", "backward"].host_us == pytest.approx(1300)


def test_records_do_not_slow_the_spans(costly: Profile) -> None:
    kernel = costly["A", "forward"]
    assert kernel.span_us == pytest.approx(1300 + 2 * 10 + 100 + 3 - 3, abs=8)  # its marks' own 7 µs may be among it


def test_records_do_not_change_what_they_record(costly: Profile) -> None:
    assert costly["A", "forward"].busy_us == pytest.approx(300)
    assert costly["A", "forward"].launches == 2


def test_what_records_cost_is_in_no_steps_pace(costly: Profile) -> None:
    assert costly.pace.plain == pytest.approx(6 * 1.32e-3 + 1.01e-3)


def test_the_work_of_a_step_is_that_of_its_kernels(profile: Profile) -> None:
    assert profile.pace.work_known
    assert profile.pace.work.sum() == pytest.approx(6 * 3e-4 + 5e-5)
    assert profile.pace.launches.tolist() == [2] * 6 + [1]


def test_lines_that_were_followed_with_records_are_not_in_the_outside_row() -> None:
    blocks = [Block(KERNELS, 4), Block(KERNELS | Mode.INSPECT, 8), Block(Mode.EVENTS, 4)]
    model = Launching(FakeClock(device=True), "A")
    with LayerTime((model,), model.clock, blocks=blocks) as run:
        model.train(30)
    assert run.profile["(outside)", ""].launches == 1
    assert run.profile["(outside)", ""].busy_us == pytest.approx(50)


def test_what_is_launched_after_the_last_step_is_in_no_step() -> None:
    model = Launching(FakeClock(device=True), "A")
    with gpuprof.layertime(model, clock=model.clock, kernels=True) as run:
        model.train(4)
        for _ in range(100):
            model.clock.launch(1e-3)
    assert run.profile["(outside)", ""].launches == 1
    assert run.profile.pace.launches[-1] == 1


def test_what_is_launched_before_the_first_step_is_in_no_step() -> None:
    model = Launching(FakeClock(device=True), "A")
    with gpuprof.layertime(model, clock=model.clock, kernels=True) as run:
        for _ in range(100):
            model.clock.launch(1e-3)
        model.train(4)
    assert run.profile["(outside)", ""].launches == 1


@pytest.mark.parametrize("between", [0.0, 1e-6, 1e-3])
def test_spans_are_right_however_close_the_steps_lie(between: float) -> None:
    model = FakeModel(FakeClock(device=True), "A", "B", device=5e-4)
    with gpuprof.layertime(model, clock=model.clock, kernels=True) as run:
        model.train(60, between=between)
    found = run.profile
    marked = found.calls[found.calls["mode"] == int(Mode.EVENTS)]
    assert marked["span_us"].between(1000, 1500.5 + between * 1e6).all()
    assert found.table["total_ms"].sum() == pytest.approx(60 * (6 + between * 1e3), rel=2e-3)


def test_a_region_around_everything_leaves_the_layers_their_figures() -> None:
    model = Launching(FakeClock(device=True), "A")
    with gpuprof.layertime(model, clock=model.clock, kernels=True) as run, gpuprof.region("epoch"):
        model.train(40)
    found = run.profile
    assert (found["A", "backward"].launches, found["A", "backward"].busy_us) == (2, pytest.approx(300))
    assert found["A", "backward"].host_us == pytest.approx(1300)
    assert found.table["total_ms"].sum() == pytest.approx((found.log.window[1] - found.log.window[0]) * 1e-6)


def test_a_region_around_everything_leaves_the_steps_watched_their_number() -> None:
    found = []
    for name in ("", "epoch"):
        model = Launching(FakeClock(device=True), "A")
        with gpuprof.layertime(model, clock=model.clock, kernels=True) as run, ExitStack() as stack:
            if name:
                stack.enter_context(gpuprof.region(name))
            model.train(12)
        found.append(run.profile.seen.inspected)
    assert found == [2, 2]


def test_why_waits_were_not_watched_is_not_why_there_are_no_records(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise NoRecordsError("waits are being watched already")

    monkeypatch.setattr("gpuprof.record.inspect.watching", refused)
    found = profiled(steps=12)
    assert len(found.seen.kernels) > 0
    assert found.seen.no_records == ""


def test_a_region_in_each_step_has_its_kernels_and_all_its_calls() -> None:
    model = Launching(FakeClock(device=True), "A")
    with gpuprof.layertime(model, clock=model.clock, kernels=True) as run:
        for _ in range(40):
            model.train(1)
            with gpuprof.region("augment"):
                model.clock.spend(5e-4)
                model.clock.launch(1e-4)
    row = run.profile["augment", "region"]
    assert (row.calls, row.launches, row.busy_us) == (40, 1, pytest.approx(100))
    assert row.host_us == pytest.approx(500)
    assert row.median_us == pytest.approx(600)
    assert row.total_ms == pytest.approx(40 * 0.6, rel=0.01)


def with_evaluations(steps: int, **clock: float) -> Profile:
    """A cell that evaluates after each step."""
    model = Launching(FakeClock(device=True, **clock), "A")
    with gpuprof.layertime(model, clock=model.clock, kernels=True) as run:
        for _ in range(steps):
            model.train(1)
            model.evaluate()
    return run.profile


def test_steps_with_evaluations_in_them_are_of_their_pass_all_the_same() -> None:
    found = with_evaluations(30)
    assert len(of_step(found, KERNELS)) >= 1
    assert found.pace.work_known
    assert found.pace.work.sum() == pytest.approx(3 * 3e-4 + 5e-5)
    assert found.table["total_ms"].sum() == pytest.approx((found.log.window[1] - found.log.window[0]) * 1e-6)


def test_an_evaluation_has_its_times_though_it_is_never_plain() -> None:
    row = with_evaluations(30, record_cost=1e-4)["A", "evaluate"]
    assert (row.calls, row.host_us) == (30, pytest.approx(1300))
    assert math.isnan(row.launches)


def test_an_evaluation_right_after_records_has_its_hosts_times_too() -> None:
    model = Launching(FakeClock(device=True, record_cost=1e-4), "A")
    with gpuprof.layertime(model, clock=model.clock, kernels=True) as run:
        model.train(2)
        model.evaluate()
        model.evaluate()
        model.train(20)
    assert run.profile["A", "evaluate"].host_us == pytest.approx(1300)


def fail(model: FakeModel) -> None:
    model.train(3)
    raise ZeroDivisionError


def test_a_cell_that_raises_amid_records_has_those_it_took() -> None:
    model = Launching(FakeClock(device=True), "A")
    with pytest.raises(ZeroDivisionError), gpuprof.layertime(model, clock=model.clock, kernels=True) as run:
        fail(model)
    assert run.profile.ended_by.startswith("ZeroDivisionError")
    assert run.profile["A", "forward"].launches == 2


def test_a_saturated_device_is_recorded_as_any_other() -> None:
    model = Launching(FakeClock(device=True, queue=64), "A")
    model._work = None
    for layer in model.layers:
        layer._work = lambda _: [model.clock.launch(1e-3) for _ in range(3)]
    with gpuprof.layertime(model, clock=model.clock, kernels=True) as run:
        model.train(200, between=0.0)
    row = run.profile["A", "backward"]
    assert (row.launches, row.busy_us, row.idle_us) == (3, pytest.approx(3000), 0)
    assert run.profile.pace.bound == "device"
    assert run.profile.closure < 1e-6


def test_two_threads_share_what_they_launch_rightly() -> None:
    model = Launching(FakeClock(device=True), "A", "B")
    first, second = model.layers
    with gpuprof.layertime(model, clock=model.clock, kernels=True) as run:
        for _ in range(30):
            first.forward(0, train=True)
            thread = threading.Thread(target=second.forward, args=(0, True))
            thread.start()
            thread.join()
            first.backward(0)
            model.clock.spend(1e-3)
    found = run.profile
    assert (found["A", "forward"].launches, found["B", "forward"].launches) == (2, 2)
    assert found.seen.kernels.unknown == 0
    assert found.closure < 1e-4
    marked = found.calls[found.calls["mode"] == int(Mode.EVENTS)]
    assert marked["own_us"].between(1300, 1500).all()
    outside = found["(outside)", ""]
    assert outside.median_us == pytest.approx(900, abs=101)


class Looping:
    """A layer whose method begins with a loop."""

    name = "L"

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock

    def forward(self, x: int) -> int:
        for _ in range(3):
            self.clock.launch(1e-4)
        return x


def test_a_method_that_begins_with_a_loop_is_called_once_a_call() -> None:
    clock = FakeClock(device=True)
    found = gpuprof.linetime(Looping(clock).forward, 0, repeat=5, clock=clock)
    assert found.calls == 5
    assert found.table["launches"].sum() == 3


# Kept and shown again


def test_a_profile_with_kernels_comes_back_from_its_file(profile: Profile, tmp_path: Path) -> None:
    back = Profile.load(profile.save(tmp_path / "profile.json.gz"))
    pd.testing.assert_frame_equal(back.table, profile.table)
    pd.testing.assert_frame_equal(back.kernels, profile.kernels)
    pd.testing.assert_frame_equal(back.kernel_table, profile.kernel_table)
    assert back.table.attrs == profile.table.attrs
    assert back.verdict == profile.verdict


def test_what_else_was_seen_comes_back_from_the_file(profile: Profile, tmp_path: Path) -> None:
    from dataclasses import replace

    from gpuprof.judge.cost import Cost
    from gpuprof.record.calls import Scope
    from gpuprof.results.seen import Work

    memory = {name: np.arange(2) for name in profile.seen.memory}
    wait = WaitLine("net.py", 7, "forward", "y.get()", "copy to the host", "cudaMemcpy", 3, 1e-3, 5e-4, 4096)
    seen = replace(
        profile.seen,
        waits=(wait,),
        inspected=2,
        memory=memory,
        hot=(HotLine("net.py", 9, "backward", "dx += dy", 14, 2e-3, 1024),),
        hot_steps=4,
        work={Scope("A", "forward"): Work(Cost(flops=10.0, bytes=20.0, how="its cost()"), "float32", 100)},
        no_records="the second half",
        parameters=4,
    )
    back = Profile.load(replace(profile, seen=seen).save(tmp_path / "profile.json"))
    assert (back.seen.waits, back.seen.hot, back.seen.work) == (seen.waits, seen.hot, seen.work)
    assert {name: column.tolist() for name, column in back.seen.memory.items()} == {key: [0, 1] for key in memory}
    assert (back.seen.inspected, back.seen.hot_steps, back.seen.no_records) == (2, 4, "the second half")


def test_lines_come_back_from_the_file(tmp_path: Path) -> None:
    model = Launching(FakeClock(device=True), "A")
    with gpuprof.layertime(model, clock=model.clock, lines=[Launching._work]) as run:
        model.train(16)
    profile = run.profile
    back = Profile.load(profile.save(tmp_path / "profile.json"))
    assert list(back.lines) == list(profile.lines) != []
    for name, lines in profile.lines.items():
        pd.testing.assert_frame_equal(back.lines[name].table, lines.table)


def test_following_lines_changes_no_layers_figures() -> None:
    model = Launching(FakeClock(device=True), "A")
    with gpuprof.layertime(model, clock=model.clock, lines=[Launching._work]) as run:
        model.train(40)
    row = run.profile["A", "forward"]
    assert (row.launches, row.host_us) == (2, pytest.approx(1300))
    assert (row.busy_us, row.idle_us) == (pytest.approx(300), pytest.approx(100))


@pytest.mark.parametrize("name", ["profile_8.json.gz", "profile_32.json.gz"])
def test_profiles_of_before_there_were_passes_are_still_read(name: str) -> None:
    found = Profile.load(ROOT / "tests" / "gpuprof" / "old" / name)
    assert len(found.table) > 5
    assert found.closure < 0.02
    assert found.table["total_ms"].notna().all()
    assert found.table["busy_us"].isna().all()
    assert set(found.log["mode"].tolist()) == {int(Mode.EVENTS)}


@pytest.mark.parametrize("key", ["L0", ("L0", "forward", 1), 3])
def test_a_key_that_is_no_pair_is_answered_with_what_one_looks_like(profile: Profile, key: object) -> None:
    with pytest.raises(KeyError, match="expected a path and a phase"):
        profile[key]


def test_linetime_refuses_what_returns_before_its_work() -> None:
    def lazily():
        yield 1

    with pytest.raises(TypeError, match="before its work is begun"):
        gpuprof.linetime(lazily)


def test_two_recorders_at_once_are_refused_by_a_fake_clock_too() -> None:
    clock = FakeClock(device=True)
    clock.recorder(False)
    with pytest.raises(NoRecordsError, match="already"):
        clock.recorder(False)
