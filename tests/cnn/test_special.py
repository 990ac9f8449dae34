import math

import numpy as np
import pytest

from cnn.special import normal_cdf, normal_pdf, sigmoid, softplus
from cnn.xp import to_cpu


@pytest.mark.parametrize(("dtype", "low", "rtol"), [("float64", -37.0, 5e-13), ("float32", -12.0, 3e-5)])
def test_the_normal_distribution_keeps_its_digits_in_both_tails(xp, dtype, low, rtol):
    x = np.linspace(low, 9, 20_001).astype(dtype)
    expected = [math.erfc(-float(each) / math.sqrt(2)) / 2 for each in x]
    ours = normal_cdf(xp.asarray(x))
    assert ours.dtype == dtype
    np.testing.assert_allclose(to_cpu(ours), expected, rtol=rtol)


@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 2e-15), ("float32", 6e-7), ("float16", 5e-4)])
def test_where_it_matters_the_normal_distribution_is_right_to_the_last_digits(xp, dtype, rtol):
    x = np.linspace(-2, 9, 20_001).astype(dtype)
    expected = [math.erfc(-float(each) / math.sqrt(2)) / 2 for each in x]
    np.testing.assert_allclose(to_cpu(normal_cdf(xp.asarray(x))), expected, rtol=rtol)


def test_the_density_is_the_derivative_of_the_distribution(xp):
    x = xp.linspace(-3, 3, 61)
    slope = (normal_cdf(x + 1e-5) - normal_cdf(x - 1e-5)) / 2e-5
    np.testing.assert_allclose(to_cpu(normal_pdf(x)), to_cpu(slope), rtol=1e-8)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_far_out_nothing_overflows(xp, dtype):
    big = float(np.finfo(dtype).max)
    x = xp.asarray([-big, 0, big], dtype=dtype)
    for func, expected in ((normal_cdf, [0, 0.5, 1]), (normal_pdf, [0, 0.3989, 0]), (sigmoid, [0, 0.5, 1])):
        np.testing.assert_allclose(to_cpu(func(x)), expected, rtol=1e-3)
    assert to_cpu(softplus(x)).tolist() == [0, pytest.approx(math.log(2), rel=1e-3), big]
