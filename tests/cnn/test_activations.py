import math

import numpy as np
import pytest

from cnn.activations import get_activation
from cnn.xp import to_cpu
from tests.cnn.activating import KINKS, NAMES, ROWS, Called, off_kinks
from tests.cnn.gradient_check import numerical_gradient

EACH = [name for name in NAMES if name not in ROWS]
DTYPES = ["float16", "float32", "float64"]


def sigma(x):
    return 1 / (1 + math.exp(-x))


BOOK = {  # the formulas as they stand in the papers, for one number
    "step": lambda x: float(x > 0),
    "identity": lambda x: x,
    "bent identity": lambda x: (math.sqrt(x * x + 1) - 1) / 2 + x,
    "hard shrink": lambda x: x if abs(x) > 0.5 else 0,
    "soft shrink": lambda x: math.copysign(max(abs(x) - 0.5, 0), x),
    "threshold": lambda x: x if x > 1 else 0,
    "sigmoid": sigma,
    "hard sigmoid": lambda x: min(max(0.2 * x + 0.5, 0), 1),
    "log sigmoid": lambda x: math.log(sigma(x)),
    "tanh": math.tanh,
    "tanh shrink": lambda x: x - math.tanh(x),
    "hard tanh": lambda x: min(max(x, -1), 1),
    "ReLU": lambda x: max(x, 0),
    "ReLU6": lambda x: min(max(x, 0), 6),
    "leaky ReLU": lambda x: x if x > 0 else 0.01 * x,
    "lReLU": lambda x: x if x > 0 else 0.01 * x,
    "ELU": lambda x: x if x > 0 else math.exp(x) - 1,
    "SELU": lambda x: 1.0507009873554805 * (x if x > 0 else 1.6732632423543772 * (math.exp(x) - 1)),
    "CELU": lambda x: x if x > 0 else math.exp(x) - 1,
    "softplus": lambda x: math.log(1 + math.exp(x)),
    "softsign": lambda x: x / (1 + abs(x)),
    "Swish": lambda x: x * sigma(x),
    "Mish": lambda x: x * math.tanh(math.log(1 + math.exp(x))),
    "tanhExp": lambda x: x * math.tanh(math.exp(x)),
    "PReLU": lambda x: x if x > 0 else 0.25 * x,
    "RReLU": lambda x: x if x > 0 else (1 / 8 + 1 / 3) / 2 * x,
    "GELU": lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2,
    "ACON-A": lambda x: x * sigma(x),
    "ACON-B": lambda x: 0.75 * x * sigma(0.75 * x) + 0.25 * x,
    "ACON-C": lambda x: x * sigma(x),
}
KEYWORDS = {  # and with keywords
    ("hard shrink", "lambd", 1.5): lambda x: x if abs(x) > 1.5 else 0,
    ("soft shrink", "lambd", 1.5): lambda x: math.copysign(max(abs(x) - 1.5, 0), x),
    ("threshold", "threshold", -0.5): lambda x: x if x > -0.5 else 0,
    ("threshold", "value", 3): lambda x: x if x > 1 else 3,
    ("hard sigmoid", "alpha", 1 / 6): lambda x: min(max(x / 6 + 0.5, 0), 1),
    ("hard sigmoid", "beta", 0.6): lambda x: min(max(0.2 * x + 0.6, 0), 1),
    ("leaky ReLU", "alpha", 0.3): lambda x: x if x > 0 else 0.3 * x,
    ("ELU", "alpha", 2): lambda x: x if x > 0 else 2 * (math.exp(x) - 1),
    ("SELU", "scale", 3): lambda x: 3 * (x if x > 0 else 1.6732632423543772 * (math.exp(x) - 1)),
    ("CELU", "alpha", 2): lambda x: x if x > 0 else 2 * (math.exp(x / 2) - 1),
    ("Swish", "beta", 1.5): lambda x: x * sigma(1.5 * x),
    ("RReLU", "upper", 0.875): lambda x: x if x > 0 else x / 2,
    ("PReLU", "alpha", 0.5): lambda x: x if x > 0 else 0.5 * x,
    ("ACON-C", "p2", 0.5): lambda x: 0.5 * x * sigma(0.5 * x) + 0.5 * x,
    ("GELU", "approximate", "tanh"): lambda x: x / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
}
POINTS = [-7.3, -2.2, -1.0, -0.6, -0.25, 0.0, 0.1, 0.5, 1.0, 2.0, 5.5, 7.1]


@pytest.mark.parametrize("name", EACH)
def test_the_value_is_the_book_s(xp, name):
    act = get_activation(name)
    first = [xp.full(1, getattr(act, each)) for each in getattr(act, "parameter_names", ())]
    y = act.forward(xp.asarray([POINTS]), *first)
    np.testing.assert_allclose(to_cpu(y)[0], [BOOK[name](x) for x in POINTS], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("name", "keyword", "value"), KEYWORDS)
def test_the_value_with_a_keyword_is_the_book_s(xp, name, keyword, value):
    act = get_activation(name, {keyword: value})
    first = [xp.full(1, getattr(act, each)) for each in getattr(act, "parameter_names", ())]
    y = act.forward(xp.asarray([POINTS]), *first)
    np.testing.assert_allclose(
        to_cpu(y)[0], [KEYWORDS[name, keyword, value](x) for x in POINTS], rtol=1e-12, atol=1e-15
    )


@pytest.mark.parametrize("shape", [(3, 4), (2, 4, 3), (2, 4, 2, 3)])
@pytest.mark.parametrize("name", NAMES)
def test_the_derivatives_agree_with_differences(xp, name, shape):
    rng = np.random.default_rng(2)
    x = off_kinks(name, xp.asarray(rng.normal(scale=3, size=shape)))
    dy, call = xp.asarray(rng.normal(size=shape)), Called(name, xp, 4)
    dx, gradients = call.backward(dy, x)

    def projected():
        return (call.forward(x) * dy).sum()

    np.testing.assert_allclose(to_cpu(dx), numerical_gradient(projected, x), rtol=1e-6, atol=2e-9)
    for each, gradient in gradients.items():
        numerical = numerical_gradient(projected, call.parameters[each])
        np.testing.assert_allclose(to_cpu(gradient), numerical, rtol=1e-6, atol=1e-8, err_msg=each)


@pytest.mark.parametrize("keyword", KEYWORDS, ids=lambda each: " ".join(map(str, each)))
def test_the_derivatives_with_a_keyword_agree_with_differences(xp, keyword):
    name, key, value = keyword
    rng = np.random.default_rng(4)
    x = xp.asarray([[*POINTS]]) + 0.0123
    dy, call = xp.asarray(rng.normal(size=x.shape)), Called(name, xp, x.shape[1], keywords={key: value})
    dx, _ = call.backward(dy, x)
    numerical = numerical_gradient(lambda: (call.forward(x) * dy).sum(), x)
    np.testing.assert_allclose(to_cpu(dx), numerical, rtol=1e-6, atol=2e-9)


@pytest.mark.parametrize("name", [name for name in EACH if name.startswith(("PReLU", "ACON"))])
def test_one_parameter_for_all_channels_has_the_gradient_of_all(xp, name):
    rng = np.random.default_rng(3)
    x, dy = xp.asarray(rng.normal(size=(2, 3, 2, 2))), xp.asarray(rng.normal(size=(2, 3, 2, 2)))
    call = Called(name, xp, 1)
    _, gradients = call.backward(dy, x)
    for each, gradient in gradients.items():
        numerical = numerical_gradient(lambda: (call.forward(x) * dy).sum(), call.parameters[each])
        np.testing.assert_allclose(to_cpu(gradient), numerical, rtol=1e-6)


AT_KINKS = {  # the derivatives there, by convention
    "step": [0],
    "hard shrink": [0, 0],
    "soft shrink": [0, 0],
    "threshold": [0],
    "hard sigmoid": [0, 0],
    "hard tanh": [0, 0],
    "ReLU": [0],
    "ReLU6": [0, 0],
    "leaky ReLU": [0.01],
    "lReLU": [0.01],
    "SELU": [1.0507009873554805 * 1.6732632423543772],
    "PReLU": [0.25],
    "RReLU": [(1 / 8 + 1 / 3) / 2],
}


@pytest.mark.parametrize("name", KINKS)
def test_at_a_kink_the_derivative_is_the_one_its_docstring_names(xp, name):
    act = get_activation(name)
    first = [xp.full(1, getattr(act, each)) for each in getattr(act, "parameter_names", ())]
    x = xp.asarray([KINKS[name]], dtype="float64")
    dx = act.backward(xp.ones_like(x), x, act.forward(x, *first), *first)
    np.testing.assert_allclose(to_cpu(dx[0] if first else dx).ravel(), AT_KINKS[name], rtol=1e-15)


LIMITS = {  # value and derivative at -1e4, and at 1e4
    "step": (0, 0, 1, 0),
    "identity": (-1e4, 1, 1e4, 1),
    "bent identity": (-0.5e4 - 0.5, 0.5, 1.5e4 - 0.5, 1.5),
    "hard shrink": (-1e4, 1, 1e4, 1),
    "soft shrink": (-1e4 + 0.5, 1, 1e4 - 0.5, 1),
    "threshold": (0, 0, 1e4, 1),
    "sigmoid": (0, 0, 1, 0),
    "hard sigmoid": (0, 0, 1, 0),
    "log sigmoid": (-1e4, 1, 0, 0),
    "tanh": (-1, 0, 1, 0),
    "tanh shrink": (-1e4 + 1, 1, 1e4 - 1, 1),
    "hard tanh": (-1, 0, 1, 0),
    "ReLU": (0, 0, 1e4, 1),
    "ReLU6": (0, 0, 6, 0),
    "leaky ReLU": (-100, 0.01, 1e4, 1),
    "lReLU": (-100, 0.01, 1e4, 1),
    "ELU": (-1, 0, 1e4, 1),
    "SELU": (-1.7580993408473766, 0, 10507.009873554805, 1.0507009873554805),
    "CELU": (-1, 0, 1e4, 1),
    "softplus": (0, 0, 1e4, 1),
    "softsign": (-10_000 / 10_001, 1 / 10_001**2, 10_000 / 10_001, 1 / 10_001**2),
    "Swish": (0, 0, 1e4, 1),
    "Mish": (0, 0, 1e4, 1),
    "tanhExp": (0, 0, 1e4, 1),
    "PReLU": (-2500, 0.25, 1e4, 1),
    "RReLU": (-1e4 * 11 / 48, 11 / 48, 1e4, 1),
    "GELU": (0, 0, 1e4, 1),
    "ACON-A": (0, 0, 1e4, 1),
    "ACON-B": (-2500, 0.25, 1e4, 1),
    "ACON-C": (0, 0, 1e4, 1),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "keywords"), [*((name, {}) for name in EACH), ("GELU", {"approximate": "tanh"})])
def test_far_out_value_and_derivative_have_their_limits_and_keep_the_dtype(xp, name, keywords, dtype):
    act = get_activation(name, keywords)
    first = [xp.full(1, getattr(act, each), dtype=dtype) for each in getattr(act, "parameter_names", ())]
    x = xp.asarray([[-1e4, 1e4, -300, 300, -20, 20, 0]], dtype=dtype)
    y = act.forward(x, *first)
    back = act.backward(xp.ones_like(x), x, y, *first)
    dx, *gradients = back if first else [back]
    for array in (y, dx, *gradients):
        assert array.dtype == dtype
        assert bool(xp.isfinite(array).all())
    low, low_slope, high, high_slope = LIMITS[name]
    near = {"rtol": 2e-3 if dtype == "float16" else 1e-6, "atol": 1e-7}
    np.testing.assert_allclose(to_cpu(y)[0, :2], [low, high], **near)
    np.testing.assert_allclose(to_cpu(dx)[0, :2], [low_slope, high_slope], **near)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_nothing_overflows_for_the_largest_numbers(xp, name, dtype):
    big = float(np.finfo(dtype).max) / 4
    x, call = xp.asarray([[-big, big, 0]], dtype=dtype), Called(name, xp, 1, dtype)
    dx, _ = call.backward(xp.ones_like(x), x)
    assert bool(xp.isfinite(call.forward(x)).all())
    assert bool(xp.isfinite(dx).all())


@pytest.mark.parametrize(("dtype", "big"), [("float16", 6e4), ("float32", 3e38), ("float64", 1.5e308)])
def test_the_bent_identity_s_slope_is_right_to_the_end(xp, dtype, big):
    x = xp.asarray([[-big, big]], dtype=dtype)
    slope = get_activation("bent identity").backward(xp.ones_like(x), x, x)
    np.testing.assert_allclose(to_cpu(slope), [[0.5, 1.5]], rtol=1e-3)


@pytest.mark.parametrize("dtype", DTYPES)
def test_far_out_the_softmax_family_is_right_too(xp, dtype):
    x = xp.asarray([[-1e4, 1e4, 0], [1e4, 1e4, -1e4]], dtype=dtype)
    dy = xp.asarray([[1, 2, 3], [1, 2, 3]], dtype=dtype)
    expected = {
        "softmax": ([[0, 1, 0], [0.5, 0.5, 0]], [[0, 0, 0], [-0.25, 0.25, 0]]),
        "softmin": ([[1, 0, 0], [0, 0, 1]], [[0, 0, 0], [0, 0, 0]]),
        "log softmax": (
            [[-2e4, 0, -1e4], [-math.log(2), -math.log(2), -2e4]],
            [[1, -4, 3], [-2, -1, 3]],
        ),
    }
    for name in ROWS:
        act = get_activation(name)
        y = act.forward(x)
        dx = act.backward(dy, x, y)
        assert y.dtype == dx.dtype == dtype
        np.testing.assert_allclose(to_cpu(y), expected[name][0], rtol=1e-3)
        np.testing.assert_allclose(to_cpu(dx), expected[name][1], rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("name", ROWS)
def test_the_derivative_of_a_row_is_the_product_with_its_whole_jacobian(xp, name):
    rng = np.random.default_rng(7)
    x, dy, act = xp.asarray(rng.normal(size=(1, 5))), rng.normal(size=5), get_activation(name)
    y, eye = to_cpu(act.forward(x))[0], np.eye(5)
    jacobian = {
        "softmax": np.diag(y) - np.outer(y, y),
        "softmin": np.outer(y, y) - np.diag(y),
        "log softmax": eye - np.exp(y),
    }[name]  # of y by x: a row for each y
    dx = act.backward(xp.asarray(dy[None]), x, act.forward(x))
    np.testing.assert_allclose(to_cpu(dx)[0], dy @ jacobian, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("softmax", np.exp([-1, 0, 2]) / np.exp([-1, 0, 2]).sum()),
        ("softmin", np.exp([1, 0, -2]) / np.exp([1, 0, -2]).sum()),
        ("log softmax", np.array([-1, 0, 2]) - np.log(np.exp([-1, 0, 2]).sum())),
    ],
)
def test_the_value_of_a_row_is_the_book_s(xp, name, expected):
    y = get_activation(name).forward(xp.asarray([[-1.0, 0.0, 2.0]]))
    np.testing.assert_allclose(to_cpu(y)[0], expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "x", "expected"),
    [
        ("sigmoid", -300.0, math.exp(-300)),
        ("softplus", -300.0, math.exp(-300)),
        ("log sigmoid", 300.0, -math.exp(-300)),
        ("GELU", -10.0, -10 * math.erfc(10 / math.sqrt(2)) / 2),
        ("Mish", -300.0, -300 * math.exp(-300)),
        ("tanhExp", -300.0, -300 * math.exp(-300)),
        ("ELU", -1e-12, -1e-12),
    ],
)
def test_small_values_keep_their_digits(xp, name, x, expected):
    y = get_activation(name).forward(xp.asarray([[x]]))
    np.testing.assert_allclose(to_cpu(y), expected, rtol=1e-11)


def test_nan_stays_nan(xp):
    x = xp.asarray([[math.nan, 1.0]])
    for name in NAMES:
        if name != "step":
            assert bool(xp.isnan(Called(name, xp, 1).forward(x))[0, 0]), name


def test_softmax_goes_along_the_channels_of_images(xp):
    y = get_activation("softmax").forward(xp.asarray(np.random.default_rng(0).random((2, 3, 4, 4))))
    np.testing.assert_allclose(to_cpu(y.sum(axis=1)), 1, rtol=1e-12)


def test_rrelu_draws_a_slope_for_each_number_while_it_trains(xp):
    act = get_activation("RReLU")
    x = -xp.ones((100, 100))
    slopes = -act.training(x, xp.random.default_rng(1))
    assert 1 / 8 <= float(slopes.min()) < 0.13
    assert 0.32 < float(slopes.max()) <= 1 / 3
    assert abs(float(slopes.mean()) - act.mean) < 0.003
    assert len(set(to_cpu(slopes).ravel().tolist())) == 10_000


@pytest.mark.parametrize("dtype", DTYPES)
def test_rrelu_s_derivative_is_the_slope_that_was_drawn(xp, dtype):
    act, rng = get_activation("RReLU"), np.random.default_rng(5)
    x = xp.asarray(rng.normal(size=(20, 30)), dtype=dtype)
    y = act.training(x, xp.random.default_rng(1))
    dx = act.backward(xp.ones_like(x), x, y)
    assert y.dtype == dx.dtype == dtype
    np.testing.assert_allclose(to_cpu(dx * x), to_cpu(y), rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("name", ["bent-identity", "BentIdentity", "bent identity", "BENT_IDENTITY"])
def test_a_name_is_found_in_any_case_and_punctuation(name):
    assert type(get_activation(name)).__name__ == "BentIdentity"


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("relux", "ReLU"),
        ("soft-maxx", "softmax"),
        ("acon d", "ACON-[ABC]"),
        ("tanhexpp", "tanhExp"),
        ("swich", "Swish"),
    ],
)
def test_an_unknown_activation_is_answered_with_the_nearest_and_all_known_ones(name, nearest):
    with pytest.raises(ValueError, match=f"unknown activation '{name}'; did you mean '{nearest}'.*known: step, .*"):
        get_activation(name)


@pytest.mark.parametrize(
    ("name", "keywords", "error", "text"),
    [
        ("ReLU", {"slope": 0.1}, TypeError, "activation ReLU has no keyword 'slope'; it takes none"),
        ("Swish", {"bta": 2}, TypeError, "activation Swish has no keyword 'bta'; did you mean 'beta'"),
        ("ELU", {"alpha": -1}, ValueError, "ELU: alpha is -1; expected a finite number, 0 or more"),
        ("CELU", {"alpha": 0}, ValueError, "CELU: alpha is 0; expected a number above it"),
        ("leaky ReLU", {"alpha": math.inf}, ValueError, "LeakyReLU: alpha is inf; expected a finite number"),
        ("threshold", {"value": -math.inf}, ValueError, "Threshold: value is -inf; expected a finite number"),
        ("PReLU", {"alpha": "0.2"}, TypeError, "PReLU: alpha is '0.2'; expected a finite number"),
        ("RReLU", {"lower": 0.5}, ValueError, "RReLU: upper is 0.333333; expected lower, 0.5, or more"),
        ("GELU", {"approximate": "tan"}, ValueError, "unknown GELU: approximate 'tan'; did you mean 'tanh'"),
    ],
)
def test_wrong_keywords_are_refused(name, keywords, error, text):
    with pytest.raises(error, match=text):
        get_activation(name, keywords)


def test_a_numpy_number_widens_nothing(xp):
    y = get_activation("Swish", {"beta": np.float64(2)}).forward(xp.ones((1, 2), dtype="float32"))
    assert y.dtype == "float32"
