"""The kernels of single layers beside the layers' form in NumPy's words: on the CPU by the emulator, and on a GPU."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnn import AvgPool2d, Conv2d, Dense, LayerManager, MaxPool2d, Output, batches
from cnn.im2col import col2im, im2col
from cnn.kernels import layerwise
from cnn.kernels.layerwise import Layerwise, off, overrides
from cnn.optimizers.adam import Adam
from cnn.training import step
from cnn.xp import array_module, to_cpu
from tests.cnn.emulated.device import COMPILER, Emulated
from tests.cnn.kernel_nets import error

WINDOWS = [  # I_shape, window, keywords
    ((1, 6, 6), (3, 3), {"pad": 1}),
    ((3, 7, 9), (2, 3), {"stride": (2, 3), "pad": "same"}),
    ((2, 9, 8), (3, 2), {"stride": 2, "pad": ((1, 0), (0, 2)), "dilation": (2, 3)}),
    ((2, 5, 5), (2, 2), {"stride": 3}),
]
POOLS = [  # I_shape, pool, stride, pad
    ((3, 6, 6), 2, None, 0),
    ((2, 7, 9), 3, 2, 1),
    ((1, 8, 6), 3, 1, "same"),
    ((2, 7, 7), (2, 3), None, (1, 1)),
    ((2, 9, 9), 2, 3, 0),
]


@pytest.fixture(params=[
    pytest.param("cpu", marks=pytest.mark.skipif(COMPILER is None, reason="needs g++ to compile the kernels")),
    pytest.param("gpu", marks=pytest.mark.gpu),
])  # fmt: skip
def where(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The mode of layers that have kernels there: on a GPU, or those of the emulator on the CPU."""
    if request.param == "cpu":
        kernels = request.getfixturevalue("emulated")
        monkeypatch.setattr(layerwise, "_where", lambda x: kernels)
    return str(request.param)


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Layerwise:
    return Layerwise(Emulated(tmp_path_factory.mktemp("emulated")))


def normal(where: str, *shape: int, seed: int = 0) -> Any:
    return array_module(where).asarray(np.random.default_rng(seed).standard_normal(shape, dtype="float32"))


def one_hot(where: str, N: int, n: int) -> Any:
    return array_module(where).asarray(np.eye(n, dtype="float32")[np.random.default_rng(2).integers(n, size=N)])


def passed(layer: Any, x: Any, dy: Callable[[Any], Any]) -> dict[str, np.ndarray]:
    """All that a layer gives for `x` and for what `dy` makes of its output."""
    y = layer.forward(x, train=True)
    found = {"y": y, "dx": layer.backward(dy(y))}  # None, where nobody asks for it
    found |= {name: getattr(layer, name, None) for name in ("dW", "db", "max_index")}
    return {name: to_cpu(array).copy() for name, array in found.items() if array is not None}


def both(layer: Any, x: Any, dy: Callable[[Any], Any]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The same with kernels, which are there, and without."""
    assert overrides(x) is not None
    with off():
        plain = passed(copy.deepcopy(layer), x, dy)
    return passed(layer, x, dy), plain


def agree(fast: dict[str, np.ndarray], plain: dict[str, np.ndarray], within: float = 1e-6) -> None:
    assert fast.keys() == plain.keys()
    for name, array in plain.items():
        assert (fast[name].shape, fast[name].dtype.kind == "f") == (array.shape, array.dtype.kind == "f")
        assert error(array, fast[name]) <= within, name


def gradient(where: str, y: Any) -> Any:
    return normal(where, *y.shape, seed=1)


@pytest.mark.parametrize(("I_shape", "window", "keywords"), WINDOWS)
@pytest.mark.parametrize("value", [0.0, -np.inf])
def test_columns_and_images_are_the_same_to_the_last_bit(where, I_shape, window, keywords, value):
    x = normal(where, 3, *I_shape)
    with off():
        plain, _, pads = im2col(x, window, value=value, **keywords)
    cols, _, _ = im2col(x, window, value=value, **keywords)
    np.testing.assert_array_equal(to_cpu(cols), to_cpu(plain))
    other, keywords = normal(where, *cols.shape, seed=1), keywords | {"pad": pads}
    with off():
        plain = col2im(other, x.shape, window, **keywords)
    np.testing.assert_array_equal(to_cpu(col2im(other, x.shape, window, **keywords)), to_cpu(plain))


@pytest.mark.parametrize(("I_shape", "pool", "stride", "pad"), POOLS)
def test_pooling_is_the_same_to_the_last_bit(where, I_shape, pool, stride, pad):
    layer, x = MaxPool2d(I_shape, pool, stride, pad, mode=where), normal(where, 2, *I_shape)
    x[x < 0] = 0  # windows that tie
    agree(*both(layer, x, lambda y: gradient(where, y)), within=0)


def test_pooling_of_nan_and_infinities_is_the_same(where):
    x = normal(where, 1, 1, 4, 8)
    x[..., 0, 1] = x[..., 1, 2] = np.nan
    x[..., 2:, 4:] = -np.inf
    x[..., 2, 0] = np.inf
    fast, plain = both(MaxPool2d((1, 4, 8), 2, mode=where), x, lambda y: gradient(where, y))
    for name, array in plain.items():
        np.testing.assert_array_equal(fast[name], array)


@pytest.mark.parametrize("act", ["ReLU", "identity", "tanh", "PReLU", "softmax"])
@pytest.mark.parametrize(
    ("I_shape", "keywords"),
    [
        ((1, 8, 8), {"F_shape": (3, 3, 3)}),
        ((4, 7, 6), {"F_shape": (6, 3, 2), "groups": 2, "stride": (2, 1), "pad": "valid"}),
        ((2, 9, 9), {"F_shape": (5, 2, 3), "dilation": 2}),
        ((4, 6, 7), {"F_shape": (7, 3, 3)}),
    ],
)
@pytest.mark.parametrize("asked", [True, False])
def test_a_convolution_is_the_same(where, I_shape, keywords, act, asked):
    layer = Conv2d(I_shape, **keywords, act=act, wb_width=0.5, mode=where, seed=0)
    layer.wants_dx = asked
    agree(*both(layer, normal(where, 5, *I_shape), lambda y: gradient(where, y)))
    assert layer.gave_dx is asked


@pytest.mark.parametrize(("C", "asked"), [(1, True), (1, False), (4, True)])
def test_the_gradients_of_a_convolution_over_many_places_are_the_same(where, C, asked):
    layer = Conv2d((C, 80, 72), (2, 3, 3), mode=where, seed=0)
    layer.wants_dx = asked
    agree(*both(layer, normal(where, 3, C, 80, 72), lambda y: gradient(where, y)), within=1e-5)


def test_the_columns_of_a_convolution_without_are_there_when_asked_for(where):
    layer, x = Conv2d((1, 6, 6), (2, 3, 3), mode=where, seed=0), normal(where, 2, 1, 6, 6)
    layer.forward(x)
    np.testing.assert_array_equal(to_cpu(layer.cols), to_cpu(im2col(x, (3, 3), 1, "same")[0]))


@pytest.mark.parametrize("act", ["ReLU", "sigmoid", "PReLU"])
@pytest.mark.parametrize(("N", "prev", "n"), [(8, 20, 10), (3, 5, 70), (37, 6, 33), (1, 4, 1)])
def test_a_dense_layer_is_the_same(where, N, prev, n, act):
    layer = Dense(prev, n, act=act, wb_width=0.5, mode=where, seed=0)
    agree(*both(layer, normal(where, N, prev), lambda y: gradient(where, y)))


@pytest.mark.parametrize(("act", "err_func"), [
    ("softmax", "Cross"), ("softmin", "Cross"), ("sigmoid", "Binary"), ("identity", "Square"), ("softmax", "Square"),
    ("ReLU", "Square"),
])  # fmt: skip
@pytest.mark.parametrize("smoothing", [0, 0.2])
@pytest.mark.parametrize(("N", "n"), [(8, 10), (5, 70), (1, 2), (300, 3)])
def test_an_output_layer_is_the_same(where, N, n, act, err_func, smoothing):
    err_dic = {"smoothing": smoothing} if smoothing and err_func != "Square" else {}
    layer = Output(12, n, act, err_func, err_dic=err_dic, wb_width=0.5, mode=where, seed=0)
    plain, x, t = copy.deepcopy(layer), normal(where, N, 12), one_hot(where, N, n)
    agree(*both(layer, x, lambda y: t))
    with off():
        plain.forward(x)
    assert float(layer.get_error(t)) == pytest.approx(float(plain.get_error(t)), rel=1e-5)


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("n", [5, 33])
def test_an_output_layer_that_comes_first_may_leave_dx_out(where, n, asked):
    layer = Output(7, n, mode=where, seed=0)
    layer.wants_dx = asked
    agree(*both(layer, normal(where, 4, 7), lambda y: one_hot(where, 4, n)))
    assert layer.gave_dx is asked


@pytest.mark.parametrize("n", [10, 40])
def test_a_softmax_of_large_sums_and_of_nan_is_the_same(where, n):
    layer = Output(2, n, mode=where, seed=0)
    layer.b[...] = 0
    x = array_module(where).asarray([[3e4, -1e4], [np.nan, 1], [0, 0]], dtype="float32")
    fast, plain = both(layer, x, lambda y: one_hot(where, 3, n))
    np.testing.assert_allclose(fast["y"], plain["y"], rtol=1e-5, atol=1e-7)
    assert np.isnan(fast["y"][1]).all()


def test_an_average_pooling_is_the_same(where):
    layer = AvgPool2d((2, 7, 7), 3, 2, 1, mode=where)
    agree(*both(layer, normal(where, 3, 2, 7, 7), lambda y: gradient(where, y)))


def test_batches_are_the_same_images_in_the_same_order(where):
    x, t = normal(where, 11, 2, 3), normal(where, 11, 4, seed=1)
    with off():
        plain = list(batches(x, t, 4, seed=5))
    for pair, other in zip(plain, batches(x, t, 4, seed=5), strict=True):
        for each, same in zip(pair, other, strict=True):
            np.testing.assert_array_equal(to_cpu(same), to_cpu(each))


def test_arrays_in_another_order_in_memory_are_the_same(where):
    x = normal(where, 6, 5, 3, 2).transpose(3, 2, 1, 0)
    agree(*both(MaxPool2d((3, 5, 6), 2, mode=where), x, lambda y: gradient(where, y).transpose(0, 1, 3, 2).copy()
                .transpose(0, 1, 3, 2)), within=0)  # fmt: skip
    agree(*both(Conv2d((3, 5, 6), (4, 3, 3), mode=where, seed=0), x, lambda y: gradient(where, y)))


def test_biases_of_another_type_or_order_are_understood(where):
    xp = array_module(where)
    layer = Dense(3, 4, mode=where, seed=0)
    layer.b = xp.arange(8, dtype="float64")[::2]
    agree(*both(layer, normal(where, 2, 3), lambda y: gradient(where, y)))


def trained(where: str, steps: int = 3) -> list[np.ndarray]:
    x, t = normal(where, 8 * steps, 2, 8, 8), one_hot(where, 8 * steps, 3)
    lm = LayerManager((x, x[:5]), (t, t[:5]), mode=where, seed=3)
    lm.append(name="c", F_shape=(3, 3, 3))
    lm.append(name="p", pool=2)
    lm.append(name="c", F_shape=(4, 3, 3), act="tanh")
    lm.append(name="m", n=9)
    lm.append(name="o", n=3)
    lm.training(1, n_batch=8, show_error=False, graph=False)
    return [to_cpu(p) for layer in lm for p in layer.parameters()]


def test_a_training_is_the_same_to_within_rounding(where):
    with off():
        plain = trained(where)
    assert max(map(error, plain, trained(where))) < 1e-4  # Adam divides small gradients by small ones


def test_a_training_twice_gives_the_same_bits(where):
    assert [each.tobytes() for each in trained(where)] == [each.tobytes() for each in trained(where)]


def test_what_is_not_float32_has_no_kernels(where):
    xp = array_module(where)
    assert overrides(xp.ones(3, dtype="float32")) is not None
    assert overrides(xp.ones(3)) is None
    assert overrides(xp.ones(3, dtype="float16")) is None
    assert overrides(xp.ones(0, dtype="float32")) is None
    assert overrides(xp.ones(3, dtype="float32"), 2**31) is None
    with off():
        assert overrides(xp.ones(3, dtype="float32")) is None


@pytest.mark.skipif(COMPILER is None, reason="needs g++ to compile the kernels for the CPU")
def test_no_order_of_threads_changes_a_bit(tmp_path: Path, monkeypatch):
    found = []
    for order in range(4):
        kernels = Layerwise(Emulated(tmp_path, order))
        monkeypatch.setattr(layerwise, "_where", lambda x, kernels=kernels: kernels)
        found.append([each.tobytes() for each in trained("cpu", steps=1)])
    assert all(each == found[0] for each in found)


@pytest.mark.skipif(COMPILER is None, reason="needs g++ to compile the kernels for the CPU")
def test_a_step_of_the_article_s_net_launches_so_many_kernels(tiny, monkeypatch, tmp_path: Path):
    kernels = Layerwise(device := Emulated(tmp_path))
    monkeypatch.setattr(layerwise, "_where", lambda x: kernels)
    lm = LayerManager(*tiny, seed=3)
    for keywords in ({"name": "c", "F_shape": (2, 3, 3)}, {"name": "p", "pool": 2}, {"name": "m", "n": 5}):
        lm.append(**keywords)
    lm.append(name="o", n=3)
    x, t = next(batches(lm.x_train, lm.y_train, 8))
    step(lm, x, t)
    assert device.launched == [
        "gather", "direct_out", "windows_pool", "units_out", "few_out",
        "few_back", "units_back", "windows_unpool", "direct_back", *["optimizer_step"] * 3,
    ]  # fmt: skip


@pytest.mark.parametrize("keywords", [{}, {"weight_decay": 0.1}, {"weight_decay": 0.1, "decoupled": True}])
def test_adam_is_the_same_for_all_parameters_of_a_layer(where, keywords):
    shapes, found = [(4, 3, 3), (4,), (300,)], []
    for kernels in (False, True):
        params = [normal(where, *shape, seed=i) for i, shape in enumerate(shapes)]
        optimizer = Adam(**keywords)
        for _ in range(3):
            grads = [normal(where, *shape, seed=i + 7) for i, shape in enumerate(shapes)]
            with nullcontext() if kernels else off():
                optimizer.update(params, grads, spared=(1,))
        found.append([to_cpu(each) for each in (*params, *optimizer.state["m"], *optimizer.state["v"])])
    assert max(map(error, *found)) < 1e-6


def test_a_parameter_that_does_not_lie_in_one_stretch_learns_the_same(where):
    found = []
    for kernels in (False, True):
        p, optimizer = normal(where, 5, 4).T, Adam()
        with nullcontext() if kernels else off():
            optimizer.update([p], [normal(where, 4, 5, seed=1)])
        found.append(to_cpu(p))
    assert error(*found) < 1e-6
