"""A model's step over a variable: what is measured, where launch-bound ends, the table, the chart, the file."""

import math
from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import pytest
from matplotlib import pyplot as plt

import gpuprof
from gpuprof.__main__ import main
from gpuprof.judge.crossing import crossing
from gpuprof.results.stepsweep import StepPoint, StepSweep
from gpuprof.testing import FakeClock

from .drawn import cut_off, least_contrast, overlapping
from .models import FakeModel


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    with mpl.rc_context({"backend": "agg"}):
        yield
        plt.close("all")


def point(step: float, host: float, busy: float = math.nan, **others: Any) -> StepPoint:
    usual = {"launches": 9.0, "bound": "device" if busy > host else "host", "decides": "B.backward", "gain": 0.5}
    return StepPoint((step,) * 6, host, busy, **usual | others)


def swept(*points: StepPoint, values: tuple[Any, ...] = (8, 16, 32, 64)) -> StepSweep:
    about = {"gpu": "NVIDIA H200", "processor": "CPU"}
    return StepSweep("step", "n_batch", values[: len(points)], points, "CUDA events", about)


IDLE, EVEN, BUSY = point(1e-3, 1e-3, 2.5e-4), point(1.2e-3, 1e-3, 5e-4), point(4e-3, 1e-3, 4e-3)


def model_on(clock: FakeClock) -> FakeModel:
    return FakeModel(clock, host=2e-5, device=1e-6)


def growing(model: FakeModel) -> Any:
    """A step at a batch size: the device's work grows with it."""

    def step(n: int) -> None:
        for layer in model.layers:
            layer.device = dict.fromkeys(layer.device, n * 1e-6)
        model.train(1)

    return step


# What is measured


def test_a_step_is_timed_without_the_profiler_and_its_parts_with_it() -> None:
    clock = FakeClock(device=True, latency=1e-6, mark_cost=5e-6)
    model = model_on(clock)
    found = gpuprof.sweep(growing(model), {"n_batch": [4, 8, 40]}, model=model, clock=clock)
    assert [p.step.median for p in found.points] == pytest.approx([1.8e-4, 1.8e-4, 3.6e-4], rel=0.02)
    assert [p.busy for p in found.points] == pytest.approx([3.6e-5, 7.2e-5, 3.6e-4])
    assert [p.host for p in found.points] == pytest.approx([1.8e-4] * 3, rel=0.01)
    assert [p.bound for p in found.points] == ["host", "host", "device"]
    assert [p.launches for p in found.points] == [9, 9, 9]
    assert found.ends == pytest.approx(20, rel=0.01)
    assert len(found.profiles) == 3
    assert gpuprof.last is found


def test_a_statement_may_run_many_steps() -> None:
    clock = FakeClock(device=True)
    model = model_on(clock)
    names = {"model": model}
    found = gpuprof.sweep("model.train(n)", {"n": [1, 5]}, model=model, globals=names, clock=clock, number=16, repeat=6)
    one, five = (p.step.median for p in found.points)
    assert five == pytest.approx(one, rel=1e-3)
    assert "n" not in names


def test_number_and_repeat_say_how_often() -> None:
    clock = FakeClock()
    model, calls = model_on(clock), []

    def step(n: int) -> None:
        calls.append(n)
        model.train(1)

    found = gpuprof.sweep(step, {"n": [3]}, model=model, clock=clock, number=5, repeat=7)
    assert len(calls) == 2 + 5 * 7 + 5
    assert len(found.points[0].samples) == 7


def test_on_the_host_clock_there_is_no_busy() -> None:
    clock = FakeClock()
    model = model_on(clock)
    found = gpuprof.sweep(lambda _: model.train(1), {"n": [1, 2]}, model=model, clock=clock)
    assert found.table["busy_us"].isna().all()
    assert found.table["idle_us"].isna().all()
    assert found.verdict.startswith("Host time; no array on a GPU was found in it.")
    assert "GPU" not in found._grid().text()
    assert "fake host clock" in str(found)


def test_an_error_at_a_value_keeps_the_points_before() -> None:
    clock = FakeClock()
    model = model_on(clock)

    def step(n: int) -> None:
        if n > 1:
            raise MemoryError("no room")
        model.train(1)

    with pytest.raises(MemoryError):
        gpuprof.sweep(step, {"n": [1, 2]}, model=model, clock=clock)
    assert isinstance(gpuprof.last, StepSweep)
    assert gpuprof.last.values == (1,)
    assert gpuprof.last.stopped == "MemoryError: no room"


def test_an_interrupt_returns_the_points_there_are() -> None:
    clock = FakeClock()
    model = model_on(clock)

    def step(n: int) -> None:
        if n > 1:
            raise KeyboardInterrupt
        model.train(1)

    assert gpuprof.sweep(step, {"n": [1, 2]}, model=model, clock=clock).stopped == "interrupted"
    with pytest.raises(KeyboardInterrupt):
        gpuprof.sweep(step, {"n": [2]}, model=model, clock=clock)


def test_nothing_is_left_on_the_model() -> None:
    clock = FakeClock()
    model = model_on(clock)
    before = [dict(vars(layer)) for layer in model.layers]
    gpuprof.sweep(lambda _: model.train(1), {"n": [1]}, model=model, clock=clock)
    assert [dict(vars(layer)) for layer in model.layers] == before


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"cold": True}, TypeError, "cold and precision are of a statement's sweep"),
        ({"precision": 0.1}, TypeError, "cold and precision are of a statement's sweep"),
        ({"number": 0}, ValueError, "number must be 1 or more; got 0"),
        ({"over": {"n": []}}, ValueError, "expected values of n to go over; got none"),
    ],
)
def test_what_makes_no_sense_with_a_model_is_refused(options: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        gpuprof.sweep(print, **{"over": {"n": [1]}, "model": model_on(FakeClock())} | options)


# What is said


@pytest.mark.parametrize(
    ("points", "says"),
    [
        ((IDLE, EVEN, BUSY), "Launch-bound up to n_batch = 16, GPU-bound from 32 on; host and GPU meet near 20."),
        ((IDLE, EVEN), "Launch-bound up to n_batch = 16: the host takes longer than the GPU all along."),
        ((BUSY, BUSY), "GPU-bound from n_batch = 8 on."),
        ((), "Nothing was measured."),
    ],
)
def test_where_launch_bound_ends_is_said(points: tuple[StepPoint, ...], says: str) -> None:
    assert swept(*points).verdict.startswith(says)


def test_what_is_nearly_free_is_said() -> None:
    says = (
        "A step takes 1.00 ms at 8 and 1.20 ms at 16, 1.2× as long for 2.0× as much: up to there more is nearly free."
    )
    assert says in swept(IDLE, EVEN, BUSY).verdict
    assert "free" not in swept(IDLE, point(1.9e-3, 1.9e-3, 5e-4), BUSY).verdict


def test_what_decides_at_the_last_value_is_said() -> None:
    assert swept(IDLE, BUSY).verdict.endswith("At 16 B.backward decides: without it that step would be 50 % shorter.")


def test_values_that_are_no_numbers_are_not_reckoned_with() -> None:
    found = swept(IDLE, BUSY, values=("small", "large"))
    assert found.verdict.startswith("Launch-bound up to n_batch = small, GPU-bound from large on. At large")


@pytest.mark.parametrize(
    ("host", "gpu", "place"),
    [
        ([1, 1, 1], [0.5, 0.5, 2], 1.5),
        ([1, 1, 1], [0.25, 1, 4], 1.0),
        ([1, 1, 1], [2, 0.5, 2], 1.5),
        ([1, 1, 1], [2, 2, 2], math.nan),
        ([1, 1, 1], [0.5, 0.5, 0.5], math.nan),
        ([1, 1, 1], [2, 2, 0.5], math.nan),
        ([1, math.nan, 1], [0.5, 3, 2], 1.0),
        ([], [], math.nan),
    ],
)
def test_two_curves_cross_where_the_one_comes_to_exceed_the_other(host: Any, gpu: Any, place: float) -> None:
    assert crossing(range(len(host)), host, gpu) == pytest.approx(place, nan_ok=True)


# What is shown


def test_the_table_has_a_row_a_value() -> None:
    table = swept(IDLE, BUSY).table
    assert table["n_batch"].tolist() == [8, 16]
    assert table["step_us"].tolist() == pytest.approx([1000, 4000])
    assert table["idle_us"].tolist() == pytest.approx([750, 0])
    assert table["bound"].tolist() == ["host", "device"]


def test_it_prints_and_shows_a_row_a_value() -> None:
    lines = str(swept(IDLE, BUSY)).splitlines()
    assert lines[2].split()[:2] == ["n_batch", "step"]
    assert lines[3].split()[:3] == ["8", "1000", "±0"]
    assert lines[-1] == "step · NVIDIA H200 · CUDA events"
    html = swept(IDLE, BUSY)._repr_html_()
    assert "<b>Launch-bound up to n_batch = 8, GPU-bound from 16 on; host and GPU meet near 11.</b>" in html
    assert str(swept()).startswith("Nothing was measured.")


@pytest.mark.parametrize(
    "found",
    [
        swept(IDLE, EVEN, BUSY),
        swept(IDLE),
        swept(BUSY, BUSY),
        swept(point(1e-3, 1e-3), point(2e-3, 2e-3)),
        swept(IDLE, EVEN, BUSY, values=("small", "middle", "large")),
        swept(*(point(1e-6 * 10**k, 1e-6, 1e-6 * 10**k) for k in range(7)), values=tuple(10**k for k in range(7))),
        swept(*(IDLE for _ in range(40)), values=tuple(range(1, 41))),
    ],
    ids=["usual", "one value", "GPU-bound", "host alone", "words", "six orders", "40 values"],
)
def test_the_chart_is_drawn_without_overlaps(found: StepSweep) -> None:
    ax = found.plot()
    assert overlapping(ax) == []
    assert cut_off(ax) == []
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("n_batch", "time a step")


@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_texts_are_read_on_their_paper(style: str) -> None:
    with plt.style.context(style):
        assert least_contrast(swept(IDLE, EVEN, BUSY).plot()) >= 4.5


def test_the_chart_has_a_line_a_quantity_and_marks_where_launch_bound_ends() -> None:
    ax = swept(IDLE, EVEN, BUSY).plot()
    lines = {line.get_label(): line for line in ax.lines}
    assert lines["step"].get_ydata().tolist() == pytest.approx([1e-3, 1.2e-3, 4e-3])
    assert lines["GPU busy"].get_ydata().tolist() == pytest.approx([2.5e-4, 5e-4, 4e-3])
    texts = [text.get_text() for text in ax.texts]
    assert "launch-bound" in texts
    assert " ends near 20 " in texts
    assert "step · NVIDIA H200 · CUDA events" in texts
    (upright,) = [line for line in ax.lines if len(set(line.get_xdata())) == 1 and len(line.get_xdata()) == 2]
    assert upright.get_xdata()[0] == pytest.approx(swept(IDLE, EVEN, BUSY).ends)
    assert "GPU idle" in [text.get_text() for text in ax.get_legend().get_texts()]


def test_the_plot_is_on_the_axes_it_is_given() -> None:
    _, ax = plt.subplots()
    assert swept(IDLE, BUSY).plot(ax) is ax


# Its file


def test_a_sweep_comes_back_from_its_file(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    found = swept(IDLE, EVEN, BUSY)
    path = found.save(tmp_path / "s.json.gz")
    assert StepSweep.load(path) == found
    assert main(["show", str(path)]) == 0
    assert capsys.readouterr().out.strip() == str(found)


def test_its_profiles_come_back_too(tmp_path) -> None:
    clock = FakeClock(device=True, launch_cost=1e-5)
    model = FakeModel(clock)
    found = gpuprof.sweep(model.train, {"n": [1, 2]}, model=model, number=3, repeat=3, clock=clock)
    loaded = StepSweep.load(found.save(tmp_path / "s.json"))
    assert [str(profile) for profile in loaded.profiles] == [str(profile) for profile in found.profiles]


def test_a_sweep_of_before_there_were_profiles_in_it_is_read(tmp_path) -> None:
    path = swept(IDLE).save(tmp_path / "s.json")
    path.write_text(path.read_text().replace(', "profiles": []', ""))
    assert StepSweep.load(path) == swept(IDLE)


def test_what_was_not_measured_comes_back_as_that(tmp_path) -> None:
    loaded = StepSweep.load(swept(point(1e-3, 1e-3)).save(tmp_path / "s.json"))
    assert math.isnan(loaded.points[0].busy)


def test_a_damaged_sweep_is_refused(tmp_path) -> None:
    path = swept(IDLE).save(tmp_path / "s.json")
    path.write_text(path.read_text().replace('"points"', '"pints"'))
    with pytest.raises(ValueError, match="a part missing or damaged"):
        StepSweep.load(path)
