"""Layers with every activation: what it learns, and what it draws, is theirs."""

import copy

import numpy as np
import pytest

from cnn import Conv2d, Dense, LayerManager, Output
from cnn.xp import to_cpu
from tests.cnn.activating import NAMES
from tests.cnn.gradient_check import check_layer

LEARNED = {"PReLU": ["alpha"], "ACON-A": ["beta"], "ACON-B": ["p", "beta"], "ACON-C": ["p1", "p2", "beta"]}


def conv(act, **keywords):
    return Conv2d((2, 5, 4), (3, 3, 2), act=act, **{"wb_width": 0.5, "seed": 1} | keywords)


def dense(act, **keywords):
    return Dense(40, 3, act=act, **{"wb_width": 0.5, "seed": 1} | keywords)


@pytest.mark.parametrize("make", [conv, dense])
@pytest.mark.parametrize("act", sorted({*NAMES} - {"step", "RReLU"}))
def test_the_gradients_of_a_layer_agree_with_differences(xp, mode, make, act):
    x = xp.asarray(np.random.default_rng(6).standard_normal((2, 2, 5, 4)))
    check_layer(make(act, dtype="float64", mode=mode), x, atol=1e-7)


@pytest.mark.parametrize("act", LEARNED)
def test_learned_parameters_are_the_layer_s_one_a_channel(xp, mode, act):
    layer = conv(act, mode=mode)
    assert layer.parameter_names == ("W", "b", *LEARNED[act])
    assert {getattr(layer, name).shape for name in LEARNED[act]} == {(3,)}
    assert layer.n_parameters == layer.W.size + 3 + 3 * len(LEARNED[act])


@pytest.mark.parametrize("act", LEARNED)
def test_learned_parameters_learn_with_the_rest(xp, mode, act):
    layer = dense(act, mode=mode, opt="SGD")
    before = [to_cpu(getattr(layer, name)).copy() for name in LEARNED[act]]
    layer.backward(layer.forward(xp.asarray(np.random.default_rng(3).normal(size=(4, 40)), dtype="float32"), True))
    layer.update()
    for name, was in zip(LEARNED[act], before, strict=True):
        moved = was - np.float32(0.01) * to_cpu(getattr(layer, f"d{name}"))
        np.testing.assert_allclose(to_cpu(getattr(layer, name)), moved, rtol=1e-6)
        assert (moved != was).any()
        assert getattr(layer, name).dtype == "float32"


def test_their_first_values_are_keywords_of_the_activation():
    layer = Dense(4, 3, act="PReLU", act_dic={"alpha": 0.5})
    np.testing.assert_array_equal(layer.alpha, [0.5, 0.5, 0.5])


def test_an_output_layer_learns_them_too(xp, mode):
    layer = Output(4, 3, act="ACON-C", mode=mode)
    layer.forward(xp.ones((2, 4)), train=True)
    layer.backward(xp.ones((2, 3)))
    assert layer.dp1.shape == layer.dp2.shape == layer.dbeta.shape == (3,)
    layer.update()


def test_a_model_saves_and_loads_them(tiny, mode, tmp_path):
    def made():
        lm = LayerManager(*tiny, mode=mode, seed=3)
        lm.append(name="c", F_shape=(2, 3, 3), act="PReLU")
        lm.append(name="o", n=3)
        return lm

    lm, other = made(), made()
    lm.training(1, n_batch=8, show_error=False)
    lm.save(tmp_path / "model.npz")
    other.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(to_cpu(lm[0].alpha), to_cpu(other[0].alpha))
    assert (to_cpu(lm[0].alpha) != 0.25).all()


def test_rrelu_draws_in_training_and_only_there(xp, mode):
    layer = Dense(4, 50, act="RReLU", mode=mode, seed=2)
    x = xp.asarray(np.random.default_rng(3).normal(size=(4, 4)), dtype="float32")
    first, second = layer.forward(x, train=True), layer.forward(x, train=True)
    assert bool((first != second).any())
    assert bool((layer.forward(x) == layer.forward(x)).all())


def test_one_seed_draws_the_same_slopes(xp, mode):
    x = xp.asarray(np.random.default_rng(3).normal(size=(4, 4)), dtype="float32")
    layer = Dense(4, 50, act="RReLU", mode=mode, seed=2)
    twin = copy.deepcopy(layer)
    np.testing.assert_array_equal(to_cpu(layer.forward(x, train=True)), to_cpu(twin.forward(x, train=True)))


def test_rrelu_s_gradient_in_training_is_that_of_its_draw(xp, mode):
    layer = Dense(4, 5, act="RReLU", dtype="float64", mode=mode, seed=2)
    x, dy = xp.asarray(np.random.default_rng(3).normal(size=(3, 4))), xp.ones((3, 5))
    y = layer.forward(x, train=True)
    layer.backward(dy)
    slopes = xp.where(layer.z > 0, 1, y / layer.z)
    np.testing.assert_allclose(to_cpu(layer.db), to_cpu(slopes.sum(axis=0)), rtol=1e-12)


@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("act", ["PReLU", "ACON-C"])
@pytest.mark.parametrize("opt", ["SGD", "SAM"])
def test_weight_decay_leaves_what_an_activation_learns_alone(tiny, mode, opt, act, decoupled):
    decay = {"eta": 0.1, "weight_decay": 0.5, "decoupled": decoupled}
    lm = LayerManager(*tiny, mode=mode, seed=1)
    lm.append(name="m", n=4, act=act, opt=opt, opt_dic=decay if opt == "SGD" else {"base": "SGD", "base_dic": decay})
    lm.append(name="o", n=3, wb_width=0)  # so that all gradients before it are 0
    names = lm[0].parameter_names
    before = {name: to_cpu(getattr(lm[0], name)).copy() for name in names}
    lm.forward(lm.x_train, train=True)
    lm.backward(lm.y_train)
    lm.update()
    for name in names:
        share = 0.95 if name in ("W", "b") else 1
        np.testing.assert_allclose(to_cpu(getattr(lm[0], name)), share * before[name], rtol=1e-6, err_msg=name)


def test_what_does_not_decay_costs_no_decay():
    plain, decaying = (
        Dense(3, 4, act="PReLU", opt="SGD", opt_dic={"weight_decay": share}).cost("update", None)[0]
        for share in (0, 0.1)
    )
    assert decaying - plain == 2 * (3 * 4 + 4)


def test_an_unknown_activation_is_answered_with_the_layer_s_name():
    with pytest.raises(ValueError, match="edges: unknown activation 'relux'"):
        Dense(2, 2, name="edges", act="relux")
