import numpy as np
import pytest

from cnn import Dense
from cnn.xp import to_cpu
from tests.cnn.gradient_check import check_layer


@pytest.mark.parametrize("act", ["ReLU", "sigmoid", "tanh", "softmax", "identity"])
@pytest.mark.parametrize("x_shape", [(3, 8), (3, 2, 2, 2)])
def test_the_gradients_agree_with_differences(xp, mode, act, x_shape):
    x = xp.asarray(np.random.default_rng(0).standard_normal(x_shape))
    check_layer(Dense(8, 5, act=act, wb_width=0.5, dtype="float64", mode=mode, seed=1), x)


@pytest.mark.torch
@pytest.mark.parametrize(("N", "prev", "n"), [(1, 3, 2), (5, 7, 4), (8, 1960, 100)])
def test_forward_and_backward_are_those_of_pytorch(xp, mode, N, prev, n):
    torch = pytest.importorskip("torch")
    layer = Dense(prev, n, dtype="float64", mode=mode, seed=1)
    rng = np.random.default_rng(2)
    x, dy = xp.asarray(rng.standard_normal((N, prev))), xp.asarray(rng.standard_normal((N, n)))
    y = layer.forward(x)
    dx = layer.backward(dy)
    tx, tW, tb = (torch.tensor(to_cpu(a), requires_grad=True) for a in (x, layer.W, layer.b))
    ty = torch.relu(tx @ tW + tb)
    ty.backward(torch.tensor(to_cpu(dy)))
    for ours, theirs in ((y, ty.detach()), (dx, tx.grad), (layer.dW, tW.grad), (layer.db, tb.grad)):
        np.testing.assert_allclose(to_cpu(ours), theirs.numpy(), rtol=1e-9, atol=1e-11)


def test_images_are_flattened_and_their_gradient_has_their_shape(xp, mode):
    layer = Dense(12, 5, mode=mode)
    assert layer.forward(xp.ones((2, 3, 2, 2), dtype="float32")).shape == (2, 5)
    assert layer.backward(xp.ones((2, 5), dtype="float32")).shape == (2, 3, 2, 2)


def test_weights_are_in_by_out():
    layer = Dense(prev=4, n=3)
    assert (layer.W.shape, layer.b.shape, layer.n_parameters) == ((4, 3), (3,), 15)


def test_an_input_of_another_size_is_refused(xp, mode):
    with pytest.raises(ValueError, match=r"hidden\.forward expects x of shape \(N, 4\) .* got \(2, 5\)"):
        Dense(4, 3, name="hidden", mode=mode).forward(xp.zeros((2, 5)))


def test_the_cost_is_two_flops_a_multiply_add():
    layer = Dense(1960, 100)
    assert layer.cost("forward", (8, 10, 14, 14)) == (8 * 100 * (2 * 1960 + 2), 4 * (8 * 2060 + 196100))
    assert layer.cost("backward", (8, 10, 14, 14))[0] == 8 * 100 * (4 * 1960 + 3)


@pytest.mark.parametrize("sizes", [(0, 3), (3, -1)])
def test_a_size_below_one_is_refused(sizes):
    with pytest.raises(ValueError, match="expected 1 or more"):
        Dense(*sizes)
