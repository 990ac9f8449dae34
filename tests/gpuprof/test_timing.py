"""timeit: what is timed, how often, and what the result says."""

import functools
import gc
import math
from types import SimpleNamespace

import pytest

import gpuprof
from gpuprof.record.clocks import _within
from gpuprof.results.timing import Sample, Timing
from gpuprof.statement import from_function
from gpuprof.testing import FakeClock

HELD = [1.0]


def test_a_function_is_timed_exactly_on_a_fake_clock() -> None:
    clock = FakeClock()
    timing = gpuprof.timeit(clock.spend, 2e-3, number=5, repeat=7, clock=clock)
    assert timing.host.samples == (2e-3,) * 7
    assert (timing.host.median, timing.host.low, timing.host.high) == (2e-3, 2e-3, 2e-3)
    assert timing.first == 2e-3


def test_source_text_is_timed_with_its_names_looked_up() -> None:
    clock = FakeClock()
    timing = gpuprof.timeit(
        "clock.spend(step)", globals={"clock": clock, "step": 1e-3}, number=3, repeat=6, clock=clock
    )
    assert timing.host.median == 1e-3
    assert timing.statement == "clock.spend(step)"


def test_the_host_and_the_device_are_told_apart() -> None:
    clock = FakeClock(device=True, launch_cost=1e-5)
    timing = gpuprof.timeit(clock.launch, 4e-3, number=10, repeat=8, clock=clock)
    assert timing.host.median == pytest.approx(1e-5)
    assert timing.device.median == pytest.approx(4e-3, rel=1e-3)
    assert timing.latency.median == pytest.approx(4.01e-3)
    assert "GPU-bound" in timing.verdict


def test_a_device_time_that_only_shows_the_host_is_a_bound() -> None:
    clock = FakeClock(device=True, launch_cost=1e-5)
    timing = gpuprof.timeit(clock.launch, 1e-6, number=10, repeat=8, clock=clock)
    assert "launch-bound" in timing.verdict
    assert "device ≤ " in str(timing)


def test_without_a_gpu_the_result_says_so_and_has_no_device_time() -> None:
    timing = gpuprof.timeit("1 + 1", number=10, repeat=3)
    assert "no array on a GPU" in timing.verdict
    assert "host clock" in str(timing)
    assert timing.device.samples == ()
    assert math.isnan(timing.device.median)
    assert timing.kernel_count is None


def test_batches_end_when_the_intervals_are_narrow_enough() -> None:
    clock = FakeClock()
    timing = gpuprof.timeit(clock.spend, 1e-3, clock=clock)
    assert len(timing.host.samples) == 7
    assert timing.stopped == "intervals within ±1.0%"


def test_batches_end_when_time_is_up() -> None:
    clock = FakeClock()
    lengths = iter(range(10**6))
    timing = gpuprof.timeit(lambda: clock.spend(1e-2 * (1 + next(lengths) % 7)), number=1, clock=clock)
    assert timing.stopped == "1.5 s have passed"


def test_a_slow_statement_is_not_run_seven_times() -> None:
    clock = FakeClock()
    timing = gpuprof.timeit(clock.spend, 3.0, clock=clock)
    assert len(timing.host.samples) == 1


def test_assignments_stay_inside() -> None:
    namespace = {"x": 1}
    gpuprof.timeit("y = x + 1", globals=namespace, number=1, repeat=1)
    assert "y" not in namespace


def test_setup_runs_before_each_batch_and_is_not_timed() -> None:
    clock = FakeClock()
    ran: list[int] = []
    names = {"clock": clock, "ran": ran}
    timing = gpuprof.timeit(
        "clock.spend(n)",
        setup="ran.append(1); clock.spend(0.5); n = 1e-3",
        globals=names,
        number=4,
        repeat=6,
        clock=clock,
    )
    assert timing.host.median == 1e-3
    assert len(ran) == 7  # the first call, and six batches


def test_garbage_collection_is_off_inside_and_back_afterwards() -> None:
    seen: list[bool] = []
    gpuprof.timeit(lambda: seen.append(gc.isenabled()), number=1, repeat=1)
    assert not any(seen[1:])  # the first call comes before
    assert gc.isenabled()


def test_what_the_statement_raises_rises_and_collection_is_back() -> None:
    with pytest.raises(ZeroDivisionError):
        gpuprof.timeit("1 / 0")
    assert gc.isenabled()


def test_a_statement_that_takes_no_time_at_all_ends() -> None:
    timing = gpuprof.timeit(lambda: None, number=1, clock=FakeClock())
    assert (timing.host.median, len(timing.host.samples)) == (0.0, 7)


def test_a_statement_that_waits_for_the_gpu_is_not_called_launch_bound() -> None:
    clock = FakeClock(device=True)

    def synchronising() -> None:
        clock.spend(1e-5)
        clock.launch(1e-2)
        clock.wait()

    verdict = gpuprof.timeit(synchronising, number=1, repeat=6, clock=clock).verdict
    assert verdict.startswith("bound by the host")
    assert "waiting for the GPU itself" in verdict


def test_this_packages_own_future_imports_stay_out_of_the_statement() -> None:
    with pytest.raises(NameError, match="nobody"):
        gpuprof.timeit("def f(x: nobody): ...")


@pytest.mark.parametrize(
    "function",
    [
        functools.partial(len, HELD),
        lambda x=HELD: x,
        lambda: [HELD for _ in range(1)],
        SimpleNamespace(x=HELD),
    ],
)
def test_what_a_callable_works_on_is_found(function: object) -> None:
    assert any(value is HELD for value in _within(from_function(function).objects, 3))


def test_an_interrupt_gives_what_there_is() -> None:
    clock = FakeClock()
    calls = iter([None] * 4)

    def three_times() -> None:
        clock.spend(1e-3)
        if next(calls, "end") == "end":
            raise KeyboardInterrupt

    timing = gpuprof.timeit(three_times, number=1, clock=clock)
    assert (len(timing.host.samples), timing.stopped) == (3, "interrupted")


@pytest.mark.parametrize(
    ("arguments", "keywords", "says"),
    [
        (("x", 1), {}, "arguments go with a function"),
        ((len, []), {"setup": "x = 1"}, "setup and globals go with source text"),
        (("1",), {"number": 0}, "number must be at least 1; got 0"),
        (("1",), {"repeat": -2}, "repeat must be at least 1; got -2"),
        (("1",), {"precision": 0}, "precision must be above 0; got 0"),
    ],
)
def test_arguments_that_do_not_fit_are_answered_with_a_sentence(arguments: tuple, keywords: dict, says: str) -> None:
    with pytest.raises((TypeError, ValueError), match=says):
        gpuprof.timeit(*arguments, **keywords)


@pytest.mark.parametrize("source", ["return 1", "x +", "yield 3"])
def test_source_that_is_no_statement_is_a_syntax_error(source: str) -> None:
    with pytest.raises(SyntaxError):
        gpuprof.timeit(source)


def test_the_table_has_a_row_for_each_quantity_measured() -> None:
    clock = FakeClock(device=True)
    timing = gpuprof.timeit(clock.launch, 1e-3, number=2, repeat=6, clock=clock)
    assert timing.table["quantity"].tolist() == ["host", "device", "latency"]
    assert timing.table["samples"].tolist() == [6, 6, 6]


def test_a_timing_comes_back_from_its_file(tmp_path) -> None:
    timing = gpuprof.timeit("1 + 1", number=10, repeat=6)
    assert Timing.load(timing.save(tmp_path / "t.json")) == timing


def test_fewer_than_six_batches_have_a_median_and_no_interval() -> None:
    sample = Sample((1.0, 2.0, 3.0))
    assert sample.median == 2.0
    assert math.isnan(sample.low)


@pytest.mark.gpu
def test_a_big_matrix_product_is_gpu_bound() -> None:
    import cupy

    a = cupy.random.random((4096, 4096), dtype=cupy.float32)
    timing = gpuprof.timeit(lambda: a @ a)
    assert timing.clock == "CUDA events"
    assert "GPU-bound" in timing.verdict
    assert timing.device.median > 3 * timing.host.median


@pytest.mark.gpu
def test_a_small_kernel_is_launch_bound() -> None:
    import cupy

    x = cupy.zeros(1000, dtype=cupy.float32)
    timing = gpuprof.timeit("x + 1", globals={"x": x})
    assert "launch-bound" in timing.verdict
    assert timing.latency.median > timing.host.median


@pytest.mark.gpu
@pytest.mark.torch
def test_torch_tensors_on_a_gpu_are_timed_with_events_on_its_stream() -> None:
    torch = pytest.importorskip("torch")
    a = torch.rand(4096, 4096, device="cuda")
    timing = gpuprof.timeit(lambda: a @ a)
    assert timing.clock == "CUDA events"
    assert timing.device.median > 3 * timing.host.median
