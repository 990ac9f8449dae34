"""Ratios of many rows at once, and the floors that rows which did not change give."""

import math
import time

import numpy as np
import pytest

from gpuprof.judge.floors import LEAST, held_to_controls
from gpuprof.judge.simultaneous import FEWEST, Estimates, in_turns, middles, repeats, two_runs, two_samples, whole


def noisy(rng: np.random.Generator, steps: int = 200, rows: int = 8, spread: float = 0.02) -> np.ndarray:
    return 1e-4 * np.exp(rng.normal(0, spread, (steps, rows)))


def test_the_middle_is_a_trimmed_mean() -> None:
    samples = np.array([[float(i)] for i in range(20)])
    samples[19] = 1e6
    found = middles(samples)
    assert found.value[0] == pytest.approx(np.arange(4, 16).mean())
    assert found.parts.sum() == pytest.approx(0)


def test_the_parts_square_to_the_variance_of_a_trimmed_mean() -> None:
    values = np.random.default_rng(1).normal(size=(500, 1))
    ordered = np.sort(values[:, 0])
    winsorised = np.clip(ordered, ordered[100], ordered[399])
    expected = winsorised.var() * 500 / 300**2
    assert (middles(values).parts ** 2).sum() == pytest.approx(expected)


def test_what_is_not_there_is_left_out_and_too_few_have_no_middle() -> None:
    samples = np.full((40, 2), 1.0)
    samples[::2, 0] = np.nan
    samples[: 41 - FEWEST, 1] = np.nan
    found = middles(samples)
    assert found.value[0] == 1.0
    assert math.isnan(found.value[1])
    assert (found.parts == 0).all()


def test_a_step_is_what_its_rows_come_to() -> None:
    found = whole(middles(np.array([[1.0, 4.0]] * 20)), np.array([1.0, 0.25]))
    assert found.value.tolist() == [1.0, 4.0, 2.0]


def test_a_rare_row_does_not_hide_the_step() -> None:
    samples = np.full((20, 2), 1.0)
    samples[1:, 1] = np.nan
    assert whole(middles(samples), np.array([1.0, 0.05])).value[-1] == 1.0


def test_times_that_do_not_vary_have_a_point_for_an_interval() -> None:
    found = two_runs(middles(np.full((20, 1), 3e-4)), middles(np.full((20, 1), 1e-4)))
    assert found.value[0] == pytest.approx(math.log(3))
    assert (found.error[0], found.half[0]) == (0, 0)


def test_all_intervals_of_two_runs_hold_at_once() -> None:
    rng, missed = np.random.default_rng(2), 0
    for _ in range(300):
        found = two_runs(middles(noisy(rng)), middles(noisy(rng)))
        missed += bool((np.abs(found.value) > found.half).any())
    assert missed <= 9  # 3 expected of 300


def test_neighbours_that_are_alike_widen_the_interval() -> None:
    rng, missed = np.random.default_rng(3), 0
    for _ in range(200):
        runs = [np.exp(0.02 * np.convolve(rng.normal(size=520), 0.7 ** np.arange(20))[20:520])[:, None] for _ in "ab"]
        found = two_runs(*map(middles, runs))
        missed += bool(abs(found.value[0]) > found.half[0])
    assert missed <= 9


def test_what_slows_all_rows_alike_is_not_in_what_is_told_beside_others() -> None:
    rng = np.random.default_rng(4)
    slower = np.exp(np.linspace(0, 0.5, 200))[:, None]
    old, new = noisy(rng) * slower, noisy(rng)
    new[:, 0] /= 1.1
    beside = np.array([False] + [True] * 7)
    found = two_runs(middles(old), middles(new), beside)
    assert found.value[0] == pytest.approx(math.log(1.1), abs=0.01)
    assert found.half[0] < 0.02 < two_runs(middles(old), middles(new)).half[0]


def test_rounds_have_students_interval() -> None:
    rng = np.random.default_rng(5)
    found = in_turns(np.column_stack([rng.normal(0.03, 0.01, 32), np.full(32, np.nan)]))
    assert found.value[0] == pytest.approx(0.03, abs=0.006)
    assert 0.003 < found.half[0] < 0.012
    assert math.isnan(found.half[1])


def test_too_few_rounds_have_no_interval() -> None:
    assert math.isnan(in_turns(np.zeros((7, 1))).half[0])


def test_all_intervals_of_rounds_hold_at_once() -> None:
    rng = np.random.default_rng(6)
    missed = sum(bool((abs((e := in_turns(rng.normal(size=(32, 20)))).value) > e.half).any()) for _ in range(300))
    assert missed <= 9


def test_runs_that_lie_close_by_chance_are_not_believed() -> None:
    old, new = np.array([[0.0, 0.0], [0.0, 0.1], [0.0, -0.1]]), np.array([[0.1, 0.0], [0.1, 0.1], [0.1, -0.1]])
    found = repeats(old, new, np.array([True, True]))
    assert found.error[0] > 0.03
    assert found.half[0] > 0.1 > 0.0 > found.value[0]


def test_one_run_a_side_has_no_interval() -> None:
    found = repeats(np.zeros((1, 2)), np.zeros((1, 2)), np.array([True, True]))
    assert np.isnan(found.half).all()


def test_no_rows_are_no_estimates() -> None:
    nothing = middles(np.zeros((20, 0)))
    assert len(two_runs(nothing, nothing).value) == 0


def test_500_steps_of_40_rows_take_less_than_a_second() -> None:
    rng = np.random.default_rng(7)
    old, new = (noisy(rng, 500, 40) for _ in "ab")
    start = time.perf_counter()
    found = two_runs(*(whole(middles(each), np.ones(40)) for each in (old, new)))
    held_to_controls(found, np.array([True] * 40 + [False]), 0.005)
    assert time.perf_counter() - start < 1


# Floors


def test_a_few_samples_have_students_intervals_that_hold_together() -> None:
    rng = np.random.default_rng(3)
    missed = 0
    for _ in range(400):
        old, new = (middles(np.exp(rng.normal(0, 0.01, (7, 12))), 4) for _ in range(2))
        found = two_samples(old, new)
        missed += bool((np.abs(found.value) > found.half).any())
    assert missed <= 8


def test_what_slows_all_samples_alike_is_not_in_what_they_are_beside_others() -> None:
    old, new = (middles(pace * np.ones((7, 12)), 4) for pace in (1.0, 1.5))
    found = two_samples(old, new, np.ones(12, dtype=bool))
    assert found.value == pytest.approx(np.zeros(12))


def test_of_two_samples_no_interval_is_made() -> None:
    found = two_samples(middles(np.ones((2, 3)), 1), middles(np.ones((2, 3)), 1))
    assert np.isnan(found.half).all()


def estimates(values: list[float], error: float = 0.0) -> Estimates:
    value = np.array(values)
    return Estimates(value, np.full(len(value), error), np.full(len(value), 4 * error))


def test_rows_that_lie_no_further_apart_than_by_chance_leave_the_least_floor() -> None:
    held = held_to_controls(estimates([0.001, -0.001] * 5, error=0.01), np.ones(10, dtype=bool), LEAST[True])
    assert (held.spread, held.floor.max()) == (0, 0.005)


def test_rows_that_lie_apart_between_runs_raise_the_floor_of_all() -> None:
    values = [0.01, -0.01, 0.02, -0.02, 0.01, -0.01, 0.0, 0.3]
    held = held_to_controls(estimates(values), np.array([True] * 7 + [False]), LEAST[True])
    assert held.spread == 0.01
    assert held.floor.min() > 0.08


@pytest.mark.parametrize(("times", "raised"), [(2, 1.0), (6, 3.0)])
def test_a_row_more_than_twice_as_noisy_as_the_controls_has_a_higher_limit(times: float, raised: float) -> None:
    found = estimates([0.01, -0.01, 0.02, -0.02, 0.01, -0.01, 0.0, 0.0])
    found.error[:] = 1e-6
    found.error[7] *= times
    held = held_to_controls(found, np.array([True] * 7 + [False]), LEAST[True])
    assert held.floor[7] == pytest.approx(raised * held.floor[0], rel=1e-3)


def test_a_third_of_the_controls_may_have_changed_after_all() -> None:
    same = [0.001, -0.001, 0.002, -0.002, 0.001, -0.001, 0.0, 0.001]
    alone, among = (held_to_controls(estimates(same + more), np.ones(len(same + more), dtype=bool), LEAST[True])
                    for more in ([], [0.5, 0.5, 0.5]))  # fmt: skip
    assert among.floor[0] < 3 * alone.floor[0]


def test_rows_without_an_estimate_are_no_controls() -> None:
    found = estimates([0.0] * 6 + [math.nan])
    held = held_to_controls(found, np.ones(7, dtype=bool), LEAST[False])
    assert held.floor[:6].tolist() == [0.01] * 6
