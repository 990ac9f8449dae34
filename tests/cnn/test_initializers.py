import math

import numpy as np
import pytest

from cnn import Conv2d, Dense, LayerManager, Output
from cnn.initializers import INITIALIZERS, fans, get_initializer
from cnn.xp import to_cpu

SHAPES = [(300, 200), (64, 32, 5, 3)]


@pytest.mark.parametrize(("W_shape", "expected"), [((4, 3), (4, 3)), ((10, 4, 5, 3), (4 * 15, 10 * 15))])
def test_fans_count_the_numbers_of_a_sum_and_the_sums_of_a_number(W_shape, expected):
    assert fans(W_shape) == expected


DEVIATIONS = [  # √(variance) for (fan in, fan out)
    ("normal", {}, lambda i, o: 0.05),
    ("normal", {"width": 0.2}, lambda i, o: 0.2),
    ("He", {}, lambda i, o: math.sqrt(2 / i)),
    ("He normal", {"fan": "out"}, lambda i, o: math.sqrt(2 / o)),
    ("He uniform", {}, lambda i, o: math.sqrt(2 / i)),
    ("He uniform", {"fan": "out", "alpha": 0.5}, lambda i, o: math.sqrt(2 / 1.25 / o)),
    ("Glorot", {}, lambda i, o: math.sqrt(2 / (i + o))),
    ("Glorot normal", {"gain": 5 / 3}, lambda i, o: 5 / 3 * math.sqrt(2 / (i + o))),
    ("Glorot uniform", {}, lambda i, o: math.sqrt(2 / (i + o))),
]


@pytest.mark.parametrize("W_shape", SHAPES)
@pytest.mark.parametrize(("name", "keywords", "expected"), DEVIATIONS)
def test_weights_have_the_deviation_of_the_paper(name, keywords, expected, W_shape):
    W = get_initializer(name, keywords).weights(W_shape, np.random.default_rng(1))
    deviation = expected(*fans(W_shape))
    assert W.shape == W_shape
    assert abs(W.mean()) < 4 * deviation / math.sqrt(W.size)
    np.testing.assert_allclose(W.std(), deviation, rtol=0.015)
    if name.endswith("uniform") or name == "Glorot":
        assert 1.7 * deviation < abs(W).max() <= math.sqrt(3) * deviation
    else:
        assert abs(W).max() > 3 * deviation


@pytest.mark.torch
@pytest.mark.parametrize(("name", "theirs"), [("He", "kaiming"), ("Glorot", "xavier")])
@pytest.mark.parametrize("fan", ["in", "out"])
@pytest.mark.parametrize("W_shape", SHAPES)
def test_deviations_and_bounds_are_pytorch_s(name, theirs, fan, W_shape):
    init = pytest.importorskip("torch").nn.init
    torch = pytest.importorskip("torch")
    weight = torch.empty(W_shape if len(W_shape) > 2 else W_shape[::-1])
    assert fans(W_shape) == init._calculate_fan_in_and_fan_out(weight)
    mode = {"mode": f"fan_{fan}", "nonlinearity": "relu"} if name == "He" else {}
    torch.manual_seed(1)
    bound = getattr(init, f"{theirs}_uniform_")(weight.clone(), **mode).abs().max().item()
    keywords = {"fan": fan} if name == "He" else {}
    ours = abs(get_initializer(f"{name} uniform", keywords).weights(W_shape, np.random.default_rng(1))).max()
    np.testing.assert_allclose(ours, bound, rtol=1e-3)
    deviation = getattr(init, f"{theirs}_normal_")(weight.clone(), **mode).std().item()
    normal = get_initializer(f"{name} normal", keywords).weights(W_shape, np.random.default_rng(1))
    np.testing.assert_allclose(normal.std(), deviation, rtol=0.02)


@pytest.mark.parametrize(
    ("act", "init"), [("ReLU", "He normal"), ("ReLU", "He uniform"), ("identity", "Glorot normal")]
)
def test_the_variance_stays_through_many_layers(act, init):
    y = np.random.default_rng(2).normal(size=(200, 300)).astype("float32")
    for i in range(10):
        y = Dense(300, 300, act=act, init=init, seed=i).forward(y)
    assert 0.4 < float((y * y).mean()) < 2


@pytest.mark.parametrize("init", [name for name in INITIALIZERS if name != "normal"])
@pytest.mark.parametrize("make", [lambda **k: Dense(40, 30, **k), lambda **k: Conv2d((4, 5, 5), (30, 3, 3), **k)])
def test_a_layer_takes_them_on_either_device_and_its_biases_start_at_0(xp, mode, make, init):
    layer, here = make(init=init, seed=3, mode=mode), make(init=init, seed=3)
    assert layer.W.dtype == layer.b.dtype == "float32"
    assert isinstance(layer.W, xp.ndarray)
    np.testing.assert_array_equal(to_cpu(layer.W), here.W)
    np.testing.assert_array_equal(to_cpu(layer.b), 0)


def test_a_model_passes_them_on(tiny):
    lm = LayerManager(*tiny, seed=3)
    lm.append(name="m", n=400, init="he-normal", init_dic={"fan": "out"})
    lm.append(name="o", n=3, init="glorot_uniform")
    assert abs(lm[0].W.std() - math.sqrt(2 / 400)) < 0.002
    assert abs(lm[1].W).max() <= math.sqrt(6 / 403)


def test_without_one_the_width_is_wb_width():
    drawn = np.random.default_rng(3)
    layer = Output(4, 3, wb_width=0.5, seed=3)
    np.testing.assert_allclose(layer.W, 0.5 * drawn.standard_normal((4, 3)), rtol=1e-6)
    np.testing.assert_allclose(layer.b, 0.5 * drawn.standard_normal(3), rtol=1e-6)


@pytest.mark.parametrize(
    ("keywords", "error", "text"),
    [
        ({"init": "Hee"}, ValueError, r"Middle: unknown init 'Hee'; did you mean 'He'\? known: normal, He, He normal"),
        ({"init": "He", "init_dic": {"gain": 2}}, TypeError, "Middle: init HeNormal has no keyword 'gain'"),
        ({"init": "He", "init_dic": {"fan": "both"}}, ValueError, "Middle: unknown fan 'both'; known: in, out"),
        ({"init": "Glorot", "init_dic": {"gain": -1}}, ValueError, "Middle: gain is -1; expected a finite number"),
        ({"init_dic": {"width": "a"}}, TypeError, "Middle: width is 'a'; expected a finite number"),
        ({"wb_width": -1}, ValueError, "Middle: wb_width is -1; expected a finite number, 0 or more"),
        ({"init_dic": "ab"}, TypeError, "Middle: the keywords of init Normal are 'ab'; expected a dictionary"),
        ({"init_dic": 0}, TypeError, "Middle: the keywords of init Normal are 0; expected a dictionary"),
        ({"init": 3}, TypeError, "Middle: init is 3, a int; expected a name out of normal, He"),
    ],
)
def test_bad_keywords_are_answered(keywords, error, text):
    with pytest.raises(error, match=text):
        Dense(3, 2, **keywords)
