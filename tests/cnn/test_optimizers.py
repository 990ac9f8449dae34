from dataclasses import fields

import numpy as np
import pytest

from cnn.optimizers import OPTIMIZERS, get_optimizer
from cnn.xp import to_cpu

TORCH = [  # ours, torch's, with torch's keywords for our defaults
    ("SGD", "SGD", {"lr": 0.01}),
    ("Momentum", "SGD", {"lr": 0.01, "momentum": 0.9}),
    ("AdaGrad", "Adagrad", {"lr": 0.001, "eps": 1e-8}),
    ("RMSprop", "RMSprop", {"lr": 0.01, "alpha": 0.99, "eps": 1e-8}),
    ("AdaDelta", "Adadelta", {"lr": 1.0, "rho": 0.95, "eps": 1e-6}),
    ("Adam", "Adam", {"lr": 0.001, "betas": (0.9, 0.999), "eps": 1e-8}),
]


@pytest.mark.torch
@pytest.mark.parametrize(("ours", "theirs", "keywords"), TORCH)
def test_20_steps_are_those_of_pytorch(xp, ours, theirs, keywords):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(4)
    start, grads = rng.standard_normal((3, 4)), rng.standard_normal((20, 3, 4))
    p, q = xp.asarray(start), torch.tensor(start, requires_grad=True)
    optimizer, oracle = get_optimizer(ours), getattr(torch.optim, theirs)([q], **keywords)
    for g in grads:
        optimizer.update([p], [xp.asarray(g)])
        q.grad = torch.tensor(g)
        oracle.step()
    np.testing.assert_allclose(to_cpu(p), q.detach().numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("SGD", -0.01 * 2),
        ("Momentum", -0.01 * 2),
        ("AdaGrad", -0.001 * 2 / (2 + 1e-8)),
        ("RMSprop", -0.01 * 2 / (0.2 + 1e-8)),
        ("AdaDelta", -2 * np.sqrt(1e-6 / (0.05 * 4 + 1e-6))),
        ("Adam", -0.001 * 2 / (2 + 1e-8)),
    ],
)
def test_the_first_step_is_the_formula_s(xp, name, expected):
    p = xp.zeros(1)
    get_optimizer(name).update([p], [xp.asarray([2.0])])
    np.testing.assert_allclose(to_cpu(p), [expected], rtol=1e-9)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_goes_downhill(xp, name):
    p, optimizer = xp.asarray([3.0, -2.0]), get_optimizer(name)
    for _ in range(50):
        optimizer.update([p], [2 * p])
    assert float((p * p).sum()) < 13


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_float32_stays_float32_in_place(xp, name):
    p, optimizer = xp.ones(3, dtype="float32"), get_optimizer(name)
    kept = p
    optimizer.update([p], [xp.ones(3, dtype="float32")])
    assert p is kept
    assert {p.dtype, *(x.dtype for states in optimizer.state.values() for x in states)} == {np.dtype("float32")}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_are_counted(xp, name):
    p, optimizer = xp.ones(2), get_optimizer(name)
    for _ in range(3):
        optimizer.update([p], [p])
    assert optimizer.t == 3


@pytest.mark.parametrize(("keywords", "text"), [({"alpha": -1}, "alpha is -1"), ({"beta1": 1.0}, "beta1 is 1.0")])
def test_a_hyper_parameter_out_of_range_is_refused(keywords, text):
    with pytest.raises(ValueError, match=f"Adam: {text}; expected"):
        get_optimizer("Adam", keywords)


def test_an_unknown_optimizer_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown optimizer 'Adamm'; did you mean 'Adam'\?"):
        get_optimizer("Adamm")


@pytest.mark.parametrize("kind", [np.float64, np.float32])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_numpy_number_gives_the_same_step_as_python_s(xp, name, kind):
    defaults = {each.name: each.default for each in fields(OPTIMIZERS[name]) if each.init}
    exact = dict.fromkeys(defaults, 0.5)
    results = []
    for keywords in (exact, {key: kind(value) for key, value in exact.items()}):
        p = xp.ones(3, dtype="float32")
        optimizer = get_optimizer(name, keywords)
        for _ in range(3):
            optimizer.update([p], [xp.asarray([1.5, -0.3, 1e-3], dtype="float32")])
        assert all(type(getattr(optimizer, key)) is float for key in exact)
        results.append(to_cpu(p))
    np.testing.assert_array_equal(*results)


def test_a_hyper_parameter_that_is_no_number_is_refused():
    with pytest.raises(TypeError, match="Adam: alpha is True; expected a finite number, 0 or more"):
        get_optimizer("Adam", {"alpha": True})
