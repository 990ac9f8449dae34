"""What could be mended: each rule where it speaks and where it stays silent, and the verdict with kernel records."""

import math
from dataclasses import replace

import numpy as np
import pytest

from gpuprof.judge.account import OUTSIDE
from gpuprof.judge.advice import verdict
from gpuprof.judge.findings import Facts, Finding, KernelFact, RowFact, findings
from gpuprof.judge.pace import Pace
from gpuprof.record.calls import Scope
from gpuprof.record.waits import WaitLine

NAN = math.nan
ROWS = (
    Scope("Conv1", "forward"),
    Scope("Pool1", "backward"),
    Scope("Conv1", "update"),
    OUTSIDE,
)
LAUNCHES = (30, 11, 68, 48)
HOST = (500e-6, 180e-6, 1100e-6, 810e-6)
WORK = (100e-6, 1720e-6, 100e-6, 56e-6)
SCATTER = KernelFact("cupy_scatter_update", 1, 1712e-6, 245_862_400)


def paced(host=HOST, work=WORK, launches=LAUNCHES, *, on_device=True, step=None, own=0.0, host_known=True) -> Pace:
    """A step of the four rows; a device slower than the host sets its length."""
    hosts, works = np.array(host), np.array(work)
    numbers = None if launches is None else np.array(launches, dtype=float)
    length = step or max(hosts.sum(), works.sum()) + own
    return Pace(99, False, length, own, hosts, works, 0.0, host_known, on_device, numbers)


def row(scope: Scope, launches: float = NAN, **others: object) -> RowFact:
    given = {"busy": NAN, "threads": NAN, "elements": 0, "dtype": "", "grown": NAN, "kernels": ()}
    return RowFact(scope=scope, calls_a_step=1.0, launches=launches, **{**given, **others})


def facts(pace: Pace | None = None, **changed: dict[str, object]) -> Facts:
    """Four rows; `changed` has what is different in those of a layer."""
    rows = [row(scope, n, **changed.get(scope.path, {})) for scope, n in zip(ROWS, LAUNCHES, strict=True)]
    return Facts(pace or paced(), tuple(rows))


def found(given: Facts, rule: str) -> Finding | None:
    return next((finding for finding in findings(given) if finding.rule == rule), None)


def told(given: Facts, rule: str) -> Finding:
    finding = found(given, rule)
    assert finding is not None, findings(given)
    return finding


def waited(kind: str = "copy to the host", seconds: float = 4e-3, line: int = 41, times: int = 10) -> WaitLine:
    source, api = "loss = float(y.sum())", "cudaMemcpyAsync + cudaStreamSynchronize"
    return WaitLine("/home/me/train.py", line, "train", source, kind, api, times, seconds, seconds / times, 4 * times)


def pooled(work=WORK, host=HOST, **changed: object) -> Facts:
    """The article's pooling: the scatter is nearly all that Pool1.backward does."""
    given = {"busy": 1720e-6, "elements": 62_720, "kernels": (SCATTER,)} | changed
    return facts(paced(host, work), Pool1=given)


def test_a_step_bound_by_launches_says_how_many_and_which_layers_launch_most() -> None:
    finding = told(facts(), "launch-bound")
    assert finding.sentence == (
        "Launch-bound: 157 launches a step take the host 2.59 ms, the GPU works 1.98 ms of it. "
        "Most come from update (68 of 157), and from Conv1 (98)."
    )
    assert finding.next == "%%layertime --graph lm"
    assert finding.gain == pytest.approx(1 - 1.976 / 2.59)


def test_one_launch_is_spoken_of_as_one() -> None:
    pace = paced(host=(50e-6, 0, 0, 10e-6), work=(5e-6, 0, 0, 0), launches=(1, 0, 0, 0))
    assert told(facts(pace), "launch-bound").sentence == (
        "Launch-bound: 1 launch a step takes the host 60.0 µs, the GPU works 5.00 µs of it. "
        "Most come from forward (1 of 1), and from Conv1 (1)."
    )
    assert "with 1 launch, and" in verdict(ROWS, pace)
    shared = paced(host=(30e-6, 0, 0, 30e-6), work=(5e-6, 0, 0, 0), launches=(1, 0, 0, 0))
    assert "bound by its one launch: it takes the host 60.0 µs, the GPU works 5.00 µs of it" in verdict(ROWS, shared)
    assert "1 of the 1 launch)" in verdict(ROWS, shared)


def test_launches_of_rows_tell_where_no_whole_step_was_recorded_and_then_the_gain_is_not_known() -> None:
    finding = told(facts(paced(launches=None)), "launch-bound")
    assert "157 launches a step take the host 2.59 ms, the GPU works at least 1.98 ms of it" in finding.sentence
    assert math.isnan(finding.gain)


@pytest.mark.parametrize(
    "pace",
    [
        paced(work=[each * 10 for each in WORK]),
        paced(on_device=False, work=[0, 0, 0, 0], launches=None),
        paced(host=[500e-6, 180e-6, 30e-3, 810e-6]),
    ],
    ids=["the GPU bounds it", "host clock", "the host works or waits in one layer"],
)
def test_what_is_not_bound_by_launches_is_not_called_so(pace: Pace) -> None:
    assert found(facts(pace), "launch-bound") is None


def test_unknown_launches_bound_nothing() -> None:
    given = facts(paced(launches=None))
    unknown = replace(given, rows=tuple(each._replace(launches=NAN) for each in given.rows))
    assert findings(unknown) == ()


def test_the_articles_scatter_is_named_and_that_mending_it_gains_nothing_at_this_batch() -> None:
    finding = told(pooled(), "indexed assignment")
    assert finding.sentence == (
        "Pool1.backward: cupy_scatter_update runs 245 862 400 threads for an output of 62 720 elements: it indexes far "
        "more than it returns. It takes 1.71 ms a step, 99.5 % of the layer's GPU time, but mending it gains next to "
        "nothing at this batch."
    )
    assert finding.next == "%%layertime --lines Pool1.backward lm"
    assert finding.gain == 0


def test_the_same_scatter_at_a_larger_batch_is_worth_mending() -> None:
    kernel = SCATTER._replace(seconds=56.178e-3, threads=3_933_798_400)
    finding = told(
        pooled((100e-6, 56.2e-3, 100e-6, 56e-6), busy=56.2e-3, kernels=(kernel,), elements=250_880),
        "indexed assignment",
    )
    assert "and mending it gains up to 95 % of the step" in finding.sentence
    assert finding.gain == pytest.approx(1 - 2.59 / 56.456)


@pytest.mark.parametrize(
    "changed",
    [
        {"elements": 245_862_400 // 31},
        {"elements": 0},
        {"elements": 1},
        {"kernels": (SCATTER._replace(threads=999_999), SCATTER._replace(seconds=1e-7))},
    ],
    ids=["an output of its size", "no array returned", "a loss returned", "too few threads, too short"],
)
def test_indexing_in_proportion_to_its_output_is_left_alone(changed: dict[str, object]) -> None:
    assert found(pooled(**changed), "indexed assignment") is None


@pytest.mark.parametrize(
    "name",
    ["cupy_take", "cupy_getitem_mask", "cupy_put_raise", "_ZN2at6native24index_elementwise_kernelILi128ELi4EEEvl"],
)
def test_the_kernels_of_cupys_and_pytorchs_indexing_are_known(name: str) -> None:
    finding = told(pooled(kernels=(SCATTER._replace(name=name),)), "indexed assignment")
    assert ("index_elementwise_kernel runs" if name.startswith("_Z") else f"{name} runs") in finding.sentence


def test_another_kernel_of_far_too_many_threads_is_asked_about_where_it_decides_the_step() -> None:
    kernel = SCATTER._replace(name="cupy_multiply__float32_float32_float32", seconds=5.5e-3)
    decisive = pooled((100e-6, 5.6e-3, 100e-6, 56e-6), busy=5.6e-3, kernels=(kernel,))
    assert "perhaps more than it needs" in told(decisive, "many threads").sentence
    assert found(decisive, "indexed assignment") is None
    assert found(pooled(kernels=(kernel._replace(seconds=1.7e-3),)), "many threads") is None
    summing = pooled((100e-6, 5.6e-3, 100e-6, 56e-6), busy=5.6e-3, kernels=(kernel._replace(name="cupy_sum"),))
    assert found(summing, "many threads") is None


def test_hidden_synchronisation_names_the_dearest_line_and_what_it_costs() -> None:
    waits = (waited(), waited("synchronise", 1e-3, line=50, times=20), waited("allocate", 1.0))
    finding = told(replace(facts(), waits=waits, inspected=10), "hidden synchronisation")
    assert finding.sentence == (
        "The host waits for the GPU 3 times a step, 500 µs in all, and mending it gains up to 19 % of the step. The "
        "dearest is train.py:41 `loss = float(y.sum())`: copy to the host, once a step, 400 µs."
    )
    assert finding.next == "train.py:41: keep the value on the GPU, and fetch it once an epoch"


def test_waits_for_a_gpu_that_works_all_the_while_gain_nothing() -> None:
    busy = paced(work=[each * 10 for each in WORK])
    finding = told(replace(facts(busy), waits=(waited(seconds=0.1),), inspected=10), "hidden synchronisation")
    assert finding.gain == 0
    assert "but mending it gains next to nothing" in finding.sentence


@pytest.mark.parametrize(
    ("waits", "inspected"),
    [((), 10), ((waited("allocate"),), 10), ((waited("copy on the device"),), 10), ((waited(seconds=1e-4),), 10)],
    ids=["none", "allocations", "on the device", "too short"],
)
def test_no_waits_worth_a_line_no_finding(waits: tuple[WaitLine, ...], inspected: int) -> None:
    assert found(replace(facts(), waits=waits, inspected=inspected), "hidden synchronisation") is None


def test_waits_without_inspected_steps_are_not_made_into_a_steps() -> None:
    assert found(replace(facts(), waits=(waited(),)), "hidden synchronisation") is None


def test_a_line_of_a_cell_is_called_so() -> None:
    wait = waited()._replace(file="/tmp/ipykernel_7/123.py", source="")
    finding = told(replace(facts(), waits=(wait,), inspected=10), "hidden synchronisation")
    assert "The dearest is line 41 of a cell: copy to the host" in finding.sentence


def test_float64_is_told_with_its_share() -> None:
    work = (4000e-6, 1720e-6, 100e-6, 56e-6)
    finding = told(facts(paced(work=work), Conv1={"dtype": "float64"}), "float64")
    assert finding.sentence == (
        "float64 in Conv1.forward, Conv1.update, 70 % of the GPU's work: float32 moves half the bytes, and most GPUs "
        "compute it many times as fast, and mending it gains up to 35 % of the step."
    )
    assert finding.next == '.astype("float32") where data and parameters are made'


def test_float64_on_the_host_clock_is_judged_by_the_hosts_time() -> None:
    host = paced(on_device=False, work=[0, 0, 0, 0], launches=None)
    finding = told(facts(host, Pool1={"dtype": "float64"}), "float64")
    assert finding.sentence.startswith("float64 in Pool1.backward, 6.9 % of the host's time: float32 moves half the")
    assert "GPU" not in finding.sentence
    assert math.isnan(finding.gain)  # how much faster this host would be, nothing here tells


@pytest.mark.parametrize(
    "name",
    [
        "cupy_add__float64_float64_float64",
        "cutlass_80_tensorop_d884gemm_64x64_16x4_nn_align1",
        "sm90_xmma_gemm_f64f64_f64f64_f64_nt_n_tilesize128x128x16_stage3",
        "volta_dgemm_128x64_nn",
        "void gemv2T_kernel_val<int, int, double, double>",
        "_Z17gemv2T_kernel_valIiiddddLi128ELi16EEvT_",
        "_Z4filldPd",
    ],
)
def test_kernels_of_double_precision_are_known_by_their_names(name: str) -> None:
    assert found(facts(Pool1={"kernels": (KernelFact(name, 1, 1e-3, 1024),)}), "float64") is not None


@pytest.mark.parametrize(
    "name",
    [
        "cupy_multiply__float32_float_float32",
        "ampere_sgemm_64x32_sliced1x4_nn",
        "double_buffered_copy",
        "doubleBufferKernel",
        "_Z9threadIdxIfLi2EEvPf",
        "_ZN3sgd10updateIdxEIfEEvPT_",
        "_ZN2at6native24index_elementwise_kernelILi128ELi4EEEvl",
        "copy_buf64",
    ],
)
def test_kernels_of_single_precision_are_not_taken_for_double(name: str) -> None:
    assert found(facts(Pool1={"kernels": (KernelFact(name, 1, 1e-3, 1024),)}), "float64") is None


def test_float64_in_next_to_nothing_is_not_worth_a_word() -> None:
    pace = paced(host=(500e-6, 10e-6, 1100e-6, 810e-6), work=(100e-6, 1e-6, 100e-6, 56e-6))
    assert found(facts(pace, Pool1={"dtype": "float64"}), "float64") is None


def test_one_launch_a_parameter_is_told_where_launches_bound_the_step() -> None:
    finding = told(replace(facts(), parameters=8), "one launch a parameter")
    assert finding.sentence == (
        "update launches 68 kernels a step for 8 arrays of parameters, which takes the host 1.10 ms (42 % of its "
        "time), and mending it gains up to 24 % of the step."
    )
    assert finding.next.startswith("one kernel over all parameters")


@pytest.mark.parametrize(
    ("pace", "parameters"),
    [
        (paced(), 0),
        (paced(), 69),
        (paced(launches=(30, 11, 3, 48), host=(500e-6, 180e-6, 290e-6, 810e-6)), 2),
        (paced(work=[each * 10 for each in WORK]), 8),
        (paced(host=(5e-4, 1e-4, 1e-4, 8e-4), work=(1e-4, 1e-4, 1e-4, 1e-4)), 8),
    ],
    ids=["unknown", "fused", "few", "the GPU bounds it", "a small share"],
)
def test_an_update_that_is_fused_or_hidden_is_left_alone(pace: Pace, parameters: int) -> None:
    assert found(replace(facts(pace), parameters=parameters), "one launch a parameter") is None


def test_a_growing_pool_names_the_innermost_layer_and_the_line_that_allocates() -> None:
    outer, inner = Scope("Block", "forward"), Scope("Block/Conv1", "forward")
    pace = paced((5e-4, 5e-4, 0), (0, 0, 0), (1, 1, 0))
    rows = (row(outer, grown=2.4e6), row(inner, grown=2.4e6), row(OUTSIDE))
    finding = told(Facts(pace, rows, (waited("allocate", 2e-3),), inspected=10), "pool growth")
    assert finding.sentence == (
        "Block/Conv1.forward still makes the memory pool grow by 2.4 MB a step after the first: each cudaMalloc can "
        "make the GPU wait; that takes the host 200 µs a step."
    )
    assert finding.next == "train.py:41: keep the arrays between steps, or write into them (out=)"
    assert finding.gain == pytest.approx(0.2)


@pytest.mark.parametrize("grown", [NAN, 0.0])
def test_a_pool_that_keeps_its_size_is_not_mentioned(grown: float) -> None:
    assert found(facts(Conv1={"grown": grown}), "pool growth") is None


def test_an_evaluation_is_none_of_the_steps_business() -> None:
    rows = (row(Scope("A", "evaluate"), grown=1e6, dtype="float64"), row(OUTSIDE))
    assert findings(Facts(paced((1e-3, 1e-3), (1e-4, 1e-4), (0, 0)), rows)) == ()


def test_what_gains_most_comes_first_and_what_is_not_known_last() -> None:
    given = replace(
        pooled(grown=512.0),
        parameters=70,
        waits=(waited(seconds=9e-3),),
        inspected=10,
    )
    assert [finding.rule for finding in findings(given)] == [
        "launch-bound",
        "hidden synchronisation",
        "indexed assignment",
        "pool growth",
    ]
    gains = [finding.gain for finding in findings(given)]
    assert gains[:3] == sorted(gains[:3], reverse=True)
    assert math.isnan(gains[3])


def test_without_a_step_there_is_nothing_to_say() -> None:
    assert findings(replace(pooled(), pace=replace(paced(), steps=0))) == ()


def test_with_kernel_records_the_verdict_says_what_the_gpu_works_and_what_mending_gains() -> None:
    assert verdict(ROWS, paced()) == (
        "The step is bound by launches: 157 of them take the host 2.59 ms, the GPU works 1.98 ms of it. "
        "Pool1.backward is 87 % of the GPU's work, but mending it gains next to nothing at this batch. "
        "What helps is fewer launches: all layers' update takes the host 1.10 ms (42 %, 68 of the 157 launches). "
        "Without Conv1.update the step would take 1.88 ms, 28 % less."
    )


def test_with_kernel_records_a_gpu_bound_step_is_no_guess() -> None:
    said = verdict(ROWS, paced(work=(100e-6, 9306e-6, 100e-6, 56e-6)))
    assert "the GPU works 9.56 ms of its 9.56 ms" in said
    assert "Pool1.backward decides it, with 9.31 ms of GPU work, 97 % of it all." in said
    assert "certainly" not in said


def test_with_kernel_records_one_call_that_holds_the_host_is_not_blamed_on_launches() -> None:
    said = verdict(ROWS, paced(host=(500e-6, 180e-6, 30e-3, 810e-6)))
    assert said.startswith("The step is bound by the host: it takes 31.5 ms, with 157 launches, and the GPU works 1.98")
    assert "Conv1.update keeps the host 30.0 ms" in said


def test_with_kernel_records_the_profilers_own_code_blurs_only_clocks_that_are_near() -> None:
    assert "cannot tell" not in verdict(ROWS, paced(own=4e-4))
    assert "cannot tell" in verdict(ROWS, paced(own=7e-4))


def test_without_kernel_records_the_verdict_stays_careful() -> None:
    said = verdict(ROWS, paced(launches=None))
    assert said.startswith("The step is launch-bound: the host takes 2.59 ms to issue it, and the GPU certainly works")
    assert "kernel records would tell" in said
    assert "Pool1.backward holds the GPU longest (1.72 ms)" in said
