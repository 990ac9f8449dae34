"""Convolution and pooling beside PyTorch's, on random shapes, strides, paddings, dilations, groups and types."""

import pytest
from hypothesis import given

from cnn import Conv2d, MaxPool2d
from tests.cnn.oracle import check_against
from tests.cnn.strategies import REPEATABLE, convolutions, dtypes, poolings, seeds, st

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch
acts = st.sampled_from(["identity", "tanh"])


def padded(x, layer, value=0.0):
    (above, below), (left, right) = layer.pad_state
    return torch.nn.functional.pad(x, (left, right, above, below), value=value)


@REPEATABLE
@given(keywords=convolutions(), N=st.integers(1, 4), dtype=dtypes, act=acts, seed=seeds)
def test_convolution_is_pytorch_s(xp, mode, keywords, N, dtype, act, seed):
    layer = Conv2d(**keywords, act=act, wb_width=0.5, dtype=dtype, mode=mode, seed=seed)

    def function(x, W, b):
        z = torch.nn.functional.conv2d(padded(x, layer), W, b, layer.stride, 0, layer.dilation, layer.groups)
        return z if act == "identity" else z.tanh()

    check_against(layer, function, N, seed)


@REPEATABLE
@given(keywords=poolings(), N=st.integers(1, 4), dtype=dtypes, seed=seeds)
def test_max_pooling_is_pytorch_s(xp, mode, keywords, N, dtype, seed):
    layer = MaxPool2d(**keywords, dtype=dtype, mode=mode)

    def function(x):
        return torch.nn.functional.max_pool2d(padded(x, layer, -float("inf")), layer.F_shape, layer.stride)

    check_against(layer, function, N, seed, distinct=True)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("wider", range(4))
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
def test_same_is_pytorch_s_same_at_stride_one(kernel, wider):
    layer = Conv2d((2, 7, 8), (3, kernel, kernel + wider), act="identity", dtype="float64", seed=wider)
    check_against(layer, lambda x, W, b: torch.nn.functional.conv2d(x, W, b, padding="same"), 2, seed=kernel)
