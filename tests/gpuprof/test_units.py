"""Seconds and shares as text."""

import math

import pytest

from gpuprof.units import bar, column_unit, count, digits, percent, seconds_text, several, unit_for


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 µs"),
        (8.7e-7, "870 ns"),
        (1.234e-5, "12.3 µs"),
        (2.64e-3, "2.64 ms"),
        (1.783, "1.78 s"),
        (835.0, "835 s"),
        (math.nan, ""),
    ],
)
def test_a_time_reads_in_its_own_unit_with_three_digits(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


def test_one_unit_suits_a_column_by_its_largest_value() -> None:
    assert unit_for([1e-6, 3e-3, math.nan]) == (1e-3, "ms")


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.873, "87 %"),
        (0.0043, "0.4 %"),
        (0.0, "0 %"),
        (1.0, "100 %"),
        (0.9964, "99.6 %"),
        (1e-5, "<0.1 %"),
        (math.nan, ""),
    ],
)
def test_a_share_reads_as_a_percentage(share: float, text: str) -> None:
    assert percent(share) == text


def test_a_column_of_widely_different_times_is_in_the_smallest_unit_below_ten_thousand() -> None:
    assert [column_unit([3e-8, largest])[1] for largest in (1.22, 74e-3, 2e-3, 4e-6, 0.0)] == [
        "ms",
        "ms",
        "µs",
        "ns",
        "ns",
    ]


def test_digits_never_use_an_exponent() -> None:
    assert [digits(value) for value in (123456.0, 0.00001234, math.inf)] == ["123456", "0.0000123", "∞"]


@pytest.mark.parametrize(("share", "text"), [(1.0, "██████"), (0.5, "███"), (0.001, "▏"), (0.0, ""), (math.nan, "")])
def test_a_bar_is_as_long_as_its_share(share: float, text: str) -> None:
    assert bar(share) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (245_862_400, "245 862 400"),
        (1234.4, "1 234"),
        (55.0, "55"),
        (54.999, "55"),
        (2.25, "2.2"),
        (0.25, "0.25"),
        (0.004, "0.0040"),
        (0, "0"),
        (math.nan, ""),
    ],
)
def test_a_count_has_its_thousands_apart(value: float, text: str) -> None:
    assert count(value) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 batches"), (1, "1 batch"), (1.0, "1 batch"), (0.5, "0.50 batches"), (1500, "1 500 batches")],
)
def test_one_thing_is_not_several(number: float, text: str) -> None:
    assert several(number, "batch", "batches") == text
    assert several(number, "step") == text.replace("batches", "steps").replace("batch", "step")
