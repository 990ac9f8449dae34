"""Which of two is faster: quartets, intervals and the word."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from gpuprof.judge.ratio import (
    MOST,
    Estimate,
    chi_square,
    decide,
    log_ratio,
    needed,
    orders,
    planned,
    trimmed_interval,
)

FLOOR = 0.005


def test_the_two_orders_are_equally_frequent_and_shuffled() -> None:
    drawn = orders(40, np.random.default_rng(0))
    assert drawn.count("ABBA") == drawn.count("BAAB") == 20
    assert drawn != sorted(drawn)
    assert drawn != orders(40, np.random.default_rng(1))


def test_an_odd_number_of_quartets_has_either_order_once_more() -> None:
    firsts = {orders(1, np.random.default_rng(seed))[0] for seed in range(20)}
    assert firsts == {"ABBA", "BAAB"}
    assert orders(0, np.random.default_rng(0)) == []


@pytest.mark.parametrize(("order", "times"), [("ABBA", (2, 1, 1, 2)), ("BAAB", (1, 2, 2, 1))])
def test_b_in_half_the_time_is_log_two(order: str, times: tuple[float, ...]) -> None:
    assert log_ratio(order, times) == pytest.approx(math.log(2))


@pytest.mark.parametrize("order", ["ABBA", "BAAB"])
def test_a_drift_along_the_quartet_cancels(order: str) -> None:
    assert log_ratio(order, np.exp([0.0, 0.1, 0.2, 0.3])) == pytest.approx(0)


def test_an_order_and_times_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="got 3 for 'ABBA'"):
        log_ratio("ABBA", (1, 2, 3))


def test_the_trimmed_interval_is_that_of_the_textbook() -> None:
    # winsorised 1 1 2 … 7 8 8: squares about 4.5 are 2 (3.5² + 3.5² + 2.5² + 1.5² + 0.5²) = 66.5; t(0.995, 7) = 3.4995
    found = trimmed_interval([9, 0, 1, 2, 3, 4, 5, 6, 7, 8])
    half = 3.4995 * math.sqrt(66.5 / (8 * 7))
    assert found == pytest.approx((4.5, 4.5 - half, 4.5 + half), rel=1e-4)


def test_an_outlier_at_either_end_leaves_the_estimate() -> None:
    assert trimmed_interval([*range(9), 1000]) == trimmed_interval([*range(9), 9])


def test_two_values_have_no_interval() -> None:
    assert math.isnan(trimmed_interval([1, 2]).low)
    assert math.isnan(trimmed_interval([]).value)


def test_the_trimmed_interval_covers_99_times_in_100() -> None:
    draws = np.random.default_rng(2).standard_t(3, size=(2000, 30))
    covered = sum(i.low <= 0 <= i.high for i in map(trimmed_interval, draws))
    assert 0.98 <= covered / 2000 <= 0.998


@pytest.mark.parametrize(("freedom", "value"), [(7, 2.833), (9, 4.168), (30, 20.599)])
def test_chi_square_is_that_of_the_tables(freedom: int, value: float) -> None:
    assert chi_square(0.1, freedom) == pytest.approx(value, rel=0.01)


def test_nine_plans_of_ten_reach_the_width() -> None:
    rng = np.random.default_rng(3)
    reached = 0
    for _ in range(500):
        count = planned(rng.normal(0, 0.01, 10), 0.0025)
        found = trimmed_interval(rng.normal(0, 0.01, count))
        reached += (found.high - found.low) / 2 <= 0.0025
    assert 0.85 <= reached / 500 <= 0.96


def test_a_pilot_of_two_is_refused() -> None:
    with pytest.raises(ValueError, match="got 2"):
        planned([1.0, 2.0], 0.1)


def test_a_pilot_without_spread_is_enough_and_one_with_much_is_capped() -> None:
    assert planned([0.0] * 10, 0.001) == 10
    assert planned(np.arange(10.0), 1e-9) == MOST


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (0.006, 0.02, "FASTER"),
        (-0.02, -0.006, "SLOWER"),
        (-0.004, 0.004, "SAME"),
        (0.001, 0.004, "SAME"),
        (0.004, 0.006, "UNCLEAR"),
        (-0.02, 0.02, "UNCLEAR"),
        (math.nan, math.nan, "UNCLEAR"),
    ],
)
def test_the_word_is_where_the_whole_interval_lies(low: float, high: float, word: str) -> None:
    assert decide(Estimate((low + high) / 2, low, high), FLOOR) == word


def test_a_clear_answer_takes_as_many_quartets_as_shrink_the_interval_to_the_floor() -> None:
    above, below = math.log1p(FLOOR) + 0.002, math.log1p(FLOOR) - 0.002
    assert needed([0.0] * 40, Estimate(above, above - 0.004, above + 0.004), FLOOR) == 160
    assert needed([0.0] * 40, Estimate(below, below - 0.004, below + 0.004), FLOOR) == 160
    assert needed([0.0] * 40, Estimate(FLOOR, 0.0, 0.01), FLOOR) == MOST


def noise(kind: str, rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Log times of `count` quartets, four a row, of 1 % noise."""
    shape = (count, 4)
    match kind:
        case "heavy":
            return rng.standard_t(3, size=shape) * 0.01 / math.sqrt(3)
        case "drift":
            return rng.normal(0, 0.01, shape) + np.linspace(0, 0.1, count * 4).reshape(shape)
        case "alike":
            steps = rng.normal(0, 0.008, count * 4 + 30)
            return np.convolve(steps, 0.6 ** np.arange(30))[30 : 30 + count * 4].reshape(shape)
        case "outliers":
            return rng.normal(0, 0.01, shape) + (rng.uniform(size=shape) < 0.01) * rng.uniform(0, 2, shape)
    return rng.normal(0, 0.01, shape)


def answer(kind: str, rng: np.random.Generator, effect: float) -> str:
    """The word after a pilot of 10 quartets and the one look that it plans, of 400 quartets at most."""
    drawn = orders(400, rng)
    logs = noise(kind, rng, 400)
    is_a = np.array([[letter == "A" for letter in order] for order in drawn])
    signs = np.where(is_a, 0.5, -0.5)
    values = ((logs + effect * is_a) * signs).sum(axis=1)
    count = min(400, planned(values[:10], FLOOR / 2))
    return decide(trimmed_interval(values[:count]), FLOOR)


@pytest.mark.parametrize("kind", ["normal", "heavy", "drift", "alike", "outliers"])
def test_two_that_are_the_same_are_called_so(kind: str) -> None:
    rng = np.random.default_rng(4)
    words = [answer(kind, rng, 0.0) for _ in range(2000 if kind == "normal" else 600)]
    assert sum(word in ("FASTER", "SLOWER") for word in words) <= 0.01 * len(words)
    assert words.count("SAME") >= 0.9 * len(words)


@pytest.mark.parametrize("kind", ["normal", "heavy", "drift", "alike", "outliers"])
def test_a_difference_of_two_per_cent_is_found(kind: str) -> None:
    rng = np.random.default_rng(5)
    words = [answer(kind, rng, 0.02) for _ in range(400)]
    assert words.count("FASTER") >= 0.95 * len(words)
    assert [answer(kind, rng, -0.02) for _ in range(50)].count("SLOWER") >= 45
