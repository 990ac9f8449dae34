import numpy as np
import pytest

from cnn import Augment, LayerManager, batches
from cnn.xp import to_cpu


def pairs(xp, N=10):
    return xp.arange(N * 4, dtype="float32").reshape(N, 1, 2, 2), xp.arange(N)


def test_all_come_once_with_their_targets_and_the_last_may_be_short(xp):
    x, t = pairs(xp)
    cut = list(batches(x, t, 4, seed=0))
    assert [len(each) for each, _ in cut] == [4, 4, 2]
    places = np.concatenate([to_cpu(targets) for _, targets in cut])
    assert sorted(places) == list(range(10))
    assert places.tolist() != list(range(10))
    np.testing.assert_array_equal(np.concatenate([to_cpu(each) for each, _ in cut]), to_cpu(x)[places])
    assert all(isinstance(each, xp.ndarray) for each in cut[0])


def test_without_shuffling_they_come_as_they_lie(xp):
    x, t = pairs(xp)
    assert [to_cpu(targets).tolist() for _, targets in batches(x, t, 6, shuffle=False)] == [
        [0, 1, 2, 3, 4, 5],
        [6, 7, 8, 9],
    ]


def test_a_seed_gives_the_same_batches_and_a_generator_goes_on(xp):
    x, t = pairs(xp)

    def order(seed):
        return [to_cpu(targets).tolist() for _, targets in batches(x, t, 4, seed=seed)]

    assert order(3) == order(3) != order(4)
    rng = np.random.default_rng(3)
    assert order(rng) != order(rng)


def test_lists_and_other_arrays_will_do():
    cut = list(batches([[1.0, 2.0], [3.0, 4.0]], [0, 1], 1, shuffle=False))
    assert [(x.tolist(), t.tolist()) for x, t in cut] == [([[1, 2]], [0]), ([[3, 4]], [1])]


def test_each_batch_is_changed_on_its_way(xp):
    x, t = pairs(xp)
    seen = []

    def change(images, rng):
        seen.append(float(rng.random()))
        return images + 100

    assert min(float(each.min()) for each, _ in batches(x, t, 5, augment=change, seed=0)) == 100
    assert len(set(seen)) == 2


def test_an_epoch_of_training_is_changed_differently_from_the_next(net):
    lm, seen = net(), []
    lm.training(2, n_batch=24, show_error=False, augment=lambda x, rng: (seen.append(float(rng.random())), x)[1])
    assert len(set(seen)) == 2


def test_training_on_moved_images_reproduces_to_the_last_bit(tiny, mode):
    def run(augment):
        lm = LayerManager(*tiny, mode=mode, seed=11)
        lm.append(name="c", F_shape=(2, 3, 3))
        lm.append(name="b")
        lm.append(name="a", act="RReLU")
        lm.append(name="d", ratio=0.3)
        lm.append(name="avg", pool=3, stride=2)
        lm.append(name="p", pool=2, stride=1)
        lm.append(name="m", n=5, act="tanh")
        lm.append(name="o", n=3)
        history = lm.training(3, n_batch=7, show_error=False, show_train_error=True, augment=augment)
        arrays = [getattr(layer, name) for layer in lm for name in (*layer.parameter_names, *layer.statistic_names)]
        errors = [(epoch.train_error, epoch.test_error) for epoch in history.epochs]
        return [to_cpu(array).tobytes() for array in arrays], errors

    assert run(Augment(1, True)) == run(Augment(1, True))
    assert run(Augment(1, True))[1] != run(None)[1]


@pytest.mark.parametrize(
    ("keywords", "error", "text"),
    [
        ({"n_batch": 0}, ValueError, "n_batch is 0; expected 1 or more"),
        ({"t": np.arange(3)}, ValueError, "x has 10 images, t 3 targets; expected the same number"),
        ({"x": np.ones((0, 2)), "t": np.ones(0)}, ValueError, "x has 0 images"),
        ({"x": None}, ValueError, r"x is array\(None, .*, without an axis; expected one row or more"),
        ({"t": 3}, ValueError, r"t is array\(3\), without an axis; expected one row or more"),
        ({"seed": "a"}, TypeError, "seed is 'a'; expected a whole number"),
        ({"augment": 3}, TypeError, "augment is 3; expected something to call with x and rng, such as Augment"),
        ({"augment": Augment}, TypeError, "augment is <class .*Augment'>; expected something to call"),
    ],
)
def test_bad_arguments_are_answered_before_the_first_batch(keywords, error, text):
    x, t = pairs(np)
    with pytest.raises(error, match=text):
        batches(**{"x": x, "t": t} | keywords)


@pytest.mark.parametrize(
    ("gives", "text"), [(lambda x: x[:1], r"an array of shape \(1, "), (lambda x: None, "a NoneType")]
)
def test_an_augmentation_that_loses_inputs_is_named(gives, text):
    x, t = pairs(np)
    with pytest.raises(
        ValueError, match=f"augment is expected to give an array of as many inputs as it gets, 4; got {text}"
    ):
        next(batches(x, t, 4, augment=lambda x, rng: gives(x)))
