"""A run of hours: bounded memory, exact counts and totals, and what was left out is said."""

from __future__ import annotations

import json
import random
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpuprof
from gpuprof.profiling import LayerTime
from gpuprof.record import log, longrun
from gpuprof.record.cuda import _EventClock
from gpuprof.record.interrupts import undisturbed
from gpuprof.record.leftout import Gap, LeftOut, Unmarked
from gpuprof.record.schedule import KERNELS, Plan
from gpuprof.results.profile import Profile
from gpuprof.testing import FakeClock

from .models import FakeLayer, FakeModel

MOST, UNIT = 2000, 200


class Uneven(FakeLayer):
    """A layer whose calls differ, with a layer inside it."""

    def __init__(self, name: str, clock: FakeClock, seed: int, device: bool) -> None:
        super().__init__(name, clock)
        self.layers = [FakeLayer(f"{name}i", clock, host=2e-5)]
        self.random = random.Random(seed)
        self.on_device = device

    def _work(self, phase: str) -> None:
        self.clock.spend(self.random.randrange(1, 200) * 1e-6)
        if self.on_device:
            self.clock.launch(self.random.randrange(1, 90) * 1e-6)
        if phase == "forward":
            self.layers[0].forward(0)


def run(
    monkeypatch: pytest.MonkeyPatch, bounded: bool, device: bool = False, steps: int = 1500, **more: Any
) -> Profile:
    """The same run of uneven steps with an evaluation now and then, regions, and updates in every other step."""
    monkeypatch.setattr(longrun, "MOST", MOST if bounded else 10**9)
    monkeypatch.setattr(longrun, "UNIT", UNIT)
    clock = FakeClock(device=device, launch_cost=3e-6, latency=2e-6, mark_cost=1e-6 if device else 0.0)
    model = FakeModel(clock)
    model.layers = [Uneven("A", clock, 1, device), Uneven("B", clock, 2, device)]
    chance = random.Random(3)
    with LayerTime((model,), clock, **more) as taken, gpuprof.region("all"):
        for epoch in range(4):
            with gpuprof.region(f"epoch {epoch % 2}"):
                for step in range(steps // 4):
                    with gpuprof.region("load"):
                        clock.spend(chance.randrange(50) * 1e-6)
                    for layer in model.layers:
                        layer.forward(0, train=True)
                    for layer in reversed(model.layers):
                        layer.backward(0)
                    if step % 2:
                        for layer in model.layers:
                            layer.update()
                    clock.spend(1e-5)
                    if step % 100 == 99:
                        model.evaluate()
    return taken.profile


def table(profile: Profile) -> Any:
    return profile.table.set_index(["path", "phase"]).sort_index()


def calls_held(profile: Profile) -> int:
    return len(profile.log)


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patched:
        yield patched


@pytest.fixture(scope="module")
def whole(patch: pytest.MonkeyPatch) -> Profile:
    return run(patch, bounded=False)


@pytest.fixture(scope="module")
def thinned(patch: pytest.MonkeyPatch) -> Profile:
    return run(patch, bounded=True)


# Exact


def test_calls_and_totals_are_exact_whatever_is_left_out(whole: Profile, thinned: Profile) -> None:
    assert calls_held(thinned) < 3000 < 12_000 < calls_held(whole)
    before, after = table(whole), table(thinned)
    assert after.index.tolist() == before.index.tolist()
    assert after["calls"].tolist() == before["calls"].tolist()
    assert after["total_ms"].tolist() == pytest.approx(before["total_ms"].tolist(), rel=1e-12)
    assert after["share"].tolist() == pytest.approx(before["share"].tolist(), rel=1e-9)


def test_the_rows_add_up_to_the_wall_clock_all_the_same(thinned: Profile) -> None:
    opened, _, done = thinned.log.host_window
    assert thinned.closure == 0
    assert thinned.table["total_ms"].sum() == pytest.approx((done - opened) * 1e-6, rel=1e-12)


def test_first_calls_stay_and_medians_are_of_steps_from_all_of_the_run(whole: Profile, thinned: Profile) -> None:
    before, after = table(whole).drop(["epoch 0", "epoch 1"]), table(thinned).drop(["epoch 0", "epoch 1"])
    assert after["first_ms"].dropna().tolist() == before["first_ms"].dropna().tolist()
    for key in (("A", "forward"), ("B", "backward"), ("A", "update")):
        assert before.loc[key, "low_us"] * 0.9 < after.loc[key, "median_us"] < before.loc[key, "high_us"] * 1.1


def test_a_step_of_the_model_takes_as_often_what_it_took(whole: Profile, thinned: Profile) -> None:
    assert thinned.account.steps == whole.account.steps == 1500
    assert thinned.shown.grid is not None
    assert [row[0] for row in thinned.shown.grid.rows] == [row[0] for row in whole.shown.grid.rows]


@pytest.mark.parametrize("more", [{}, {"kernels": True}, {"schedule": (30, 10, 60, 0)}])
def test_on_a_device_calls_are_exact_and_the_rows_add_up(monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]) -> None:
    whole, thinned = (run(monkeypatch, bounded, device=True, **more) for bounded in (False, True))
    assert calls_held(thinned) < calls_held(whole) * 0.7
    before, after = table(whole), table(thinned)
    assert after["calls"].tolist() == before["calls"].tolist()
    assert after["total_ms"].sum() == pytest.approx(before["total_ms"].sum(), rel=1e-12)
    assert thinned.closure == pytest.approx(whole.closure, abs=1e-9)
    assert after["total_ms"].tolist() == pytest.approx(before["total_ms"].tolist(), rel=0.1, abs=20, nan_ok=True)


def test_steps_with_kernel_records_all_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, thinned = (run(monkeypatch, bounded, device=True, kernels=True) for bounded in (False, True))
    assert len(thinned.kernels) == len(whole.kernels) > 1000
    assert table(thinned)["launches"].dropna().tolist() == table(whole)["launches"].dropna().tolist()
    assert table(thinned)["busy_us"].dropna().tolist() == table(whole)["busy_us"].dropna().tolist()
    assert len(thinned.account.steps_of(KERNELS)) == len(whole.account.steps_of(KERNELS))
    assert thinned.seen.kernels.unknown == 0


def test_calls_of_several_threads_are_all_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(longrun, "MOST", MOST)
    monkeypatch.setattr(longrun, "UNIT", UNIT)
    clock = FakeClock()
    model, other = FakeModel(clock, "A"), FakeLayer("T", clock, host=1e-5)
    with gpuprof.layertime(model, other, clock=clock) as taken:
        for _ in range(30):
            model.train(50)
            worker = threading.Thread(target=lambda: [other.forward(0, train=True) for _ in range(20)])
            worker.start()
            worker.join()
    profile = taken.profile
    assert profile.log.left_out
    assert profile["A", "forward"].calls == 1500
    assert profile["T", "forward"].calls == 600
    assert profile["T", "forward"].total_ms == pytest.approx(6.0, rel=1e-12)


def test_a_call_that_raises_is_counted_where_its_step_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(longrun, "MOST", MOST)
    monkeypatch.setattr(longrun, "UNIT", UNIT)
    clock = FakeClock()
    model = FakeModel(clock, "A")

    def fails() -> None:
        raise ValueError("by a layer")

    vars(model.layers[0])["update"] = fails
    with gpuprof.layertime(model, clock=clock) as taken:
        for _ in range(2000):
            with pytest.raises(ValueError, match="by a layer"):
                model.train(1)
    assert "Calls that raised: 2000" in str(taken.profile)
    assert len(taken.profile.log) < 3000


# Bounded


def test_what_is_held_does_not_grow_with_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    short, long = (run(monkeypatch, True, steps=steps) for steps in (1200, 4800))
    assert calls_held(long) < calls_held(short) + 2 * UNIT + 400
    assert long.account.steps == 4800


def test_a_clock_forgets_the_marks_of_what_has_been_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(longrun, "MOST", MOST)
    monkeypatch.setattr(longrun, "UNIT", UNIT)
    clock = FakeClock(device=True)
    model = FakeModel(clock, "A", device=1e-4)
    held = []
    with gpuprof.layertime(model, clock=clock, kernels=False):
        for _ in range(20):
            model.train(200)
            held.append(len(clock._marks))
    assert max(held) < 5000
    assert max(held[10:]) < max(held[:10]) + 500


def test_profiles_within_each_other_leave_each_other_the_marks_of_a_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(longrun, "MOST", MOST)
    monkeypatch.setattr(longrun, "UNIT", UNIT)
    clock = FakeClock(device=True)
    model = FakeModel(clock, "A", "B", device=1e-4)
    with gpuprof.layertime(model, clock=clock) as outer:
        model.train(300)
        with gpuprof.layertime(model.layers[0], clock=clock) as inner:
            model.train(1500)
        model.train(1500)
    for run, calls in ((outer, 3300), (inner, 1500)):
        assert run.profile["A", "forward"].calls == calls
        assert run.profile.log.left_out
        assert run.profile.warnings == []
    assert not longrun._ASKED.get(clock)


def test_regions_of_generators_that_overlap_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def loading() -> Iterator[int]:
        with gpuprof.region("load"):
            for number in range(3000):
                clock.spend(1e-4)
                yield number

    def profiled(most: int) -> Profile:
        monkeypatch.setattr(longrun, "MOST", most)
        monkeypatch.setattr(longrun, "UNIT", UNIT)
        with gpuprof.layertime(model, clock=clock) as run, gpuprof.region("all"):
            for number in loading():
                with gpuprof.region("odd" if number % 2 else "even"):
                    model.train(1)
        return run.profile

    clock = FakeClock()
    model = FakeModel(clock, "A")
    whole, thinned = profiled(10**9), profiled(MOST)
    assert len(thinned.log) < 5000 < len(whole.log)
    assert table(thinned)["calls"].to_dict() == table(whole)["calls"].to_dict()
    assert table(thinned)["total_ms"].tolist() == pytest.approx(table(whole)["total_ms"].tolist(), rel=1e-12)


def test_each_step_has_the_same_chance_to_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = run(monkeypatch, True, steps=6000)
    begun = profile.calls["host_start_us"] / (profile.log.host_window[2] - profile.log.host_window[0]) * 1e3
    kept = np.histogram(begun, bins=[0.05, 0.35, 0.65, 0.95])[0]
    assert (kept > 0.4 * kept.mean()).all()


def test_records_come_rarely_once_there_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_ENOUGH_RECORDS", 500)
    profile = run(monkeypatch, True, device=True, kernels=True, steps=6000)
    assert 500 < len(profile.kernels) < 2500


def test_steps_that_always_stay_become_rare_once_there_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(longrun, "_ENOUGH", 1000)
    profile = run(monkeypatch, True, lines=["A._work"], steps=4800)
    assert calls_held(profile) < MOST + 1000 + 3000
    assert profile.lines["A._work"].calls > 50


# Said


def test_the_small_print_says_what_was_kept(thinned: Profile) -> None:
    kept = len(thinned.account.step_mode)
    assert f"kept whole: {kept} of 1 500 steps, drawn at random; calls and totals are of all" in str(thinned)


def test_a_run_that_is_kept_says_nothing_of_it(whole: Profile) -> None:
    assert "kept whole" not in str(whole)
    assert not whole.log.left_out


def test_where_summing_up_fails_all_is_kept_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(calls: object, counted: object) -> LeftOut:
        raise ZeroDivisionError("by us")

    monkeypatch.setattr("gpuprof.profiling.folded", fails)
    profile = run(monkeypatch, True)
    assert table(profile)["calls"].tolist() == table(run(monkeypatch, False))["calls"].tolist()
    assert "for leaving some out failed: ZeroDivisionError: by us" in str(profile)


# Kept through errors and files


def test_an_interrupt_keeps_all_that_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(longrun, "MOST", MOST)
    monkeypatch.setattr(longrun, "UNIT", UNIT)
    clock = FakeClock()
    model = FakeModel(clock, "A", "B")

    def interrupted() -> None:
        with gpuprof.layertime(model, clock=clock):
            model.train(3000)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    profile: Any = gpuprof.last
    assert "The cell ended early (KeyboardInterrupt)" in str(profile)
    assert profile["A", "forward"].calls == 3000
    assert profile["A", "forward"].total_ms == pytest.approx(3000.0, rel=1e-12)


def test_an_interrupt_while_the_profile_is_made_waits_for_it() -> None:
    """As of somebody who presses Ctrl-C twice, or as the cell ends."""

    class Pressed(FakeClock):
        def wait(self) -> None:
            super().wait()
            if self.armed:
                self.armed = False
                signal.raise_signal(signal.SIGINT)

        armed = False

    clock = Pressed(device=True)
    model = FakeModel(clock, "A")
    run = gpuprof.layertime(model, clock=clock)

    def interrupted() -> None:
        with run:
            model.train(5)
            clock.armed = True

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert run.profile["A", "forward"].calls == 5
    assert gpuprof.last is run.profile
    assert "forward" not in vars(model.layers[0])


def test_an_interrupt_waits_while_steps_are_moved() -> None:
    done = []

    def moved() -> None:
        with undisturbed():
            signal.raise_signal(signal.SIGINT)
            done.append("moved")

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        moved()
    assert done == ["moved"]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_saved_profile_has_what_was_left_out(thinned: Profile, tmp_path: Path) -> None:
    again = Profile.load(thinned.save(tmp_path / "p.json.gz"))
    assert again.log.left_out == thinned.log.left_out
    assert str(again) == str(thinned)
    assert table(again).equals(table(thinned))


def test_a_file_of_before_has_nothing_left_out(whole: Profile, tmp_path: Path) -> None:
    path = whole.save(tmp_path / "p.json")
    content = json.loads(path.read_text())
    del content["left_out"]
    path.write_text(json.dumps(content))
    assert str(Profile.load(path)) == str(whole)


def test_sums_are_added_and_gaps_that_touch_are_one() -> None:
    a = LeftOut(
        (Gap(10, 20, 11, 21, 2),), {("A", "f"): 2}, {("A", "f"): 7}, {("", ""): Unmarked(3, 1, {("A", "f"): 1})}
    )
    b = LeftOut(
        (Gap(20, 40, 21, 41, 1),), {("A", "f"): 1, ("B", "f"): 1}, {}, {("", ""): Unmarked(9, 2, {})}, {0: 1}, 1, 2
    )
    both = b.with_(a)
    assert both.gaps == (Gap(10, 40, 11, 41, 3),)
    assert both.calls == {("A", "f"): 3, ("B", "f"): 1}
    assert both.ns == 19
    assert both.unmarked[("", "")] == Unmarked(12, 3, {("A", "f"): 1})
    assert (both.steps, both.raised, both.lost) == (1, 1, 2)
    assert LeftOut.from_dict(json.loads(json.dumps(both.to_dict()))) == both


# Which steps are measured


@pytest.mark.parametrize("device", [False, True])
def test_a_schedule_measures_its_active_steps_alone(device: bool) -> None:
    clock = FakeClock(device=device)
    model = FakeModel(clock, "A")
    with gpuprof.layertime(model, schedule=(5, 2, 3, 2), kernels=False, clock=clock) as taken:
        for step in range(40):
            model.layers[0].host["forward"] = step * 1e-3
            model.train(1)
    profile = taken.profile
    active = [7, 8, 9, 17, 18, 19]
    assert profile["A", "forward"].calls == 40
    assert profile["A", "forward"].total_ms == pytest.approx(sum(range(40)), rel=0.5 if device else 1e-9)
    assert profile["A", "forward"].mean_us == pytest.approx(1e3 * np.mean(active))
    assert profile.account.marked_steps().tolist() == active
    assert "schedule: skip 5, warm up 2, measure 3, 2 times: 6 steps" in str(profile)


def test_a_run_shorter_than_what_is_skipped_says_so() -> None:
    clock = FakeClock(device=True)
    model = FakeModel(clock, "A", device=1e-3)
    with gpuprof.layertime(model, schedule=(10, 2, 3), clock=clock) as taken:
        model.train(6)
    assert "No active step came: the schedule skips and warms up for 12 steps, and there were 6." in str(taken.profile)
    assert "measure 3, again and again: 0 steps" in str(taken.profile)


def test_what_is_no_schedule_is_refused() -> None:
    with pytest.raises(ValueError, match="needs an active step"):
        gpuprof.layertime(FakeModel(FakeClock()), schedule=(1, 2, 0))


@pytest.mark.parametrize("schedule", [5, "1,1,1", (1, 1), (1, 2, 3, 4, 5), (1.0, 1, 1), print])
def test_what_are_no_three_or_four_whole_numbers_is_refused(schedule: Any) -> None:
    with pytest.raises(ValueError, match=r"schedule is .skip, warmup, active, repeat., whole numbers of steps; got"):
        gpuprof.layertime(FakeModel(FakeClock()), schedule=schedule)


def test_numbers_of_numpy_are_whole_numbers_too() -> None:
    assert Plan.of(np.array([1, 2, 3])) == Plan(1, 2, 3)


# The clock of events


class Events(_EventClock[int]):
    """Events that happen when they are recorded, a µs each; up to `happened`."""

    pool: Any = {}  # noqa: RUF012 - this test's own

    def __init__(self) -> None:
        super().__init__()
        self.times: dict[int, int] = {}
        self.now, self.happened, self.made = 0, 10**9, 0

    def _here(self) -> tuple[int, int]:
        return 0, 7

    def _stream_number(self, stream: int) -> int:
        return stream

    def _make(self) -> int:
        self.made += 1
        return self.made

    def _record(self, event: int, stream: int) -> None:
        self.now += 1
        self.times[event] = self.now

    def _done(self, event: int) -> bool:
        return self.times[event] <= self.happened

    def _elapsed_ms(self, start: int, stop: int) -> float:
        return (self.times[stop] - self.times[start]) * 1e-3

    def _synchronize(self, device: int) -> None: ...


def test_marks_that_are_forgotten_are_missing_and_later_ones_stay() -> None:
    clock = Events()
    marks = np.array([clock.mark() for _ in range(100)])
    before = clock.resolve(marks)
    clock.forget(60)
    assert len(clock._ns) == 40
    assert clock.resolve(marks[60:]).tolist() == before[60:].tolist()
    assert (clock.resolve(marks[:60]) == np.iinfo(np.int64).min).all()
    assert clock.where(marks[59:61])[1].tolist() == [-1, 7]
    clock.forget(30)
    assert clock.resolve(np.array([clock.mark(), -1, -2])).tolist()[1:] == [np.iinfo(np.int64).min] * 2


def test_a_mark_forgotten_before_it_happens_is_left_alone() -> None:
    clock = Events()
    clock.mark()
    clock.happened = clock.now
    marks = np.array([clock.mark() for _ in range(10)])
    clock.resolve(marks)
    clock.forget(5)
    clock.happened = 10**9
    assert len(clock.resolve(marks)) == 10
    assert clock.resolve(marks)[-1] - clock.resolve(marks)[-2] == 1000
