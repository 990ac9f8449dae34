"""NVTX ranges: around each call where they are asked for, and nothing at all elsewhere."""

from __future__ import annotations

import copy
import sys
from types import ModuleType
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

import gpuprof
from gpuprof.record.ranges import Ranges
from gpuprof.testing import FakeClock

from .models import FakeModel


class Domain:
    """What nvtx.get_domain gives; `said` has what was pushed, and "" for each pop."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def get_event_attributes(self, message: str) -> tuple[str]:
        return (message,)

    def push_range(self, attributes: tuple[str]) -> None:
        self.said += attributes

    def pop_range(self) -> None:
        self.said.append("")


@pytest.fixture
def domain(monkeypatch: pytest.MonkeyPatch) -> Domain:
    found, nvtx = {"gpuprof": Domain()}, ModuleType("nvtx")
    vars(nvtx)["get_domain"] = found.__getitem__
    monkeypatch.setitem(sys.modules, "nvtx", nvtx)
    return found["gpuprof"]


def test_each_call_is_in_a_range_of_its_path_and_phase(domain: Domain) -> None:
    clock = FakeClock()
    model = FakeModel(clock, "A", "B")
    with gpuprof.layertime(model, nvtx=True, clock=clock) as run:
        model.train(2)
    calls = run.profile.calls
    assert domain.said[::2] == [f"{row.path}/{row.phase}" for row in calls.itertuples()]
    assert set(domain.said[1::2]) == {""}


def test_ranges_nest_as_calls_and_regions_do(domain: Domain) -> None:
    clock = FakeClock()
    model = FakeModel(clock, "A")
    with gpuprof.layertime(model, nvtx=True, clock=clock), gpuprof.region("epoch"):
        model.layers[0].forward(0)
    assert domain.said == ["epoch/region", "A/forward", "", ""]


def test_a_range_ends_where_the_call_raises(domain: Domain) -> None:
    clock = FakeClock()
    model = FakeModel(clock, "A")
    vars(model.layers[0])["update"] = lambda: 1 / 0
    with pytest.raises(ZeroDivisionError), gpuprof.layertime(model, nvtx=True, clock=clock), gpuprof.region("r"):
        model.train(1)
    assert domain.said.count("") == len(domain.said) / 2 == 4


def test_a_range_is_not_in_its_calls_time(domain: Domain, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    monkeypatch.setattr(domain, "push_range", lambda attributes: clock.spend(1e-3))
    model = FakeModel(clock, "A")
    with gpuprof.layertime(model, nvtx=True, clock=clock) as run:
        model.train(20)
    assert run.profile["A", "forward"].host_us == 1000
    assert run.profile["(outside)", ""].median_us == 3000


def test_afterwards_nothing_is_left_and_what_was_kept_of_it_has_no_ranges(domain: Domain) -> None:
    clock = FakeClock()
    model = FakeModel(clock, "A")
    layer = model.layers[0]
    with gpuprof.layertime(model, nvtx=True, clock=clock):
        kept, copied = layer.forward, copy.deepcopy(layer)
    assert not {"forward", "backward", "update"} & vars(layer).keys()
    kept(0)
    copied.forward(0)
    assert domain.said == []


def test_a_function_is_in_a_range_too(domain: Domain, ip: InteractiveShell) -> None:
    ip.run_cell("def f(x): return x")
    ip.run_cell("%%layertime -q --nvtx f\nf(1)")
    assert domain.said == ["f/call", ""]


def test_without_the_package_cupy_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    cupy, cuda, nvtx = (ModuleType(name) for name in ("cupy", "cupy.cuda", "cupy.cuda.nvtx"))
    vars(nvtx).update(RangePush=said.append, RangePop=lambda: said.append(""))
    for module in (cupy, cuda, nvtx):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(sys.modules, "nvtx", None)
    ranges = Ranges()
    assert ranges.around("A/forward", lambda x: x + 1)(2) == 3
    assert (ranges.way, said) == ("CuPy", ["A/forward", ""])


def test_without_either_one_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch, ip: InteractiveShell) -> None:
    for name in ("nvtx", "cupy", "cupy.cuda", "cupy.cuda.nvtx"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError, match=r"need the nvtx package \(pip install nvtx\) or CuPy"):
        gpuprof.layertime(FakeModel(FakeClock()), nvtx=True)
    ip.run_cell("%%layertime --nvtx lm\nran = True")
    assert "ran" not in ip.user_ns


def test_where_they_are_not_asked_for_nothing_is_imported_and_nothing_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    def touched(*_: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr("gpuprof.record.ranges._backend", touched)
    clock = FakeClock()
    model = FakeModel(clock, "A")
    with gpuprof.layertime(model, clock=clock):
        assert vars(model.layers[0])["forward"].func.__name__ == "taped"
        model.train(1)
