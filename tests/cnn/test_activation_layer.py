import numpy as np
import pytest

from cnn import ActivationLayer, LayerManager
from cnn.activations import ACTIVATIONS, get_activation
from cnn.xp import to_cpu
from tests.cnn.gradient_check import check_layer

ROUGH = {"step", "RReLU"}  # no derivative to take, or random


def image(xp, *shape):
    return xp.asarray(np.random.default_rng(3).standard_normal(shape))


@pytest.mark.parametrize("act", [name for name in ACTIVATIONS if name not in ROUGH])
@pytest.mark.parametrize("I_shape", [(5,), (3, 2, 4)])
def test_the_gradients_agree_with_differences(xp, mode, act, I_shape):
    layer = ActivationLayer(I_shape, act, dtype="float64", mode=mode)
    check_layer(layer, image(xp, 3, *I_shape), rtol=1e-5, atol=1e-7)


def test_it_is_the_activation_alone(xp, mode):
    layer, x = ActivationLayer((3, 2, 2), "tanh", dtype="float64", mode=mode), image(xp, 2, 3, 2, 2)
    np.testing.assert_allclose(to_cpu(layer.forward(x)), np.tanh(to_cpu(x)), rtol=1e-14)
    assert layer.O_shape == layer.I_shape
    assert layer.optimizer is None
    assert layer.n_parameters == 0
    layer.update()


def test_an_activation_that_learns_does_so_here(tiny, mode):
    lm = LayerManager(*tiny, mode=mode, seed=0)
    lm.append(name="c", F_shape=(2, 3, 3), act="identity")
    lm.append(name="a", act="PReLU", opt="SGD")
    lm.append(name="o", n=3)
    layer = lm["Activation1"]
    before = to_cpu(layer.alpha).copy()
    lm.training(1, show_error=False)
    assert layer.parameter_names == ("alpha",)
    assert before.shape == (2,)
    assert (to_cpu(layer.alpha) != before).all()


def test_it_keeps_the_keywords_of_the_activation():
    assert ActivationLayer(4, "leakyReLU", {"alpha": 0.2}).activation == get_activation("leakyReLU", {"alpha": 0.2})


def test_the_cost_is_one_operation_a_number_and_two_backward():
    layer = ActivationLayer((2, 3))
    assert layer.cost("forward", (5, 2, 3)) == (30, 4 * 60)
    assert layer.cost("backward", (5, 2, 3)) == (60, 4 * 90)
    assert ActivationLayer((2, 3), "identity").cost("forward", (5, 2, 3)) == (0, 0)


@pytest.mark.parametrize(
    ("keywords", "error", "text"),
    [
        ({"act": "relux"}, ValueError, "Activation: unknown activation 'relux'; did you mean"),
        ({"act": "ReLU", "act_dic": {"a": 1}}, TypeError, "Activation: activation ReLU has no keyword 'a'"),
        ({"act": 3}, TypeError, "Activation: activation is 3, a int; expected a name"),
        ({"I_shape": (2, 0)}, ValueError, r"a size in Activation: I_shape=\(2, 0\) is 0; expected 1 or more"),
    ],
)
def test_bad_keywords_are_answered(keywords, error, text):
    with pytest.raises(error, match=text):
        ActivationLayer(**{"I_shape": (2,)} | keywords)
