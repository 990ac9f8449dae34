"""Medians and their intervals."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gpuprof.judge.autocorrelation import batch_means, effective_number
from gpuprof.judge.shape import drift, halves_agree, modes
from gpuprof.judge.stats import (
    batch_interval,
    enough,
    looks,
    median_interval,
    outliers,
    t_quantile,
    tick_of,
)


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


def alike(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Normal noise of standard deviation 1 whose neighbours correlate by 0.6."""
    return np.convolve(rng.normal(0, 0.8, n + 40), 0.6 ** np.arange(40))[40 : 40 + n]


def ticking(rng: np.random.Generator, n: int, jitter: float) -> tuple[NDArray[np.float64], float]:
    """About 100 ticks with jitter, in whole ticks, of a clock whose phase is random; and the truth."""
    truth = rng.uniform(100, 101)
    return np.floor(truth + jitter * rng.normal(size=n) + rng.uniform(size=n)), truth


def draw(kind: str, rng: np.random.Generator, n: int) -> tuple[NDArray[np.float64], float]:
    """`n` samples of a kind, and the truth; "2 % normal", "3 % far out alike", "0.5 ticks"."""
    size = float(kind.split()[0])
    if kind.endswith("ticks"):
        return ticking(rng, n, size)
    noise = alike(rng, n) if kind.endswith("alike") else rng.normal(size=n)
    samples = np.exp(size / 100 * noise) if "lognormal" in kind else 1 + size / 100 * noise
    if "far out" in kind:
        samples = np.where(rng.uniform(size=n) < 0.03, samples * rng.uniform(1.1, 10, n), samples)
    return samples, 1.0


def covered(kind: str, count: int, seed: int = 16) -> int:
    """How many of 1000 intervals of `count` samples hold the truth."""
    rng = np.random.default_rng(seed)
    tick = 1.0 if kind.endswith("ticks") else 0.0
    hits = 0
    for _ in range(1000):
        samples, truth = draw(kind, rng, count)
        interval = batch_interval(samples, tick=tick)
        hits += interval.low <= truth <= interval.high
    return hits


@pytest.mark.parametrize("count", [20, 60, 200, 1000])
@pytest.mark.parametrize(
    "kind",
    ["1 % normal", "0.1 % lognormal", "5 % lognormal", "1 % far out", "0 ticks", "0.2 ticks", "1 ticks", "3 ticks"],
)
def test_the_batch_interval_covers_the_truth_95_times_in_100(kind: str, count: int) -> None:
    assert 930 <= covered(kind, count) <= 980


@pytest.mark.parametrize("count", [60, 200, 1000])
@pytest.mark.parametrize("kind", ["1 % alike", "1 % far out alike"])
def test_the_batch_interval_covers_the_truth_where_neighbours_are_alike(kind: str, count: int) -> None:
    hits = sum(covered(kind, count, seed) for seed in (21, 22, 23))  # near the upper end: more runs, to be sure
    assert 3 * 930 <= hits <= 3 * 980


def test_twenty_that_are_alike_cover_a_little_less() -> None:
    assert 915 <= covered("1 % alike", 20) <= 950


@pytest.mark.parametrize(
    ("kind", "precision"),
    [
        ("1 % normal", 0.005),
        ("1 % normal", 0.002),
        ("5 % lognormal", 0.02),
        ("1 % alike", 0.01),
        ("1 % alike", 0.006),
        ("1 % alike", 0.004),
        ("1 % far out", 0.003),
        ("0.2 ticks", 0.001),
        ("1 ticks", 0.002),
    ],
)
def test_stopping_at_the_first_interval_that_is_enough_covers_as_often(kind: str, precision: float) -> None:
    rng = np.random.default_rng(6)
    tick = 1.0 if kind.endswith("ticks") else 0.0
    hits = 0
    for _ in range(1000):
        samples, truth = draw(kind, rng, 2000)
        count = next(n for n in looks() if n == 2000 or enough(samples[:n], precision, tick))
        interval = batch_interval(samples[:count], tick=tick)
        hits += interval.low <= truth <= interval.high
    assert 930 <= hits <= 980


def test_far_out_samples_hardly_move_the_batch_interval() -> None:
    samples = np.random.default_rng(7).normal(1, 0.01, 200)
    with_outliers = np.where(np.arange(200) % 25 == 0, 8.0, samples)
    assert batch_interval(with_outliers).median == pytest.approx(batch_interval(samples).median, abs=0.001)
    assert batch_interval(with_outliers).high < 1.01


def test_five_samples_have_a_median_and_no_batch_interval() -> None:
    interval = batch_interval([3, 1, 2, 5, 4])
    assert interval.median == 3
    assert math.isnan(interval.low)
    assert all(math.isnan(value) for value in batch_interval([]))


def test_equal_samples_are_certain_unless_the_clock_ticks() -> None:
    assert batch_interval([2.0] * 20) == (2.0, 2.0, 2.0)
    assert batch_interval([2.0] * 20, tick=1.0).low < 2 < batch_interval([2.0] * 20, tick=1.0).high


def test_more_confidence_is_a_wider_interval() -> None:
    samples = np.random.default_rng(8).normal(size=40)
    assert batch_interval(samples, 0.99).high > batch_interval(samples, 0.9).high


@given(st.lists(st.floats(-1e6, 1e6), min_size=6, max_size=60))
def test_the_middle_lies_in_the_batch_interval(samples: list[float]) -> None:
    interval = batch_interval(samples)
    assert interval.low <= interval.median <= interval.high


def test_neighbours_that_are_alike_make_batches_of_which_20_remain() -> None:
    rng = np.random.default_rng(9)
    assert len(batch_means(rng.normal(size=500))) == 500
    assert 20 <= len(batch_means(alike(rng, 500))) <= 100
    assert len(batch_means(np.arange(47.0))) == 23
    assert len(batch_means(np.arange(20.0))) == 20


def test_a_tick_is_read_from_ties_and_rounding_is_none() -> None:
    assert tick_of(np.array([101, 101, 100, 102, 101, 100.0])) == 1
    assert tick_of(np.array([0.3, 0.1 + 0.2, 0.3, 0.3, 0.31, 0.31, 0.31])) == pytest.approx(0.01)
    assert tick_of(np.array([1.0, 1.0, 1.0, 2.0, 2.0, 2.0])) == 0
    assert tick_of(np.arange(100.0, 120.0)) == 0


def test_the_looks_grow_by_a_third_to_two_thousand() -> None:
    counts = list(looks())
    assert counts[:3] == [30, 39, 51]
    assert counts[-1] == 2000
    assert all(1.05 < b / a <= 1.32 for a, b in itertools.pairwise(counts))


def test_a_narrow_interval_is_enough_and_a_wide_one_or_few_samples_are_not() -> None:
    samples = np.random.default_rng(10).normal(1, 0.01, 100)
    assert enough(samples, 0.01)
    assert not enough(samples, 0.0005)
    assert not enough(samples[:20], 0.01)


@pytest.mark.parametrize("kind", ["1 % normal", "5 % lognormal", "1 % alike", "1 % far out", "0.2 ticks", "1 ticks"])
@pytest.mark.parametrize("count", [30, 100, 400])
def test_a_steady_run_seldom_drifts_and_has_one_mode(kind: str, count: int) -> None:
    rng = np.random.default_rng(12)
    runs = [draw(kind, rng, count)[0] for _ in range(500)]
    assert sum(drift(samples) != 0 for samples in runs) <= 10
    assert sum(modes(samples) != () for samples in runs) <= 5


@pytest.mark.parametrize("change", [0.03, -0.03])
def test_a_drift_of_three_per_cent_is_found_with_its_sign_and_size(change: float) -> None:
    rng = np.random.default_rng(13)
    found = [drift(1 + rng.normal(0, 0.005, n) + np.linspace(0, change, n)) for n in (100, 300) for _ in range(200)]
    assert sum(value != 0 for value in found) >= 0.95 * 400
    assert np.median(found) == pytest.approx(change, rel=0.1)


def test_few_or_equal_samples_have_no_drift() -> None:
    assert drift([1.0, 2.0, 3.0]) == 0
    assert drift([1.0] * 40) == 0


@pytest.mark.parametrize("share", [0.15, 0.5, 0.85])
@pytest.mark.parametrize("blocks", [True, False])
def test_two_modes_six_sigma_apart_are_found_with_their_shares(share: float, blocks: bool) -> None:
    rng = np.random.default_rng(14)
    found = []
    for _ in range(200):
        above = np.arange(200) < 200 * share if blocks else rng.uniform(size=200) < share
        found.append(modes(1 + rng.normal(0, 0.01, 200) + 0.06 * above))
    clear = [pair for pair in found if pair]
    assert len(clear) >= 190
    (low, rest), (high, part) = np.median(clear, axis=0)
    assert (low, rest, high, part) == pytest.approx((1, 1 - share, 1.06, share), abs=0.02)


def test_two_neighbouring_ticks_are_one_mode_and_two_distant_ones_are_two() -> None:
    samples = np.array([100.0, 101.0] * 30)
    assert modes(samples) == ()
    assert modes(samples, tick=1.0) == ()
    assert modes(samples, tick=0.1) == ((100.0, 0.5), (101.0, 0.5))


def test_outliers_lie_beyond_three_interquartile_ranges() -> None:
    assert outliers([1, 2, 3, 4, 5, 6, 7, 8, 30]).tolist() == [False] * 8 + [True]
    assert not outliers([1, 2, 3, 4, 5, 6, 7, 8, 18]).any()


def test_the_next_tick_is_no_outlier_and_ten_times_as_long_is() -> None:
    assert outliers([100.0] * 18 + [101.0, 1000.0]).tolist() == [False] * 19 + [True]
    assert outliers([2.0] * 19 + [20.0]).sum() == 1
    assert not outliers([2.0] * 20).any()


def test_halves_agree_once_warm_up_is_over() -> None:
    noise = np.random.default_rng(15).normal(0, 0.01, 20)
    assert halves_agree(1 + noise)
    assert not halves_agree(1 + noise + 0.5 * (np.arange(20) < 10))
    assert halves_agree([1.0, 1.0, 1.04, 1.04])
    assert not halves_agree([1.0, 1.0, 1.0])


@pytest.mark.parametrize(
    ("probability", "freedom", "value"),
    [
        (0.975, 2, 4.3027),
        (0.975, 5, 2.5706),
        (0.975, 19, 2.0930),
        (0.975, 100, 1.9840),
        (0.995, 7, 3.4995),
        (0.995, 30, 2.7500),
        (0.995, 1e6, 2.5758),
        (0.95, 3, 2.3534),
    ],
)
def test_students_t_is_that_of_the_tables(probability: float, freedom: float, value: float) -> None:
    assert t_quantile(probability, freedom) == pytest.approx(value, rel=5e-4)
