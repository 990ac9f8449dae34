"""Captured training under `layertime`, on a GPU: what CUDA and CUPTI themselves do."""

from typing import Any

import numpy as np
import pytest

import gpuprof
from gpuprof.record.cupti import NoRecordsError
from gpuprof.record.kernels import recording
from tests.cnn.kernel_nets import DEEP_CASES, deep_net, net, parameters

pytestmark = pytest.mark.gpu
NETS = [lambda: net((1, 8, 3, 3, 1, 10, 4, 4, 4), "gpu"), lambda: deep_net(DEEP_CASES[0], "gpu")]


def trained(lm: Any, epochs: int = 40) -> Any:
    lm.training(epochs, n_batch=4, threshold=0, show_error=False, graph=True)
    return lm


@pytest.mark.parametrize("make", NETS)
def test_every_recorded_graph_ran_the_kernels_the_model_said(make: Any) -> None:
    lm = make()
    with gpuprof.layertime(lm, kernels=True) as run:
        trained(lm)
    figures = run.profile.replays
    assert figures
    assert figures.verified >= 2
    assert figures.refused == 0
    assert sum(part.seconds for part in figures.parts) + figures.idle == pytest.approx(figures.step.median)
    assert run.profile.table["share"].sum() == pytest.approx(1)
    assert figures.steps == lm.steps


@pytest.mark.parametrize("make", NETS)
def test_a_profile_changes_no_bit_of_a_captured_training(make: Any) -> None:
    lm = make()
    with gpuprof.layertime(lm, kernels=True):
        trained(lm)
    assert [each.tobytes() for each in parameters(lm)] == [each.tobytes() for each in parameters(trained(make()))]


def test_without_cupti_captured_steps_are_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> None:
        raise NoRecordsError("none here")

    monkeypatch.setattr("gpuprof.record.kernels._log", none)
    lm = NETS[0]()
    with gpuprof.layertime(lm) as run:
        trained(lm)
    assert run.profile["(graphs)", "captured steps"].median_us > 0
    assert any("none here" in note for note in run.profile.notes)


def test_a_graph_made_before_records_began_has_records_of_its_nodes_in_the_order_of_capture() -> None:
    import cupy

    x, stream = cupy.zeros(32, "float32"), cupy.cuda.Stream(non_blocking=True)
    add, twice = (
        cupy.ElementwiseKernel("", "float32 x", code, name) for code, name in (("x += 1", "add"), ("x *= 2", "twice"))
    )
    with stream:
        add(x)
        twice(x)
        stream.begin_capture()
        for kernel in (add, twice, twice, add):
            kernel(x)
        graph = stream.end_capture()
        with recording() as found:
            graph.launch(stream)
            stream.synchronize()
    records = found.records.where(found.records.node > 0)
    order = np.argsort(records.node)
    assert [records.names[i] for i in order] == ["add", "twice", "twice", "add"]
    assert len(set(records.correlation.tolist())) == 1


def test_kernels_of_two_captured_streams_have_nodes_in_the_order_of_capture() -> None:
    import cupy

    x, y = cupy.zeros(32, "float32"), cupy.zeros(32, "float32")
    slow = cupy.RawKernel(
        'extern "C" __global__ void slow(float* x) { for (int i = 0; i < 20000; i++) x[threadIdx.x] += 1; }', "slow"
    )
    quick = cupy.ElementwiseKernel("", "float32 x", "x += 1", "quick")
    one, other = cupy.cuda.Stream(non_blocking=True), cupy.cuda.Stream(non_blocking=True)
    with one:
        slow((1,), (32,), (x,))
        quick(y)
        one.synchronize()
        one.begin_capture()
        quick(x)
        fork, join = (cupy.cuda.Event(disable_timing=True) for _ in range(2))
        fork.record(one)
        other.wait_event(fork)
        slow((1,), (32,), (x,))
        slow((1,), (32,), (x,))
        with other:
            quick(y)
            join.record(other)
        one.wait_event(join)
        graph = one.end_capture()
        with recording() as found:
            graph.launch(one)
            one.synchronize()
    records = found.records.where(found.records.node > 0)
    assert [records.names[i] for i in np.argsort(records.node)] == ["quick", "slow", "slow", "quick"]
