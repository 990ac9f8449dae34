"""Activations beside PyTorch's, on random shapes, scales and dtypes, forward and backward."""

import numpy as np
import pytest
from hypothesis import given, settings

from cnn.xp import to_cpu
from tests.cnn.activating import KINKS, NAMES, Called, off_kinks
from tests.cnn.strategies import REPEATABLE, st

torch = pytest.importorskip("torch")
F = torch.nn.functional

pytestmark = pytest.mark.torch

NEAR = {"float16": 4e-3, "float32": 2e-6, "float64": 1e-13}


def along(p, x):
    return p.reshape(-1, *[1] * (x.ndim - 2))


def acon(x, p1, p2, beta):
    u = (p1 - p2) * x
    return u * torch.sigmoid(beta * u) + p2 * x


THEIRS = {  # PyTorch's own function where it has one
    "step": lambda x: (x > 0).to(x.dtype),
    "identity": lambda x: x * 1,
    "bent identity": lambda x: (torch.hypot(x, torch.ones((), dtype=x.dtype)) - 1) / 2 + x,
    "hard shrink": F.hardshrink,
    "soft shrink": F.softshrink,
    "threshold": lambda x: F.threshold(x, 1, 0),
    "sigmoid": torch.sigmoid,
    "hard sigmoid": lambda x: torch.clamp(0.2 * x + 0.5, 0, 1),
    "log sigmoid": F.logsigmoid,
    "tanh": torch.tanh,
    "tanh shrink": F.tanhshrink,
    "hard tanh": F.hardtanh,
    "ReLU": F.relu,
    "ReLU6": F.relu6,
    "leaky ReLU": F.leaky_relu,
    "lReLU": F.leaky_relu,
    "ELU": F.elu,
    "SELU": F.selu,
    "CELU": F.celu,
    "softmax": lambda x: F.softmax(x, 1),
    "softmin": lambda x: F.softmin(x, 1),
    "log softmax": lambda x: F.log_softmax(x, 1),
    "softplus": lambda x: F.softplus(x, threshold=36),  # beyond which it is x; by default 20
    "softsign": F.softsign,
    "Swish": F.silu,
    "Mish": F.mish,
    "tanhExp": lambda x: x * torch.tanh(torch.exp(x.clamp(max=20))),
    "PReLU": F.prelu,
    "RReLU": lambda x: F.rrelu(x, training=False),
    "GELU": F.gelu,
    "ACON-A": lambda x, beta: acon(x, 1, 0, along(beta, x)),
    "ACON-B": lambda x, p, beta: acon(x, 1, along(p, x), along(beta, x)),
    "ACON-C": lambda x, p1, p2, beta: acon(x, along(p1, x), along(p2, x), along(beta, x)),
}


def compare(xp, call, theirs, x, dtype):
    """Hold value and gradients against PyTorch's in the same dtype; float16 against its float32, rounded."""
    dy = np.random.default_rng(8).normal(size=x.shape).astype(dtype)
    exact = "float32" if dtype == "float16" else dtype
    tx = torch.tensor(to_cpu(x).astype(exact), requires_grad=True)
    parameters = {k: torch.tensor(to_cpu(p).astype(exact), requires_grad=True) for k, p in call.parameters.items()}
    ty = theirs(tx, *parameters.values())
    if ty.requires_grad:  # a step has no gradient at all
        ty.backward(torch.tensor(dy.astype(exact)))
    y = call.forward(x)
    dx, gradients = call.backward(xp.asarray(dy), x)
    assert y.dtype == dx.dtype == dtype
    near, size = NEAR[dtype], max(1.0, float(abs(x).max()))
    np.testing.assert_allclose(to_cpu(y), ty.detach().numpy(), rtol=4 * near, atol=near)
    np.testing.assert_allclose(to_cpu(dx), 0 if tx.grad is None else tx.grad.numpy(), rtol=4 * near, atol=4 * near)
    for name, gradient in gradients.items():
        atol = 4 * near * size * x.size**0.5
        np.testing.assert_allclose(to_cpu(gradient), parameters[name].grad.numpy(), 4 * near, atol, err_msg=name)


@pytest.mark.parametrize("name", NAMES)
@settings(REPEATABLE, max_examples=40)
@given(
    shape=st.tuples(*[st.integers(1, 5)] * 2)
    | st.tuples(*[st.integers(1, 4)] * 3)
    | st.tuples(*[st.integers(1, 4)] * 4),
    scale=st.sampled_from([1e-3, 1.0, 5.0, 50.0]),
    dtype=st.sampled_from(["float16", "float32", "float64"]),
    seed=st.integers(0, 2**16),
)
def test_value_and_gradients_are_pytorch_s(xp, name, shape, scale, dtype, seed):
    x = np.random.default_rng(seed).normal(scale=scale, size=shape).astype(dtype)
    x = off_kinks(name, xp.asarray(x))
    compare(xp, Called(name, xp, shape[1], dtype), THEIRS[name], x, dtype)


@pytest.mark.parametrize(
    ("name", "keywords", "theirs"),
    [
        ("GELU", {"approximate": "tanh"}, lambda x: F.gelu(x, approximate="tanh")),
        ("hard sigmoid", {"alpha": 1 / 6}, lambda x: torch.clamp(x / 6 + 0.5, 0, 1)),  # F.hardsigmoid's 1/6 is float32
        ("ELU", {"alpha": 2.5}, lambda x: F.elu(x, 2.5)),
        ("CELU", {"alpha": 2.5}, lambda x: F.celu(x, 2.5)),
        ("leaky ReLU", {"alpha": 0.3}, lambda x: F.leaky_relu(x, 0.3)),
        ("soft shrink", {"lambd": 1.5}, lambda x: F.softshrink(x, 1.5)),
        ("hard shrink", {"lambd": 1.5}, lambda x: F.hardshrink(x, 1.5)),
        ("threshold", {"threshold": -0.7, "value": 3}, lambda x: F.threshold(x, -0.7, 3)),
        ("RReLU", {"lower": 0.1, "upper": 0.5}, lambda x: F.rrelu(x, 0.1, 0.5, training=False)),
    ],
)
@pytest.mark.parametrize("dtype", NEAR)
def test_keywords_mean_what_they_mean_there(xp, name, keywords, theirs, dtype):
    x = xp.asarray(np.random.default_rng(9).normal(scale=3, size=(6, 7)).astype(dtype))
    compare(xp, Called(name, xp, 7, dtype, keywords), theirs, x, dtype)


@pytest.mark.parametrize("name", sorted({*KINKS} - {"step", "hard sigmoid"}))
def test_at_a_kink_the_derivative_is_pytorch_s(xp, name):
    x = xp.asarray([[kink] for kink in KINKS[name]], dtype="float64")
    compare(xp, Called(name, xp, 1), THEIRS[name], x, "float64")


def test_one_slope_for_all_channels_is_pytorch_s(xp):
    x = xp.asarray(np.random.default_rng(9).normal(size=(3, 4, 2, 2)))
    compare(xp, Called("PReLU", xp, 1), F.prelu, x, "float64")
