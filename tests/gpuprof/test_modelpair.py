"""Two models in turns, on a fake clock: what a block is, what copies are for, what is refused."""

import copy
from typing import Any

import numpy as np
import pytest

import gpuprof
from gpuprof.record.schedule import Mode
from gpuprof.results.profilecomparison import ProfileComparison
from gpuprof.testing import FakeClock

from .models import PHASES, FakeLayer, FakeModel


class OneClock(FakeClock):
    """A copy of a model is on the same clock."""

    def __deepcopy__(self, memo: object) -> "OneClock":
        return self


class Layer(FakeLayer):
    """A layer that launches, and counts its calls."""

    def _work(self, phase: str) -> None:
        self.clock.spend(self.host[phase])
        for length in self.lengths.get(phase, [1e-4]):
            self.clock.launch(length * np.exp(self.random.normal(0, 0.01)))

    lengths: dict[str, list[float]] = {}  # noqa: RUF012
    random = np.random.default_rng(0)


class Net(FakeModel):
    """Two layers, of which B.backward launches as it is told."""

    def __init__(self, clock: FakeClock, *names: str, backward: list[float] | None = None) -> None:
        super().__init__(clock)
        self.layers = [Layer(name, clock, host=2e-5) for name in names or "AB"]
        self.layers[-1].lengths = {"backward": backward or [1e-4]}
        self.steps = 0


def step(net: Net) -> None:
    net.steps += 1
    net.train(1, between=1e-5)


def compared(first: Net, second: Net, **options: Any) -> ProfileComparison:
    return gpuprof.compare(first, second, step, clock=first.clock, steps=192, **options)


@pytest.fixture(params=[True, False], ids=["device", "host"])
def clock(request) -> OneClock:
    return OneClock(device=request.param, launch_cost=1e-5, latency=3e-6)


def test_a_faster_layer_is_real_and_the_others_are_noise(clock) -> None:
    found = compared(Net(clock), Net(clock, backward=[5e-5]))
    assert (found.how, found["B", "backward"].verdict) == ("turns", "real")
    rest = {row.name: row.verdict for row in found.rows if row.name not in ("B.backward", "(step)")}
    assert set(rest.values()) == {"noise"}
    assert found.ratio == pytest.approx(found.step.old_us / found.step.new_us, rel=1e-3)
    assert found.word == "real"


def test_a_layer_three_per_cent_slower_is_found(clock) -> None:
    clock._launch_cost = 0
    found = compared(Net(clock), Net(clock, backward=[1.03e-4]))
    row = found["B", "backward"]
    assert row.verdict == "real"
    assert row.low < 1 / 1.03 < row.high or not clock.on_device


def test_the_same_twice_is_noise(clock) -> None:
    found = compared(Net(clock), Net(clock))
    assert {row.verdict for row in found.rows} == {"noise"}


def test_it_is_the_newest_result_and_the_profile_of_b_is_the_newest_profile(clock) -> None:
    found = compared(Net(clock), Net(clock))
    assert gpuprof.last is found
    from gpuprof.latest import last_profile

    assert ("A", "forward") in last_profile().account.rows


def test_kernels_and_their_number_are_compared_on_a_device() -> None:
    clock = OneClock(device=True, launch_cost=1e-5, latency=3e-6)
    row = compared(Net(clock), Net(clock, backward=[2e-5, 2e-5]))["B", "backward"]
    assert (row.old_launches, row.new_launches, row.changed) == (1, 2, ("launches 1 → 2",))


def test_a_block_warms_up_and_its_last_step_is_not_counted(clock) -> None:
    found = compared(Net(clock), Net(clock))
    assert "48 rounds of 6 steps of fresh copies of both" in found.notes[0]
    assert found["A", "forward"].old_steps == 288


def test_drift_is_in_neither(clock) -> None:
    first, second = Net(clock), Net(clock)

    def drifting(net: Net) -> None:
        drifting.steps += 1
        for layer in net.layers:
            layer.lengths = {phase: [1e-4 * (1 + drifting.steps / 400)] for phase in PHASES}
        net.train(1)

    drifting.steps = 0
    found = gpuprof.compare(first, second, drifting, clock=clock, steps=192)
    assert {row.verdict for row in found.rows} == {"noise"}


# Copies


def test_the_models_stay_as_they_are(clock) -> None:
    first, second = Net(clock), Net(clock)
    before = vars(first.layers[0]).copy()
    compared(first, second, check=True)
    assert (first.steps, second.steps) == (0, 0)
    assert vars(first.layers[0]) == before


def test_without_copies_the_models_themselves_are_trained_and_it_is_said(clock) -> None:
    first, second = Net(clock), Net(clock)
    found = compared(first, second, copies=False)
    assert first.steps == second.steps > 288
    assert "Each round is of the same two objects (none were asked for)" in found.warnings[0]
    assert found.notes[0].endswith("steps of both, as ABBA or BAAB")


def test_a_model_that_cannot_be_copied_is_used_itself(clock) -> None:
    class Single(Net):
        def __deepcopy__(self, memo: object) -> Net:
            raise TypeError("only one of me")

    found = compared(Single(clock), Net(clock))
    assert "(TypeError: only one of me)" in found.warnings[0]
    assert found.how == "turns"


def test_a_step_that_knows_its_models_works_on_these(clock) -> None:
    first, second = Net(clock), Net(clock)
    known = {id(first): 1, id(second): 2}

    def knowing(net: Net) -> None:
        known[id(net)]
        net.train(1)

    found = gpuprof.compare(first, second, knowing, clock=clock, steps=96)
    assert found.warnings[0].startswith("Each round is of the same two objects (KeyError: ")


def test_a_copy_that_is_the_model_is_none(clock) -> None:
    class Same(Net):
        def __deepcopy__(self, memo: object) -> Net:
            return self

    assert "a deep copy is the model itself" in compared(Same(clock), Net(clock)).warnings[0]


# Refusals, and how it ends


def test_one_object_twice_is_refused(clock) -> None:
    net = Net(clock)
    with pytest.raises(ValueError, match="expected two models; got the same object twice"):
        compared(net, net)


def test_models_that_share_a_layer_are_refused(clock) -> None:
    first = Net(clock)
    with pytest.raises(ValueError, match="both models hold the very same layer, A;"):
        compared(first, copy.copy(first))


def test_what_is_no_model_is_refused_as_layertime_does(clock) -> None:
    with pytest.raises(ValueError, match="expected an object with `layers`"):
        gpuprof.compare(1, 2, step)


def test_a_step_that_is_no_function_is_refused(clock) -> None:
    with pytest.raises(TypeError, match=r"step must be a function .*; got str"):
        gpuprof.compare(Net(clock), Net(clock), "step", clock=clock)


def test_a_list_without_layers_is_refused_as_layertime_does(clock) -> None:
    with pytest.raises(ValueError, match="this list has no layers yet"):
        gpuprof.compare([], Net(clock), step, clock=clock)


def test_a_step_is_asked_for() -> None:
    with pytest.raises(TypeError, match=r"two models are compared by a step.*got Net and Net"):
        gpuprof.compare(Net(FakeClock()), Net(FakeClock()))


def test_a_step_is_asked_for_of_pytorchs_modules_too() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"two models are compared by a step.*got Linear and Linear"):
        gpuprof.compare(torch.nn.Linear(1, 1), torch.nn.Linear(1, 1))


@pytest.mark.parametrize("steps", [0, -3])
def test_the_number_of_steps_is_positive(steps: int) -> None:
    with pytest.raises(ValueError, match=f"steps must be a whole number from 1 up; got {steps}"):
        gpuprof.compare(Net(FakeClock()), Net(FakeClock()), step, steps=steps)


def test_a_step_that_calls_no_layer_has_no_verdict(clock) -> None:
    found = gpuprof.compare(Net(clock), Net(clock), lambda net: clock.spend(1e-3), clock=clock)
    assert found.why == "a step called no layer of A"
    assert "No verdict: a step called no layer of A." in str(found)


def test_what_the_step_raises_rises_and_nothing_is_left(clock) -> None:
    first, second = Net(clock), Net(clock)

    def failing(net: Net) -> None:
        raise RuntimeError("there")

    with pytest.raises(RuntimeError, match="there"):
        gpuprof.compare(first, second, failing, clock=clock)
    assert "forward" not in vars(first.layers[0])


def stopping(after: int) -> Any:
    def stop(net: Net) -> None:
        stop.calls += 1
        if stop.calls == after:
            raise KeyboardInterrupt
        net.train(1)

    stop.calls = 0
    return stop


def test_an_interrupt_returns_the_rounds_there_are(clock) -> None:
    found = gpuprof.compare(Net(clock), Net(clock), stopping(600), clock=clock, steps=192)
    assert found.warnings[0].startswith("Ended early (KeyboardInterrupt), after ")
    assert found["A", "forward"].verdict == "noise"


def test_an_error_midway_rises_and_the_rounds_there_are_are_the_newest_result(clock) -> None:
    calls = []

    def failing(net: Net) -> None:
        calls.append(net)
        if len(calls) > 600:
            raise RuntimeError("there")
        net.train(1)

    with pytest.raises(RuntimeError, match="there") as raised:
        gpuprof.compare(Net(clock), Net(clock), failing, clock=clock, steps=192)
    assert raised.value.__notes__ == ["What gpuprof had compared until then is in gpuprof.last."]
    found = gpuprof.last
    assert found.warnings[0].startswith("Ended early (RuntimeError), after ")
    assert found["A", "forward"].verdict == "noise"
    assert gpuprof.runs[-1] is found


def test_they_are_called_as_they_are_named(clock) -> None:
    found = compared(Net(clock), Net(clock), names=("loop", "fused"))
    assert found.names == ("loop", "fused")
    assert "loop (µs)  fused (µs)" in str(found)
    silent = gpuprof.compare(Net(clock), Net(clock), lambda net: None, clock=clock, steps=192, names=("loop", "fused"))
    assert silent.why == "a step called no layer of loop"


def test_where_nothing_can_be_checked_that_is_said(clock) -> None:
    found = compared(Net(clock), Net(clock), check=True)
    assert found.warnings == (
        "Nothing was checked: the step returns no array, and no layer has a gradient (dW beside W, or PyTorch's grad).",
    )


def test_how_far_it_is_is_told_where_that_is_asked_for(clock, capsys: pytest.CaptureFixture[str]) -> None:
    compared(Net(clock), Net(clock))
    assert capsys.readouterr().err == ""
    compared(Net(clock), Net(clock), progress=True)
    told = capsys.readouterr().err
    assert "\rmeasuring: round 1 of 48" in told
    assert told.endswith(" \r")


def test_times_are_so_far_apart_as_the_ratio_says(clock) -> None:
    found = compared(Net(clock), Net(clock, backward=[3e-4]))
    for row in found.rows:
        if row.path != "(outside)":
            assert row.old_us / row.new_us == pytest.approx(row.ratio)


def test_an_interrupt_before_the_first_round_rises(clock) -> None:
    with pytest.raises(KeyboardInterrupt):
        gpuprof.compare(Net(clock), Net(clock), stopping(20), clock=clock, steps=192)


def test_after_few_rounds_nothing_is_claimed(clock) -> None:
    found = gpuprof.compare(Net(clock), Net(clock, backward=[1e-5]), stopping(120), clock=clock, steps=192)
    assert found["B", "backward"].verdict == "unclear"


def test_layers_of_one_model_alone_are_added(clock) -> None:
    found = compared(Net(clock), Net(clock, "A", "C", "B"))
    assert found["C", "forward"].verdict == "added"
    assert found["A", "forward"].verdict == "noise"
    assert found.word == "real"


def test_steps_of_several_parts_are_one(clock) -> None:
    """As of two nets that are trained against each other: the leader is called twice in a step."""

    def twice(net: Net) -> None:
        a, b = net.layers
        a.forward(0), a.backward(0), a.update()
        a.forward(0), b.forward(0), b.backward(0), b.update()

    found = gpuprof.compare(Net(clock), Net(clock), twice, clock=clock, steps=192)
    assert {row.verdict for row in found.rows} == {"noise"}
    assert found["A", "forward"].old_steps == found["B", "update"].old_steps == 288


def test_a_region_in_the_step_belongs_to_whose_step_it_is(clock) -> None:
    def regional(net: Net) -> None:
        with gpuprof.region("loss"):
            clock.spend(5e-5 * net.layers[0].host["forward"] / 2e-5)
        net.train(1)

    second = Net(clock)
    second.layers[0].host["forward"] = 4e-5
    found = gpuprof.compare(Net(clock), second, regional, clock=clock, steps=192)
    row = found["loss", "region"]
    assert (row.old_steps, row.new_steps) == (288, 288)
    assert row.verdict == "real" or clock.on_device  # there the device is busy, and the host's time is hidden


def test_a_number_of_steps_is_chosen_by_their_length() -> None:
    clock = OneClock()
    first, second = Net(clock), Net(clock)
    for net in (first, second):
        for layer in net.layers:
            layer.host = dict.fromkeys(layer.host, 2e-2)
    found = gpuprof.compare(first, second, step, clock=clock)
    assert "48 rounds of 6 steps" in found.notes[0]


def test_modes_are_those_of_the_passes() -> None:
    clock = OneClock(device=True, launch_cost=1e-5)
    compared(Net(clock), Net(clock))
    from gpuprof.latest import last_profile

    modes = set(last_profile().account.step_mode.tolist())
    assert {int(Mode.EVENTS), int(Mode.EVENTS | Mode.RECORDS)} <= modes
