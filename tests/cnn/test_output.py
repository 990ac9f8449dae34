import numpy as np
import pytest

from cnn import Output
from cnn.losses import Binary, Cross, Square
from cnn.xp import to_cpu
from tests.cnn.gradient_check import numerical_gradient

PAIRS = [
    ("softmax", "Cross"),
    ("softmax", "Binary"),
    ("softmax", "Square"),
    ("sigmoid", "Binary"),
    ("sigmoid", "Square"),
    ("softmin", "Cross"),
    ("softmin", "Square"),
    ("hard sigmoid", "Binary"),
]


@pytest.mark.parametrize("act", ["identity", "tanh", "ReLU", "log softmax"])
def test_yes_or_no_of_what_is_not_between_0_and_1_is_refused(act):
    with pytest.raises(ValueError, match=f"Output: err_func='Binary' needs .* between 0 and 1, .* act='{act}'"):
        Output(2, 2, act, "Binary")


@pytest.mark.parametrize("t", [None, 3, [[1, 0], [0, 1], [1, 0]], "abc"])
def test_get_error_of_what_is_no_array_says_so(xp, mode, t):
    layer = Output(2, 2, mode=mode)
    layer.forward(xp.zeros((3, 2), dtype="float32"))
    with pytest.raises(TypeError, match=r"Output\.get_error expects the targets as an array; got a "):
        layer.get_error(t)


@pytest.mark.parametrize(("act", "err_func"), [*PAIRS, ("identity", "Square"), ("tanh", "Square")])
def test_the_gradients_are_those_of_the_mean_loss(xp, mode, act, err_func):
    layer = Output(4, 3, act, err_func, wb_width=0.5, dtype="float64", mode=mode, seed=2)
    x, t = xp.asarray(np.random.default_rng(1).standard_normal((5, 4))), xp.asarray(np.eye(3)[[0, 1, 2, 1, 0]])

    def error():
        layer.forward(x)
        return layer.get_error(t)

    error()
    written = {"x": layer.backward(t), "W": layer.dW, "b": layer.db}
    for name, gradient in written.items():
        numerical = numerical_gradient(error, x if name == "x" else getattr(layer, name))
        np.testing.assert_allclose(to_cpu(gradient), numerical, rtol=1e-6, atol=1e-9, err_msg=name)


@pytest.mark.torch
def test_softmax_and_cross_entropy_are_those_of_pytorch(xp, mode):
    torch = pytest.importorskip("torch")
    layer = Output(4, 3, dtype="float64", mode=mode, seed=2)
    x, labels = xp.asarray(np.random.default_rng(1).standard_normal((5, 4))), [0, 1, 2, 1, 0]
    t = xp.asarray(np.eye(3)[labels])
    layer.forward(x)
    dx = layer.backward(t)
    tx, tW, tb = (torch.tensor(to_cpu(a), requires_grad=True) for a in (x, layer.W, layer.b))
    loss = torch.nn.functional.cross_entropy(tx @ tW + tb, torch.tensor(labels))
    loss.backward()
    np.testing.assert_allclose(float(layer.get_error(t)), loss.item(), rtol=1e-12)
    np.testing.assert_allclose(to_cpu(dx), tx.grad.numpy(), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(to_cpu(layer.dW), tW.grad.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("act", "x"), [("softmax", 100.0), ("softmin", -100.0), ("sigmoid", 100.0)])
def test_neither_the_error_nor_the_gradient_of_sure_and_wrong_outputs_is_cut_off(xp, mode, act, x):
    layer = Output(2, 2, act, mode=mode)
    layer.W, layer.b = xp.eye(2, dtype="float32"), xp.zeros(2, dtype="float32")
    layer.forward(xp.asarray([[x, -x]]))
    t = xp.asarray([[0.0, 1.0]])
    assert float(layer.get_error(t)) == 200.0
    assert to_cpu(layer.backward(t)).tolist() == [[1.0, -1.0] if act != "softmin" else [-1.0, 1.0]]


def test_identity_and_square_are_linear_regression(xp, mode):
    layer = Output(2, 1, "identity", "Square", mode=mode, dtype="float64", seed=0)
    x, t = xp.asarray([[1.0, 2.0]]), xp.asarray([[5.0]])
    y = layer.forward(x)
    layer.backward(t)
    np.testing.assert_allclose(to_cpu(layer.db), to_cpu(y - t)[0])


def test_get_error_before_forward_says_what_is_missing(xp, mode):
    with pytest.raises(RuntimeError, match=r"Output\.get_error: there is no output yet"):
        Output(2, 2, mode=mode).get_error(xp.zeros((1, 2)))


def test_get_error_with_the_targets_of_other_images_says_so(xp, mode):
    layer = Output(2, 2, mode=mode)
    layer.forward(xp.zeros((3, 2), dtype="float32"))
    with pytest.raises(ValueError, match=r"the last forward gave \(3, 2\), the targets are \(4, 2\); call forward"):
        layer.get_error(xp.zeros((4, 2)))


def test_an_unknown_loss_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="unknown err_func 'hinge'; known: Cross, Binary, Square"):
        Output(2, 2, err_func="hinge")


@pytest.mark.parametrize(
    ("act", "partner"),
    [("softmax", Cross), ("softmin", Cross), ("sigmoid", Binary), ("identity", Square), ("tanh", Square)],
)
def test_the_loss_is_the_activation_s_partner_by_default(act, partner):
    assert type(Output(2, 2, act).loss) is partner


@pytest.mark.parametrize(("act", "partner"), [("sigmoid", "Binary"), ("identity", "Square"), ("ReLU", "Square")])
def test_cross_entropy_of_what_is_no_distribution_is_refused(act, partner):
    with pytest.raises(ValueError, match=f"Output: err_func='Cross' needs .* act='{act}' .*err_func='{partner}'"):
        Output(2, 2, act, "Cross")


@pytest.mark.parametrize(("act", "err_func"), [*PAIRS, ("identity", "Square")])
def test_a_batch_twice_over_has_the_same_weight_gradients(xp, mode, act, err_func):
    layer = Output(4, 3, act, err_func, wb_width=0.5, dtype="float64", mode=mode, seed=2)
    x, t = xp.asarray(np.random.default_rng(1).standard_normal((3, 4))), xp.asarray(np.eye(3)[[0, 2, 1]])
    layer.forward(x)
    layer.backward(t)
    once = to_cpu(layer.dW), to_cpu(layer.db)
    layer.forward(xp.concatenate([x, x]))
    layer.backward(xp.concatenate([t, t]))
    for ours, twice in zip(once, (layer.dW, layer.db), strict=True):
        np.testing.assert_allclose(ours, to_cpu(twice), rtol=1e-12)


@pytest.mark.parametrize(("act", "err_func"), [*PAIRS[:2], PAIRS[3], ("softmin", "Cross")])
def test_the_gradients_of_smoothed_targets_are_those_of_the_smoothed_loss(xp, mode, act, err_func):
    layer = Output(4, 3, act, err_func, err_dic={"smoothing": 0.2}, wb_width=0.5, dtype="float64", mode=mode, seed=2)
    x, t = xp.asarray(np.random.default_rng(1).standard_normal((5, 4))), xp.asarray(np.eye(3)[[0, 1, 2, 1, 0]])

    def error():
        layer.forward(x)
        return layer.get_error(t)

    error()
    layer.backward(t)
    np.testing.assert_allclose(to_cpu(layer.dW), numerical_gradient(error, layer.W), rtol=1e-6, atol=1e-9)


def test_a_keyword_that_the_loss_lacks_is_answered_with_the_layer_s_name():
    with pytest.raises(TypeError, match="Output: err_func Square has no keyword 'smoothing'"):
        Output(2, 2, "tanh", err_dic={"smoothing": 0.1})


def test_targets_of_another_type_widen_nothing(xp, mode):
    layer = Output(4, 3, mode=mode)
    layer.forward(xp.ones((2, 4)))
    for t in (xp.asarray([[1, 0, 0], [0, 0, 1]]), xp.asarray([[1.0, 0, 0], [0, 0, 1]])):
        assert layer.backward(t).dtype == layer.dW.dtype == layer.get_error(t).dtype == "float32"
