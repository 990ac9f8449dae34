"""Near which roof a time is, in exact numbers."""

import math

import pytest

from gpuprof.judge.cost import Ceilings, Cost, bytes_text, rate_text, roof

DEVICE = Ceilings(copy=4e12, flops={"float32": 50e12, "float16": 800e12}, l2=50_000_000)
GUESSED = "inferred from the arrays named, each moved once: a lower bound"

MEMORY_ONLY = "reaches 10 % of the copy rate: not that roof; what its arithmetic reaches is not known"


def given(moved: float | None, flops: float | None = None) -> Cost:
    return Cost(moved, flops, "given")


def test_a_call_near_the_copy_rate_is_at_the_memory_roof() -> None:
    found = roof(given(3.6e9), 1e-3, "float32", DEVICE)
    assert (found.kind, found.share, found.bytes_per_s, found.flops_per_s) == ("bandwidth", 0.9, 3.6e12, None)
    assert found.sentence == "the nearest roof is memory: it moves 90 % of this device's measured copy rate 4.0 TB/s"


def test_a_call_near_the_rate_of_its_type_is_at_the_compute_roof() -> None:
    found = roof(given(0.4e9, 45e9), 1e-3, "float32", DEVICE)
    assert (found.kind, found.share) == ("compute", 0.9)
    assert found.sentence.endswith("it does 90 % of this device's measured float32 rate 50 TFLOP/s")


def test_the_larger_share_names_the_roof() -> None:
    assert roof(given(2.4e9, 35e9), 1e-3, "float32", DEVICE).kind == "compute"
    assert roof(given(3.2e9, 35e9), 1e-3, "float32", DEVICE).kind == "bandwidth"


def test_under_half_of_both_it_is_neither() -> None:
    found = roof(given(0.48e9, 1.5e9), 1e-3, "float32", DEVICE)
    assert (found.kind, found.share) == ("", 0.12)
    assert found.sentence == "reaches 12 % of the copy rate and 3.0 % of float32: neither roof, look at the kernels"


def test_what_fits_into_the_cache_is_not_held_to_the_copy_rate() -> None:
    found = roof(given(4e6, 1e9), 1e-6 * 100, "float32", DEVICE)
    assert found.kind == "L2"
    assert math.isnan(found.share)
    assert found.sentence == (
        "its 4.0 MB fit into the 50 MB L2 cache, so the memory roof does not apply; it reaches 20 % of float32"
    )


def test_what_fits_into_the_cache_can_still_be_at_the_compute_roof() -> None:
    assert roof(given(4e6, 4.5e9), 1e-4, "float32", DEVICE).kind == "compute"


@pytest.mark.parametrize(
    ("cost", "says"),
    [
        (given(5.2e9), "comes to 130 % of this device's measured copy rate 4.0 TB/s, which cannot be"),
        (given(None, 65e9), "comes to 130 % of this device's measured float32 rate 50 TFLOP/s, which cannot be"),
    ],
)
def test_more_than_a_ceiling_is_no_triumph(cost: Cost, says: str) -> None:
    found = roof(cost, 1e-3, "float32", DEVICE)
    assert (found.kind, found.share) == ("", 1.3)
    assert says in found.sentence


def test_an_inferred_cost_is_called_a_lower_bound() -> None:
    sentence = roof(Cost(3.6e9, None, GUESSED), 1e-3, "float32", DEVICE).sentence
    assert "moves at least 90 %" in sentence
    assert sentence.endswith(f"({GUESSED})")


@pytest.mark.parametrize(
    ("cost", "dtype", "says"),
    [
        (given(0.4e9), "float32", MEMORY_ONLY),
        (given(0.4e9, 9e9), "float64", MEMORY_ONLY),
        (given(None, 5e9), "float32", "reaches 10 % of float32: not that roof; its bytes are not known"),
        (given(None, 5e9), "float64", ""),
    ],
)
def test_what_is_not_known_is_not_claimed(cost: Cost, dtype: str, says: str) -> None:
    assert roof(cost, 1e-3, dtype, DEVICE).sentence == says


@pytest.mark.parametrize("seconds", [math.nan, 0.0, math.inf])
def test_without_a_time_there_is_no_roof(seconds: float) -> None:
    found = roof(given(1e9), seconds, "float32", DEVICE)
    assert (found.kind, found.bytes_per_s, found.sentence) == ("", None, "")


def test_without_a_cost_there_is_no_roof() -> None:
    assert roof(Cost(None, None, ""), 1e-3, "float32", DEVICE).sentence == ""


def test_rates_and_sizes_read_with_two_digits() -> None:
    assert rate_text(4.23e12, "B/s") == "4.2 TB/s"
    assert rate_text(52.4e12, "FLOP/s") == "52 TFLOP/s"
    assert (bytes_text(4e6), bytes_text(62_914_560), bytes_text(12)) == ("4.0 MB", "63 MB", "12 B")
