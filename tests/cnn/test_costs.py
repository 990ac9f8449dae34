"""What a layer says it costs, against counts made independently: by an array that counts, or by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from cnn import Conv2d, Dense, Dropout, MaxPool2d, Output
from cnn.layers import Layer
from cnn.optimizers import OPTIMIZERS, Told, get_optimizer

N = 3


class Counting(np.ndarray):
    """An array that counts the arithmetic done with it: 2 a multiply-add, 1 a number that a ufunc gives or sums."""

    count = 0

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **keywords: Any) -> Any:
        plain = [np.asarray(x) if isinstance(x, np.ndarray) else x for x in inputs]
        given = {} if out is None else {"out": tuple(np.asarray(x) for x in out)}
        result = getattr(ufunc, method)(*plain, **given, **keywords)
        if ufunc is np.matmul:
            Counting.count += 2 * plain[0].size * plain[1].shape[-1]
        else:
            Counting.count += plain[0].size if method == "reduce" else np.size(result)
        return out[0] if out is not None else np.asarray(result).view(Counting)


def counting(*shape: int) -> Any:
    return np.random.default_rng(1).standard_normal(shape).astype("float32").view(Counting)


def counts(layer: Any) -> Any:
    """The layer, its parameters counting too: a convolution's columns are of no subclass."""
    layer.W, layer.b = layer.W.view(Counting), layer.b.view(Counting)
    return layer


def counted(call: Any, *args: Any) -> tuple[int, Any]:
    Counting.count = 0
    result = call(*args)
    return Counting.count, result


def moved(*arrays: Any) -> int:
    return sum(array.nbytes for array in arrays)


def conv(**keywords: Any) -> Conv2d:
    return Conv2d((2, 5, 4), (3, 3, 2), **{"stride": (2, 1), "pad": 1, "seed": 1} | keywords)


@pytest.mark.parametrize("act", ["ReLU", "identity", "tanh"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("make", [conv, lambda **keywords: Dense(6, 4, **keywords)])
def test_forward_costs_its_arithmetic_and_x_w_b_and_y(make: Any, dtype: str, act: str) -> None:
    layer = counts(make(dtype=dtype, act=act))
    x = counting(N, *layer.I_shape).astype(dtype)
    flops, y = counted(layer.forward, x)
    assert layer.cost("forward", x.shape) == (flops, moved(x, layer.W, layer.b, y))


@pytest.mark.parametrize("act", ["ReLU", "identity"])
@pytest.mark.parametrize("make", [conv, lambda **keywords: Dense(6, 4, **keywords)])
def test_backward_costs_both_gradients_and_what_they_read(make: Any, act: str) -> None:
    layer = counts(make(act=act))
    x = counting(N, *layer.I_shape)
    y = layer.forward(x)
    dy = counting(*y.shape)
    flops, dx = counted(layer.backward, dy)
    read = (dy, x, layer.W) if act == "identity" else (dy, y, x, layer.W)
    assert layer.cost("backward", dy.shape) == (flops, moved(*read, dx, layer.dW, layer.db))


@pytest.mark.parametrize("act", ["ReLU", "identity"])
@pytest.mark.parametrize("make", [conv, lambda **keywords: Dense(6, 4, **keywords)])
def test_a_backward_that_leaves_dx_out_does_not_cost_it(make: Any, act: str) -> None:
    layer = counts(make(act=act))
    x = counting(N, *layer.I_shape)
    y = layer.forward(x)
    dy, layer.wants_dx = counting(*y.shape), False
    flops, _ = counted(layer.backward, dy)
    read = (dy, x) if act == "identity" else (dy, y, x)
    assert layer.cost("backward", dy.shape) == (flops, moved(*read, layer.dW, layer.db))


@pytest.mark.parametrize("act", ["softmax", "sigmoid", "identity"])
def test_the_output_layer_s_backward_costs_the_loss_too(act: str) -> None:
    layer = Output(6, 4, act=act, seed=1)
    x = counting(N, 6)
    y, t = layer.forward(x), counting(N, 4)
    flops, dx = counted(layer.backward, t)
    assert layer.cost("backward", t.shape) == (flops, moved(t, y, x, layer.W, dx, layer.dW, layer.db))


@pytest.mark.parametrize("act", ["softmax", "sigmoid"])
def test_a_costly_activation_counts_as_one_operation_a_number(act: str) -> None:
    assert Output(6, 4, act=act).cost("forward", (N, 6))[0] == N * 4 * (2 * 6 + 2)


def test_a_product_by_hand_is_two_flops_a_multiply_add() -> None:
    multiplied = added = 0
    for _n in range(N):
        for _out in range(4):
            for _in in range(6):
                multiplied, added = multiplied + 1, added + 1
            added += 1  # the bias
    assert Dense(6, 4, act="identity").cost("forward", (N, 6))[0] == multiplied + added


def test_a_convolution_by_hand_multiplies_the_padding_too() -> None:
    layer = Conv2d((2, 5, 4), (3, 3, 2), stride=(2, 1), pad=1, act="identity")
    flops = 0
    for _image in range(N):
        for _filter in range(3):
            for top in range(0, 5 + 2 - 3 + 1, 2):
                for left in range(4 + 2 - 2 + 1):
                    flops += 1 + sum(2 for _c in range(2) for _i in range(top, top + 3) for _j in range(left, left + 2))
    assert layer.cost("forward", (N, 2, 5, 4))[0] == flops


def test_pooling_compares_forward_and_adds_backward() -> None:
    layer = MaxPool2d((2, 6, 6), pool=3, stride=2)
    windows = [(n, c, i, j) for n in range(N) for c in range(2) for i in (0, 2) for j in (0, 2)]
    x, y = np.zeros((N, 2, 6, 6), "float32"), np.zeros((N, 2, 2, 2), "float32")
    assert layer.cost("forward", x.shape) == (len(windows) * (9 - 1), moved(x, y))
    assert layer.cost("backward", y.shape) == (len(windows), moved(y, y, x))  # dy, the positions, dx


def test_dropout_draws_compares_and_multiplies() -> None:
    x = mask = np.zeros((N, 5), "float32")
    assert Dropout(5).cost("forward", x.shape) == (3 * x.size, moved(x, mask, x))
    assert Dropout(5).cost("backward", x.shape) == (x.size, moved(x, mask, x))


@pytest.mark.parametrize(("ratio", "phase"), [(0.25, "evaluate"), (0, "forward"), (0, "backward")])
def test_dropout_that_drops_nothing_costs_nothing(ratio: float, phase: str) -> None:
    layer = Dropout(5, ratio=ratio)
    x = np.zeros((N, 5), "float32")
    assert layer.forward(x, train=phase != "evaluate") is x
    assert layer.cost(phase, x.shape) == (0, 0)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_update_costs_the_optimizer_s_arithmetic_and_its_state(name: str) -> None:
    keywords = {"burnin": 0} if name.startswith("Santa") else {}  # the search costs more
    optimizer = get_optimizer(name, keywords)
    p, g = counting(7), counting(7)
    for _ in range(2):  # the first one makes the state
        optimizer.told = Told(loss=1.0, climbed=True)
        flops, _ = counted(optimizer.update, [p], [g])
    assert optimizer.flops == flops / 7
    layer = Dense(6, 4, opt=name)  # 28 parameters: p, g read, p written, each slot read and written
    assert layer.cost("update", None) == (flops * 4, 28 * 4 * (3 + 2 * len(optimizer.slots)))


@pytest.mark.parametrize("shape", [None, (), (N, 6)])
def test_an_update_needs_no_shape(shape: Any) -> None:
    assert Dense(6, 4, opt="SGD").cost("update", shape) == (2 * 28, 3 * 28 * 4)


def test_a_flattening_layer_takes_images() -> None:
    assert Dense(24, 4).cost("forward", (N, 2, 3, 4)) == Dense(24, 4).cost("forward", (N, 24))


def test_backward_knows_the_batch_by_x_as_well() -> None:
    layer = conv()
    assert layer.cost("backward", (N, *layer.I_shape)) == layer.cost("backward", (N, *layer.O_shape))


def test_an_unknown_phase_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"^Conv\.cost: unknown phase 'train'; known: forward, .* backward, update$"):
        conv().cost("train", (N, 2, 5, 4))


@pytest.mark.parametrize(
    ("layer", "phase", "shape", "wanted"),
    [
        (conv(), "forward", (N, 1, 5, 4), r"Conv\.cost: forward expects x of shape \(N, 2, 5, 4\); got \(3, 1, 5, 4\)"),
        (conv(), "backward", (N, 4), r"Conv\.cost: backward expects dy of shape \(N, 3, 3, 5\); got \(3, 4\)"),
        (Dense(6, 4), "forward", (N,), r"Middle\.cost: forward expects x of shape \(N, 6\); got \(3,\)"),
        (Dense(6, 4), "forward", (N, 4), r"Middle\.cost: forward expects x of shape \(N, 6\); got \(3, 4\)"),
        (Output(6, 4), "backward", None, r"Output\.cost: backward expects dy of shape \(N, 4\); got None"),
        (MaxPool2d((1, 4, 4), 2), "forward", (), r"Pool\.cost: forward expects x of shape \(N, 1, 4, 4\); got \(\)"),
        (Dropout(5), "evaluate", (N, 4), r"Dropout\.cost: evaluate expects x of shape \(N, 5\); got \(3, 4\)"),
    ],
)
def test_a_shape_that_does_not_fit_is_refused(layer: Layer, phase: str, shape: Any, wanted: str) -> None:
    with pytest.raises(ValueError, match=f"^{wanted}$"):
        layer.cost(phase, shape)


def test_every_layer_of_a_model_says_what_each_phase_costs(net: Any) -> None:
    lm = net()
    x = lm.x_train[:N]
    for layer in lm:
        y = layer.forward(x, train=True)
        for phase, shape in (("forward", x.shape), ("backward", y.shape), ("update", None)):
            flops, size = layer.cost(phase, shape)
            assert (flops > 0) == (size > 0) == (phase != "update" or layer.n_parameters > 0)
        assert math.prod(y.shape[1:]) == layer.n
        x = y
