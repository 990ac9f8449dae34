"""Do two models compute the same? Parameters, outputs, gradients."""

import copy
import math
import random

import numpy as np
import pytest

from gpuprof.agreeing import agreements


class Dense:
    """A layer that learns W, with its gradient beside it."""

    def __init__(self, dtype: str = "float32", scale: float = 1.0) -> None:
        self.W = np.linspace(-1, 1, 12, dtype=dtype).reshape(3, 4)
        self.dW = None
        self.scale = scale

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.x = x
        return x @ self.W

    def backward(self, dy: np.ndarray) -> np.ndarray:
        self.dW = (self.scale * self.x.T @ dy).astype(self.W.dtype)
        return dy @ self.W.T


def step(model: list[Dense]) -> np.ndarray:
    y = model[0].forward(np.ones((2, 3), dtype=model[0].W.dtype))
    model[0].backward(y)
    return y


def found(first: list[Dense], second: list[Dense]) -> dict[str, tuple[float, bool]]:
    return {each.name: (each.apart, each.agrees) for each in agreements(first, second, step)}


def test_outputs_and_gradients_of_a_step_are_compared() -> None:
    assert found([Dense()], [Dense()]) == {"output": (0.0, True), "Dense0 dW": (0.0, True)}


@pytest.mark.parametrize(("loss", "agrees"), [(2.5, True), (2.6, False), (np.float32(2.5), True)])
def test_a_number_that_the_step_returns_is_compared(loss: float, agrees: bool) -> None:
    first, second = [Dense()], [Dense()]
    (output,) = (
        each
        for each in agreements(first, second, lambda model: 2.5 if model is first else loss)
        if each.path == "output"
    )
    assert output.agrees is agrees


def test_a_gradient_that_is_wrong_is_found_with_its_layer() -> None:
    result = agreements([Dense()], [Dense(scale=1.1)], step)
    (wrong,) = (each for each in result if not each.agrees)
    assert wrong.what == "dW"
    assert wrong.apart == pytest.approx(0.1 / 1.1, rel=1e-3)


@pytest.mark.parametrize(("dtype", "agrees"), [("float64", False), ("float32", True), ("float16", True)])
def test_what_agrees_depends_on_the_type(dtype: str, agrees: bool) -> None:
    result = agreements([Dense(dtype)], [Dense(dtype, scale=1 + 3e-6)], step)
    assert all(each.agrees for each in result) is agrees


def test_models_that_begin_from_other_parameters_are_not_run() -> None:
    other = Dense()
    other.W = other.W + 1
    (only,) = agreements([Dense()], [other], lambda _: pytest.fail("run"))
    assert (only.what, only.agrees) == ("W", False)


def test_an_output_of_another_shape_or_number_differs() -> None:
    def steps(model: list[Dense]) -> object:
        return [np.ones(2)] * (1 if model[0].scale == 1 else 2)

    result = agreements([Dense()], [Dense(scale=2)], steps)
    assert [each.apart for each in result if each.path == "output"] == [0.0, math.inf]
    result = agreements([Dense()], [Dense(scale=2)], lambda model: np.ones(int(model[0].scale)))
    assert [each.apart for each in result if each.path == "output"] == [math.inf]


def test_nan_in_one_of_them_differs() -> None:
    values = {1: 0.0, 2: math.nan}
    result = agreements([Dense()], [Dense(scale=2)], lambda model: np.array([1.0, values[model[0].scale]]))
    assert [each.agrees for each in result if each.path == "output"] == [False]


def test_an_output_that_is_written_over_is_not_compared_with_itself() -> None:
    out = np.zeros(1)

    def shared(model: list[Dense]) -> np.ndarray:
        out[:] = model[0].scale
        return out

    result = agreements([Dense()], [Dense(scale=2)], shared)
    assert [each.agrees for each in result if each.path == "output"] == [False]


@pytest.mark.torch
def test_modules_are_compared_by_their_parameters_gradients() -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    first = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    second, x = copy.deepcopy(first), torch.ones(5, 3)

    def run(model: object) -> object:
        loss = model(x).square().sum() * (1.5 if model is second else 1)
        loss.backward()
        return loss

    result = {each.name: each.agrees for each in agreements(first, second, run)}
    assert (result["output"], result["0 weight.grad"], result["2 bias.grad"]) == (False, False, False)


def test_sparse_gradients_are_compared_too() -> None:
    torch = pytest.importorskip("torch")
    first = torch.nn.Embedding(10, 4, sparse=True)
    second, rows = copy.deepcopy(first), torch.arange(3)

    def run(model: object) -> None:
        (model(rows).sum() * (2.0 if model is second else 1.0)).backward()

    (found,) = agreements(first, second, run)
    assert (found.what, found.apart) == ("weight.grad", 0.5)


def test_a_step_that_draws_random_numbers_draws_the_same_for_both() -> None:
    torch = pytest.importorskip("torch")
    first = torch.nn.Sequential(torch.nn.Linear(3, 40), torch.nn.Dropout())
    second, x = copy.deepcopy(first), torch.ones(5, 3)

    def run(model: object) -> object:
        y = model(x)
        y.sum().backward()
        return y, np.random.random(3), np.array([random.random()])

    result = agreements(first, second, run)
    assert len(result) == 5
    assert all(each.agrees for each in result)
