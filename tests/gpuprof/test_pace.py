"""Two clocks: what bounds the step, and what leaving a row out would gain."""

import pytest

from gpuprof.judge.account import account
from gpuprof.judge.pace import Pace, pace
from gpuprof.record.calls import Scope
from gpuprof.testing import FakeClock

from .models import PHASES, FakeModel
from .test_account import logged


def paced(model: FakeModel, steps: int = 40, **keywords: float) -> tuple[dict[Scope, int], Pace]:
    calls = logged(model, steps, **keywords)
    found = account(calls)
    return {scope: i for i, scope in enumerate(found.rows)}, pace(calls, found)


def device_model(host: float, device: float, **clock: float) -> FakeModel:
    return FakeModel(FakeClock(device=True, latency=3e-6, **clock), host=host, device=device)


def test_a_host_slower_than_the_device_bounds_the_step() -> None:
    _, found = paced(device_model(host=3e-4, device=2e-5))
    assert found.bound == "host"
    assert found.step == pytest.approx(9 * 3e-4)
    assert found.host.sum() == pytest.approx(9 * 3e-4)


def test_a_device_slower_than_the_host_bounds_the_step() -> None:
    _, found = paced(device_model(host=1e-4, device=5e-4))
    assert found.bound == "device"
    assert found.step == pytest.approx(9 * 5e-4)
    assert found.work.sum() == pytest.approx(9 * 5e-4)


def test_the_devices_work_is_certain_where_it_lags_behind_the_host() -> None:
    model = device_model(host=3e-4, device=1e-5)
    model.layers[1].device["backward"] = 1.5e-3
    rows, found = paced(model)
    row = rows[Scope("B", "backward")]
    assert found.work[row] == pytest.approx(1.5e-3, rel=0.01)


def test_long_work_hidden_behind_the_host_gains_nothing_when_mended() -> None:
    model = device_model(host=3e-4, device=1e-5)
    model.layers[1].device["backward"] = 1.5e-3
    rows, found = paced(model)
    assert found.bound == "host"
    assert found.without(rows[Scope("B", "backward")], host=False) == 0
    assert found.without(rows[Scope("B", "backward")]) == pytest.approx(1 / 9, rel=0.01)


def test_the_same_work_decides_the_step_once_it_outgrows_the_host() -> None:
    model = device_model(host=3e-4, device=1e-5)
    model.layers[1].device["backward"] = 9e-3
    rows, found = paced(model)
    assert found.bound == "device"
    assert found.without(rows[Scope("B", "backward")]) == pytest.approx(1 - 2.4e-3 / 9.08e-3, rel=0.01)


def test_the_hosts_own_pace_is_taken_where_the_queue_is_short() -> None:
    model = device_model(host=1e-4, device=1e-3, queue=90)
    _, found = paced(model, steps=100)
    assert found.host_known
    assert found.host.sum() == pytest.approx(9 * 1e-4, rel=0.05)


def test_a_host_that_waits_each_step_is_not_called_slow() -> None:
    clock = FakeClock(device=True, latency=3e-6)
    model = FakeModel(clock, host=1e-4, device=1e-3)
    original = FakeModel.train

    def train_and_wait(steps: int) -> None:
        for _ in range(steps):
            original(model, 1)
            clock.wait()

    model.train = train_and_wait
    _, found = paced(model)
    assert found.bound == "device"
    assert found.waited == pytest.approx(9 * 1e-3 - 8 * 1e-4, rel=0.02)


def test_a_saturated_device_whose_host_is_always_held_up_leaves_the_host_unknown() -> None:
    clock = FakeClock(device=True, queue=4)
    rows, found = paced(FakeModel(clock, host=1e-5, device=1e-3))
    assert not found.host_known
    assert found.without(rows[Scope("A", "forward")]) == pytest.approx(1 / 9, rel=0.01)


def test_on_the_host_clock_a_rows_gain_is_its_share() -> None:
    model = FakeModel(FakeClock())
    model.layers[0].host["backward"] = 8e-3
    rows, found = paced(model)
    assert found.without(rows[Scope("A", "backward")]) == pytest.approx(0.5)
    assert found.bound == "host"


def test_an_update_every_fourth_step_counts_for_a_fourth() -> None:
    clock = FakeClock()
    model = FakeModel(clock, "A")
    model.layers[0].host["update"] = 8e-3
    layer = model.layers[0]

    def train(steps: int) -> None:
        for i in range(steps):
            layer.forward(0, train=True)
            layer.backward(0)
            if i % 4 == 3:
                layer.update()

    model.train = train
    rows, found = paced(model, steps=82)
    assert found.step == pytest.approx(4e-3)
    assert found.without(rows[Scope("A", "update")]) == pytest.approx(0.5)


def test_what_holds_up_each_step_in_another_row_is_in_the_gains_as_it_is_in_the_step() -> None:
    model = FakeModel(FakeClock(), "A", "B", "C")

    def train(steps: int) -> None:
        for i in range(steps):
            for number, layer in enumerate(model.layers):
                layer.host["forward"] = 31e-3 if i % 3 == number else 1e-3
                layer.forward(0, train=True)

    model.train = train
    rows, found = paced(model, steps=32)
    assert found.step == pytest.approx(33e-3)
    assert found.host[rows[Scope("A", "forward")]] == pytest.approx(11e-3)
    assert found.without(rows[Scope("A", "forward")]) == pytest.approx(1 / 3)


def test_a_single_step_that_was_held_up_moves_no_gain() -> None:
    model = FakeModel(FakeClock(), "A", "B")

    def train(steps: int) -> None:
        for i in range(steps):
            model.layers[0].host["forward"] = 1.0 if i == 7 else 1e-3
            for layer in model.layers:
                layer.forward(0, train=True)

    model.train = train
    rows, found = paced(model)
    assert found.step == pytest.approx(2e-3)
    assert found.without(rows[Scope("A", "forward")]) == pytest.approx(0.5)


def test_a_host_close_to_the_devices_pace_is_not_called_held_up() -> None:
    _, found = paced(device_model(host=0.92e-3, device=1e-3))
    assert found.bound == "device"
    assert found.host_known
    assert found.host.sum() == pytest.approx(9 * 0.92e-3)


def test_what_the_profiler_took_is_measured_and_taken_off_the_step() -> None:
    clock = FakeClock(device=True, latency=3e-6, mark_cost=1e-5)
    rows, found = paced(FakeModel(clock, host=1e-4, device=1e-5), between=2e-4)
    marks = 10  # each call's end, which is the next one's beginning, and the first call's beginning
    assert found.own == pytest.approx(marks * 1e-5)
    assert found.step == pytest.approx(9 * 1e-4 + marks * 1e-5 + 2e-4)
    assert found.plain == pytest.approx(9 * 1e-4 + 2e-4)
    assert found.host[rows[Scope("(outside)", "")]] == pytest.approx(2e-4)


def test_on_the_host_clock_what_the_profiler_took_is_measured_too() -> None:
    class Slow(FakeClock):
        def host(self) -> int:
            self.spend(1e-6)
            return super().host()

    clock = Slow()
    _, found = paced(FakeModel(clock, host=1e-4), between=2e-4)
    assert found.own == pytest.approx(9 * 2e-6)


def test_what_turns_cost_in_some_steps_makes_no_step_longer() -> None:
    class Turning(FakeClock):
        turn = 0.0

        def tidy(self, most: int = 0) -> None:  # asked where a step begins
            self.spend(self.turn)

    clock = Turning()
    model = FakeModel(clock, "A")
    layer = model.layers[0]

    def train(steps: int) -> None:
        for i in range(steps):
            clock.turn = 5e-3 if i % 3 == 0 else 0.0
            layer.forward(0, train=True)
            layer.backward(0)
            layer.update()
            clock.spend(5e-3 if i % 3 == 1 else 0.0)  # as long as a turn, in other steps

    model.train = train
    _, found = paced(model)
    assert found.step == pytest.approx(3e-3)
    assert found.plain == pytest.approx(3e-3)
    assert found.own == 0


def test_layers_together_gain_by_the_longer_of_the_two_clocks() -> None:
    model = device_model(host=3e-4, device=1e-5)
    model.layers[0].device["backward"] = 1.6e-3
    rows, found = paced(model)
    layer = [row for scope, row in rows.items() if scope.path == "A"]
    assert found.without(*layer) == pytest.approx(1 / 3, rel=0.01)


def test_evaluations_and_the_first_step_are_left_out() -> None:
    clock = FakeClock()
    model = FakeModel(clock)
    from gpuprof.hooks.methods import find_layers, timed
    from gpuprof.record.log import CallLog

    model.layers[0].host["forward"] = 1.0  # compiling
    with CallLog(clock) as log, timed(find_layers(model), log):
        model.train(1)
        model.layers[0].host["forward"] = 1e-3
        model.train(5)
        model.evaluate()
        model.train(5)
    found = pace(log.calls, account(log.calls))
    assert found.step == pytest.approx(9e-3)
    assert found.steps == 8  # 11, less the first, the last and the one that evaluates
    assert not found.first_included


def test_a_single_step_is_used_and_told() -> None:
    _, found = paced(FakeModel(FakeClock()), steps=1)
    assert (found.steps, found.first_included) == (1, True)


@pytest.mark.parametrize("phase", PHASES)
def test_drifting_clocks_do_not_look_like_work(phase: str) -> None:
    class Drifting(FakeClock):
        def resolve(self, marks):
            ns = super().resolve(marks)
            return ns + (ns - ns.min()) // 1000  # a millionth is usual; this is a thousandth

    clock = Drifting(device=True, latency=3e-6)
    _, found = paced(FakeModel(clock, host=3e-4, device=1e-5), steps=400)
    assert found.work.sum() == pytest.approx(9e-5, rel=0.1)
