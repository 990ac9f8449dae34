"""The Chrome trace: by the format's rules, with kernels, arrows, memory, and names as they are."""

from __future__ import annotations

import dataclasses
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import gpuprof
from gpuprof.record import longrun
from gpuprof.record.inspect import MEMORY
from gpuprof.results.profile import Profile
from gpuprof.testing import FakeClock
from gpuprof.views.trace import chrome_trace

from .models import FakeLayer, FakeModel
from .traceformat import check, lanes, ns, of_kind


class Block(FakeLayer):
    """A layer that begins with a layer inside it, and launches before and after."""

    def __init__(self, name: str, clock: FakeClock) -> None:
        super().__init__(name, clock)
        self.layers = [FakeLayer("inner", clock, host=0.0, device=2e-5)]

    def _work(self, phase: str) -> None:
        self.layers[0].forward(0)
        self.clock.launch(1e-5)
        self.clock.spend(1e-4)


@pytest.fixture(scope="module")
def recorded() -> Profile:
    clock = FakeClock(device=True, launch_cost=5e-6, latency=1e-6)
    model = FakeModel(clock)
    model.layers = [Block("A", clock), Block('B "\\ <b>\n\u2028é\udc80', clock)]
    with gpuprof.layertime(model, clock=clock, kernels=True) as run:
        model.train(20)
    return run.profile


def traced(profile: Profile, tmp_path: Path) -> dict[str, Any]:
    return check(profile.to_trace(tmp_path / "trace.json").read_text(encoding="utf-8"))


def test_a_trace_keeps_to_the_format(recorded: Profile, tmp_path: Path) -> None:
    trace = traced(recorded, tmp_path)
    slices = of_kind(trace, "X")
    assert len(slices) == len(recorded.calls) + recorded.calls["span_us"].notna().sum() + len(recorded.kernels)


def test_each_thread_stream_and_stream_of_kernels_has_a_lane(recorded: Profile, tmp_path: Path) -> None:
    trace = traced(recorded, tmp_path)
    assert list(lanes(trace).values()) == ["thread 0", "stream 0x0, events", "kernels, stream 1"]
    names = [e["args"]["name"] for e in of_kind(trace, "M") if e["name"] == "process_name"]
    assert [name.partition(":")[0] for name in names] == ["host", "GPU 0"]


def test_an_arrow_leads_from_the_call_that_launched_to_each_kernel(recorded: Profile, tmp_path: Path) -> None:
    trace = traced(recorded, tmp_path)
    starts, ends = ({e["id"]: e for e in of_kind(trace, kind)} for kind in "sf")
    kernels = [e for e in of_kind(trace, "X") if e["cat"] == "kernel"]
    assert len(starts) == len(kernels) == len(recorded.kernels) > 0
    hosts = {e["args"]["call"]: e for e in of_kind(trace, "X") if e["pid"] == 1}
    for number, kernel in enumerate(kernels, 1):
        assert (ends[number]["ts"], ends[number]["tid"]) == (kernel["ts"], kernel["tid"])
        call, begun = hosts[kernel["args"]["call"]], starts[number]
        assert f"{call['name']}" == kernel["args"]["of"]
        enclosing = [h for h in hosts.values() if ns(h["ts"]) <= ns(begun["ts"]) < ns(h["ts"]) + ns(h["dur"])]
        assert max(enclosing, key=lambda h: (ns(h["ts"]), -h["dur"])) is call  # to which viewers bind the arrow
        assert begun["ts"] <= kernel["ts"]


def test_kernels_lie_within_the_events_around_their_calls(recorded: Profile) -> None:
    """On an idle device, where the first mark of all comes as late as any."""
    assert recorded.log.window[0] > recorded.log.host_window[0]
    calls = recorded.calls.set_index("call")
    for kernel in recorded.kernels.itertuples():
        call = calls.loc[kernel.call]
        assert call.start_us <= kernel.start_us
        assert kernel.start_us + kernel.span_us <= call.start_us + call.span_us


def test_names_come_back_as_they_are(recorded: Profile, tmp_path: Path) -> None:
    names = {event["name"].partition(".")[0] for event in of_kind(traced(recorded, tmp_path), "X") if event["pid"] == 1}
    assert names == set(recorded.calls["path"])


def test_the_machine_and_versions_are_in_it(recorded: Profile, tmp_path: Path) -> None:
    other = traced(recorded, tmp_path)["otherData"]
    assert other["written by"] == f"gpuprof {gpuprof.__version__}"
    assert other["clock"] == "fake CUDA events"
    assert {name: other[name] for name in recorded.about} == recorded.about


def test_a_name_in_gz_is_compressed(recorded: Profile, tmp_path: Path) -> None:
    path = recorded.to_trace(tmp_path / "trace.json.gz")
    assert check(gzip.decompress(path.read_bytes()).decode()) == traced(recorded, tmp_path)


def test_on_the_host_clock_there_is_the_host_alone(tmp_path: Path) -> None:
    clock = FakeClock()
    with gpuprof.layertime(FakeModel(clock), clock=clock) as run:
        pass
    assert of_kind(traced(run.profile, tmp_path), "X") == []
    with gpuprof.layertime(model := FakeModel(clock), clock=clock) as run:
        model.train(2)
    trace = traced(run.profile, tmp_path)
    assert list(lanes(trace)) == [(1, 1001)]
    assert of_kind(trace, "s") == []


def test_memory_is_a_counter_at_the_calls_boundaries(recorded: Profile, tmp_path: Path) -> None:
    calls = recorded.calls
    outer = calls[calls["path"] == "A"].iloc[4]
    inner = calls[calls["parent"] == outer.call].iloc[0]
    rows = [(inner.call, 100, 1, 100, 40, 0, 0), (outer.call, 300, 2, 250, -10, 0, 0), (10**9, 1, 1, 1, 1, 0, 0)]
    memory = {name: np.array(column) for name, column in zip(MEMORY, zip(*rows, strict=True), strict=True)}
    seen = dataclasses.replace(recorded.seen, memory=memory)
    trace = traced(dataclasses.replace(recorded, seen=seen), tmp_path)
    counters = of_kind(trace, "C")
    in_use, peak = ([e["args"]["bytes"] for e in counters[at::2]] for at in (0, 1))
    assert in_use == [0, 0, 40, -10]
    assert peak == [250, 100, 40, -10]
    assert next(ns(e["ts"]) for e in counters) == round(outer.host_start_us * 1000)


def test_calls_and_kernels_that_overlap_have_a_second_lane() -> None:
    row = {
        "call": 1,
        "parent": -1,
        "path": "A",
        "phase": "forward",
        "step": 0,
        "thread": 0,
        "device": 0,
        "stream": 1 << 47,
    }
    times = [(0.0, 10.0), (5.0, 10.0), (12.0, 1.0), (20.0, 1.0)]
    calls = pd.DataFrame(
        [
            row
            | {
                "call": i,
                "shape": (),
                "host_start_us": a,
                "host_us": b,
                "start_us": a,
                "span_us": b,
                "status": "returned",
            }
            for i, (a, b) in enumerate(times)
        ]
    )
    same = {
        "path": "A",
        "phase": "forward",
        "step": 0,
        "device": 0,
        "stream": 7,
        "threads": 1,
        "registers": 2,
        "bytes": 0,
    }
    kernels = pd.DataFrame([same | {"name": "k", "call": -1, "start_us": a, "span_us": b} for a, b in times])
    trace = check(json.dumps(chrome_trace(calls, kernels, {})))
    assert list(lanes(trace).values()) == [
        name + further
        for name in ("thread 0", f"stream {1 << 47:#x}, events", "kernels, stream 7")
        for further in ("", " (2)")
    ]
    assert of_kind(trace, "s") == []  # launched by no call


def test_what_a_long_run_left_out_is_drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(longrun, "MOST", 500)
    monkeypatch.setattr(longrun, "UNIT", 50)
    clock = FakeClock()
    with gpuprof.layertime(model := FakeModel(clock), clock=clock) as run:
        model.train(500)
    trace = traced(run.profile, tmp_path)
    gaps = [event for event in of_kind(trace, "X") if event["cat"] == "left out"]
    assert sum(event["args"]["steps"] for event in gaps) == run.profile.log.left_out.steps > 0
    assert sum(ns(event["dur"]) for event in gaps) == run.profile.log.left_out.ns
    kept = [e for e in of_kind(trace, "X") if e["cat"] != "left out"]
    inside = [(ns(g["ts"]), ns(g["ts"]) + ns(g["dur"])) for g in gaps]
    assert not any(begin <= ns(e["ts"]) < end for e in kept for begin, end in inside)
