"""The gate on a GPU: it holds, it opens by itself, and no statement makes it hang or lie without a label."""

import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import gpuprof
from gpuprof.record import driver
from gpuprof.record.cuda import CupyClock
from gpuprof.record.gate import Gate

pytestmark = pytest.mark.gpu
ROOT = Path(__file__).parents[2]


@pytest.fixture
def cp() -> ModuleType:
    import cupy

    return cupy


@pytest.fixture
def spin(cp):
    """A kernel that keeps one thread busy for so many nanoseconds of the GPU's own clock."""
    kernel = cp.RawKernel(
        r"""extern "C" __global__ void spin(unsigned long long ns) {
              unsigned long long start, now;
              asm volatile("mov.u64 %0, %globaltimer;" : "=l"(start));
              do asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now)); while (now - start < ns);
            }""",
        "spin",
    )
    return lambda us: kernel((1,), (1,), (np.uint64(us * 1000),))


def printed_by(code: str, timeout: float = 60, **variables: str) -> str:
    """What Python prints that runs `code` in a process of its own, with these environment variables."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=ROOT,
        env={**os.environ, **variables},
        check=True,
    ).stdout


def test_work_behind_a_gate_waits_until_it_is_released(cp) -> None:
    clock = CupyClock()
    with clock.gate(0.1) as gate:
        mark = clock.mark()
        assert clock.pending(mark)
        gate.release()
        clock.wait()
        assert not clock.pending(mark)
    assert not gate.expired


def test_a_gate_that_nobody_releases_opens_at_its_deadline(cp) -> None:
    clock = CupyClock()
    with clock.gate(5e-3) as gate:
        clock.wait()
        assert gate.expired


def test_a_gate_works_on_a_stream_that_does_not_block(cp) -> None:
    with cp.cuda.Stream(non_blocking=True):
        clock = CupyClock()
        with clock.gate(0.1) as gate:
            mark = clock.mark()
            assert clock.pending(mark)
        clock.wait()
        assert not gate.expired


def test_a_spin_kernel_reads_its_own_length_beyond_the_floor(cp, spin) -> None:
    timing = gpuprof.timeit(lambda: spin(50))
    assert timing.way == "gate"
    assert timing.device.median - timing.floor_s == pytest.approx(50e-6, abs=1e-6)
    assert timing.kernels.median == pytest.approx(50e-6, abs=1.5e-6)


def test_a_delay_of_the_host_is_not_in_the_device_time(cp, spin) -> None:
    import time

    def delayed() -> None:
        end = time.perf_counter() + 200e-6
        while time.perf_counter() < end:
            pass
        spin(20)

    timing = gpuprof.timeit(delayed)
    assert timing.way == "gate"
    assert timing.device.median < 25e-6 < 200e-6 < timing.host.median


def test_a_small_kernel_has_its_kernel_time_from_records(cp) -> None:
    x = cp.zeros(1000, dtype=cp.float32)
    timing = gpuprof.timeit("x + 1", globals={"x": x})
    assert timing.kernel_count == 1
    assert 0.3e-6 < timing.kernels.median < 3e-6
    assert timing.kernels.median < timing.device.median < timing.host.median


# What is hostile to a gate: nothing hangs, each figure is right or labelled.


def test_a_statement_that_copies_to_the_host_is_not_gated_and_its_line_is_named(cp) -> None:
    x = cp.zeros(1000)
    timing = gpuprof.timeit("y = x + 1\ny.get()", globals={"x": x})
    assert timing.way != "gate"
    assert "line 2" in timing.waits
    assert "y.get()" in timing.waits
    assert timing.verdict.startswith("synchronises inside")


def test_a_wait_inside_a_function_is_found_at_its_line(cp) -> None:
    x = cp.ones(1000)

    def total() -> float:
        y = x * 2
        return float(y.sum())  # the line

    timing = gpuprof.timeit(total)
    assert "float(y.sum())" in timing.waits


def test_a_statement_that_compiles_a_new_kernel_each_time_ends_and_is_labelled(cp) -> None:
    numbers = iter(range(10**6))

    def compiles() -> None:
        name = f"k{next(numbers)}"
        code = f'extern "C" __global__ void {name}() {{}}'
        cp.RawKernel(code, name)((1,), (1,), ())

    timing = gpuprof.timeit(compiles, repeat=3)
    assert timing.way != "gate"
    assert timing.why


def test_device_memory_taken_from_the_driver_each_time_ends_and_is_told(cp) -> None:
    def allocates() -> None:
        address = cp.cuda.runtime.malloc(1 << 20)
        cp.cuda.runtime.free(address)

    timing = gpuprof.timeit(allocates, repeat=10)
    assert timing.way in ("gate", "throughput")
    assert timing.way == "gate" or timing.why


def test_work_on_a_second_stream_is_reported(cp, spin) -> None:
    x = cp.zeros(1000)
    other = cp.cuda.Stream(non_blocking=True)

    def escapes() -> None:
        x.fill(1)
        with other:
            spin(300)

    timing = gpuprof.timeit(escapes)
    assert any("stream" in warning for warning in timing.cautions)


def test_all_work_on_a_stream_that_does_not_block_is_reported_too(cp, spin) -> None:
    other = cp.cuda.Stream(non_blocking=True)

    def elsewhere() -> None:
        with other:
            spin(300)

    box = [elsewhere]
    timing = gpuprof.timeit(lambda: box[0](), clock=CupyClock())
    assert any("stream" in warning for warning in timing.cautions)


def test_a_stream_named_in_the_statement_is_the_one_that_is_timed(cp, spin) -> None:
    other = cp.cuda.Stream(non_blocking=True)
    timing = gpuprof.timeit(
        "with other:\n    spin(100)\n    x + 1", globals={"other": other, "spin": spin, "x": cp.ones(10)}
    )
    assert timing.way == "gate"
    assert timing.device.median == pytest.approx(103e-6, abs=4e-6)


def test_anything_that_stands_for_a_stream_says_which_is_timed(cp, spin) -> None:
    class Mine:
        def __init__(self, stream) -> None:
            self.stream = stream

        def __cuda_stream__(self) -> tuple[int, int]:
            return 0, self.stream.ptr

    mine = Mine(cp.cuda.Stream(non_blocking=True))
    x = cp.ones(10)

    def run(mine: Mine) -> None:
        with mine.stream:
            x.fill(1)
            spin(100)

    assert gpuprof.timeit(run, mine).device.median == pytest.approx(103e-6, abs=4e-6)


def test_a_cooperative_kernel_is_timed_behind_the_gate(cp) -> None:
    code = r"""#include <cooperative_groups.h>
        extern "C" __global__ void together(int* out) {
          cooperative_groups::this_grid().sync();
          out[0] = 1;
        }"""
    kernel = cp.RawKernel(code, "together", enable_cooperative_groups=True)
    out = cp.zeros(1, dtype=cp.int32)
    timing = gpuprof.timeit(lambda: kernel((4,), (32,), (out,)))
    assert timing.way == "gate"
    assert timing.device.median < 20e-6


def test_inside_a_capture_timing_is_refused_and_the_capture_lives_on(cp) -> None:
    x = cp.zeros(1000)
    stream = cp.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        try:
            with pytest.raises(RuntimeError, match="being captured"):
                gpuprof.timeit("x + 1", globals={"x": x})
            x += 1
        finally:
            graph = stream.end_capture()
        graph.launch(stream)
    stream.synchronize()
    assert float(x[0]) == 1


def test_an_exception_in_the_statement_releases_the_gate_and_keeps_what_was_measured(cp) -> None:
    x = cp.zeros(1000)
    calls = iter(range(2000))

    def fails() -> None:
        x.fill(1)
        if next(calls, None) is None:
            raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        gpuprof.timeit(fails, number=20, repeat=60)
    assert gpuprof.last.host.samples
    CupyClock().wait()


def test_five_thousand_launches_end_and_are_labelled(cp) -> None:
    def many() -> None:
        for _ in range(5000):
            driver.launch("gpuprof_empty", 0)

    timing = gpuprof.timeit(many, clock=CupyClock(), repeat=3)
    assert timing.way != "gate"
    assert timing.kernel_count == 5000
    assert "5000 launches" in timing.why


def test_an_interrupt_behind_the_gate_returns_what_there_is(cp) -> None:
    x = cp.zeros(1000)
    clock = CupyClock()

    def interrupted() -> None:
        x.fill(1)
        if Gate.held:
            raise KeyboardInterrupt

    timing = gpuprof.timeit(interrupted, clock=clock, number=5, repeat=5)
    assert timing.stopped == "interrupted"
    assert timing.host.samples
    clock.wait()


def test_two_threads_that_time_at_once_both_end(cp) -> None:
    x = cp.zeros(1000)
    found = []

    def measure() -> None:
        found.append(gpuprof.timeit("x + 1", globals={"x": x}, repeat=20))

    threads = [threading.Thread(target=measure) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 2
    assert [timing.way for timing in found] == ["gate", "gate"]  # one after the other


@pytest.mark.parametrize(
    ("variable", "says"),
    [({"CUDA_LAUNCH_BLOCKING": "1"}, "CUDA_LAUNCH_BLOCKING"), ({"NSYS_PROFILING_SESSION_ID": "1"}, "a CUDA tool")],
)
def test_where_launches_wait_or_a_tool_is_attached_nothing_is_gated(cp, variable: dict, says: str) -> None:
    code = """
        import cupy, gpuprof
        x = cupy.zeros(1000)
        timing = gpuprof.timeit("x + 1", globals={"x": x})
        print(timing.way, "|", timing.why, "|", timing.device.median > 0)
    """
    way, why, measured = (part.strip() for part in printed_by(code, **variable).split("|"))
    assert way in ("throughput", "events")
    assert says in why
    assert measured == "True"


def test_torch_is_gated_on_its_own_stream(cp) -> None:
    torch = pytest.importorskip("torch")
    x = torch.zeros(1000, device="cuda")
    with torch.cuda.stream(torch.cuda.Stream()):
        timing = gpuprof.timeit("x + 1", globals={"x": x})
    assert (timing.way, timing.library) == ("gate", "torch")
    assert timing.device.median < 10e-6


def test_jax_is_timed_by_the_host_clock_and_kernel_records_and_says_so(cp) -> None:
    pytest.importorskip("jax")
    code = """
        import jax, gpuprof
        x = jax.numpy.zeros(1 << 20) + 1
        f = jax.jit(lambda x: x * 2 + 1)
        timing = gpuprof.timeit(lambda: f(x))
        print(timing.clock, "|", timing.kernels.median, "|", timing.device.samples)
    """
    printed = printed_by(code, timeout=120, XLA_PYTHON_CLIENT_PREALLOCATE="false")
    clock, kernels, device = (part.strip() for part in printed.strip().splitlines()[-1].split("|"))
    assert "JAX" in clock
    assert 1e-6 < float(kernels) < 1e-4
    assert device == "()"


# What a graph would save, cold caches, memory.


def test_a_launch_bound_statement_is_captured_and_replayed_faster(cp) -> None:
    a = cp.random.random((128, 128), dtype=cp.float32)

    def softmax() -> object:
        e = cp.exp(a - a.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    timing = gpuprof.timeit(softmax)
    assert timing.graph.median < timing.plain.median / 2
    assert "begin_capture" in timing.snippet
    assert "CUDA graph" in timing.verdict


def test_a_graph_that_would_miss_the_work_of_another_stream_is_not_offered(cp, spin) -> None:
    x, other = cp.zeros(1000), cp.cuda.Stream(non_blocking=True)

    def escapes() -> None:
        x.fill(1)
        with other:
            spin(3)  # too short to be seen running on

    timing = gpuprof.timeit(escapes)
    assert not timing.graph.samples
    assert "stream" in timing.graph_why


def test_recording_kernels_leaves_next_to_nothing_on_a_launch(cp) -> None:
    x = cp.zeros(1000, dtype=cp.float32)
    assert abs(gpuprof.timeit("x + 1", globals={"x": x}).residue) < 2e-6


def test_cublas_through_cupy_is_not_captured_and_the_reason_is_kept(cp) -> None:
    a = cp.random.random((128, 128), dtype=cp.float32)
    timing = gpuprof.timeit("a @ a", globals={"a": a})
    assert not timing.graph.samples
    assert "capture" in timing.graph_why


def test_what_a_statement_stored_during_a_capture_is_a_plain_calls_afterwards(cp) -> None:
    class Model:
        def step(self, x: object) -> None:
            self.y = x + 1

    model, x = Model(), cp.arange(1000, dtype=cp.float32)
    timing = gpuprof.timeit(model.step, x)
    assert timing.graph.samples
    assert (model.y.get() == np.arange(1000) + 1).all()


def test_a_cold_cache_makes_a_call_slower(cp) -> None:
    x = cp.zeros(1 << 21, dtype=cp.float32)
    timing = gpuprof.timeit("x + 1", globals={"x": x}, cold=True)
    assert timing.cold.median > 1.1 * timing.device.median


def test_the_memory_of_a_call_is_told(cp) -> None:
    x = cp.zeros(1 << 20, dtype=cp.float32)
    memory = gpuprof.timeit("(x + 1) * 2", globals={"x": x}, repeat=5).memory
    assert (memory.peak, memory.allocations, memory.retained) == (2 * x.nbytes, 2, 0)


def test_a_large_copy_is_called_bandwidth_bound(cp) -> None:
    x, y = (cp.zeros(1 << 28, dtype=cp.float32) for _ in range(2))
    timing = gpuprof.timeit(lambda: y.data.copy_from_device_async(x.data, x.nbytes), bytes=2 * x.nbytes)
    assert timing.roof.kind == "bandwidth"
    assert "copy rate" in timing.verdict


def test_a_large_product_is_called_compute_bound(cp) -> None:
    a = cp.random.random((4096, 4096), dtype=cp.float32)
    timing = gpuprof.timeit("a @ a", globals={"a": a})
    assert timing.roof.kind == "compute"


def test_a_faster_statement_is_found_and_a_same_one_is_not(cp, spin) -> None:
    assert gpuprof.compare(lambda: spin(104), lambda: spin(100))["device"].word == "FASTER"
    assert gpuprof.compare(lambda: spin(100), lambda: spin(100))["device"].word == "SAME"
