"""A sweep: a timing a value, where launch-bound ends, and its file."""

import math
from typing import Any

import numpy as np
import pytest

import gpuprof
from gpuprof.judge.figures import Sample
from gpuprof.passes.measurement import Wishes
from gpuprof.results.sweep import Sweep
from gpuprof.results.timing import Timing
from gpuprof.testing import FakeClock

SHORT = {"number": 1, "repeat": 2}


def point(host: float, device: float | None = None, **others: Any) -> Timing:
    gated = {"device": Sample((device,) * 6), "way": "gate"} if device is not None else {}
    return Timing(**{"statement": "f(n)", "host": Sample((host,) * 6)} | gated | others)


def swept(*points: Timing) -> Sweep:
    return Sweep("f(n)", "n", tuple(2**k for k in range(len(points))), points)


SLOW_HOST, SLOW_GPU = point(1e-4, 1e-5), point(1e-5, 1e-4)


# What is said


@pytest.mark.parametrize(
    ("points", "says"),
    [
        ((SLOW_HOST, SLOW_HOST), "launch-bound up to n = 2: the host takes longer than the GPU all along."),
        ((SLOW_GPU, SLOW_GPU), "GPU-bound from n = 1 on."),
        ((SLOW_HOST, SLOW_HOST, SLOW_GPU), "launch-bound up to n = 2, GPU-bound from 4 on."),
        ((SLOW_HOST, SLOW_GPU, SLOW_HOST, SLOW_GPU), "launch-bound up to n = 4, GPU-bound from 8 on."),
        ((SLOW_GPU, SLOW_HOST), "launch-bound at n = 2."),
        ((point(1e-4),), "Host time; no array on a GPU was found in it."),
        ((), "nothing was measured."),
    ],
)
def test_where_launch_bound_ends_is_said(points: tuple[Timing, ...], says: str) -> None:
    assert swept(*points).verdict == says


def test_a_pace_is_not_called_gpu_bound() -> None:
    paced = point(1e-4, 1e-4, way="throughput", why="it waits inside")
    assert swept(SLOW_GPU, paced).verdict == "no device time of its own at n = 2 (it waits inside)."


def test_kernel_records_tell_it_without_events() -> None:
    found = swept(point(1e-4, kernels=Sample((1e-5,) * 6)), point(1e-5, kernels=Sample((1e-4,) * 6)))
    assert found.verdict == "launch-bound up to n = 1, GPU-bound from 2 on."


def test_it_prints_a_row_a_value_and_the_verdict() -> None:
    lines = str(swept(SLOW_HOST, SLOW_GPU)).splitlines()
    assert len(lines) == 1 + 1 + 2 + 1
    assert lines[1].split()[:2] == ["n", "host"]
    assert lines[2].split() == ["1", "100", "≤", "10.0"]


def test_a_sweep_of_nothing_prints_too() -> None:
    assert str(swept()).endswith("nothing was measured.")


def test_the_table_has_a_row_a_value() -> None:
    table = swept(SLOW_HOST, SLOW_GPU).table
    assert table["n"].tolist() == [1, 2]
    assert table["host_us"].tolist() == pytest.approx([100.0, 10.0])
    assert table["device_us"].tolist() == pytest.approx([10.0, 100.0])
    assert math.isnan(table["latency_us"][0])


def test_the_plot_is_on_the_axes_it_is_given() -> None:
    import matplotlib.pyplot as plt

    _, ax = plt.subplots()
    assert swept(SLOW_HOST, SLOW_GPU).plot(ax) is ax


# Its file


def test_a_sweep_comes_back_from_its_file(tmp_path) -> None:
    found = swept(SLOW_HOST, SLOW_GPU)
    assert Sweep.load(found.save(tmp_path / "s.json")) == found


@pytest.mark.parametrize(
    ("value", "loaded"), [(1.5, 1.5), ("text", "text"), (np.int64(4), 4), ((2, 3), "(2, 3)"), (None, "None")]
)
def test_a_value_that_json_has_no_form_for_becomes_text(tmp_path, value: object, loaded: object) -> None:
    found = Sweep("f(n)", "n", (value,), (SLOW_GPU,))
    assert Sweep.load(found.save(tmp_path / "s.json")).values == (loaded,)


def test_a_value_that_is_not_a_number_is_saved(tmp_path) -> None:
    assert Sweep("f(n)", "n", (math.nan,), (SLOW_GPU,)).save(tmp_path / "s.json").exists()


def test_a_damaged_sweep_is_refused(tmp_path) -> None:
    path = swept(SLOW_GPU).save(tmp_path / "s.json")
    path.write_text(path.read_text().replace('"points"', '"pints"'))
    with pytest.raises(ValueError, match="a part missing or damaged"):
        Sweep.load(path)


# sweep


def test_a_statement_is_timed_for_each_value() -> None:
    clock = FakeClock()
    names = {"clock": clock}
    found = gpuprof.sweep("clock.spend(n * t)", {"n": [1, 2, 4]}, setup="t = 1e-3", globals=names, clock=clock)
    assert [point.host.median for point in found.points] == pytest.approx([1e-3, 2e-3, 4e-3])
    assert "n" not in names


def test_a_function_is_called_with_each_value() -> None:
    clock = FakeClock()
    found = gpuprof.sweep(lambda n: clock.spend(n * 1e-3), {"n": (3, 5)}, clock=clock)
    assert [point.host.median for point in found.points] == pytest.approx([3e-3, 5e-3])
    assert (found.variable, found.values) == ("n", (3, 5))


def test_the_sweep_is_the_newest_result() -> None:
    clock = FakeClock()
    found = gpuprof.sweep(lambda n: clock.spend(n * 1e-3), {"n": [1]}, clock=clock)
    assert gpuprof.last is found


@pytest.mark.parametrize(
    ("over", "says"),
    [
        ({}, "expected one variable to go over; got none"),
        ({"n": [1], "m": [2]}, "got n, m"),
        ({"n": []}, "expected values of n to go over; got none"),
    ],
)
def test_no_values_or_more_than_one_variable_are_refused(over: dict[str, list[int]], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        gpuprof.sweep("n", over)


@pytest.mark.parametrize("over", [{"n": 8}, [8, 16], "n"])
def test_what_is_no_variable_with_its_values_is_refused(over: object) -> None:
    with pytest.raises(TypeError, match="over is a variable and its values"):
        gpuprof.sweep("n", over)


def pressing(clock: FakeClock, at: int, after: int) -> Any:
    """A function that Ctrl-C ends at this value, in the call after so many of it."""
    calls: list[int] = []

    def call(n: int) -> None:
        calls.append(n)
        clock.spend(n * 1e-3)
        if n == at and calls.count(n) > after:
            raise KeyboardInterrupt

    return call


def test_an_interrupt_returns_the_points_there_are_and_the_one_begun() -> None:
    clock = FakeClock()
    found = gpuprof.sweep(pressing(clock, 2, after=100), {"n": [1, 2, 4]}, clock=clock)
    assert (found.values, found.stopped) == ((1, 2), "interrupted")
    assert found.points[1].stopped == "interrupted"


def test_an_interrupt_at_the_first_call_of_a_point_leaves_it_out() -> None:
    clock = FakeClock()
    found = gpuprof.sweep(pressing(clock, 2, after=0), {"n": [1, 2, 4]}, clock=clock)
    assert (found.values, found.stopped) == ((1,), "interrupted")


def test_an_interrupt_before_there_is_a_point_rises() -> None:
    clock = FakeClock()
    with pytest.raises(KeyboardInterrupt):
        gpuprof.sweep(pressing(clock, 1, after=0), {"n": [1, 2]}, clock=clock)


def test_an_error_at_a_point_rises_and_the_points_before_are_kept() -> None:
    clock = FakeClock()
    with pytest.raises(ZeroDivisionError) as caught:
        gpuprof.sweep(lambda n: clock.spend(1e-3 / n), {"n": [2, 1, 0]}, clock=clock)
    assert gpuprof.last.values == (2, 1)
    assert gpuprof.last.stopped == "ZeroDivisionError: float division by zero"
    assert any("gpuprof.last" in note for note in caught.value.__notes__)


def test_wishes_go_to_every_point() -> None:
    clock = FakeClock()
    found = gpuprof.timer.sweep_code(
        lambda n: gpuprof.statement.from_function(clock.spend, n * 1e-3),
        "n",
        [1, 2],
        "f(n)",
        wishes=lambda n: Wishes(**SHORT),
        clock=clock,
    )
    assert [len(point.host.samples) for point in found.points] == [2, 2]


def test_a_value_without_an_end_is_saved(tmp_path) -> None:
    clock = FakeClock()
    found = gpuprof.sweep(lambda n: clock.spend(1e-3), {"n": [math.inf, 1]}, clock=clock)
    assert Sweep.load(found.save(tmp_path / "s.json")).values[1] == 1
