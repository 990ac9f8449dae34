import copy
import math

import numpy as np
import pytest

from cnn import LayerManager
from cnn.optimizers import OPTIMIZERS
from cnn.schedules import Cosine
from cnn.stepping import Stepper
from cnn.xp import get_array_module, to_cpu
from tests.cnn import optimizer_boxes as boxes


@pytest.fixture
def one(tiny, mode):
    """Makes the smallest network that learns: one output layer, in float64."""

    def make(opt, opt_dic=None, seed=3):
        lm = LayerManager(*tiny, mode=mode, seed=seed, dtype="float64")
        lm.append(name="m", n=4, opt=opt, opt_dic=opt_dic, act="tanh")
        lm.append(name="o", n=3, opt=opt, opt_dic=opt_dic)
        return lm

    return make


def parameters(lm):
    return np.concatenate([to_cpu(p).ravel() for layer in lm for p in layer.parameters()])


def gradient(lm):
    return np.concatenate([to_cpu(g).ravel() for layer in lm for g in layer.gradients()])


def put_in(lm, values):
    at = 0
    for layer in lm:
        for p in layer.parameters():
            p[...] = get_array_module(p).asarray(values[at : at + p.size].reshape(p.shape))
            at += p.size


def step(lm, x=None, t=None):
    lm.forward(lm.x_train if x is None else x, train=True)
    lm.backward(lm.y_train if t is None else t)
    lm.update()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_trains_a_model_through_update_and_through_training(net, tiny, mode, name):
    keywords = {"opt_dic": {"eta": 1e-5}} if name.startswith("Santa") else {}
    lm = LayerManager(*tiny, mode=mode, seed=1)
    lm.append(name="c", F_shape=(2, 3, 3), opt=name, **keywords)
    lm.append(name="p", pool=2)
    lm.append(name="o", n=3, opt=name, **keywords)
    step(lm)
    history = lm.training(2, n_batch=10, show_error=False)
    assert [layer.optimizer.t for layer in lm if layer.optimizer] == [7, 7]
    assert math.isfinite(history.epochs[-1].test_error)


def test_eve_hears_the_loss_of_each_step(one):
    lm, losses, grads = one("Eve"), [], []
    start = parameters(lm)
    for _ in range(6):
        lm.forward(lm.x_train, train=True)
        losses.append(float(lm[-1].get_error(lm.y_train)))
        lm.backward(lm.y_train)
        grads.append(gradient(lm))
        lm.update()
    expected = [
        boxes.eve(float(p), [float(g[i]) for g in grads], losses, 0.001, 0.9, 0.999, 0.999, 1e-8, 10.0, 0.0)
        for i, p in enumerate(start)
    ]
    np.testing.assert_allclose(parameters(lm), expected, rtol=1e-12)
    assert lm[0].optimizer.d == lm[1].optimizer.d != 1


@pytest.mark.parametrize("q", [2.0, 3.0])
def test_sam_steps_from_the_gradient_at_the_climbed_point(one, q):
    lm = one("SAM", {"base": "SGD", "base_dic": {"eta": 0.5}, "rho": 0.4, "q": q})
    probe = one("SGD")
    for _ in range(3):
        start = parameters(lm)
        put_in(probe, start)
        probe.forward(probe.x_train)
        probe.backward(probe.y_train)
        put_in(probe, start + boxes.sam_climb(gradient(probe).tolist(), 0.4, q))
        probe.forward(probe.x_train)
        probe.backward(probe.y_train)
        step(lm)
        np.testing.assert_allclose(parameters(lm), start - 0.5 * gradient(probe), rtol=1e-12, atol=1e-15)


def test_sam_takes_two_forwards_and_backwards_a_step(one, monkeypatch):
    lm, calls = one("SAM"), []
    for name in ("forward", "backward"):
        original = getattr(lm[0], name)
        setattr(lm[0], name, lambda *a, name=name, original=original, **k: (calls.append(name), original(*a, **k))[1])
    step(lm)
    assert calls == ["forward", "backward"] * 2


def test_sam_in_one_layer_leaves_the_others_in_place_while_it_climbs(one):
    lm = one("SGD")
    lm[1] = type(lm[1])(4, 3, opt="SAM", mode=lm.mode, dtype="float64", seed=1)
    still = to_cpu(lm[0].W).copy()
    seen = []
    backward = lm[0].backward
    lm[0].backward = lambda dy: (seen.append(to_cpu(lm[0].W).copy()), backward(dy))[1]
    step(lm)
    assert all((still == W).all() for W in seen)
    assert (to_cpu(lm[0].W) != still).any()


def test_sam_s_second_pass_leaves_running_statistics_alone(tiny, mode):
    means = []
    for opt in ("SAM", "SGD"):
        lm = LayerManager(*tiny, mode=mode, seed=1)
        lm.append(name="batchnorm")
        lm.append(name="o", n=3, opt=opt)
        step(lm)
        means.append((to_cpu(lm[0].mean), to_cpu(lm[0].var)))
    np.testing.assert_array_equal(*means)


def test_sam_comes_back_when_its_second_pass_fails(one):
    lm = one("SAM")
    lm.forward(lm.x_train, train=True)
    lm.backward(lm.y_train)
    before = parameters(lm)
    lm[0].forward = lambda *a, **k: 1 / 0
    with pytest.raises(ZeroDivisionError):
        lm.update()
    np.testing.assert_array_equal(parameters(lm), before)
    assert lm.steps == 0


@pytest.mark.parametrize("opt", ["SAM", "Eve"])
def test_without_the_model_s_forward_and_backward_it_is_said_what_to_call(one, opt):
    lm = one(opt)
    x = lm[0].forward(lm.x_train)
    lm[1].forward(x)
    lm[0].backward(lm[1].backward(lm.y_train))
    with pytest.raises(
        RuntimeError, match=rf"{opt} needs the batch of this step: call lm\.forward\(x\) and then lm\.back"
    ):
        lm.update()


@pytest.mark.parametrize("opt", ["SAM", "Eve"])
def test_a_layer_alone_says_what_is_missing(one, opt):
    lm = one(opt)
    lm.forward(lm.x_train)
    lm.backward(lm.y_train)
    with pytest.raises(RuntimeError, match=rf"{opt} needs the .*, which a layer or an optimizer that is updated alone"):
        lm[0].update()


def test_another_forward_in_between_is_noticed(one):
    lm = one("Eve")
    lm.forward(lm.x_train)
    lm.backward(lm.y_train)
    lm.forward(lm.x_test)
    with pytest.raises(RuntimeError, match="nothing between them and lm"):
        lm.update()


def rates(lm, **keywords):
    """The learning rates of a training with plain gradient descent, from how far it moved along its gradient."""
    found, update = [], lm.update

    def watched():
        before, g = parameters(lm), gradient(lm)
        update()
        found.append(float(((before - parameters(lm)) @ g) / (g @ g)))

    lm.update = watched
    lm.training(**{"show_error": False, "threshold": 0} | keywords)
    del lm.update
    return found


def test_a_schedule_given_to_training_multiplies_every_rate_and_ends_with_it(one):
    lm = one("SGD", {"eta": 0.1})
    found = rates(lm, epoch=2, n_batch=12, schedule="cosine")
    assert found == pytest.approx([0.1 * (1 + math.cos(math.pi * i / 4)) / 2 for i in range(4)], rel=1e-9)
    assert rates(lm, epoch=1, n_batch=12) == pytest.approx([0.1, 0.1])


def test_a_limit_of_steps_is_the_length_of_a_schedule(one):
    found = rates(one("SGD", {"eta": 0.1}), epoch=9, n_batch=12, steps=3, schedule={"name": "cosine", "least": 0.5})
    assert found == pytest.approx([0.1 * (0.75 + 0.25 * math.cos(math.pi * i / 3)) for i in range(3)], rel=1e-9)


def test_a_schedule_by_epochs_counts_those_of_the_model(one):
    lm = one("SGD", {"eta": 0.1})
    decay = {"name": "step", "gamma": 0.5}
    assert rates(lm, epoch=2, n_batch=12, schedule=decay) == pytest.approx([0.1, 0.1, 0.05, 0.05])
    assert rates(lm, epoch=1, n_batch=12, schedule=decay) == pytest.approx([0.025, 0.025])
    assert lm.epochs == 3


def test_a_part_of_an_epoch_is_none(one):
    lm = one("SGD")
    lm.training(2, n_batch=10, steps=4, show_error=False)
    assert (lm.epochs, lm.steps) == (1, 4)


def test_a_layer_s_own_schedule_multiplies_the_model_s(one):
    lm = one("SGD", {"eta": 0.1, "schedule": {"name": "step", "by": "step", "gamma": 0.5}})
    found = rates(lm, epoch=1, n_batch=8, schedule={"name": "constant", "rate": 3})
    assert found == pytest.approx([0.3, 0.15, 0.075])


def test_a_layer_s_own_schedule_lasts_as_long_as_the_training(one):
    found = rates(one("SGD", {"eta": 0.1, "schedule": "cosine"}), epoch=2, n_batch=12)
    assert found == pytest.approx([0.1 * (1 + math.cos(math.pi * i / 4)) / 2 for i in range(4)], rel=1e-9)


def test_a_layer_alone_counts_its_own_steps(one):
    lm = one("SGD", {"eta": 0.1, "schedule": {"name": "cosine", "total": 2}})
    found = []
    for _ in range(3):
        lm.forward(lm.x_train)
        lm.backward(lm.y_train)
        before = to_cpu(lm[1].b).copy()
        lm[1].update()
        found.append(float(((before - to_cpu(lm[1].b)) / to_cpu(lm[1].db)).mean()))
    assert found == pytest.approx([0.1, 0.05, 0], abs=1e-12)


def test_in_a_loop_of_one_s_own_the_stepper_has_the_schedule_and_the_clipping(one):
    lm = one("SGD", {"eta": 0.1})
    lm.stepper = Stepper(schedule=Cosine(total=2), clip_norm=1e-3)
    moved = []
    for _ in range(3):
        before = parameters(lm)
        step(lm)
        moved.append(np.linalg.norm(parameters(lm) - before))
    assert moved == pytest.approx([1e-4, 0.5e-4, 0], abs=1e-12)


def test_a_schedule_without_a_length_is_no_good_in_a_loop_of_one_s_own(one):
    lm = one("SGD")
    lm.stepper = Stepper(schedule="one-cycle")
    with pytest.raises(ValueError, match="OneCycle does not know how long it lasts"):
        step(lm)


def test_clipping_in_training_is_over_all_layers_together(one):
    lm = one("SGD", {"eta": 1.0})
    before = parameters(lm)
    lm.training(1, n_batch=24, clip_norm=0.01, show_error=False)
    assert np.linalg.norm(parameters(lm) - before) == pytest.approx(0.01)
    before = parameters(lm)
    lm.training(1, n_batch=24, clip_value=1e-3, show_error=False)
    assert np.abs(parameters(lm) - before).max() == pytest.approx(1e-3)
    assert lm.stepper == Stepper()


def test_with_sam_the_second_gradient_is_clipped_and_not_the_climb(one):
    lm, probe = (one("SAM", {"base": "SGD", "base_dic": {"eta": 1.0}}) for _ in range(2))
    start = parameters(lm)
    step(probe)
    g = start - parameters(probe)
    lm.stepper = Stepper(clip_norm=0.01)
    step(lm)
    np.testing.assert_allclose(start - parameters(lm), g * 0.01 / np.linalg.norm(g), rtol=1e-9)


def test_clipping_before_backward_says_what_is_missing(one):
    lm = one("SGD")
    lm.stepper = Stepper(clip_norm=1)
    with pytest.raises(RuntimeError, match=r"Middle1\.update: there are no gradients yet"):
        lm.update()


@pytest.mark.parametrize(
    ("keywords", "error", "text"),
    [
        ({"clip_norm": -1}, ValueError, "clip_norm is -1; expected a finite number, 0 or more"),
        ({"clip_value": "x"}, TypeError, "clip_value is 'x'; expected a finite number"),
        ({"schedule": "cosinus"}, ValueError, "unknown schedule 'cosinus'; did you mean 'cosine'"),
    ],
)
def test_bad_arguments_of_training_are_answered_and_change_nothing(one, keywords, error, text):
    lm = one("SGD")
    with pytest.raises(error, match=text):
        lm.training(1, show_error=False, **keywords)
    assert (lm.steps, lm.stepper) == (0, Stepper())


def test_what_a_step_was_told_is_forgotten_after_it(one):
    lm = one("Eve")
    lm.forward(lm.x_train)
    lm.backward(lm.y_train)
    update = lm[1].update
    lm[1].update = lambda: 1 / 0
    with pytest.raises(ZeroDivisionError):
        lm.update()
    lm[1].update = update
    with pytest.raises(RuntimeError, match="Eve needs the loss"):
        lm[1].update()


def test_santa_s_noise_comes_from_the_model_s_seed_and_differs_by_layer(one):
    first, second, third = (one("SantaE", {"eta": 1e-5}, seed=seed) for seed in (3, 3, 4))
    seeds = [[layer.optimizer.drawn for layer in lm] for lm in (first, second, third)]
    assert seeds[0] == seeds[1] != seeds[2]
    assert seeds[0][0] != seeds[0][1]
    for lm in (first, second):
        step(lm)
    np.testing.assert_array_equal(parameters(first), parameters(second))


def test_the_seed_of_other_optimizers_draws_nothing(one):
    a, b = one("Adam"), one("SGD")
    np.testing.assert_array_equal(parameters(a), parameters(b))


def test_a_model_can_be_copied_in_the_middle(one):
    lm = one("SAM")
    step(lm)
    other = copy.deepcopy(lm)
    for each in (lm, other):
        step(each)
    np.testing.assert_array_equal(parameters(lm), parameters(other))
