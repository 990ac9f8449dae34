"""50 steps beside torch.optim, in float64 to rtol 1e-12.

What differs in the conventions, and how it is mapped:

- torch's lr is our eta or alpha; AdaDelta has none, torch's lr=1 is that.
- Momentum and NAG: torch keeps v without the learning rate and subtracts; the same while that stays.
- RMSprop: torch's alpha is our rho. Nadam: torch's betas are (mu, nu), its momentum_decay our psi.
- Torch keeps counts and NAdam's product of μ in its default dtype: here that is set to float64.
- AdamW is Adam with decoupled=True, in torch's form: the decay is multiplied by the learning rate.
"""

import numpy as np
import pytest

from cnn.optimizers import get_optimizer
from cnn.xp import to_cpu

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

ADAM = {"lr": 0.001, "betas": (0.9, 0.999), "eps": 1e-8}
PAIRS = [  # ours, our keywords, torch's, torch's keywords
    ("SGD", {}, "SGD", {"lr": 0.01}),
    ("Momentum", {}, "SGD", {"lr": 0.01, "momentum": 0.9}),
    ("NAG", {}, "SGD", {"lr": 0.01, "momentum": 0.9, "nesterov": True}),
    ("AdaGrad", {}, "Adagrad", {"lr": 0.001, "eps": 1e-8}),
    ("RMSprop", {}, "RMSprop", {"lr": 0.01, "alpha": 0.99, "eps": 1e-8}),
    ("AdaDelta", {}, "Adadelta", {"lr": 1.0, "rho": 0.95, "eps": 1e-6}),
    ("Adam", {}, "Adam", ADAM),
    ("AdaMax", {}, "Adamax", ADAM | {"lr": 0.002}),
    ("Nadam", {}, "NAdam", ADAM | {"lr": 0.002, "betas": (0.975, 0.999), "momentum_decay": 0.004}),
    ("AMSGrad", {}, "Adam", ADAM | {"amsgrad": True}),
    ("Adam", {"alpha": 0.1, "beta1": 0.5, "beta2": 0.6}, "Adam", {"lr": 0.1, "betas": (0.5, 0.6)}),
    ("AMSGrad", {"alpha": 0.1, "beta2": 0.6}, "Adam", {"lr": 0.1, "betas": (0.9, 0.6), "amsgrad": True}),
]
COUPLED = [(ours, k | {"weight_decay": 0.1}, theirs, t | {"weight_decay": 0.1}) for ours, k, theirs, t in PAIRS]
DECOUPLED = [
    ("Adam", {"weight_decay": 0.1, "decoupled": True}, "AdamW", ADAM | {"weight_decay": 0.1}),
    ("AMSGrad", {"weight_decay": 0.1, "decoupled": True}, "AdamW", ADAM | {"weight_decay": 0.1, "amsgrad": True}),
    (
        "Nadam",
        {"mu": 0.9, "weight_decay": 0.1, "decoupled": True},
        "NAdam",
        ADAM | {"lr": 0.002, "weight_decay": 0.1, "decoupled_weight_decay": True},
    ),
]


@pytest.fixture(autouse=True)
def _torch_counts_in_float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def ends(xp, ours, our_keywords, theirs, their_keywords, dtype):
    rng = np.random.default_rng(11)
    shapes = [(3, 4), (5,), (2, 1, 3, 3)]
    starts = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
    params, tensors = [xp.array(s) for s in starts], [torch.tensor(s, requires_grad=True) for s in starts]
    optimizer, oracle = get_optimizer(ours, our_keywords), getattr(torch.optim, theirs)(tensors, **their_keywords)
    for _ in range(50):
        grads = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
        optimizer.update(params, [xp.asarray(g) for g in grads])
        for tensor, g in zip(tensors, grads, strict=True):
            tensor.grad = torch.tensor(g)
        oracle.step()
    return [
        np.concatenate([x.ravel() for x in each])
        for each in (map(to_cpu, params), (t.detach().numpy() for t in tensors))
    ]


@pytest.mark.parametrize(("ours", "our_keywords", "theirs", "their_keywords"), [*PAIRS, *COUPLED, *DECOUPLED])
def test_50_steps_are_those_of_pytorch(xp, ours, our_keywords, theirs, their_keywords):
    mine, torchs = ends(xp, ours, our_keywords, theirs, their_keywords, "float64")
    np.testing.assert_allclose(mine, torchs, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("ours", "our_keywords", "theirs", "their_keywords"), PAIRS)
def test_in_float32_they_are_the_same_but_for_rounding(xp, ours, our_keywords, theirs, their_keywords):
    mine, torchs = ends(xp, ours, our_keywords, theirs, their_keywords, "float32")
    assert mine.dtype == np.float32
    np.testing.assert_allclose(mine, torchs, rtol=2e-5, atol=2e-5)
