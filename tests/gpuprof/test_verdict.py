"""What the figures are said to mean: each sentence where it speaks, and where it is silent."""

import math
from typing import Any

import numpy as np
import pytest

from gpuprof.judge.cost import Roof
from gpuprof.judge.figures import Figures, Floor, Lasting, Sample
from gpuprof.judge.verdict import cautions, verdict

US = 1e-6


def steady(us: float) -> Sample:
    return Sample((us * US,) * 30)


def figures(host: float, device: float | None = None, kernels: float | None = None, /, **others: Any) -> Figures:
    """Steady figures in µs, behind a gate where there is a device time; the floor is 1 µs and 1 µs a launch."""
    known: dict[str, Any] = {"host": steady(host)}
    if device is not None:
        known |= {"device": steady(device), "way": "gate", "device_number": 10, "floor": Floor(10 * US, 1 * US, 1 * US)}
        known["latency"] = steady(host + device)
    if kernels is not None:
        known |= {"kernels": steady(kernels), "kernel_count": 1.0}
    return Figures("x + 1", **known | others)


# What bounds it


def test_without_a_gpu_it_is_host_time() -> None:
    assert verdict(figures(10)) == "Host time; no array on a GPU was found in it."


def test_without_records_or_events_only_the_end_is_known() -> None:
    found = verdict(figures(10, latency=steady(30), records="libcupti was not found"))
    assert found.startswith("Done after 30.0 µs; how long the GPU itself worked shows only in kernel records")
    assert found.endswith("which were not to be had: libcupti was not found.")


def test_what_was_interrupted_before_the_device_does_not_blame_the_records() -> None:
    found = verdict(figures(10, latency=steady(30), stopped="interrupted"))
    assert found == "Done after 30.0 µs; the measurement ended before the GPU's own time was taken."


def test_a_device_slower_than_the_host_is_gpu_bound_by_how_much() -> None:
    assert verdict(figures(10, 100, 99)) == (
        "GPU-bound: calls one after another keep the GPU busy, and the host is free for 90 % of that time."
    )


def test_kernels_longer_than_the_host_are_gpu_bound_without_events_too() -> None:
    assert verdict(figures(10, None, 100)).startswith("GPU-bound")


def test_a_device_faster_than_the_host_is_launch_bound_by_how_much() -> None:
    assert verdict(figures(100, 12, 10)) == (
        "launch-bound: the GPU idles 90 % of the 100 µs that a call takes the host, for one kernel of 10.0 µs in all."
    )


@pytest.mark.parametrize(("count", "words"), [(5.0, "5 kernels of"), (2.5, "2.50 kernels of"), (0.0, "the host.")])
def test_the_kernels_are_counted(count: float, words: str) -> None:
    assert words in verdict(figures(100, 12, 10, kernel_count=count))


def test_below_three_times_the_floor_nothing_is_claimed_of_the_gpu() -> None:
    assert verdict(figures(100, 5)) == (
        "launch-bound: a call takes the host 100 µs, the GPU at most 5.00 µs, which is too short to resolve "
        "(the floor is 2.00 µs); kernel records would tell."
    )


def test_without_a_floor_nothing_is_said_of_one() -> None:
    found = verdict(figures(100, 5, floor=None))
    assert found == "launch-bound: a call takes the host 100 µs, the GPU at most 5.00 µs."


def test_from_three_times_the_floor_on_the_device_time_will_do() -> None:
    assert verdict(figures(100, 6)) == "launch-bound: the GPU idles 94 % of the 100 µs that a call takes the host."


def test_a_wait_inside_is_named_with_its_line() -> None:
    found = verdict(figures(100, 100, 10, way="throughput", waits="line 2: y.get()"))
    assert found == (
        "synchronises inside (line 2: y.get()): there the host waits for the GPU; the GPU works 10.0 µs of its 100 µs."
    )


def test_a_wait_at_a_line_that_is_not_known_has_no_brackets() -> None:
    found = verdict(figures(100, 100, way="throughput", waits="inside"))
    assert found == "synchronises inside: there the host waits for the GPU."


def test_without_a_gate_the_pace_is_called_so_and_why() -> None:
    assert verdict(figures(100, 100, 95, way="throughput", why="no gate today")) == (
        "The device time is the pace of calls one after another, not the GPU's own (no gate today)."
    )


def test_without_a_gate_kernel_records_tell_how_far_the_gpu_idles() -> None:
    found = verdict(figures(100, 100, 20, way="throughput", why="no gate today"))
    assert "not the GPU's own: the GPU idles 80 % of it (no gate today)" in found


def test_a_long_call_that_leaves_nothing_to_do_is_bound_by_the_host() -> None:
    found = verdict(figures(1000, 1000, way="throughput", why="no gate", latency=steady(1010)))
    assert found.startswith("bound by the host: a call keeps it for 1.00 ms")


@pytest.mark.parametrize("latency", [1100, math.nan])
def test_a_long_call_that_leaves_work_is_not(latency: float) -> None:
    found = verdict(figures(1000, 1000, way="throughput", why="no gate", latency=steady(latency)))
    assert "bound by the host" not in found


# What else there is to say


def test_the_roof_has_its_sentence() -> None:
    roof = Roof("bandwidth", 0.9, 1e12, None, "the nearest roof is memory: 90 % of the copy rate")
    assert verdict(figures(10, 100, roof=roof)).endswith("The nearest roof is memory: 90 % of the copy rate.")


@pytest.mark.parametrize(("kind", "word"), [("bandwidth", "bandwidth-bound"), ("compute", "compute-bound")])
def test_the_roof_that_is_near_names_what_bounds(kind: str, word: str) -> None:
    assert verdict(figures(10, 100, roof=Roof(kind, 0.9, 1e12, None, ""))).startswith(f"{word}: ")


def test_a_roof_without_a_sentence_is_silent() -> None:
    roof = Roof("", math.nan, None, None, "")
    assert verdict(figures(10, 100, roof=roof)) == verdict(figures(10, 100))


def test_what_a_graph_saves_is_said() -> None:
    found = verdict(figures(100, 12, 10, plain=steady(100), graph=steady(20)))
    assert found.endswith(
        "Replayed from a CUDA graph a call takes 20.0 µs instead of 100 µs (5.0× faster; .snippet shows how)."
    )


def test_a_graph_that_saves_less_than_a_tenth_is_not_mentioned() -> None:
    assert "graph" not in verdict(figures(100, 12, 10, plain=steady(100), graph=steady(95)))


def test_a_sustained_time_that_differs_is_said_with_the_clocks() -> None:
    found = verdict(figures(10, 1000, lasting=Lasting(1e-3, 1.2e-3, 1980, 1650)))
    assert found.endswith("After a rest a call takes 1.00 ms at 1980 MHz, after a while 1.20 ms at 1650 MHz.")


def test_clocks_that_are_not_known_are_left_out() -> None:
    found = verdict(figures(10, 1000, lasting=Lasting(1e-3, 1.2e-3, None, None)))
    assert found.endswith("After a rest a call takes 1.00 ms, after a while 1.20 ms.")


def test_a_sustained_time_that_is_the_same_is_not_mentioned() -> None:
    assert "rest" not in verdict(figures(10, 1000, lasting=Lasting(1e-3, 1.005e-3, 1980, 1980)))


# Cautions


def test_steady_figures_that_agree_need_no_caution() -> None:
    assert cautions(figures(100, 12, 11)) == []


def test_warnings_come_first() -> None:
    assert cautions(figures(100, warnings=("it prints",))) == ["it prints"]


def drifting(by: float) -> Sample:
    """A hundred batches with some noise, the last so much longer than the first."""
    noise = np.random.default_rng(0).normal(0, 0.002, 100)
    return Sample(tuple(100 * US * (1 + by * np.linspace(0, 1, 100) + noise)))


def test_a_drift_is_told_with_its_size() -> None:
    found = cautions(figures(100, host=drifting(0.1)))
    assert found == ["host rose by 9.7 % while it was measured; nothing below that is claimed"]


def test_a_fall_is_told_as_one() -> None:
    assert cautions(figures(100, host=drifting(-0.1)))[0].startswith("host fell by ")


def test_two_modes_are_told_with_their_shares() -> None:
    device = Sample((10 * US, 10 * US, 12 * US) * 20)
    assert cautions(figures(100, 10, device=device)) == [
        "device has two modes, 10.0 µs (67 % of the batches) and 12.0 µs; nothing finer is claimed"
    ]


def test_modes_less_than_a_hundredth_apart_are_not_mentioned() -> None:
    assert cautions(figures(100, 10, device=Sample((10 * US, 10 * US, 10.05 * US) * 20))) == []


def test_events_that_read_more_than_the_records_are_told() -> None:
    assert cautions(figures(100, 22, 10)) == [
        "events read 100 % more than the kernel records let expect: gaps that the GPU makes itself, or others' work "
        "on its stream"
    ]


def test_events_that_read_less_than_the_records_are_told() -> None:
    assert cautions(figures(100, 11, 20)) == [
        "events read 48 % less than the kernel records let expect: kernels overlap, or ran on a stream that was not "
        "current"
    ]


def test_a_residue_of_the_recording_is_told() -> None:
    assert cautions(figures(100, residue=2 * US)) == ["recording kernels left 2.0 µs on every launch of this process"]


@pytest.mark.parametrize("residue", [0.1 * US, -US, math.nan])
def test_no_residue_is_not_mentioned(residue: float) -> None:
    assert cautions(figures(100, residue=residue)) == []


# The figures themselves


def test_the_floor_is_shared_by_the_calls_of_a_batch_and_paid_by_each_launch() -> None:
    assert figures(100, 20, 10, kernel_count=3.0).floor_s == pytest.approx(4 * US)


def test_without_a_gate_there_is_no_floor() -> None:
    found = figures(100, 20, 10, way="throughput")
    assert math.isnan(found.floor_s)
    assert math.isnan(found.agreement)
    assert not found.resolved


def test_kernels_are_the_gpus_own_time_before_events() -> None:
    assert figures(100, 12, 10).own == pytest.approx(10 * US)
    assert figures(100, 12).own == pytest.approx(12 * US)


def test_how_busy_the_gpu_is_stays_unknown_below_the_floor() -> None:
    assert math.isnan(figures(100, 5).busy)
    assert figures(100, 50).busy == pytest.approx(0.5)
    assert figures(10, 50, 49).busy == pytest.approx(0.98)


def test_no_claim_is_narrower_than_the_drift_or_the_modes() -> None:
    assert drifting(0.1).width == pytest.approx(0.095, abs=0.005)
    assert Sample((10.0, 10.0, 12.0) * 20).width == pytest.approx(0.2, abs=0.02)


def test_outliers_are_kept_and_counted() -> None:
    sample = Sample((1.0,) * 30 + (5.0,))
    assert sum(sample.outliers) == 1
    assert sample.median == pytest.approx(1.0)


def test_kernels_that_overlap_count_once() -> None:
    found = figures(50, 30, 80, working=30 * US)
    assert not found.elsewhere
    assert found.busy == pytest.approx(0.6)
    assert verdict(found).startswith("launch-bound")


def test_a_device_time_near_its_floor_is_not_called_gpu_bound() -> None:
    assert verdict(figures(2, 3.5)).startswith("too short to resolve: the GPU takes at most 3.50 µs")


def test_no_interval_excludes_its_own_middle() -> None:
    middle, low, high = Sample((1.024e-6,) * 40, tick=1.28e-7).interval
    assert low < middle < high
