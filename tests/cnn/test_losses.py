import math

import numpy as np
import pytest

from cnn.activations import Sigmoid
from cnn.losses import LOSSES, Binary, get_loss
from cnn.xp import to_cpu
from tests.cnn.gradient_check import numerical_gradient


@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_agrees_with_differences(xp, name):
    rng = np.random.default_rng(3)
    y, t = xp.asarray(rng.uniform(0.1, 0.9, (4, 3))), xp.asarray(np.eye(3)[[0, 2, 1, 1]])
    loss = get_loss(name)
    np.testing.assert_allclose(
        to_cpu(loss.gradient(y, t)), numerical_gradient(lambda: loss.value(y, t), y), rtol=1e-6, atol=1e-9
    )


@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_twice_over_has_the_same_loss(xp, name):
    y, t = xp.asarray([[0.2, 0.8], [0.5, 0.5]]), xp.asarray([[0.0, 1.0], [1.0, 0.0]])
    loss = get_loss(name)
    once, twice = loss.value(y, t), loss.value(xp.concatenate([y, y]), xp.concatenate([t, t]))
    np.testing.assert_allclose(float(once), float(twice), rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Cross", -np.log(0.8)),
        ("Binary", -np.log(0.8) - np.log(0.7)),
        ("Square", (0.2**2 + 0.3**2) / 2),
    ],
)
def test_the_value_is_the_textbook_one(xp, name, expected):
    value = get_loss(name).value(xp.asarray([[0.8, 0.3]]), xp.asarray([[1.0, 0.0]]))
    np.testing.assert_allclose(float(value), expected, rtol=1e-12)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_sure_and_wrong_answer_costs_much_and_not_infinitely_much(xp, name, dtype):
    y, t = xp.asarray([[1.0, 0.0]], dtype=dtype), xp.asarray([[0.0, 1.0]], dtype=dtype)
    loss = get_loss(name)
    assert np.isfinite(float(loss.value(y, t)))
    assert bool(xp.isfinite(loss.gradient(y, t)).all())
    assert loss.value(y, t).dtype == dtype


@pytest.mark.parametrize("row", [[0.5, 0.2], [2.0, -1.0]])
def test_cross_entropy_refuses_targets_that_are_no_distribution(xp, row):
    with pytest.raises(ValueError, match=r"labels are not one-hot: row 1 is .* expected one 1 and zeros"):
        get_loss("Cross").check_targets(xp.asarray([[1.0, 0.0], row]))


def test_binary_refuses_targets_outside_of_0_to_1(xp):
    with pytest.raises(ValueError, match=r"lie in 0\.\.1; got -1 to 2"):
        get_loss("Binary").check_targets(xp.asarray([[-1.0, 2.0]]))


def test_square_takes_any_targets(xp):
    get_loss("Square").check_targets(xp.asarray([[-1.0, 2.0]]))


def test_an_unknown_loss_is_answered_with_the_known_ones():
    with pytest.raises(
        ValueError, match=r"unknown err_func 'Cros'; did you mean 'Cross'\? known: Cross, Binary, Square"
    ):
        get_loss("Cros")


@pytest.mark.parametrize(("dtype", "end"), [("float32", 25 * math.log(2)), ("float64", 54 * math.log(2))])
def test_binary_cross_entropy_ends_without_a_jump_where_the_output_is_rounded_to_1(xp, dtype, end):
    z = xp.arange(50, dtype=dtype)
    values = [float(Binary().value(y.reshape(1, 1), xp.zeros((1, 1), dtype=dtype))) for y in Sigmoid().forward(z)]
    steps = np.diff(values)
    assert steps.min() >= 0
    assert steps.max() < 2  # and not 70, from 16.6 to the logarithm of the smallest number
    np.testing.assert_allclose(values[-1], end, rtol=1e-6)
