"""The article's own steps, as a reader would type them, on the sample that comes with the package."""

import math

import numpy as np
import pytest

from cnn import LayerManager
from cnn.xp import to_cpu

N_BATCH = 8


def built(sample, mode, route="first"):
    (x_train, t_train), (x_test, t_test) = sample
    x_train, t_train, x_test, t_test = x_train[:600], t_train[:600], x_test[:200], t_test[:200]
    C, I_h, I_w = x_train.shape[1:]
    n_class = t_train.shape[1]
    M, F_h, F_w = 10, 3, 3
    lm = LayerManager((x_train, x_test), (t_train, t_test), mode=mode, seed=0)
    lm.append(name="c", I_shape=(C, I_h, I_w), F_shape=(M, F_h, F_w), pad=1)
    lm.append(name="p", I_shape=lm[-1].O_shape, pool=2, route=route)
    lm.append(name="m", n=100)
    lm.append(name="o", n=n_class, act="softmax", err_func="Cross")
    return lm


@pytest.fixture
def lm(sample, mode):
    return built(sample, mode)


def batch_of(xp, lm):
    rand = xp.arange(len(lm.x_train))[0:N_BATCH]
    return lm.x_train[rand], lm.y_train[rand]


def test_the_network_is_the_article_s(lm):
    assert [layer.name for layer in lm] == ["Conv1", "Pool1", "Middle1", "Output1"]
    assert [layer.O_shape for layer in lm] == [(10, 28, 28), (10, 14, 14), (100,), (10,)]
    assert sum(layer.n_parameters for layer in lm) == 197_210
    assert [type(layer.optimizer).__name__ for layer in lm if layer.optimizer] == ["Adam"] * 3


def test_it_trains_and_predicts(lm, capsys):
    lm.training(5, threshold=1e-8, n_batch=N_BATCH, show_train_error=True)
    print("training dataset")
    _ = lm.predict(x=lm.x_train, y=lm.y_train)
    print("test dataset")
    y_pred = lm.predict() if lm.mode == "cpu" else lm.predict().get()
    lines = capsys.readouterr().out.splitlines()
    assert type(y_pred) is np.ndarray
    assert y_pred.shape == (200,)
    assert [line.split(":")[0] for line in lines] == [
        *("training dataset", "correct", "predict", "accuracy rate"),
        *("test dataset", "correct", "predict", "accuracy rate"),
    ]
    assert lines[3].endswith("/600)")
    assert len(lines[1].split("[")[1].split()) == 16
    assert (lm.history.table.train_error < math.log(10)).all()
    assert len(lm.history.table) == 5


def test_its_commented_variant_is_answered_instead_of_swallowed(lm):
    with pytest.raises(TypeError, match=r"optimizer AdaDelta has no keyword 'eta'; .*known: rho, eps"):
        lm.append(name="m", n=100, wb_width=0.1, opt="AdaDelta", opt_dic={"eta": 1e-2})


def test_the_error_over_all_images_follows_a_forward(lm):
    lm.forward(lm.x_train)
    error = lm[-1].get_error(lm.y_train)
    np.testing.assert_allclose(float(error), lm.error(lm.x_train, lm.y_train), rtol=1e-4)
    lm.forward(lm.x_test)
    assert 0 < float(lm[-1].get_error(lm.y_test)) < 10


@pytest.mark.parametrize("route", ["first", "ties", "article"])
def test_backward_goes_layer_by_layer(xp, sample, mode, route):
    lm = built(sample, mode, route)
    x, t = batch_of(xp, lm)
    lm.forward(x)
    err3 = lm[3].backward(t)
    err2 = lm[2].backward(err3)
    err2 = err2.reshape(N_BATCH, *lm[1].O_shape)
    err1 = lm[1].backward(err2)
    err0 = lm[0].backward(err1)
    assert [e.shape for e in (err3, err2, err1, err0)] == [(8, 100), (8, 10, 14, 14), (8, 10, 28, 28), (8, 1, 28, 28)]
    np.testing.assert_array_equal(to_cpu(err0), to_cpu(lm.backward(t)))
    lm.update()


def pooled(xp, sample, mode, route):
    """The model, the gradient that reaches the pooling layer, and what the layer makes of it."""
    lm = built(sample, mode, route)
    x, t = batch_of(xp, lm)
    lm.forward(x)
    err2 = lm[2].backward(lm[3].backward(t)).reshape(N_BATCH, *lm[1].O_shape)
    return lm, err2, lm[1].backward(err2)


def col2im_of(lm, grad_x):
    B, C, O_h, O_w = N_BATCH, *lm[1].O_shape
    columns = grad_x.reshape(B * O_h * O_w, C * lm[1].pool * lm[1].pool).T
    return lm[1].col2im(columns, (N_BATCH, *lm[1].I_shape), lm[1].O_shape, stride=lm[1].pool, pad=lm[1].pad_state)


def test_the_pooling_layer_s_backward_piece_by_piece_in_its_first_form(xp, sample, mode):
    lm, err2, whole = pooled(xp, sample, mode, "article")
    grad = err2.transpose(0, 2, 3, 1).reshape(-1, 1)
    assert lm[1].max_index.shape == (grad.size,) == (15_680,)
    grad_x = xp.zeros((grad.size, lm[1].pool * lm[1].pool))
    grad_x1 = grad_x.copy()
    grad_x1[:, lm[1].max_index] = grad
    np.testing.assert_array_equal(to_cpu(col2im_of(lm, grad_x1)), to_cpu(whole))


def test_the_pooling_layer_s_backward_piece_by_piece_after_the_rewrite(xp, sample, mode):
    lm, err2, whole = pooled(xp, sample, mode, "ties")
    grad = err2.transpose(0, 2, 3, 1).reshape(-1, 1)
    assert lm[1].max_index.shape == (15_680, 4)
    grad_x1 = lm[1].max_index * grad
    np.testing.assert_array_equal(to_cpu(col2im_of(lm, grad_x1)), to_cpu(whole))
