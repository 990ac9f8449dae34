import numpy as np
import pytest

from cnn import Conv2d
from cnn.xp import to_cpu
from tests.cnn.gradient_check import check_layer

CASES = [  # N, I_shape, F_shape, stride, pad
    (2, (1, 6, 6), (3, 3, 3), 1, 1),
    (1, (5, 15, 15), (8, 3, 3), (1, 1), (1, 1)),
    (1, (5, 15, 15), (8, 3, 3), (3, 1), (2, 1)),
    (1, (5, 20, 15), (3, 5, 3), 1, 3),
    (2, (1, 28, 28), (2, 3, 3), 3, 0),  # (I - F) is no multiple of the stride, here and below
    (2, (2, 28, 28), (2, 5, 5), 2, 0),
    (3, (2, 7, 7), (4, 2, 2), 3, 0),
]


def image(xp, N, I_shape):
    return xp.asarray(np.random.default_rng(6).standard_normal((N, *I_shape)))


@pytest.mark.torch
@pytest.mark.parametrize(("N", "I_shape", "F_shape", "stride", "pad"), CASES)
def test_forward_and_backward_are_those_of_pytorch(xp, mode, N, I_shape, F_shape, stride, pad):
    torch = pytest.importorskip("torch")
    layer = Conv2d(I_shape, F_shape, stride, pad, act="identity", dtype="float64", mode=mode, seed=0)
    x = image(xp, N, I_shape)
    y = layer.forward(x)
    dy = xp.asarray(np.random.default_rng(7).standard_normal(y.shape))
    dx = layer.backward(dy)
    tx, tW, tb = (torch.tensor(to_cpu(a), requires_grad=True) for a in (x, layer.W, layer.b))
    ty = torch.nn.functional.conv2d(tx, tW, tb, stride, pad)
    ty.backward(torch.tensor(to_cpu(dy)))
    for ours, theirs in ((y, ty.detach()), (dx, tx.grad), (layer.dW, tW.grad), (layer.db, tb.grad)):
        np.testing.assert_allclose(to_cpu(ours), theirs.numpy(), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(
    ("I_shape", "F_shape", "stride", "pad"),
    [((2, 5, 4), (3, 3, 3), 1, "same"), ((1, 5, 5), (2, 2, 2), 2, "same"), ((2, 5, 6), (2, 2, 3), (2, 1), (0, 1))],
)
@pytest.mark.parametrize("act", ["ReLU", "tanh", "softmax"])
def test_the_gradients_agree_with_differences(xp, mode, I_shape, F_shape, stride, pad, act):
    layer = Conv2d(I_shape, F_shape, stride, pad, act=act, wb_width=0.5, dtype="float64", mode=mode, seed=1)
    check_layer(layer, image(xp, 2, I_shape))


@pytest.mark.parametrize(
    "keywords",
    [
        {"I_shape": (4, 6, 5), "F_shape": (6, 3, 2), "groups": 2},
        {"I_shape": (3, 6, 6), "F_shape": (3, 3, 3), "groups": 3, "stride": 2},
        {"I_shape": (2, 8, 7), "F_shape": (3, 3, 2), "dilation": (2, 3), "pad": "valid"},
        {"I_shape": (2, 7, 7), "F_shape": (2, 2, 3), "dilation": 2, "groups": 2, "stride": (1, 2)},
    ],
)
def test_the_gradients_of_groups_and_dilated_filters_agree_with_differences(xp, mode, keywords):
    layer = Conv2d(**keywords, act="tanh", wb_width=0.5, dtype="float64", mode=mode, seed=1)
    check_layer(layer, image(xp, 2, keywords["I_shape"]))


def test_a_depthwise_convolution_sees_each_channel_alone(xp, mode):
    layer = Conv2d((3, 5, 5), (3, 3, 3), groups=3, act="identity", mode=mode, seed=0)
    x = xp.zeros((1, 3, 5, 5), dtype="float32")
    x[:, 1] = 1
    y = to_cpu(layer.forward(x) - layer.b[:, None, None])
    assert layer.W.shape == (3, 1, 3, 3)
    assert y[0, 1].all()
    assert not y[0, [0, 2]].any()


def test_a_dilated_filter_spans_more_and_keeps_its_weights():
    layer = Conv2d((1, 9, 9), (2, 3, 3), dilation=(2, 4), pad="valid")
    assert layer.W.shape == (2, 1, 3, 3)
    assert layer.O_shape == (2, 5, 1)
    assert Conv2d((1, 9, 9), (2, 3, 3), dilation=2).O_shape == (2, 9, 9)


@pytest.mark.parametrize(("size", "window", "stride"), [(28, 3, 1), (28, 2, 1), (7, 4, 1), (7, 3, 2), (28, 5, 3)])
def test_same_gives_size_over_stride_rounded_up(size, window, stride):
    layer = Conv2d((1, size, size), (2, window, window), stride=stride)
    assert layer.O_shape == (2, -(-size // stride), -(-size // stride))


def test_two_numbers_stand_for_one_channel_and_one_filter():
    layer = Conv2d(I_shape=(6, 5), F_shape=(3, 3), pad=0)
    assert layer.I_shape == (1, 6, 5)
    assert layer.W.shape == (1, 1, 3, 3)
    assert layer.O_shape == (1, 4, 3)


def test_everything_stays_float32(xp, mode):
    layer = Conv2d((1, 5, 5), (2, 3, 3), mode=mode)
    y = layer.forward(xp.ones((2, 1, 5, 5), dtype="float32"))
    dx = layer.backward(y)
    assert {a.dtype for a in (y, dx, layer.W, layer.b, layer.dW, layer.db)} == {np.dtype("float32")}


def test_the_first_weights_are_wb_width_times_a_standard_normal():
    layer = Conv2d((8, 9, 9), (64, 5, 5), wb_width=0.05, seed=0)
    assert abs(layer.W.std() - 0.05) < 0.001
    assert abs(layer.b.std() - 0.05) < 0.02


def test_one_seed_gives_the_same_weights_on_either_device_and_in_either_type(mode):
    here, there = (
        Conv2d((1, 5, 5), (2, 3, 3), seed=8, mode=m, dtype=d) for m, d in (("cpu", "float64"), (mode, "float32"))
    )
    np.testing.assert_array_equal(here.W.astype("float32"), to_cpu(there.W))


def test_col2im_of_the_layer_takes_its_own_filter(xp, mode):
    layer = Conv2d((1, 28, 28), (2, 3, 3), stride=3, pad=0, mode=mode)
    x = image(xp, 2, (1, 28, 28)).astype("float32")
    layer.forward(x)
    assert layer.col2im(layer.cols, x.shape, layer.O_shape).shape == x.shape


def test_col2im_refuses_an_output_shape_that_does_not_follow(xp, mode):
    layer = Conv2d((1, 6, 6), (2, 3, 3), mode=mode)
    with pytest.raises(ValueError, match=r"Conv\.col2im: O_shape ends in \(5, 5\), but .* give \(6, 6\)"):
        layer.col2im(xp.zeros((9, 36)), (1, 1, 6, 6), (5, 5))


def test_the_cost_is_two_flops_a_multiply_add():
    layer = Conv2d((1, 28, 28), (10, 3, 3), pad=1)
    P = 8 * 28 * 28
    assert layer.cost("forward", (8, 1, 28, 28)) == (2 * 10 * 9 * P + 2 * 10 * P, 4 * (P + 10 * P + 100))
    assert layer.cost("backward", (8, 1, 28, 28))[0] == 4 * 10 * 9 * P + 3 * 10 * P + 9 * P


def test_an_input_of_another_shape_is_refused(xp, mode):
    with pytest.raises(ValueError, match=r"edges\.forward expects x of shape \(N, 1, 5, 5\); got \(2, 3, 5, 5\)"):
        Conv2d((1, 5, 5), (2, 3, 3), name="edges", mode=mode).forward(xp.zeros((2, 3, 5, 5)))


@pytest.mark.parametrize(
    ("keywords", "error", "text"),
    [
        (
            {"F_shape": (2, 9, 9), "pad": 1},
            ValueError,
            r"Conv: a window of \(9, 9\) is larger than the padded image, \(7, 7\)",
        ),
        ({"F_shape": (2, 3, 0)}, ValueError, r"KW of Conv: F_shape=\(2, 3, 0\) is 0; expected 1 or more"),
        ({"F_shape": (2, 3, 1.5)}, TypeError, r"KW of .* is 1.5; expected a whole number"),
        ({"F_shape": 3}, ValueError, r"Conv: F_shape is 3; expected \(M, KH, KW\)"),
        ({"F_shape": (2, 3, 3), "stride": 0}, ValueError, "Conv: stride is 0; expected 1 or more"),
        ({"F_shape": (2, 3, 3), "pad": -1}, ValueError, "Conv: pad is -1; expected 0 or more"),
        ({"F_shape": (2, 3, 3), "pad": 0.5}, TypeError, "Conv: pad is 0.5; expected a whole number"),
        ({"F_shape": (2, 3, 3), "pad": "full"}, ValueError, "Conv: pad is 'full'; expected 'same', 'valid', a number"),
        (
            {"F_shape": (2, 3, 3), "pad": 0, "dilation": 3},
            ValueError,
            r"Conv: a window of \(3, 3\) with dilation \(3, 3\), which spans \(7, 7\), is larger than the padded image",
        ),
        ({"F_shape": (2, 3, 3), "dilation": 0}, ValueError, "Conv: dilation is 0; expected 1 or more"),
        (
            {"F_shape": (2, 3, 3), "groups": 2},
            ValueError,
            r"Conv: the channels \(=1\) cannot be cut into groups \(=2\) of the same size",
        ),
        ({"F_shape": (2, 3, 3), "groups": 0}, ValueError, "Conv: groups is 0; expected 1 or more"),
        ({"F_shape": (2, 3, 3), "act": "relux"}, ValueError, "unknown activation 'relux'"),
        ({"F_shape": (2, 3, 3), "opt": "Adan"}, ValueError, r"unknown optimizer 'Adan'; did you mean 'Adam'\?"),
    ],
)
def test_bad_keywords_are_answered(keywords, error, text):
    with pytest.raises(error, match=text):
        Conv2d((1, 5, 5), **keywords)
