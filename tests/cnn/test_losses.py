import math

import numpy as np
import pytest

from cnn.activations import Identity, Sigmoid, Softmax
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


@pytest.mark.parametrize("t", [[[0.5, math.nan]], [[math.inf, 0.0]], [[math.nan, 1.0]]])
@pytest.mark.parametrize("name", LOSSES)
def test_targets_that_are_not_finite_are_refused(xp, name, t):
    with pytest.raises(ValueError, match=f"not one-hot|err_func='{name}'"):
        get_loss(name).check_targets(xp.asarray(t))


@pytest.mark.parametrize("name", LOSSES)
def test_class_numbers_are_answered_with_how_to_encode_them(xp, name):
    with pytest.raises(ValueError, match=r"targets have shape \(3,\); expected \(N, n\).* numpy\.eye"):
        get_loss(name).check_targets(xp.asarray([0, 2, 1]))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(("act", "name"), [(Softmax(), "Cross"), (Sigmoid(), "Binary")])
def test_the_shortcut_is_what_the_whole_derivative_gives(xp, act, name, smoothing):
    rng = np.random.default_rng(4)
    z, t = xp.asarray(rng.normal(scale=5, size=(6, 4))), xp.asarray(np.eye(4)[rng.integers(4, size=6)])
    loss = get_loss(name, {"smoothing": smoothing})
    y = act.forward(z)
    whole = act.backward(loss.gradient(y, t), z, y)
    np.testing.assert_allclose(to_cpu(whole), to_cpu((y - loss.targets(t)) / 6), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("keywords", [{}, {"smoothing": 0.1}])
@pytest.mark.parametrize(
    ("act", "name"), [(Softmax(), "Cross"), (Sigmoid(), "Binary"), (Identity(), "Square")], ids=["C", "B", "S"]
)
def test_the_value_from_the_sums_is_that_of_the_outputs(xp, act, name, keywords):
    rng = np.random.default_rng(4)
    z, t = xp.asarray(rng.normal(scale=3, size=(6, 4))), xp.asarray(np.eye(4)[rng.integers(4, size=6)])
    loss = get_loss(name, {} if name == "Square" else keywords)
    np.testing.assert_allclose(float(loss.of_sums(z, t)), float(loss.value(act.forward(z), t)), rtol=1e-12)


@pytest.mark.parametrize(("name", "cost"), [("Cross", 2e4), ("Binary", 2e4)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_from_the_sums_a_sure_and_wrong_answer_costs_what_it_is_off(xp, name, cost, dtype):
    z, t = xp.asarray([[1e4, -1e4]], dtype=dtype), xp.asarray([[0, 1]], dtype=dtype)
    value = get_loss(name).of_sums(z, t)
    assert value.dtype == dtype
    np.testing.assert_allclose(float(value), cost, rtol=1e-6)


@pytest.mark.parametrize(("name", "even"), [("Cross", 1 / 3), ("Binary", 1 / 2)])
def test_smoothing_is_the_loss_of_targets_mixed_with_even_ones(xp, name, even):
    rng = np.random.default_rng(3)
    y, t = xp.asarray(rng.uniform(0.1, 0.9, (4, 3))), xp.asarray(np.eye(3)[[0, 2, 1, 1]])
    smooth, plain, mixed = get_loss(name, {"smoothing": 0.3}), get_loss(name), 0.7 * t + 0.3 * even
    np.testing.assert_allclose(float(smooth.value(y, t)), float(plain.value(y, mixed)), rtol=1e-12)
    np.testing.assert_allclose(to_cpu(smooth.gradient(y, t)), to_cpu(plain.gradient(y, mixed)), rtol=1e-12)
    np.testing.assert_allclose(
        to_cpu(smooth.gradient(y, t)), numerical_gradient(lambda: smooth.value(y, t), y), rtol=1e-6, atol=1e-9
    )


@pytest.mark.parametrize(
    ("name", "keywords", "error", "text"),
    [
        ("Cross", {"smoothing": 1}, ValueError, "Cross: smoothing is 1; expected 0 <= value < 1"),
        ("Binary", {"smoothing": -0.1}, ValueError, "Binary: smoothing is -0.1"),
        ("Cross", {"smothing": 0.1}, TypeError, "err_func Cross has no keyword 'smothing'; did you mean 'smoothing'"),
        ("Square", {"smoothing": 0.1}, TypeError, "err_func Square has no keyword 'smoothing'; it takes none"),
    ],
)
def test_wrong_keywords_are_refused(name, keywords, error, text):
    with pytest.raises(error, match=text):
        get_loss(name, keywords)


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
