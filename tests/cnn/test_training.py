import functools
import math
import re

import numpy as np
import pytest

from cnn import Dense, LayerManager, evaluation
from cnn.xp import to_cpu


def weights(lm):
    return [to_cpu(layer.W).copy() for layer in lm if layer.parameter_names]


def test_the_same_seed_gives_the_same_run(net):
    one, other = net(), net()
    histories = []
    for lm in (one, other):
        lm.insert(3, name="d")
        histories.append(lm.training(2, n_batch=5, show_error=False))
    for a, b in zip(weights(one), weights(other), strict=True):
        np.testing.assert_array_equal(a, b)
    assert [e.test_error for e in histories[0].epochs] == [e.test_error for e in histories[1].epochs]


def test_another_seed_gives_another_run(net):
    one, other = net(seed=1), net(seed=2)
    assert (weights(one)[0] != weights(other)[0]).any()


def test_each_epoch_sees_every_image_once_in_a_new_order_and_the_last_batch_may_be_short(xp, net, monkeypatch):
    lm = net()
    lm.x_train[:, 0, 0, 0] = xp.arange(24)
    seen, forward = [], lm.forward
    monkeypatch.setattr(
        lm,
        "forward",
        lambda x, train=False: (train and seen.append(to_cpu(x)[:, 0, 0, 0].tolist()), forward(x, train))[1],
    )
    lm.training(2, n_batch=10, show_error=False)
    assert [len(batch) for batch in seen] == [10, 10, 4] * 2
    first, second = np.concatenate(seen[:3]).tolist(), np.concatenate(seen[3:]).tolist()
    assert sorted(first) == sorted(second) == list(range(24))
    assert first != second


def test_the_errors_are_means_over_all_images(net):
    lm = net()
    history = lm.training(1, n_batch=7, show_error=False, show_train_error=True)
    (epoch,) = history.epochs
    np.testing.assert_allclose(epoch.train_error, lm.error(lm.x_train, lm.y_train), rtol=1e-12)
    np.testing.assert_allclose(epoch.test_error, lm.error(lm.x_test, lm.y_test), rtol=1e-12)
    assert epoch.seconds > 0


def test_the_train_error_is_empty_unless_asked_for(net):
    assert math.isnan(net().training(1, show_error=False).epochs[0].train_error)


def test_steps_limits_a_call(net):
    lm = net()
    history = lm.training(5, n_batch=10, steps=4, show_error=False)
    assert history.steps == lm.steps == 4
    assert [epoch.epoch for epoch in history.epochs] == [1, 2]
    assert history.reason == "the 4 steps asked for are done"


def test_all_epochs_done_is_a_reason_too(net):
    assert net().training(1, show_error=False).reason == "all epochs are done"


def test_a_threshold_ends_the_training_with_the_reason(net):
    history = net().training(9, threshold=1e9, show_error=False)
    assert len(history.epochs) == 2
    assert re.match(r"the test error moved by .*, less than the threshold 1e\+09", history.reason)


def test_a_threshold_of_zero_never_ends_it(net):
    lm = net()
    for layer in lm:
        layer.update = lambda: None
    assert len(lm.training(3, threshold=0, show_error=False).epochs) == 3


def test_nan_ends_the_training_with_the_reason(net):
    lm = net()
    lm["Conv1"].W[...] = float("nan")
    history = lm.training(9, show_error=False)
    assert len(history.epochs) == 1
    assert history.reason.startswith("the test error is nan after epoch 1")


def test_ctrl_c_keeps_weights_and_history(net):
    lm = net()
    update, calls = lm["Output1"].update, []

    def interrupted():
        update()
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt

    lm["Output1"].update = interrupted
    history = lm.training(9, n_batch=8, show_error=False)
    assert history.reason == "interrupted"
    assert len(history.epochs) == 1
    assert lm.history is history
    assert lm["Output1"].optimizer.t == 5


def test_layers_are_asked_by_name_each_time(net):
    lm = net()
    seen = []
    conv = lm["Conv1"]
    original = conv.forward

    def shadow(x, train=False):
        seen.append((len(x), train))
        return original(x, train=train)

    conv.forward = shadow
    lm.training(1, n_batch=12, show_error=False)
    assert seen == [(12, True), (12, True), (12, False)]


def test_a_quiet_training_writes_nothing(net, capfd):
    net().training(1, show_error=False)
    assert capfd.readouterr() == ("", "")


def test_a_training_shows_epoch_steps_and_error_on_stderr(net, capfd):
    net().training(2, n_batch=8)
    out, err = capfd.readouterr()
    assert out == ""
    assert "epoch 1/2: 100%" in err
    assert "epoch 2/2: 100%" in err
    assert "3/3" in err
    assert "test=" in err


@pytest.mark.parametrize(
    ("keywords", "error", "text"),
    [
        ({"epoch": 0}, ValueError, "epoch is 0; expected 1 or more"),
        ({"epoch": 1, "n_batch": 2.5}, TypeError, "n_batch is 2.5; expected a whole number"),
        ({"epoch": 1, "steps": 0}, ValueError, "steps is 0; expected 1 or more"),
        ({"epoch": 1, "threshold": -1}, ValueError, "threshold is -1; expected a finite number, 0 or more"),
    ],
)
def test_bad_arguments_are_answered(net, keywords, error, text):
    with pytest.raises(error, match=text):
        net().training(**keywords)


def test_a_short_training_on_real_digits_learns_them(sample, mode, capsys):
    (x_train, t_train), (x_test, t_test) = sample
    lm = LayerManager((x_train[:1500], x_test), (t_train[:1500], t_test), mode=mode, seed=0)
    lm.append(name="c", F_shape=(10, 3, 3), pad=1)
    lm.append(name="p", pool=2)
    lm.append(name="m", n=100)
    lm.append(name="o", n=10)
    lm.training(2, n_batch=16, show_error=False)
    hits = int((lm.predict() == lm.y_test.argmax(axis=1)).sum())
    assert hits > 800


def test_an_error_in_a_layer_goes_on_and_keeps_the_history(net):
    lm = net()
    update, calls = lm["Output1"].update, []

    def broken():
        update()
        calls.append(1)
        if len(calls) == 5:
            raise ValueError("out of order")

    lm["Output1"].update = broken
    with pytest.raises(ValueError, match="out of order"):
        lm.training(9, n_batch=8, show_error=False)
    assert (len(lm.history.epochs), lm.history.steps) == (1, 4)
    assert lm.history.reason == "ValueError: out of order"


def test_the_threshold_may_be_numpy_s(net):
    assert net().training(1, threshold=np.float32(0), show_error=False).steps == 2


def test_the_targets_content_is_checked_once_a_training(net, monkeypatch):
    lm, checked = net(), []
    monkeypatch.setattr(lm[-1].loss, "check_targets", lambda t: checked.append(len(t)))
    lm.training(3, show_error=False, show_train_error=True)
    assert checked == [24, 12]


def test_get_error_after_a_training_is_of_the_test_images_in_pieces_or_not(net, monkeypatch):
    for size in (evaluation.PIECE, 1):
        monkeypatch.setattr(evaluation, "PIECE", size)
        lm = net()
        history = lm.training(1, show_error=False, show_train_error=True)
        assert float(lm[-1].get_error(lm.y_test)) == history.epochs[-1].test_error


@pytest.fixture
def returned(net):
    """A model, and the shapes of what the first layer's backward returned while it learned."""
    lm, shapes = net(), []
    backward = lm[0].backward

    @functools.wraps(backward)  # as `hooked` does it: it watches
    def watching(dy):
        dx = backward(dy)
        shapes.append(getattr(dx, "shape", None))
        return dx

    lm[0].backward = watching
    return lm, shapes


def test_training_has_no_use_for_the_gradient_by_the_images(returned):
    lm, shapes = returned
    lm.training(1, n_batch=12, show_error=False)
    assert shapes == [None, None]
    assert all(layer.wants_dx for layer in lm)


def test_backward_gives_the_gradient_by_the_images_after_a_training_too(net):
    trained, other = net(), net()
    trained.training(1, steps=1, n_batch=24, show_error=False)
    for mine, its in zip(other, trained, strict=True):
        for name in mine.parameter_names:
            setattr(mine, name, getattr(its, name))
    found = []
    for lm in (trained, other):
        lm.forward(lm.x_train)
        found.append(to_cpu(lm.backward(lm.y_train)))
        assert lm[0].backward(lm[1].backward(lm[2].backward(lm[3].backward(lm.y_train)))).shape == lm.x_train.shape
    assert found[0].any()
    np.testing.assert_array_equal(*found)


def test_a_backward_of_one_s_own_gets_what_it_may_look_at(tiny, mode):
    class Model(LayerManager):
        def backward(self, t):
            self.dx = super().backward(t)
            return self.dx

    class Seeing(Dense):
        def backward(self, dy):
            self.dx = super().backward(dy)
            return self.dx

    for kind, layer in ((Model, Dense), (LayerManager, Seeing)):
        lm = kind(*tiny, mode=mode, seed=1)
        lm.append(layer(prev=36, n=4, mode=mode))
        lm.append(name="o", n=3)
        lm.training(1, n_batch=24, show_error=False)
        assert (lm if kind is Model else lm[0]).dx.shape == lm.x_train.shape


def test_an_error_in_a_step_leaves_the_first_layer_as_it_was(net):
    lm = net()
    lm[1].backward = lambda dy: 1 / 0
    with pytest.raises(ZeroDivisionError):
        lm.training(1, show_error=False)
    assert lm[0].wants_dx


def test_a_backward_put_on_the_first_layer_sees_the_gradient_by_the_images(net):
    lm = net()
    seen, own = [], lm[0].backward
    lm[0].backward = lambda dy: seen.append(own(dy)) or seen[-1]
    lm.training(1, n_batch=8, steps=1, show_error=False)
    assert seen[0].shape == (8, *lm.I_shape)
