import numpy as np
import pytest
from hypothesis import given

from cnn import AvgPool2d
from cnn.xp import to_cpu
from tests.cnn.gradient_check import check_layer
from tests.cnn.oracle import check_against
from tests.cnn.strategies import REPEATABLE, dtypes, poolings, seeds, st

CASES = [  # I_shape, pool, stride, pad
    ((3, 6, 6), 2, None, 0),
    ((2, 7, 7), 2, None, "same"),
    ((2, 7, 7), 3, 2, 1),
    ((1, 8, 6), (3, 2), 1, (1, 0)),
    ((2, 9, 9), 2, 3, 0),
]


def pooled(xp, mode, values, **keywords):
    x = xp.asarray(values, dtype="float32")[None, None]
    return to_cpu(AvgPool2d(x.shape[2:], mode=mode, **keywords).forward(x))[0, 0].tolist()


@pytest.mark.torch
@REPEATABLE
@given(keywords=poolings(), counted=st.booleans(), N=st.integers(1, 4), dtype=dtypes, seed=seeds)
def test_forward_and_backward_are_those_of_pytorch(xp, mode, keywords, counted, N, dtype, seed):
    torch = pytest.importorskip("torch")
    layer = AvgPool2d(**keywords, count_include_pad=counted, dtype=dtype, mode=mode)

    def mean(x):
        """Means with the padding's zeros, over means of a picture of ones where these do not count."""
        (above, below), (left, right) = layer.pad_state
        padded = torch.nn.functional.pad(x, (left, right, above, below))
        return torch.nn.functional.avg_pool2d(padded, layer.F_shape, layer.stride)

    ones = torch.ones((1, 1, *layer.I_shape[1:]), dtype=getattr(torch, dtype))
    check_against(layer, lambda x: mean(x) if counted else mean(x) / mean(ones), N, seed)


@pytest.mark.torch
@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize(("size", "pool", "stride", "pad"), [((6, 7), 3, 2, 1), ((5, 5), 2, 1, 1), ((8, 6), 4, 3, 2)])
def test_count_include_pad_is_pytorch_s_word(xp, mode, size, pool, stride, pad, counted):
    torch = pytest.importorskip("torch")
    layer = AvgPool2d((2, *size), pool, stride, pad, counted, dtype="float64", mode=mode)
    check_against(layer, lambda x: torch.nn.functional.avg_pool2d(x, pool, stride, pad, False, counted), 3, seed=1)


@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize(("I_shape", "pool", "stride", "pad"), CASES)
def test_the_gradient_agrees_with_differences(xp, mode, I_shape, pool, stride, pad, counted):
    x = xp.asarray(np.random.default_rng(9).standard_normal((2, *I_shape)))
    check_layer(AvgPool2d(I_shape, pool, stride, pad, counted, mode=mode, dtype="float64"), x)


def test_a_window_at_the_edge_is_the_mean_of_the_pixels_it_sees(xp, mode):
    values = [[4, 8], [0, 4]]
    assert pooled(xp, mode, values, pool=2, pad=1) == [[4, 8], [0, 4]]
    assert pooled(xp, mode, values, pool=2, pad=1, count_include_pad=True) == [[1, 2], [0, 1]]


def test_pixels_beyond_the_last_whole_window_are_not_looked_at(xp, mode):
    assert pooled(xp, mode, [[1, 3, 99], [5, 7, 99], [99, 99, 99]], pool=2) == [[4]]


def test_a_global_average_has_one_number_a_channel(xp, mode):
    layer = AvgPool2d((3, 4, 5), pool=(4, 5), mode=mode)
    x = xp.asarray(np.random.default_rng(0).random((2, 3, 4, 5), dtype="float32"))
    assert layer.O_shape == (3, 1, 1)
    np.testing.assert_allclose(to_cpu(layer.forward(x))[:, :, 0, 0], to_cpu(x).mean(axis=(2, 3)), rtol=1e-6)


def test_everything_stays_float32(xp, mode):
    layer = AvgPool2d((2, 5, 5), 2, pad=1, mode=mode)
    y = layer.forward(xp.ones((2, 2, 5, 5), dtype="float32"))
    assert (y.dtype, layer.backward(y).dtype) == ("float32", "float32")


def test_the_cost_counts_a_pixel_of_a_window_as_one_operation():
    layer = AvgPool2d((10, 28, 28), 2)
    assert layer.cost("forward", (8, 10, 28, 28)) == (8 * 1960 * 4, 4 * 8 * (7840 + 1960))
    assert layer.cost("backward", (8, 10, 14, 14)) == (8 * 1960 * 5, 4 * 8 * (7840 + 1960))


@pytest.mark.parametrize(
    ("keywords", "error", "text"),
    [
        ({"pool": 9}, ValueError, r"AvgPool: a window of \(9, 9\) is larger than the padded image, \(6, 6\)"),
        ({"pool": (2, 0)}, ValueError, "AvgPool: pool is 0; expected 1 or more"),
        (
            {"pool": 2, "pad": 2},
            ValueError,
            "AvgPool: pad 2 leaves windows of nothing but padding; use less than pool=2",
        ),
        ({"pool": 2, "pad": -1}, ValueError, "AvgPool: pad is -1; expected 0 or more"),
        ({"pool": "2"}, TypeError, "AvgPool: pool is '2'; expected a whole number, 1 or more"),
        ({"pool": 2, "count_include_pad": 1}, TypeError, "AvgPool: count_include_pad is 1; expected True or False"),
    ],
)
def test_bad_keywords_are_answered(keywords, error, text):
    with pytest.raises(error, match=text):
        AvgPool2d((1, 6, 6), **keywords)
