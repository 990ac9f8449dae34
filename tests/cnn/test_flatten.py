import numpy as np
import pytest

from cnn import Flatten
from cnn.xp import to_cpu
from tests.cnn.gradient_check import check_layer


def test_images_become_rows_and_gradients_images(xp, mode):
    layer = Flatten((2, 3, 4), mode=mode)
    x = xp.arange(48, dtype="float32").reshape(2, 2, 3, 4)
    y = layer.forward(x)
    assert layer.O_shape == (24,)
    np.testing.assert_array_equal(to_cpu(y), np.arange(48).reshape(2, 24))
    np.testing.assert_array_equal(to_cpu(layer.backward(y)), to_cpu(x))


def test_the_order_is_that_of_the_axes_however_the_numbers_lie(xp, mode):
    x = xp.arange(48, dtype="float32").reshape(3, 2, 2, 4).transpose(1, 0, 2, 3)
    np.testing.assert_array_equal(to_cpu(Flatten((3, 2, 4), mode=mode).forward(x)), to_cpu(x).reshape(2, -1))


def test_the_gradient_agrees_with_differences(xp, mode):
    check_layer(Flatten((2, 3), dtype="float64", mode=mode), xp.asarray(np.random.default_rng(0).random((2, 2, 3))))


def test_it_costs_and_learns_nothing():
    layer = Flatten((2, 3))
    assert layer.cost("forward", (5, 2, 3)) == layer.cost("backward", (5, 6)) == layer.cost("update", None) == (0, 0)
    assert (layer.n_parameters, layer.multiply_adds) == (0, 0)


def test_an_input_of_another_shape_is_refused(xp, mode):
    with pytest.raises(ValueError, match=r"rows\.forward expects x of shape \(N, 2, 3\); got \(5, 3, 2\)"):
        Flatten((2, 3), name="rows", mode=mode).forward(xp.zeros((5, 3, 2)))


def test_a_size_of_zero_is_refused():
    with pytest.raises(ValueError, match=r"a size in Flatten: I_shape=\(2, 0\) is 0; expected 1 or more"):
        Flatten((2, 0))
