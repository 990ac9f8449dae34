"""What gpuprof.testing offers: the fixture that counts launches, and the door itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import gpuprof.testing
from gpuprof.fixtures import LayerProfile
from gpuprof.testing import FakeClock

from .models import FakeModel


def launch_two(clock: FakeClock) -> None:
    clock.launch(1e-5)
    clock.launch(1e-5)


@pytest.fixture
def model() -> FakeModel:
    """A model that launches one kernel a call, but two in B's backward."""
    model = FakeModel(FakeClock(device=True, latency=3e-6), host=3e-4, device=1e-5)
    layer = model.layers[1]
    layer.backward = lambda dy: (model.clock.launch(1e-5), type(layer).backward(layer, dy))[1]  # type: ignore
    return model


def test_launches_of_each_call_are_counted_exactly(layer_profile: LayerProfile, model: FakeModel) -> None:
    profile = layer_profile(model, model.train, 1, clock=model.clock)
    assert profile["A", "forward"].launches == 1
    assert profile["B", "backward"].launches == 2
    assert profile["B", "backward"].busy_us == pytest.approx(20)


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 20])
def test_few_steps_are_enough(layer_profile: LayerProfile, model: FakeModel, steps: int) -> None:
    profile = layer_profile(model, model.train, 1, steps=steps, clock=model.clock)
    assert profile["B", "backward"].launches == 2
    assert profile["B", "backward"].calls == steps


def test_the_first_call_is_not_counted(layer_profile: LayerProfile, model: FakeModel) -> None:
    seen = []

    def step(times: int, between: float = 0.0) -> None:
        if not seen:
            model.layers[0].forward(0)  # such as a compilation
        seen.append((times, between))
        model.train(times, between)

    profile = layer_profile(model, step, 1, steps=3, between=1e-3, clock=model.clock)
    assert seen == [(1, 1e-3)] * 4
    assert profile["A", "forward"].calls == 3


def test_without_a_gpu_the_test_is_skipped_with_the_reason(layer_profile: LayerProfile) -> None:
    model = FakeModel(FakeClock())
    with pytest.raises(pytest.skip.Exception, match="no kernel records: no GPU in use"):
        layer_profile(model, model.train, 1, clock=model.clock)


def test_without_records_the_test_is_skipped_with_the_reason(layer_profile: LayerProfile, model: FakeModel) -> None:
    model.clock.no_records = "another tool has CUPTI"
    with pytest.raises(pytest.skip.Exception, match="no kernel records: another tool has CUPTI"):
        layer_profile(model, model.train, 1, clock=model.clock)


def test_where_records_are_optional_it_goes_on(layer_profile: LayerProfile, model: FakeModel) -> None:
    model.clock.no_records = "another tool has CUPTI"
    profile = layer_profile(model, model.train, 1, kernels="optional", clock=model.clock)
    assert profile["A", "forward"].calls == 8
    assert profile["A", "forward"].launches != profile["A", "forward"].launches  # NaN


def test_methods_and_functions_are_models_too(layer_profile: LayerProfile, model: FakeModel) -> None:
    layer = model.layers[0]
    profile = layer_profile([layer._work], layer.forward, 0, clock=model.clock)
    assert profile["A", "_work"].launches == 1


def test_the_step_may_be_what_is_profiled(layer_profile: LayerProfile, model: FakeModel) -> None:
    layer = model.layers[0]
    profile = layer_profile([layer, launch_two], layer.forward, 0, clock=model.clock)
    assert profile["A", "forward"].calls == 8
    profile = layer_profile(launch_two, launch_two, model.clock, clock=model.clock)
    assert profile["launch_two", "call"].launches == 2


def test_what_the_step_raises_rises(layer_profile: LayerProfile, model: FakeModel) -> None:
    with pytest.raises(TypeError, match="train"):
        layer_profile(model, model.train, clock=model.clock)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"kernels": "never"}, 'kernels must be "needed" or "optional"; got \'never\''),
        ({"steps": 0}, "steps must be 1 or more; got 0"),
    ],
)
def test_what_is_wrong_is_said(layer_profile: LayerProfile, model: FakeModel, wrong: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        layer_profile(model, model.train, 1, clock=model.clock, **wrong)


TEST = """
def test_it(layer_profile):
    from gpuprof.testing import FakeClock
    class Layer:
        def __init__(self): self.clock = FakeClock(device=True)
        def forward(self): self.clock.launch(1e-5)
    layer = Layer()
    assert layer_profile(layer, layer.forward, clock=layer.clock)["Layer", "forward"].launches == 1
"""


@pytest.mark.parametrize(
    ("conftest", "imports"),
    [
        ("", "from gpuprof.testing import layer_profile"),
        ('pytest_plugins = ["gpuprof.testing"]', ""),
        ('from gpuprof.testing import FakeClock\npytest_plugins = ["gpuprof.testing"]', ""),
        ("from gpuprof.testing import layer_profile", ""),
    ],
)
def test_the_fixture_is_found_imported_or_as_a_plugin(tmp_path: Path, conftest: str, imports: str) -> None:
    (tmp_path / "conftest.py").write_text(conftest)
    (tmp_path / "test_it.py").write_text(imports + TEST)
    command = [sys.executable, "-W", "error", "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", tmp_path]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "1 passed" in answer.stdout, answer.stdout + answer.stderr


def test_the_door_needs_no_pytest() -> None:
    code = (
        "import sys; sys.modules['pytest'] = None\n"
        "from gpuprof.testing import FakeClock\n"
        "import gpuprof.testing as door\n"
        "try: door.layer_profile\n"
        "except ImportError as error: print('needs', error.name)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "needs pytest"


def test_the_door_says_what_it_has() -> None:
    assert set(gpuprof.testing.__all__) <= set(dir(gpuprof.testing))
    with pytest.raises(AttributeError, match="no attribute 'layers'; it has FakeClock, FakeGate, layer_profile"):
        _ = gpuprof.testing.layers  # type: ignore[attr-defined]
