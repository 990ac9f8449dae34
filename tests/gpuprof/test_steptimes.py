"""What each row took of each step."""

import math

import numpy as np
import pytest

import gpuprof
from gpuprof.judge.steptimes import StepTimes, step_times
from gpuprof.profiling import LayerTime
from gpuprof.record.calls import Scope
from gpuprof.record.schedule import Block, Mode
from gpuprof.testing import FakeClock

from .models import FakeModel

A = [Scope("A", phase) for phase in ("forward", "backward", "update")]


def test_a_row_has_a_time_in_each_step_but_the_first_and_the_last() -> None:
    model = FakeModel(FakeClock(), "A")
    model.layers[0].host["backward"] = 3e-3
    with gpuprof.layertime(model, clock=model.clock) as run:
        model.train(5, between=1e-3)
    found = step_times(run.profile.account)
    assert found.rows == (*A, Scope("(outside)", ""))
    assert found.times == pytest.approx(np.array([[1e-3, 3e-3, 1e-3, 1e-3]] * 3))
    assert found.often.tolist() == [1, 1, 1, 1]


def test_of_several_calls_in_a_step_the_mean_is_taken() -> None:
    model = FakeModel(FakeClock(), "A")
    with gpuprof.layertime(model, clock=model.clock) as run:
        for _ in range(5):
            model.layers[0].forward(0)
            model.layers[0].backward(0)
            model.layers[0].backward(0)
    found = step_times(run.profile.account)
    assert found.of(A[:2])[0] == pytest.approx([1e-3, 1e-3])
    assert found.often.tolist() == [1, 2, 1]


def test_a_row_that_a_step_does_not_have_is_not_a_number_there() -> None:
    model = FakeModel(FakeClock(), "A")
    layer = model.layers[0]
    with gpuprof.layertime(model, clock=model.clock) as run:
        for step in range(9):
            layer.forward(0)
            layer.backward(0)
            if step % 2:
                layer.update()
    found = step_times(run.profile.account)
    assert np.isnan(found.of([A[2]])[:, 0]).tolist() == [False, True] * 3 + [False]
    assert found.often.tolist() == [1, 1, pytest.approx(4 / 7), 1]


def test_an_evaluation_has_a_row_and_no_part_of_the_step() -> None:
    model = FakeModel(FakeClock(), "A")
    with gpuprof.layertime(model, clock=model.clock) as run:
        model.train(3)
        model.evaluate()
        model.train(3)
    found = step_times(run.profile.account)
    assert found.often[found.rows.index(Scope("A", "evaluate"))] == 0
    assert np.nansum(found.of([Scope("A", "evaluate")])) == pytest.approx(1e-3)


def test_only_steps_marked_inside_are_samples() -> None:
    model = FakeModel(FakeClock(device=True, latency=1e-6), "A", device=1e-4)
    with LayerTime((model,), model.clock, blocks=[Block(Mode.EVENTS, 4), Block(Mode.PLAIN, 1 << 62, math.inf)]) as run:
        model.train(10)
    assert len(step_times(run.profile.account).times) == 3


def test_steps_can_be_parts_of_longer_ones() -> None:
    model = FakeModel(FakeClock(), "A")
    with gpuprof.layertime(model, clock=model.clock) as run:
        model.train(6)
    group = np.array([-1, 0, 0, 2, 2, -1])
    found = step_times(run.profile.account, group, 4)
    assert found.times[:, 0] == pytest.approx([1e-3, math.nan, 1e-3, math.nan], nan_ok=True)
    assert found.calls[:, 0].tolist() == [2, 0, 2, 0]
    assert np.isnan(found.times[[1, 3]]).all()


def test_a_run_without_steps_has_no_times() -> None:
    model = FakeModel(FakeClock(), "A")
    with gpuprof.layertime(model, clock=model.clock) as run:
        pass
    found = step_times(run.profile.account)
    assert found.times.shape == (0, 1)
    assert found.often.tolist() == [0]


def test_a_row_that_is_not_there_is_not_a_number() -> None:
    times = StepTimes((A[0],), np.array([[1.0], [2.0]]), np.ones((2, 1)))
    assert np.isnan(times.of([A[1]])).all()
    assert times.of([]).shape == (2, 0)
