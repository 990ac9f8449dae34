import numpy as np
import pytest

from cnn.activations import ACTIVATIONS, get_activation
from cnn.xp import to_cpu
from tests.cnn.gradient_check import numerical_gradient


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_derivative_agrees_with_differences(xp, name):
    rng = np.random.default_rng(2)
    x, dy = xp.asarray(rng.uniform(0.1, 2, (3, 4)) * rng.choice([-1, 1], (3, 4))), xp.asarray(rng.random((3, 4)))
    act = get_activation(name)
    dx = act.backward(dy, x, act.forward(x))
    numerical = numerical_gradient(lambda: (act.forward(x) * dy).sum(), x)
    np.testing.assert_allclose(to_cpu(dx), numerical, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_value_and_derivative_are_finite_and_keep_the_dtype_for_large_inputs(xp, name, dtype):
    x = xp.asarray([[-1e4, -100.0, 0.0, 100.0, 1e4]], dtype=dtype)
    act = get_activation(name)
    y = act.forward(x)
    dx = act.backward(xp.ones_like(x), x, y)
    for array in (y, dx):
        assert array.dtype == dtype
        assert array.shape == x.shape
        assert bool(xp.isfinite(array).all())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ReLU", [0, 0, 2]),
        ("step", [0, 0, 1]),
        ("identity", [-1, 0, 2]),
        ("sigmoid", [1 / (1 + np.e), 0.5, 1 / (1 + np.exp(-2))]),
        ("tanh", np.tanh([-1, 0, 2])),
        ("softmax", np.exp([-1, 0, 2]) / np.exp([-1, 0, 2]).sum()),
    ],
)
def test_the_value_is_the_textbook_one(xp, name, expected):
    y = get_activation(name).forward(xp.asarray([[-1.0, 0.0, 2.0]]))
    np.testing.assert_allclose(to_cpu(y)[0], expected, rtol=1e-12)


def test_sigmoid_keeps_the_digits_of_its_small_values(xp):
    y = get_activation("sigmoid").forward(xp.asarray([[-300.0]]))
    np.testing.assert_allclose(to_cpu(y), np.exp(-300.0), rtol=1e-12)


def test_softmax_goes_along_the_channels_of_images(xp):
    y = get_activation("softmax").forward(xp.asarray(np.random.default_rng(0).random((2, 3, 4, 4))))
    np.testing.assert_allclose(to_cpu(y.sum(axis=1)), 1, rtol=1e-12)


def test_a_keyword_of_another_activation_is_refused():
    with pytest.raises(TypeError, match="activation ReLU has no keyword 'slope'; it takes none"):
        get_activation("ReLU", {"slope": 0.1})


def test_an_unknown_activation_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="unknown activation 'relux'; did you mean 'ReLU'"):
        get_activation("relux")
