import copy

import numpy as np
import pytest
from hypothesis import given

from cnn import BatchNorm, LayerManager
from cnn.xp import array_module, to_cpu
from tests.cnn.gradient_check import check_layer
from tests.cnn.oracle import check_against, close
from tests.cnn.strategies import REPEATABLE, dtypes, seeds, st

SHAPES = st.one_of(
    st.tuples(st.integers(1, 5)), st.tuples(*[st.integers(1, 4)] * 2), st.tuples(*[st.integers(1, 4)] * 3)
)


def image(xp, *shape):
    return xp.asarray(np.random.default_rng(6).standard_normal(shape) * 3 + 2)


def stirred(layer, seed=4):
    """The layer with parameters and statistics that are not the first ones."""
    rng = np.random.default_rng(seed)
    for name in ("gamma", "beta", "mean", "var"):
        array = getattr(layer, name)
        array[...] = array_module(layer.mode).asarray(rng.random(array.shape) + 0.5)
    return layer


@pytest.mark.torch
@REPEATABLE
@given(I_shape=SHAPES, N=st.integers(2, 5), train=st.booleans(), dtype=dtypes, momentum=st.floats(0, 0.9), seed=seeds)
def test_forward_backward_and_statistics_are_those_of_pytorch(xp, mode, I_shape, N, train, dtype, momentum, seed):
    torch = pytest.importorskip("torch")
    layer = stirred(BatchNorm(I_shape, momentum, dtype=dtype, mode=mode), seed)
    mean, var = (torch.tensor(to_cpu(array)) for array in (layer.mean, layer.var))

    def function(x, gamma, beta):
        return torch.nn.functional.batch_norm(x, mean, var, gamma, beta, train, momentum, layer.eps)

    check_against(layer, function, N, seed, train=train)
    close(layer.mean, mean, dtype, "mean")
    close(layer.var, var, dtype, "var")


@pytest.mark.parametrize("I_shape", [(4,), (3, 4, 2)])
def test_the_gradients_agree_with_differences(xp, mode, I_shape):
    layer = stirred(BatchNorm(I_shape, dtype="float64", mode=mode))
    check_layer(layer, image(xp, 3, *I_shape), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("I_shape", [(4,), (3, 4, 2)])
def test_a_batch_comes_out_with_mean_0_and_variance_1_a_channel(xp, mode, I_shape):
    y = to_cpu(BatchNorm(I_shape, eps=0, dtype="float64", mode=mode).forward(image(xp, 9, *I_shape), train=True))
    axes = (0, *range(2, y.ndim))
    np.testing.assert_allclose(y.mean(axis=axes), 0, atol=1e-12)
    np.testing.assert_allclose(y.var(axis=axes), 1, rtol=1e-12)


def test_the_running_statistics_take_their_share_of_each_batch(xp, mode):
    layer = BatchNorm(1, momentum=0.25, dtype="float64", mode=mode)
    layer.forward(xp.asarray([[3.0], [5.0]]), train=True)
    assert (float(layer.mean[0]), float(layer.var[0])) == (0.25 * 4, 0.75 * 1 + 0.25 * 2)


def test_an_evaluation_uses_and_keeps_the_running_statistics(xp, mode):
    layer = stirred(BatchNorm(2, eps=0, dtype="float64", mode=mode))
    kept = copy.deepcopy(layer)
    x = image(xp, 1, 2)
    y = layer.forward(x)
    expected = (to_cpu(x) - to_cpu(kept.mean)) / np.sqrt(to_cpu(kept.var)) * to_cpu(kept.gamma) + to_cpu(kept.beta)
    np.testing.assert_allclose(to_cpu(y), expected, rtol=1e-12)
    for name in ("mean", "var"):
        np.testing.assert_array_equal(to_cpu(getattr(layer, name)), to_cpu(getattr(kept, name)))


def test_numbers_far_from_0_keep_their_digits(xp, mode):
    x = xp.asarray([[1e4 + 1], [1e4 - 1]], dtype="float32")
    assert to_cpu(BatchNorm(1, eps=0, mode=mode).forward(x, train=True)).ravel().tolist() == [1, -1]


def test_everything_stays_float32(xp, mode):
    layer = BatchNorm((2, 3, 3), mode=mode)
    y = layer.forward(xp.ones((2, 2, 3, 3), dtype="float32"), train=True)
    arrays = (y, layer.backward(y), layer.gamma, layer.beta, layer.dgamma, layer.dbeta, layer.mean, layer.var)
    assert {array.dtype for array in arrays} == {np.dtype("float32")}


def test_gamma_and_beta_are_learned(tiny, mode):
    lm = LayerManager(*tiny, mode=mode, seed=0)
    lm.append(name="c", F_shape=(2, 3, 3), act="identity")
    lm.append(name="norm")
    lm.append(name="a")
    lm.append(name="o", n=3)
    lm.training(2, n_batch=8, show_error=False)
    layer = lm["BatchNorm1"]
    assert layer.n_parameters == 4
    assert layer.optimizer.t == 6
    assert float(abs(layer.gamma - 1).min()) > 0
    assert float(abs(layer.mean).min()) > 0


def test_one_number_a_channel_has_no_variance_to_train_with(xp, mode):
    layer = BatchNorm((3,), name="quiet", mode=mode)
    with pytest.raises(ValueError, match=r"quiet\.forward: a channel has one number in this batch of 1, which has no"):
        layer.forward(xp.ones((1, 3), dtype="float32"), train=True)
    assert layer.forward(xp.ones((1, 3), dtype="float32")).shape == (1, 3)


def test_the_cost_is_seven_operations_a_number_and_four_without_training():
    layer = BatchNorm((3, 4, 4))
    assert layer.cost("forward", (2, 3, 4, 4)) == (7 * 96, 4 * (2 * 96 + 12))
    assert layer.cost("evaluate", (2, 3, 4, 4)) == (4 * 96, 4 * (2 * 96 + 12))
    assert layer.cost("backward", (2, 3, 4, 4)) == (7 * 96, 4 * (3 * 96 + 12))


@pytest.mark.parametrize(
    ("keywords", "error", "text"),
    [
        ({"I_shape": 0}, ValueError, "BatchNorm: I_shape is 0; expected 1 or more"),
        ({"I_shape": (3, -1)}, ValueError, r"a size in BatchNorm: I_shape=\(3, -1\) is -1; expected 1 or more"),
        ({"I_shape": ()}, ValueError, r"BatchNorm: I_shape is \(\); expected one size or more"),
        ({"I_shape": "3"}, TypeError, "BatchNorm: I_shape is '3'; expected a whole number"),
        ({"I_shape": 3, "momentum": 1}, ValueError, "BatchNorm: momentum is 1; expected 0 <= value < 1"),
        ({"I_shape": 3, "eps": -1}, ValueError, "BatchNorm: eps is -1; expected a finite number, 0 or more"),
        ({"I_shape": 3, "opt": "Adan"}, ValueError, "BatchNorm: unknown optimizer 'Adan'; did you mean 'Adam'"),
    ],
)
def test_bad_keywords_are_answered(keywords, error, text):
    with pytest.raises(error, match=text):
        BatchNorm(**keywords)
