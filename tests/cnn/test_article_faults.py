"""One test for each fault of the article's code that is not to come back."""

import numpy as np
import pytest

from cnn import Conv2d, Dropout, LayerManager, MaxPool2d
from cnn.activations import get_activation
from cnn.im2col import col2im, im2col
from cnn.xp import to_cpu


def pool_gradient(xp, mode, route, N=4):
    layer = MaxPool2d((2, 6, 6), 2, route=route, mode=mode, dtype="float64")
    rng = np.random.default_rng(0)
    layer.forward(xp.asarray(rng.standard_normal((N, 2, 6, 6))))
    dy = xp.asarray(rng.random((N, 2, 3, 3)))
    return to_cpu(dy), to_cpu(layer.backward(dy))


def test_the_scatter_sends_each_gradient_to_one_place_only(xp, mode):
    dy, dx = pool_gradient(xp, mode, "first")
    assert np.count_nonzero(dx) == dy.size
    np.testing.assert_allclose(dx.sum(), dy.sum())


def test_the_article_s_scatter_is_kept_and_is_wrong(xp, mode):
    dy, dx = pool_gradient(xp, mode, "article")
    assert np.count_nonzero(dx) == 4 * dy.size
    np.testing.assert_allclose(dx.sum(), 4 * dy.sum())


def test_the_article_s_scatter_indexes_a_block_of_windows_by_windows():
    writes = []

    class Counting(np.ndarray):
        def __setitem__(self, key, value):
            writes.append(np.empty(self.shape, bool)[key].size)
            super().__setitem__(key, value)

    layer = MaxPool2d((1, 4, 4), 2, route="article")
    layer.max_index = np.array([0, 3, 1, 2])
    zeros, np_zeros = np.zeros, np.zeros
    try:
        np.zeros = lambda *a, **k: zeros(*a, **k).view(Counting)
        layer._routed(np.ones((4, 1)))
    finally:
        np.zeros = np_zeros
    assert writes == [4 * 4]


def test_ties_after_a_relu_count_once(xp, mode):
    layer = MaxPool2d((1, 2, 2), 2, mode=mode)
    layer.forward(xp.zeros((1, 1, 2, 2), dtype="float32"))
    assert float(layer.backward(xp.ones((1, 1, 1, 1), dtype="float32")).sum()) == 1


@pytest.mark.parametrize(("size", "window", "stride"), [(28, 3, 3), (28, 5, 2), (7, 2, 3)])
def test_col2im_does_not_guess_the_filter_from_the_sizes(xp, mode, size, window, stride):
    x = xp.ones((1, 1, size, size))
    cols, _, sides = im2col(x, (window, window), stride)
    assert col2im(cols, x.shape, (window, window), stride, sides).shape == x.shape
    layer = Conv2d((1, size, size), (1, window, window), stride=stride, pad=0, dtype="float64", mode=mode)
    assert layer.backward(layer.forward(x)).shape == x.shape


def test_same_at_stride_two_halves_the_image_and_even_filters_are_fine():
    assert Conv2d((1, 28, 28), (1, 3, 3), stride=2).O_shape == (1, 14, 14)
    assert Conv2d((1, 4, 4), (1, 2, 2)).O_shape == (1, 4, 4)
    assert Conv2d((1, 4, 4), (1, 2, 2)).pad_state == ((0, 1), (0, 1))


def test_training_counts_the_steps_of_every_optimizer(net):
    lm = net()
    lm.training(2, n_batch=10, show_error=False)
    assert [layer.optimizer.t for layer in lm if layer.optimizer] == [6, 6, 6]
    assert lm.steps == 6


def test_the_error_and_the_gradients_do_not_grow_with_the_batch(xp, net):
    lm = net(dtype="float64")
    x, t = lm.x_train[:6], lm.y_train[:6]
    lm.forward(x)
    lm.backward(t)
    error, dW = float(lm[-1].get_error(t)), lm[0].dW.copy()
    lm.forward(xp.concatenate([x, x]))
    lm.backward(xp.concatenate([t, t]))
    np.testing.assert_allclose(float(lm[-1].get_error(xp.concatenate([t, t]))), error, rtol=1e-12)
    np.testing.assert_allclose(to_cpu(lm[0].dW), to_cpu(dW), rtol=1e-9, atol=1e-15)


def test_a_uniform_guess_costs_the_logarithm_of_the_number_of_classes(net):
    lm = net()
    for layer in lm:
        if layer.parameter_names:
            layer.W[...] = layer.b[...] = 0
    np.testing.assert_allclose(lm.error(lm.x_test, lm.y_test), np.log(3), rtol=1e-6)


def test_softmax_goes_back_through_its_whole_jacobian(xp):
    act, x = get_activation("softmax"), xp.asarray([[1.0, 2.0, 3.0]])
    y = act.forward(x)
    jacobian = np.diag(to_cpu(y)[0]) - np.outer(to_cpu(y)[0], to_cpu(y)[0])
    dy = xp.asarray([[1.0, -2.0, 0.5]])
    np.testing.assert_allclose(to_cpu(act.backward(dy, x, y))[0], jacobian @ to_cpu(dy)[0], rtol=1e-12)


def test_dropout_keeps_three_quarters_with_a_mask_for_each_image(xp, mode):
    y = to_cpu(
        Dropout((1000,), ratio=0.25, mode=mode, seed=0).forward(xp.ones((100, 1000), dtype="float32"), train=True)
    )
    assert abs((y > 0).mean() - 0.75) < 0.005
    assert len({row.tobytes() for row in y > 0}) == 100


@pytest.mark.parametrize("keywords", [{"eta": 0.1}, {"opt_dic": {"eta": 0.1}}, {"act_dic": {"eta": 0.1}}])
def test_unknown_keywords_are_refused_wherever_they_are(net, keywords):
    with pytest.raises(TypeError, match="has no keyword 'eta'"):
        net().insert(2, name="m", n=3, **keywords)


def test_float32_goes_in_and_stays(net):
    lm = net()
    lm.training(1, show_error=False, graph=False)
    arrays = [lm.x_train, lm.y_test, lm.predict_proba(lm.x_test)]
    for layer in lm:
        if layer.optimizer:
            arrays += [layer.W, layer.b, layer.dW, layer.db]
            arrays += [array for states in layer.optimizer.state.values() for array in states]
    assert {array.dtype for array in arrays} == {np.dtype("float32")}


def test_the_cpu_mode_needs_no_cupy(tiny, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "cupy", None)
    lm = LayerManager(*tiny, mode="cpu")
    lm.append(name="c", F_shape=(2, 3, 3))
    lm.append(name="p", pool=2)
    lm.append(name="o", n=3)
    assert lm.training(1, show_error=False).steps == 2


def test_the_last_epoch_s_error_is_in_the_history(net):
    lm = net()
    history = lm.training(2, show_error=False)
    assert history.epochs[-1].test_error == lm.error(lm.x_test, lm.y_test)
