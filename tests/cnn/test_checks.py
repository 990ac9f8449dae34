import math

import numpy as np
import pytest

from cnn.checks import build, check_keywords, choose, naming, number, pair, whole, whole_shape


def test_names_are_found_regardless_of_case_and_punctuation():
    assert choose("activation", "Soft-Max", {"softmax": 1}) == 1


def test_an_unknown_name_is_answered_with_the_nearest_and_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown activation 'Relv'; did you mean 'ReLU'\? known: ReLU, tanh"):
        choose("activation", "Relv", {"ReLU": 1, "tanh": 2})


def test_a_name_that_is_no_string_is_refused():
    with pytest.raises(TypeError, match="route is 3, a int; expected a name out of first, ties"):
        choose("route", 3, {"first": 1, "ties": 2})


def test_an_unknown_keyword_is_answered_with_the_known_ones():
    def func(alpha: float, beta: float) -> None: ...

    with pytest.raises(TypeError, match=r"Adam has no keyword 'alfa'; did you mean 'alpha'\? known: alpha, beta"):
        check_keywords("Adam", func, ["alfa"])


@pytest.mark.parametrize("value", [1.5, "3", None, True, np.True_])
def test_a_size_has_to_be_a_whole_number(value):
    with pytest.raises(TypeError, match=r"n is .*; expected a whole number, 1 or more"):
        whole("n", value)


@pytest.mark.parametrize("value", [0, -2])
def test_a_size_has_to_be_large_enough(value):
    with pytest.raises(ValueError, match=f"n is {value}; expected 1 or more"):
        whole("n", value)


def test_one_number_counts_for_both_axes():
    assert pair("stride", 2) == (2, 2)
    assert pair("stride", (1, 3)) == (1, 3)


def test_a_shape_of_the_wrong_length_is_answered_with_the_letters():
    with pytest.raises(ValueError, match=r"I_shape is \(1, 2\); expected \(C, H, W\)"):
        whole_shape("I_shape", (1, 2), "C, H, W")


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), np.float64(0.5)])
def test_a_number_of_any_kind_becomes_a_python_float(value):
    assert type(number("alpha", value)) is float
    assert number("alpha", value) == 0.5


@pytest.mark.parametrize("value", ["1", True, np.True_, None, np.ones(1)])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(TypeError, match=r"alpha is .*; expected a finite number, 0 or more"):
        number("alpha", value)


@pytest.mark.parametrize("value", [-0.1, 1, math.nan, math.inf])
def test_a_number_has_to_be_within_its_bounds(value):
    with pytest.raises(ValueError, match=f"mu is {value}; expected 0 <= value < 1"):
        number("mu", value, below=1)


def test_naming_says_who_an_error_is_about():
    with pytest.raises(ValueError, match=r"^Conv1: too wide$"), naming("Conv1"):
        raise ValueError("too wide")


def test_an_error_that_takes_no_text_is_named_too():
    with pytest.raises(ValueError, match=r"^Conv1: .*surrogates not allowed$"), naming("Conv1"):
        "\ud800".encode()


def test_a_whole_number_beyond_all_floats_is_refused_as_infinite():
    with pytest.raises(ValueError, match=r"rate is 1000.*; expected a finite number, 0 or more"):
        number("rate", 10**400)


@pytest.mark.parametrize("keywords", [5, [("eta", 1)], "eta"])
def test_keywords_that_are_no_dict_are_refused(keywords):
    with pytest.raises(TypeError, match=r"the keywords of thing dict are .*; expected a dict"):
        build("thing", "a", {"a": dict}, keywords)
