import numpy as np
import pytest

from cnn import MaxPool2d
from cnn.xp import to_cpu
from tests.cnn.gradient_check import check_layer

CASES = [  # I_shape, pool, stride, pad
    ((3, 6, 6), 2, None, 0),
    ((2, 7, 7), 2, None, 0),
    ((2, 7, 7), 3, 2, 1),
    ((1, 8, 6), 3, 1, 1),
    ((2, 9, 9), 2, 3, 0),
    ((2, 7, 9), (2, 3), None, (1, 1)),
]


def image(xp, I_shape, N=2):
    return xp.asarray(np.random.default_rng(9).standard_normal((N, *I_shape)))


@pytest.mark.torch
@pytest.mark.parametrize(("I_shape", "pool", "stride", "pad"), CASES)
def test_forward_and_backward_are_those_of_pytorch(xp, mode, I_shape, pool, stride, pad):
    torch = pytest.importorskip("torch")
    layer, x = MaxPool2d(I_shape, pool, stride, pad, mode=mode, dtype="float64"), image(xp, I_shape)
    y = layer.forward(x)
    dy = xp.asarray(np.random.default_rng(7).standard_normal(y.shape))
    dx = layer.backward(dy)
    tx = torch.tensor(to_cpu(x), requires_grad=True)
    ty = torch.nn.functional.max_pool2d(tx, pool, stride, pad)
    ty.backward(torch.tensor(to_cpu(dy)))
    np.testing.assert_array_equal(to_cpu(y), ty.detach().numpy())
    np.testing.assert_allclose(to_cpu(dx), tx.grad.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.torch
def test_ties_after_a_relu_go_where_pytorch_sends_them(xp, mode):
    torch = pytest.importorskip("torch")
    x = xp.maximum(image(xp, (2, 8, 8)), 0)
    layer = MaxPool2d((2, 8, 8), 2, mode=mode, dtype="float64")
    dx = layer.backward(xp.ones_like(layer.forward(x)))
    tx = torch.tensor(to_cpu(x), requires_grad=True)
    torch.nn.functional.max_pool2d(tx, 2).sum().backward()
    np.testing.assert_array_equal(to_cpu(dx), tx.grad.numpy())


@pytest.mark.parametrize("route", ["first", "ties"])
@pytest.mark.parametrize(("I_shape", "pool", "stride", "pad"), CASES)
def test_the_gradient_agrees_with_differences_where_nothing_ties(xp, mode, I_shape, pool, stride, pad, route):
    check_layer(MaxPool2d(I_shape, pool, stride, pad, route, mode=mode, dtype="float64"), image(xp, I_shape))


def window_gradient(xp, mode, route, values):
    layer = MaxPool2d((1, 2, 2), 2, route=route, mode=mode)
    layer.forward(xp.asarray(values, dtype="float32").reshape(1, 1, 2, 2))
    return to_cpu(layer.backward(xp.full((1, 1, 1, 1), 5, dtype="float32"))).ravel().tolist()


def test_route_first_gives_a_tie_to_the_first(xp, mode):
    assert window_gradient(xp, mode, "first", [0, 3, 3, 1]) == [0, 5, 0, 0]


def test_route_ties_gives_the_whole_to_each(xp, mode):
    assert window_gradient(xp, mode, "ties", [0, 3, 3, 1]) == [0, 5, 5, 0]


def test_route_article_is_right_for_a_single_window_only(xp, mode):
    assert window_gradient(xp, mode, "article", [0, 3, 3, 1]) == [0, 5, 0, 0]


def test_route_article_writes_every_window_to_all_positions_in_use(xp, mode):
    x = xp.asarray([[[[9, 0, 0, 0], [0, 0, 0, 9]]]], dtype="float32")  # largest at position 0, and at 3
    layer = MaxPool2d((1, 2, 4), 2, route="article", mode=mode)
    layer.forward(x)
    dx = layer.backward(xp.asarray([[[[5, 7]]]], dtype="float32"))
    assert to_cpu(dx)[0, 0].tolist() == [[5, 0, 7, 0], [0, 5, 0, 7]]


@pytest.mark.parametrize("route", ["first", "article"])
def test_max_index_is_the_place_of_the_largest_value(xp, mode, route):
    layer = MaxPool2d((1, 2, 4), 2, route=route, mode=mode)
    layer.forward(xp.asarray([[[[0, 1, 0, 0], [0, 0, 0, 1]]]], dtype="float32"))
    assert layer.max_index.tolist() == [1, 3]


def test_max_index_of_ties_is_a_mask_in_the_type_of_the_data(xp, mode):
    layer = MaxPool2d((1, 2, 4), 2, route="ties", mode=mode)
    layer.forward(xp.asarray([[[[0, 1, 0, 0], [1, 0, 0, 1]]]], dtype="float32"))
    assert layer.max_index.tolist() == [[0, 1, 1, 0], [0, 0, 0, 1]]
    assert layer.max_index.dtype == np.float32


def test_pixels_beyond_the_last_whole_window_are_not_looked_at(xp, mode):
    x = xp.zeros((1, 1, 5, 5), dtype="float32")
    x[..., 4, :] = x[..., 4] = 9
    layer = MaxPool2d((1, 5, 5), 2, mode=mode)
    assert layer.O_shape == (1, 2, 2)
    assert not layer.forward(x).any()
    assert not layer.backward(xp.ones((1, 1, 2, 2), dtype="float32"))[..., 4].any()
    whole = MaxPool2d((1, 5, 5), 2, pad="same", mode=mode)
    assert to_cpu(whole.forward(x))[0, 0].tolist() == [[0, 0, 9], [0, 0, 9], [9, 9, 9]]


@pytest.mark.parametrize("stride", [1, 2])
def test_a_window_with_a_nan_gives_nan_and_its_gradient_to_the_first(xp, mode, stride):
    layer = MaxPool2d((1, 2, 2), 2, stride, mode=mode)
    y = layer.forward(xp.asarray([[[[1, float("nan")], [2, 3]]]], dtype="float32"))
    assert np.isnan(to_cpu(y)).all()
    assert to_cpu(layer.backward(xp.ones_like(y))).ravel().tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize("stride", [2, 1])
def test_a_batch_of_another_size_is_fine(xp, mode, stride):
    layer = MaxPool2d((2, 4, 4), 2, stride, mode=mode, dtype="float64")
    for N in (3, 1, 3, 2):
        x = image(xp, (2, 4, 4), N)
        dx = layer.backward(xp.ones_like(layer.forward(x)))
        assert dx.shape == x.shape
        assert float(dx.sum()) == layer.n * N


def test_padding_never_wins(xp, mode):
    y = MaxPool2d((1, 3, 3), 2, pad=1, mode=mode).forward(xp.full((1, 1, 3, 3), -8.0))
    assert set(to_cpu(y).ravel().tolist()) == {-8.0}


@pytest.mark.parametrize("route", ["first", "ties", "article"])
def test_float32_stays_float32(xp, mode, route):
    layer = MaxPool2d((1, 4, 4), 2, route=route, mode=mode)
    y = layer.forward(xp.ones((2, 1, 4, 4), dtype="float32"))
    assert (y.dtype, layer.backward(y).dtype) == ("float32", "float32")


def test_the_cost_counts_comparisons_and_what_goes_in_and_out():
    layer = MaxPool2d((10, 28, 28), 2)
    assert layer.cost("forward", (8, 10, 28, 28)) == (8 * 1960 * 3, 4 * 8 * (7840 + 1960))
    assert layer.cost("backward", (8, 10, 28, 28)) == (8 * 1960, 4 * 8 * (7840 + 2 * 1960))
    assert layer.cost("update", (8, 10, 28, 28)) == (0, 0)


@pytest.mark.parametrize(
    ("keywords", "error", "text"),
    [
        (
            {"pool": 2, "route": "frist"},
            ValueError,
            r"unknown route 'frist'; did you mean 'first'\? known: first, ties, article",
        ),
        ({"pool": 9}, ValueError, r"Pool: a window of \(9, 9\) is larger"),
        ({"pool": 0}, ValueError, "Pool: pool is 0; expected 1 or more"),
        ({"pool": 2, "pad": 2}, ValueError, "Pool: pad 2 leaves windows of nothing but padding; use less than pool=2"),
    ],
)
def test_bad_keywords_are_answered(keywords, error, text):
    with pytest.raises(error, match=text):
        MaxPool2d((1, 6, 6), **keywords)


def test_the_kind_of_route_is_answered_with_the_layer_s_name():
    with pytest.raises(TypeError, match="mine: route is 3, a int; expected a name out of first, ties, article"):
        MaxPool2d((1, 6, 6), 2, route=3, name="mine")


@pytest.mark.parametrize("route", ["first", "ties"])
def test_windows_come_in_the_order_image_row_column_channel(xp, mode, route):
    x = image(xp, (3, 4, 6)).astype("float32")
    layer = MaxPool2d((3, 4, 6), 2, route=route, mode=mode)
    layer.forward(x)
    windows = to_cpu(x).reshape(2, 3, 2, 2, 3, 2).transpose(0, 2, 4, 1, 3, 5).reshape(-1, 4)
    expected = windows.argmax(axis=1) if route == "first" else windows == windows.max(axis=1, keepdims=True)
    np.testing.assert_array_equal(to_cpu(layer.max_index), expected)
