"""Medians and their intervals."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuprof.judge.stats import effective_number, median_interval


def test_the_interval_of_twenty_is_between_the_sixth_and_the_fifteenth() -> None:
    assert median_interval(np.random.default_rng(0).permutation(20)) == (9.5, 5.0, 14.0)


def test_five_samples_have_a_median_and_no_interval() -> None:
    interval = median_interval([3, 1, 2, 5, 4])
    assert interval.median == 3
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)


def test_no_samples_have_no_median() -> None:
    assert all(math.isnan(value) for value in median_interval([]))


@given(st.lists(st.floats(-1e6, 1e6), min_size=6, max_size=60))
def test_the_median_lies_in_its_interval(samples: list[float]) -> None:
    interval = median_interval(samples)
    assert interval.low <= interval.median <= interval.high


@given(st.lists(st.integers(-1000, 1000), min_size=6, max_size=60), st.integers(1, 9))
def test_the_unit_of_the_samples_does_not_matter(samples: list[int], factor: int) -> None:
    assert median_interval(np.array(samples) * factor) == tuple(factor * v for v in median_interval(samples))


@pytest.mark.parametrize("draw", ["normal", "exponential", "lognormal"])
def test_the_interval_covers_the_true_median_about_95_times_in_100(draw: str) -> None:
    rng = np.random.default_rng(1)
    truth = {"normal": 0.0, "exponential": math.log(2), "lognormal": 1.0}[draw]
    found = [median_interval(getattr(rng, draw)(size=60)) for _ in range(1000)]
    covered = sum(i.low <= truth <= i.high for i in found)
    assert 930 <= covered <= 985


def test_the_interval_covers_the_median_of_neighbours_that_are_alike() -> None:
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(400):
        noise = rng.normal(size=400)
        series = np.zeros(400)
        for i in range(1, 400):
            series[i] = 0.6 * series[i - 1] + noise[i]
        interval = median_interval(series)
        covered += interval.low <= 0 <= interval.high
    assert 0.91 * 400 <= covered <= 0.99 * 400


def test_values_that_tie_are_not_taken_for_a_trend() -> None:
    ticks = np.random.default_rng(4).integers(0, 2, size=200).astype(float)
    assert effective_number(ticks) > 100


def test_independent_samples_count_in_full_and_copies_do_not() -> None:
    values = np.random.default_rng(3).normal(size=200)
    assert effective_number(values) > 120
    assert effective_number(np.repeat(values, 4)) < 320
