"""Pitfalls of layer profilers that no other file holds us to: see the table in docs/layers.md."""

from __future__ import annotations

import gc
import itertools
import random
import sys
import weakref
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import gpuprof
from gpuprof.judge.busy import union_ns
from gpuprof.record import cupti
from gpuprof.record.activity import joined
from gpuprof.record.cuda import _EventClock
from gpuprof.record.kernels import Launched
from gpuprof.record.launches import kernels_of
from gpuprof.record.log import CallLog
from gpuprof.record.taken import Taken
from gpuprof.results.profile import Profile
from gpuprof.testing import FakeClock

from .models import FakeLayer, FakeModel

NOTHING = np.zeros(0, dtype=np.int64)


class Block:
    """A layer with layers of its own: it works 1 ms and launches 0.1 ms before each of them."""

    def __init__(self, name: str, clock: FakeClock, *layers: Any) -> None:
        self.name, self.clock, self.layers = name, clock, list(layers)

    def forward(self, x: object, train: bool = False) -> object:
        for layer in self.layers:
            self.clock.spend(1e-3)
            self.clock.launch(1e-4)
            x = layer.forward(x, train=train)
        return x

    def backward(self, dy: object) -> object:
        for layer in reversed(self.layers):
            self.clock.spend(1e-3)
            dy = layer.backward(dy)
        return dy


def trained(model: Any, clock: FakeClock, steps: int = 20, **wishes: Any) -> Profile:
    """Steps of one forward and one backward, 1 ms apart."""
    with gpuprof.layertime([model], clock=clock, **wishes) as run:
        for _ in range(steps):
            model.forward(0, train=True)
            model.backward(0)
            clock.spend(1e-3)
    return run.profile


# Devices and streams


class TwoDevices(_EventClock[list]):
    """Invented events: on each device a counter that began at another time, 1 ms before each of its marks."""

    pool: ClassVar[dict[int, list]] = {}
    now: ClassVar[list[float]] = [0.0, 700.0]
    current = 0

    def _here(self) -> tuple[int, int]:
        return self.current, 0

    def _stream_number(self, stream: int) -> int:
        return stream

    def _make(self) -> list:
        return [0.0, -1]

    def _record(self, event: list, stream: int) -> None:
        event[:] = self.now[self.current], self.current

    def _done(self, event: list) -> bool:
        return True

    def _elapsed_ms(self, start: list, end: list) -> float:
        assert start[1] == end[1], "events of two devices are compared"
        return end[0] - start[0]

    def _synchronize(self, device: int) -> None: ...


def test_events_of_two_devices_are_never_compared() -> None:
    clock = TwoDevices()
    clock.host = itertools.repeat(0).__next__  # type: ignore[method-assign]
    marks = []
    for device in (0, 1, 1, 0):
        clock.current = device
        clock.place()
        if device in clock._base:
            TwoDevices.now[device] += 1.0
        marks.append(clock.mark())
    found = np.array(marks)
    assert clock.resolve(found).tolist() == [0, 0, 1_000_000, 1_000_000]
    assert clock.where(found)[0].tolist() == [0, 1, 1, 0]


def test_work_on_other_streams_belongs_to_the_call_that_launched_it() -> None:
    clock = FakeClock(device=True)
    with CallLog(clock) as log:
        for name in "AB":
            call = log.enter(log.scope(name, "forward"))
            clock.spend(1e-3)
            log.leave(call)
    part = {
        name: np.array(values)
        for name, values in {
            "start": [10, 10, 50],
            "end": [40, 30, 60],  # A's second kernel runs beside its first one
            "stream": [7, 13, 13],
            "correlation": [2, 3, 6],
            **{name: [0, 0, 0] for name in ("name", "device", "threads", "registers", "bytes", "node")},
        }.items()
    }
    records = joined([{**part, "known": ("add",)}], 0)
    marks = np.array([2 * call + end for call in log.calls["call"] for end in (0, 1)])
    launched = Launched(records, marks, np.array([1, 4, 5, 7]), NOTHING, NOTHING)
    kernels = kernels_of([Taken(launched, ((0, 0), (100, 100)), {})], log.calls)
    assert kernels["call"].tolist() == [0, 0, 1]
    assert union_ns(kernels) == 40


# What is timed once is in no sum twice


def test_layers_inside_layers_are_in_no_sum_twice() -> None:
    clock = FakeClock(device=True)
    inner = Block("inner", clock, FakeLayer("A", clock, device=2e-4), FakeLayer("B", clock, device=2e-4))
    model = Block("outer", clock, inner, FakeLayer("C", clock, device=2e-4))
    profile = trained(model, clock, kernels=True)
    table = profile.table
    assert profile.closure == 0
    assert table["share"].sum() == pytest.approx(1)
    assert table["total_ms"].sum() == pytest.approx((profile.log.window[1] - profile.log.window[0]) * 1e-6)
    calls = table[table["phase"] != ""]
    assert calls.set_index(["path", "phase"])["launches"].to_dict() == {
        ("outer", "forward"): 2,
        ("outer/inner", "forward"): 2,
        ("outer/inner/A", "forward"): 1,
        ("outer/inner/B", "forward"): 1,
        ("outer/C", "forward"): 1,
        ("outer", "backward"): 0,
        ("outer/inner", "backward"): 0,
        ("outer/inner/A", "backward"): 1,
        ("outer/inner/B", "backward"): 1,
        ("outer/C", "backward"): 1,
    }
    assert calls["busy_us"].sum() == pytest.approx(4 * 100 + 6 * 200)


def test_a_call_that_compiles_late_does_not_move_the_median() -> None:
    clock = FakeClock(device=True)
    model = FakeModel(clock, "A")
    with gpuprof.layertime(model, clock=clock, kernels=False) as run:
        model.train(30)
        model.layers[0].host["forward"] = 0.5
        model.train(1)
        model.layers[0].host["forward"] = 1e-3
        model.train(30)
    assert run.profile["A", "forward"].median_us == pytest.approx(1000)
    assert run.profile.table["total_ms"].sum() == pytest.approx(61 * 3 + 499)


# What is not a layer's call is not invented


def test_a_layer_made_while_the_cell_runs_goes_unseen_and_the_rows_add_up_all_the_same() -> None:
    clock = FakeClock(device=True)
    model = FakeModel(clock, "A")
    with gpuprof.layertime(model, clock=clock, kernels=False) as run:
        model.train(5)
        model.layers.append(FakeLayer("B", clock))
        model.train(5)
    assert set(run.profile.table["path"]) == {"A", "(outside)"}
    assert run.profile.closure == 0
    assert run.profile["(outside)", ""].total_ms == pytest.approx(5 * 3)


def test_what_one_call_does_for_all_layers_is_no_layers() -> None:
    clock = FakeClock(device=True)
    model = FakeModel(clock, "A", "B", device=1e-5)
    with gpuprof.layertime(model, clock=clock, kernels=True) as run:
        for _ in range(30):
            for layer in model.layers:
                layer.forward(0, train=True)
            for layer in reversed(model.layers):
                layer.backward(0)
            clock.spend(1e-3)
            clock.launch(5e-4)  # a fused optimizer, say
    profile = run.profile
    assert "update" not in set(profile.table["phase"])
    assert profile["(outside)", ""].launches == 1
    assert profile["(outside)", ""].busy_us == pytest.approx(500)


def test_a_method_that_python_looks_up_on_the_class_goes_unseen() -> None:
    class Called(FakeLayer):
        __call__ = FakeLayer.forward

    clock = FakeClock(device=True)
    layer = Called("A", clock)
    with gpuprof.layertime(layer, clock=clock) as run:
        layer(0)
        Called.forward(layer, 0)
        layer.forward(0)
    assert run.profile["A", "forward"].calls == 1


# What is the user's stays the user's


class Data:
    """What a layer is given: it has a shape, and can be watched dying."""

    shape = (8, 4)


def test_no_array_lives_longer_for_being_profiled() -> None:
    clock = FakeClock(device=True)
    model = FakeModel(clock, "A", "B")
    alive = []
    gc.disable()
    try:
        with gpuprof.layertime(model, clock=clock, kernels=True, lines="A.forward") as run:
            for _ in range(40):
                x = Data()
                seen = weakref.ref(x)
                for layer in model.layers:
                    x = layer.forward(x, train=True)
                for layer in reversed(model.layers):
                    x = layer.backward(x)
                clock.spend(1e-3)
                del x
                alive.append(seen() is not None)
    finally:
        gc.enable()
    assert not any(alive)
    assert run.profile["A", "forward"].calls == 40


def test_random_numbers_are_those_drawn_without_us() -> None:
    def drawn(profiled: bool) -> list[float]:
        random.seed(1)
        np.random.seed(1)
        clock = FakeClock(device=True)
        model = FakeModel(clock, "A")
        if profiled:
            with gpuprof.layertime(model, clock=clock, kernels=True, lines="A.forward") as run:
                model.train(60, between=1e-3)
            assert len(run.profile.table)
        return [random.random(), np.random.random()]

    assert drawn(True) == drawn(False)


@pytest.mark.parametrize("after", range(1, 60, 7))
def test_an_interrupt_in_any_pass_leaves_nothing_on_and_shows_what_there_is(after: int) -> None:
    calls = itertools.count(1)

    class Interrupted(FakeLayer):
        def backward(self, dy: object) -> object:
            if next(calls) == after:
                raise KeyboardInterrupt
            return super().backward(dy)

    clock = FakeClock(device=True)
    layer = Interrupted("A", clock, device=1e-4)
    before, tracer = list(vars(layer).items()), sys.gettrace()

    def cell() -> None:
        for _ in range(60):
            layer.forward(0, train=True)
            layer.backward(0)
            clock.spend(1e-3)

    run = gpuprof.layertime(layer, clock=clock, kernels=True, lines="A.backward", hot=True)
    with pytest.raises(KeyboardInterrupt), run:
        cell()
    profile = run.profile
    assert list(vars(layer).items()) == before
    assert sys.gettrace() is tracer
    assert clock._recording is None or clock._recording.stopped
    assert profile["A", "backward"].calls == after
    assert profile.calls["status"].tolist().count("raised") == 1
    assert "KeyboardInterrupt" in profile.ended_by
    assert profile.closure == 0


# CUPTI


def test_a_libcupti_that_is_loaded_is_taken_before_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = "7f00-7f10 r-xp 0 00:00 1 /torch/lib/libcupti.so.13\n7f10-7f20 r-xp 0 00:00 2 /lib/libc.so.6\n"

    class Files(type(Path())):  # type: ignore[misc]
        def exists(self, **_: object) -> bool:
            return str(self) == "/proc/self/maps"

        def read_text(self, *_: object, **__: object) -> str:
            return maps

        def glob(self, *_: object, **__: object) -> list[Path]:
            return []

    monkeypatch.setattr(cupti, "Path", Files)
    assert next(cupti._places()) == "/torch/lib/libcupti.so.13"
