"""What a layer call needs: its own word, a formula, or its arrays; and the least time for that."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cnn import Conv2d, Dense
from gpuprof.arrays import own_bytes
from gpuprof.judge.cost import Ceilings, Cost
from gpuprof.judge.layercost import AT_LEAST, KNOWN, OWN, ArrayBytes, layer_cost, roof_seconds

DEVICE = Ceilings(copy=4e12, flops={"float32": 50e12}, l2=50_000_000)
N, UNKNOWN = 8, ArrayBytes()


def floats(*shape: int) -> Any:
    return np.zeros(shape, dtype="float32")


def in_and_out(first: Any, result: Any) -> ArrayBytes:
    return ArrayBytes(4 * math.prod(first), 4 * math.prod(result))


class Costed:
    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def cost(self, phase: str, x_shape: Any) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer(phase, x_shape) if callable(self.answer) else self.answer


# the layer's own


def test_a_layer_s_own_cost_goes_first() -> None:
    layer = Costed(lambda phase, shape: (2 * shape[0], 3 * len(phase)))
    layer.W = floats(5, 3)
    assert layer_cost(layer, "forward", (N, 5), in_and_out((N, 5), (N, 3))) == Cost(21.0, 16.0, OWN)


@pytest.mark.parametrize("phase", ["forward", "backward", "update", "evaluate", "recompute"])
def test_the_bundled_layers_say_it_themselves(phase: str) -> None:
    layer = Conv2d((1, 6, 6), (2, 3, 3))
    shape = {"backward": (N, 2, 6, 6), "update": None}.get(phase, (N, 1, 6, 6))
    flops, size = layer.cost(phase, shape)
    assert layer_cost(layer, phase, shape, UNKNOWN) == Cost(size, flops, OWN)


def test_one_of_the_two_may_be_unknown() -> None:
    assert layer_cost(Costed((None, np.float32(8))), "forward", (N,), UNKNOWN) == Cost(8.0, None, OWN)


def test_a_cost_that_raises_leaves_its_reason() -> None:
    found = layer_cost(Costed(KeyError("W")), "forward", (N, 5), in_and_out((N, 5), (N, 3)))
    assert found == Cost(None, None, "its cost('forward', (8, 5)) raises KeyError: 'W'")


@pytest.mark.parametrize(
    "answer", [None, 3.0, (1,), (1, 2, 3), (1, -1), (math.nan, 1), (1, math.inf), (True, 1), (10**400, 1), "ab"]
)
def test_a_cost_that_returns_nonsense_leaves_its_reason(answer: Any) -> None:
    found = layer_cost(Costed(answer), "update", None, UNKNOWN)
    assert found[:2] == (None, None)
    assert found.how.startswith(f"its cost('update', None) returns {repr(answer)[:9]}")
    assert found.how.endswith("; expected (flops, bytes), each 0 or more")


def test_a_layer_that_knows_no_evaluation_is_asked_for_forward() -> None:
    def cost(phase: str, shape: Any) -> Any:
        return {"forward": (1, 2)}[phase]

    assert layer_cost(Costed(cost), "evaluate", (N,), UNKNOWN) == Cost(2.0, 1.0, OWN)


@pytest.mark.parametrize("cost", [0.25, None])
def test_a_cost_that_is_no_method_is_something_else(cost: Any) -> None:
    assert layer_cost(SimpleNamespace(cost=cost), "forward", (N,), ArrayBytes(4, 4)) == Cost(8.0, None, AT_LEAST)


def test_a_base_class_that_does_not_say_is_no_cost_of_its_own() -> None:
    layer = Costed(NotImplementedError("Layer does not say what it costs"))
    assert layer_cost(layer, "forward", (N,), ArrayBytes(4, 4)).how == AT_LEAST


# a known formula


def dense(phase: str, n_in: int, n_out: int) -> Cost:
    """Without the activation, as counted by hand, with a bias."""
    x, y, W, b = N * n_in, N * n_out, n_in * n_out, n_out
    if phase == "forward":
        return Cost(4.0 * (x + W + b + y), 2.0 * N * n_in * n_out + y, KNOWN)
    return Cost(4.0 * (y + x + W + x + W + b), 4.0 * N * n_in * n_out + y, KNOWN)


@pytest.mark.parametrize("x_shape", [(N, 6), (N, 1, 2, 3)])
def test_a_w_of_two_dimensions_is_a_matrix_product(x_shape: Any) -> None:
    layer = SimpleNamespace(W=floats(6, 3), b=floats(3))
    assert layer_cost(layer, "forward", x_shape, in_and_out(x_shape, (N, 3))) == dense("forward", 6, 3)
    assert layer_cost(layer, "backward", (N, 3), in_and_out((N, 3), x_shape)) == dense("backward", 6, 3)


def test_a_weight_of_two_dimensions_is_pytorch_s() -> None:
    layer = SimpleNamespace(weight=floats(3, 6), bias=floats(3))
    assert layer_cost(layer, "forward", (N, 6), in_and_out((N, 6), (N, 3))) == dense("forward", 6, 3)
    assert layer_cost(layer, "backward", (N, 3), in_and_out((N, 3), (N, 6))) == dense("backward", 6, 3)


def test_a_bias_that_is_not_there_costs_nothing() -> None:
    layer = SimpleNamespace(weight=floats(3, 6), bias=None)
    assert layer_cost(layer, "forward", (N, 6), in_and_out((N, 6), (N, 3))).flops == 2 * N * 6 * 3


def test_rows_on_more_axes_are_all_multiplied() -> None:
    layer = SimpleNamespace(weight=floats(3, 6))
    found = layer_cost(layer, "forward", (2, 4, 6), in_and_out((2, 4, 6), (2, 4, 3)))
    assert found == Cost(4.0 * (48 + 18 + 24), 2.0 * 8 * 6 * 3, KNOWN)


@pytest.mark.parametrize("phase", ["forward", "backward"])
def test_the_formula_of_a_dense_layer_agrees_with_ours(phase: str) -> None:
    layer, shape, other = Dense(6, 3, act="identity"), (N, 6), (N, 3)
    if phase == "backward":
        shape, other = other, shape
    flops, size = layer.cost(phase, shape)
    shown = SimpleNamespace(W=layer.W, b=layer.b)
    assert layer_cost(shown, phase, shape, in_and_out(shape, other)) == Cost(size, flops, KNOWN)


def test_the_formula_of_a_convolution_agrees_with_ours() -> None:
    layer = Conv2d((2, 5, 4), (3, 3, 2), stride=(2, 1), pad=1, act="identity")
    shown, x, y = SimpleNamespace(W=layer.W, b=layer.b), (N, 2, 5, 4), (N, *layer.O_shape)
    flops, size = layer.cost("forward", x)
    assert layer_cost(shown, "forward", x, in_and_out(x, y)) == Cost(size, flops, KNOWN)
    flops, size = layer.cost("backward", y)
    additions = N * 3 * 5 * (2 * 3 * 2)  # of the windows' gradients, which the formula leaves out
    assert layer_cost(shown, "backward", y, in_and_out(y, x)) == Cost(size, flops - additions, KNOWN)


def test_groups_divide_the_channels_of_a_convolution() -> None:
    layer = SimpleNamespace(weight=floats(4, 1, 3, 3), groups=4, bias=None, transposed=False)
    found = layer_cost(layer, "forward", (N, 4, 6, 6), in_and_out((N, 4, 6, 6), (N, 4, 6, 6)))
    assert found.flops == 2 * (N * 4 * 36) * 9


@pytest.mark.torch
@pytest.mark.parametrize("make", ["Linear", "Conv2d"])
def test_pytorch_s_own_layers_fit(make: str) -> None:
    torch = pytest.importorskip("torch")
    layer = torch.nn.Linear(6, 3) if make == "Linear" else torch.nn.Conv2d(6, 3, 3, stride=2)
    x = torch.zeros(N, 6) if make == "Linear" else torch.zeros(N, 6, 7, 7)
    y = layer(x)
    found = layer_cost(layer, "forward", tuple(x.shape), ArrayBytes(x.nbytes, y.nbytes, own_bytes(layer)))
    inner = layer.weight[0].numel()
    assert found == Cost(x.nbytes + y.nbytes + own_bytes(layer), 2.0 * y.numel() * inner + y.numel(), KNOWN)


@pytest.mark.parametrize(
    ("layer", "x", "y"),
    [
        (SimpleNamespace(weight=floats(1000, 6)), (N, 6), (N, 6, 6)),  # an embedding's table, by indices
        (SimpleNamespace(W=floats(6, 12)), (N, 5, 6), (N, 5, 3)),  # a recurrent layer's gates
        (SimpleNamespace(W=floats(6, 3)), (N, 7), (N, 3)),
        (SimpleNamespace(W=floats(6)), (N, 6), (N, 6)),
        (SimpleNamespace(W=floats(6, 3).astype("complex64")), (N, 6), (N, 3)),
        (SimpleNamespace(weight=floats(4, 4, 3, 3), transposed=True), (N, 4, 3, 3), (N, 4, 5, 5)),
        (SimpleNamespace(W=floats(4, 2, 3, 3)), (N, 3, 5, 5), (N, 4, 3, 3)),
        (SimpleNamespace(W=lambda: None), (N, 6), (N, 3)),
    ],
)
def test_a_weight_that_does_not_fit_both_ends_is_no_formula(layer: Any, x: Any, y: Any) -> None:
    found = layer_cost(layer, "forward", x, in_and_out(x, y))
    assert found == Cost(4.0 * (math.prod(x) + math.prod(y)), None, AT_LEAST)


def test_an_attribute_that_raises_is_no_trouble() -> None:
    class Odd:
        @property
        def W(self) -> Any:
            raise RuntimeError("not built yet")

    assert layer_cost(Odd(), "forward", (N, 6), ArrayBytes(4, 4)).how == AT_LEAST


# a lower bound


def test_else_it_moves_what_comes_in_and_goes_out() -> None:
    assert layer_cost(object(), "forward", (N, 6), ArrayBytes(192, 96)) == Cost(288.0, None, AT_LEAST)
    assert layer_cost(object(), "backward", (N, 6), ArrayBytes(192, None)) == Cost(192.0, None, AT_LEAST)


def test_an_update_moves_parameters_twice_and_gradients_once() -> None:
    assert layer_cost(object(), "update", None, ArrayBytes(own=100)) == Cost(300, None, AT_LEAST)


@pytest.mark.parametrize("phase", ["forward", "update"])
def test_without_arrays_nothing_is_known(phase: str) -> None:
    assert layer_cost(object(), phase, None, UNKNOWN) == Cost(None, None, "")


def test_a_layer_owns_what_has_a_gradient_beside_it() -> None:
    layer = SimpleNamespace(W=floats(6, 3), dW=floats(6, 3), b=floats(3), db=None, x=floats(N, 6), dx=floats(6, N))
    assert own_bytes(layer) == 6 * 3 * 4
    layer.tied, layer.dtied = layer.W, layer.dW
    assert own_bytes(layer) == 6 * 3 * 4


@pytest.mark.parametrize("layer", [object(), SimpleNamespace(x=floats(3)), np.float32])
def test_what_learns_nothing_owns_nothing(layer: Any) -> None:
    assert own_bytes(layer) == 0


@pytest.mark.torch
def test_a_pytorch_module_owns_the_parameters_it_learns() -> None:
    torch = pytest.importorskip("torch")
    layer = torch.nn.Linear(6, 3)
    layer.bias.requires_grad = False
    assert own_bytes(layer) == 6 * 3 * 4
    assert own_bytes(torch.nn.Sequential(layer)) == 0


# the least time


def cost(size: float | None, flops: float | None) -> Cost:
    return Cost(size, flops, OWN)


@pytest.mark.parametrize(
    ("needs", "seconds"),
    [
        (cost(4e9, 1e9), 1e-3),  # by its bytes
        (cost(4e9, 100e9), 2e-3),  # by its arithmetic
        (cost(4e9, None), 1e-3),
        (cost(None, 50e9), 1e-3),
        (cost(4e6, 50e9), 1e-3),  # in the L2 cache
        (cost(0, 0), 0.0),
    ],
)
def test_the_slower_of_memory_and_arithmetic_is_the_least_time(needs: Cost, seconds: float) -> None:
    assert roof_seconds(needs, "float32", DEVICE) == seconds


@pytest.mark.parametrize("needs", [cost(None, None), cost(4e6, None)])
def test_where_no_ceiling_applies_there_is_no_least_time(needs: Cost) -> None:
    assert math.isnan(roof_seconds(needs, "float32", DEVICE, launches_floor=1e-6))


def test_a_type_without_a_measured_rate_leaves_the_bytes() -> None:
    assert roof_seconds(cost(4e9, 1e15), "float64", DEVICE) == 1e-3
    assert math.isnan(roof_seconds(cost(4e6, 1e15), "float64", DEVICE))


def test_its_launches_take_their_time_however_little_they_do() -> None:
    assert roof_seconds(cost(4e6, 50e3), "float32", DEVICE, launches_floor=2e-6) == 2e-6
    assert roof_seconds(cost(4e9, None), "float32", DEVICE, launches_floor=2e-6) == 1e-3
