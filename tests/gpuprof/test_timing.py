"""timeit: what is timed, how often, and what the result says."""

import functools
import gc
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest

import gpuprof
from gpuprof.judge.cost import Roof
from gpuprof.judge.figures import Floor, Kernel, Lasting, Memory, Sample
from gpuprof.record.clocks import _within
from gpuprof.record.gate import CAPTURING, GateTakenError
from gpuprof.record.graphs import NotCapturableError
from gpuprof.record.kernels import NoRecordsError
from gpuprof.results.timing import Timing
from gpuprof.statement import from_function
from gpuprof.testing import FakeClock

from .models import check_refused

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


def test_a_device_time_below_three_times_the_floor_is_a_bound() -> None:
    clock = FakeClock(device=True, launch_cost=1e-5)
    timing = gpuprof.timeit(clock.launch, 2e-9, number=10, repeat=8, clock=clock)
    assert "launch-bound" in timing.verdict
    assert "device ≤ 2.00 ns (floor 1.0 ns)" in str(timing)


def test_a_device_time_above_it_is_told_without_a_bound() -> None:
    clock = FakeClock(device=True, launch_cost=1e-5)
    timing = gpuprof.timeit(clock.launch, 1e-6, number=10, repeat=8, clock=clock)
    assert timing.device.samples == pytest.approx([1e-6] * 8)
    assert "device 1.00 µs (floor 1.0 ns) · kernels 1.00 µs (1)" in str(timing)


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
    assert len(timing.host.samples) == 30
    assert timing.stopped == "intervals within ±1.0%"


def test_batches_end_when_time_is_up() -> None:
    clock = FakeClock()
    lengths = iter(range(10**6))
    timing = gpuprof.timeit(lambda: clock.spend(1e-2 * (1 + next(lengths) % 7)), number=1, clock=clock)
    assert timing.stopped == "its share of 1.7 s was up"


@pytest.mark.parametrize(("length", "batches"), [(0.5, 7), (1.0, 7), (3.0, 7), (30.0, 1)])
def test_a_slow_statement_is_run_a_few_times(length: float, batches: int) -> None:
    clock = FakeClock()
    timing = gpuprof.timeit(clock.spend, length, clock=clock)
    assert len(timing.host.samples) == batches


@pytest.mark.parametrize(("length", "seconds"), [(1e-5, 1.0), (1e-2, 2.0), (0.1, 2.0), (1.0, 10.0)])
@pytest.mark.parametrize("device", [False, True])
def test_an_answer_is_there_in_two_seconds_and_for_a_second_in_ten(device: bool, length: float, seconds: float) -> None:
    clock = FakeClock(device=device)
    start = clock.host()
    gpuprof.timeit(clock.launch, length, clock=clock)
    assert (clock.host() - start) * 1e-9 <= seconds


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
    assert len(ran) == 8  # the first call and, as it is long, a second one, and six batches


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
    assert (timing.host.median, timing.stopped) == (0.0, "2000 batches are enough")


def test_a_statement_that_waits_for_the_gpu_is_said_to_and_never_gated() -> None:
    clock = FakeClock(device=True)

    def synchronising() -> None:
        clock.spend(1e-5)
        clock.launch(1e-2)
        clock.wait()

    timing = gpuprof.timeit(synchronising, number=1, repeat=6, clock=clock)
    assert timing.verdict.startswith("synchronises inside")
    assert (timing.way, timing.why) == ("throughput", "it waits inside")
    assert len(clock.gates) == 3  # the probe's
    assert "device ≤ 10.0 ms (throughput)" in str(timing)


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


# Ctrl-C, and errors: what was measured is kept


class Pressed(FakeClock):
    """A clock on whose device a statement runs that Ctrl-C, or an error, ends in this pass."""

    def __init__(self, during: str, error: type[BaseException] = KeyboardInterrupt, after: int = 6) -> None:
        super().__init__(device=True, launch_cost=1e-5)
        self._during = during
        self._error = error
        self._left = after

    def statement(self) -> None:
        self.launch(2e-5)
        if self._pass() == self._during:
            self._left -= 1
            if self._left < 0:
                raise self._error("stop")

    def _pass(self) -> str:
        if self._recording:
            return "kernels"
        if self._held:
            return "device" if len(self.gates) > 1 else "probe"
        return "later" if self.gates else "host"


def ended(during: str, after: int = 6) -> Timing:
    clock = Pressed(during, after=after)
    return gpuprof.timeit(clock.statement, number=1, repeat=4, clock=clock)


def test_an_interrupt_in_the_host_pass_returns_its_batches() -> None:
    timing = ended("host", after=1 + 8 + 3)  # the first call, and warming up
    assert timing.host.samples == pytest.approx([1e-5] * 3)
    assert (timing.device.samples, timing.stopped) == ((), "interrupted")


def test_an_interrupt_before_there_is_a_batch_rises() -> None:
    with pytest.raises(KeyboardInterrupt):
        ended("host", after=3)


def test_an_interrupt_in_the_probe_returns_the_host() -> None:
    timing = ended("probe", after=0)
    assert (len(timing.host.samples), timing.device.samples, timing.stopped) == (4, (), "interrupted")
    assert "the measurement ended before" in timing.verdict


def test_an_interrupt_in_the_device_pass_returns_host_and_device() -> None:
    timing = ended("device", after=2)
    assert len(timing.host.samples) == 4
    assert timing.device.samples == pytest.approx([2e-5] * 2)
    assert (timing.way, timing.stopped, timing.kernel_count) == ("gate", "interrupted", None)


def test_what_an_interrupt_in_the_device_pass_returns_can_be_shown() -> None:
    timing = ended("device", after=2)
    assert "device ≤ 20.0 µs ·" in str(timing)
    assert "(floor" not in str(timing)
    assert timing._repr_html_()


def test_an_interrupt_in_the_kernel_pass_returns_the_kernels_so_far() -> None:
    timing = ended("kernels", after=32 * 2 + 5)
    assert timing.kernels.samples == pytest.approx([2e-5] * 2)
    assert (timing.kernel_count, timing.stopped) == (1, "interrupted")


def test_an_interrupt_in_the_first_recorded_batch_returns_no_kernels() -> None:
    timing = ended("kernels", after=0)
    assert (timing.kernels.samples, timing.kernel_count) == ((), None)
    assert len(timing.device.samples) == 4


@pytest.mark.parametrize("during", ["probe", "device", "kernels", "later"])
def test_an_interrupt_anywhere_later_returns_a_timing(during: str) -> None:
    assert ended(during, after=0).stopped == "interrupted"


@pytest.mark.parametrize("during", ["device", "kernels"])
def test_an_error_midway_rises_with_a_note_and_what_was_measured_is_kept(during: str) -> None:
    clock = Pressed(during, ValueError, after=2)
    with pytest.raises(ValueError, match="stop") as caught:
        gpuprof.timeit(clock.statement, number=1, repeat=4, clock=clock)
    assert caught.value.__notes__ == ["What gpuprof had measured until then is in gpuprof.last."]
    assert len(gpuprof.last.host.samples) == 4
    assert gpuprof.last.stopped == "ValueError: stop"


def test_an_error_in_the_first_call_has_no_note() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        gpuprof.timeit("1 / 0")
    assert not hasattr(caught.value, "__notes__")


def test_after_an_interrupt_the_gate_is_open_and_collection_is_back() -> None:
    clock = Pressed("device", after=2)
    gpuprof.timeit(clock.statement, number=1, repeat=4, clock=clock)
    assert clock._held is None
    assert gc.isenabled()


# What it prints


def test_what_a_statement_prints_is_shown_once_and_told(capsys) -> None:
    clock = FakeClock()
    timing = gpuprof.timeit(lambda: print("hello", clock.spend(1e-3)), number=2, repeat=3, clock=clock)
    assert capsys.readouterr().out == "hello None\n"
    assert "it prints: the output of its first call was shown, that of all others was not" in timing.cautions


def test_a_statement_that_does_not_print_is_told_nothing() -> None:
    clock = FakeClock()
    assert gpuprof.timeit(clock.spend, 1e-3, number=2, repeat=3, clock=clock).cautions == []


# What may be asked besides


def test_a_cold_cache_has_a_figure_of_its_own_when_asked_for() -> None:
    clock = FakeClock(device=True, launch_cost=1e-5)
    timing = gpuprof.timeit(clock.launch, 2e-5, number=1, repeat=6, cold=True, clock=clock)
    assert timing.cold.median == pytest.approx(2e-5)
    assert "cold 20.0 µs (floor " in str(timing)


def test_without_a_gate_there_is_no_cold_figure_and_it_says_why() -> None:
    clock = FakeClock(device=True, launch_cost=1e-5)
    clock.refusal = "no gate today"
    timing = gpuprof.timeit(clock.launch, 2e-5, number=1, repeat=6, cold=True, clock=clock)
    assert timing.cold.samples == ()
    assert "no cold figure without a gate: no gate today" in timing.cautions


def test_a_gate_that_another_thread_takes_later_leaves_the_figures_there_are() -> None:
    clock = FakeClock(device=True, launch_cost=1e-5)
    gate = clock.gate

    def taken_later(limit: float) -> object:
        if len(clock.gates) > 6:
            raise GateTakenError("another thread of this process holds the gate")
        return gate(limit)

    clock.gate = taken_later
    timing = gpuprof.timeit(clock.launch, 2e-5, number=1, repeat=6, cold=True, clock=clock)
    assert (len(timing.device.samples), timing.floor, timing.cold.samples) == (6, None, ())
    assert timing.cautions == ["no cold figure: another thread of this process holds the gate"]


def test_a_cold_gate_that_opens_by_itself_is_told() -> None:
    clock = FakeClock(device=True, launch_cost=1e-5)

    def flush() -> None:
        clock.spend(6e-3)

    clock.flushing = lambda: nullcontext(flush)
    timing = gpuprof.timeit(clock.launch, 2e-5, number=1, repeat=6, cold=True, clock=clock)
    assert timing.cold.samples == ()
    assert timing.cautions == ["no cold figure: the gate opened by itself before the calls were queued"]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"cold": True}, "cold had no effect: no array on a GPU was found in it"),
        ({"bytes": 8, "flops": 1}, "bytes and flops had no effect: no array on a GPU was found in it"),
    ],
)
def test_what_is_asked_of_a_gpu_where_there_is_none_is_told(asked: dict, says: str) -> None:
    clock = FakeClock()
    timing = gpuprof.timeit(clock.spend, 1e-3, number=1, repeat=6, clock=clock, **asked)
    assert timing.cautions == [says]


@pytest.mark.parametrize(("length", "compared"), [(1e-4, False), (5e-3, True), (0.06, False)])
def test_a_call_of_some_milliseconds_is_compared_with_one_after_a_rest(length: float, compared: bool) -> None:
    clock = FakeClock(device=True)
    timing = gpuprof.timeit(clock.launch, length, number=1, repeat=6, clock=clock)
    assert bool(timing.lasting) is compared


def test_many_launches_that_fill_the_queue_are_not_called_a_wait() -> None:
    clock = FakeClock(device=True, launch_cost=1e-6, queue=1000)

    def many() -> None:
        for _ in range(5000):
            clock.launch(1e-6)

    timing = gpuprof.timeit(many, repeat=3, clock=clock)
    assert (timing.waits, timing.kernel_count) == ("", 5000)
    assert timing.why == "its 5000 launches fill CUDA's queue, so the host waits there"


@pytest.fixture
def captured(monkeypatch) -> FakeClock:
    """A clock of a library whose statements can be captured; a replay takes the host 10 µs."""
    clock = FakeClock(device=True, launch_cost=1e-4)
    clock.library = "cupy"

    def capture(run: Callable[[], None], library: str) -> SimpleNamespace:
        with clock.recording() as found:
            run()
            clock.wait()
        lengths = (found.records.end - found.records.start).tolist()

        def launch() -> None:
            clock.spend(1e-5)
            for length in lengths:
                clock._work(length, mark=-1)

        return SimpleNamespace(launch=launch, wait=clock.wait)

    monkeypatch.setattr("gpuprof.passes.whatif.captured", capture)
    return clock


def test_what_a_graph_would_save_is_measured_in_turns_with_plain_calls(captured) -> None:
    timing = gpuprof.timeit(captured.launch, 2e-6, number=1, repeat=6, clock=captured)
    assert timing.graph.median == pytest.approx(1e-5, rel=0.05)
    assert timing.plain.median == pytest.approx(1e-4, rel=0.05)
    assert "Replayed from a CUDA graph" in timing.verdict


def test_a_graph_that_does_not_launch_what_a_call_does_is_not_replayed(captured, monkeypatch) -> None:
    empty = SimpleNamespace(launch=lambda: None, wait=lambda: None)
    monkeypatch.setattr("gpuprof.passes.whatif.captured", lambda run, library: empty)
    timing = gpuprof.timeit(captured.launch, 2e-6, number=1, repeat=6, clock=captured)
    assert timing.graph.samples == ()
    assert timing.graph_why.startswith("the graph launches 0 kernels, a plain call 1:")


def test_a_gpu_bound_statement_is_not_captured(captured) -> None:
    timing = gpuprof.timeit(captured.launch, 2e-3, number=1, repeat=6, clock=captured)
    assert (timing.graph.samples, timing.snippet) == ((), "")


def test_why_a_statement_cannot_be_captured_is_kept(captured, monkeypatch) -> None:
    def refused(run: object, library: str) -> None:
        raise NotCapturableError("CUBLASError: capture")

    monkeypatch.setattr("gpuprof.passes.whatif.captured", refused)
    timing = gpuprof.timeit(captured.launch, 2e-6, number=1, repeat=6, clock=captured)
    assert (timing.graph_why, timing.graph.samples) == ("CUBLASError: capture", ())


def test_the_snippet_holds_the_statement(captured) -> None:
    names = {"f": captured.launch}
    timing = gpuprof.timeit("f(2e-6)\nf(2e-6)", globals=names, number=1, repeat=6, clock=captured)
    assert "    f(2e-6)\n    f(2e-6)\n    graph = stream.end_capture()" in timing.snippet


def test_the_html_escapes_the_statement(captured) -> None:
    names = {"f": captured.launch}
    timing = gpuprof.timeit("1 < 2 and f(2e-6)", globals=names, number=1, repeat=6, clock=captured)
    assert "1 &lt; 2 and f(2e-6)" in timing._repr_html_()
    assert "1 < 2" not in timing._repr_html_()


def test_inside_a_capture_timing_is_refused_with_what_to_do() -> None:
    clock = FakeClock(device=True)
    clock.refusal = CAPTURING
    with pytest.raises(RuntimeError, match="end the capture"):
        gpuprof.timeit(clock.launch, 1e-6, clock=clock)


def test_what_recording_leaves_on_a_launch_is_measured() -> None:
    clock = FakeClock(device=True, launch_cost=1e-5)
    timing = gpuprof.timeit(clock.launch, 1e-6, number=1, repeat=6, clock=clock)
    assert timing.residue == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("arguments", "keywords", "says"),
    [
        (("x", 1), {}, "arguments go with a function"),
        ((3,), {}, "expected a statement as text, or a function; got int"),
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
    assert timing.table["quantity"].tolist() == ["host", "device", "kernels", "latency"]
    assert timing.table["samples"].tolist() == [6, 6, 6, 6]


def test_the_kernel_table_has_a_row_a_kernel() -> None:
    clock = FakeClock(device=True)
    timing = gpuprof.timeit(clock.launch, 1e-3, number=2, repeat=6, clock=clock)
    assert timing.kernel_table.to_dict("records") == [
        {"kernel": "fake kernel", "launches": 1.0, "us": pytest.approx(1000), "threads": 1}
    ]


def test_the_plot_is_on_the_axes_it_is_given() -> None:
    import matplotlib.pyplot as plt

    _, ax = plt.subplots()
    assert gpuprof.timeit("1 + 1", number=10, repeat=6).plot(ax) is ax


# The file


def test_a_timing_comes_back_from_its_file(tmp_path) -> None:
    timing = gpuprof.timeit("1 + 1", number=10, repeat=6)
    assert Timing.load(timing.save(tmp_path / "t.json")) == timing


def test_a_timing_of_a_device_comes_back_from_its_file(tmp_path) -> None:
    clock = FakeClock(device=True, launch_cost=1e-5)
    timing = gpuprof.timeit(clock.launch, 5e-3, number=1, repeat=6, cold=True, clock=clock)
    assert timing.lasting
    assert Timing.load(timing.save(tmp_path / "t.json.gz")) == timing


def test_what_is_nan_or_none_comes_back_as_that(tmp_path) -> None:
    timing = Timing(
        "x",
        Sample((1.0,)),
        floor=Floor(1e-6, 1e-6),
        memory=Memory(None, 0, 0, 0),
        roof=Roof("", math.nan, None, 1e12, ""),
        lasting=Lasting(1e-3, 1e-3, None, 1980),
        kernel_list=(Kernel("k", 1.0, 1e-6, 0),),
        before={"throttle": [], "clock_sm_mhz": 1980},
    )
    found = Timing.load(timing.save(tmp_path / "t.json"))
    assert found == timing
    assert math.isnan(found.first)
    assert math.isnan(found.floor.record)
    assert math.isnan(found.roof.share)
    assert found.memory.peak is None
    assert found.kernel_count is None


def test_a_loaded_timing_shows_itself_as_before(tmp_path) -> None:
    clock = FakeClock(device=True, launch_cost=1e-5)
    timing = gpuprof.timeit(clock.launch, 2e-5, number=1, repeat=6, clock=clock)
    found = Timing.load(timing.save(tmp_path / "t.json"))
    assert (str(found), found._repr_html_()) == (str(timing), timing._repr_html_())


@pytest.mark.parametrize("text", ["", "[]", '{"gpuprof": "sweep", "schema": 1}'])
def test_a_file_that_is_no_timing_is_refused(tmp_path, text: str) -> None:
    check_refused(Timing, tmp_path / "t.json", text, "gpuprof timing")


def test_a_damaged_timing_is_refused(tmp_path) -> None:
    path = gpuprof.timeit("1 + 1", number=10, repeat=6).save(tmp_path / "t.json")
    check_refused(Timing, path, path.read_text().replace('"statement"', '"statesman"'), "a part missing or damaged")


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


def test_a_clock_that_stands_still_ends() -> None:
    assert gpuprof.timeit(lambda: None, clock=FakeClock()).host.median == 0


def test_many_launches_that_cannot_be_counted_are_not_called_a_wait_alone(monkeypatch) -> None:
    clock = FakeClock(device=True, launch_cost=5e-6, queue=1000)
    monkeypatch.setattr(clock, "recording", _no_records)

    def many() -> None:
        for _ in range(2000):
            clock.launch(1e-6)

    timing = gpuprof.timeit(many, repeat=3, clock=clock)
    assert timing.waits == ""
    assert "or its launches fill CUDA's queue" in timing.why


@contextmanager
def _no_records() -> Iterator[None]:
    raise NoRecordsError("none here")
    yield
