"""Do two statements come to the same: what is said of their values."""

import math
from typing import Any

import numpy as np
import pytest

from gpuprof.values import agreement

ONES = np.ones(4)
EQUAL, DIFFER = "Results are equal.", "Results differ."


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        (None, None, ""),
        (1, 1, EQUAL),
        (1, 2, DIFFER),
        ("a", "a", EQUAL),
        ([1, 2], [1, 2], EQUAL),
        (1.0, 1.0 + 1e-7, "Results agree to 1e-05."),
        (1.0, 1.1, DIFFER),
        (1, None, DIFFER),
        (object(), object(), ""),
    ],
)
def test_plain_values_are_compared_as_they_are(first: object, second: object, says: str) -> None:
    assert agreement(first, second) == says


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        (ONES, ONES.copy(), EQUAL),
        (ONES, ONES * (1 + 1e-12), "Results agree to 1e-12 of the largest element."),
        (ONES, ONES * 1.5, "Results differ: by 0.33 of the largest element."),
        (ONES, np.ones((2, 2)), r"Results differ: shape (4,) against (2, 2)."),
        (ONES, (ONES, ONES), "Results differ: 1 arrays against 2."),
        (ONES, None, "Results differ: 1 arrays against 0."),
        ((ONES, {"x": ONES}), (ONES, {"x": ONES}), EQUAL),
        (np.zeros(4), np.zeros(4), EQUAL),
        (np.zeros(0), np.zeros(0), EQUAL),
        (np.array([True, False]), np.array([True, False]), EQUAL),
        (np.array([1, 2]), np.array([1, 3]), "Results differ: by 0.33 of the largest element."),
        (np.array(["a"]), np.array(["b"]), "Results differ: by ∞ of the largest element."),
        (np.array([1j]), np.array([1j]), EQUAL),
    ],
)
def test_arrays_are_compared_one_by_one(first: object, second: object, says: str) -> None:
    assert agreement(first, second) == says


@pytest.mark.parametrize(("dtype", "near", "far"), [("float16", 5e-3, 5e-2), ("float32", 5e-6, 1e-4)])
def test_how_near_is_near_depends_on_the_type(dtype: str, near: float, far: float) -> None:
    x = np.linspace(0, 1, 64)
    assert agreement(x.astype(dtype), (x * (1 + near)).astype(dtype)).startswith("Results agree to ")
    assert agreement(x.astype(dtype), (x * (1 + far)).astype(dtype)).startswith("Results differ")


def test_of_two_types_the_coarser_decides() -> None:
    assert agreement(ONES.astype("float32"), ONES * (1 + 1e-6)).startswith("Results agree to ")
    assert agreement(ONES, ONES * (1 + 1e-6)).startswith("Results differ")


def test_nan_in_the_same_places_is_equal() -> None:
    assert agreement(np.array([1.0, math.nan]), np.array([1.0, math.nan])) == EQUAL


@pytest.mark.parametrize("other", [math.nan, math.inf])
def test_a_number_against_none_differs(other: float) -> None:
    assert agreement(np.array([1.0, 2.0]), np.array([1.0, other])).startswith("Results differ")


def test_an_infinity_of_the_other_sign_differs() -> None:
    assert agreement(np.array([1.0, math.inf]), np.array([1.0, -math.inf])).startswith("Results differ")


def test_values_that_cannot_be_compared_are_not() -> None:
    class Sulking:
        def __eq__(self, other: object) -> Any:
            raise RuntimeError("no")

        __hash__ = None

    assert agreement(Sulking(), Sulking()) == ""


def test_unsigned_numbers_do_not_wrap_around() -> None:
    found = agreement(np.array([0, 4], dtype="uint8"), np.array([1, 4], dtype="uint8"))
    assert found == "Results differ: by 0.25 of the largest element."
