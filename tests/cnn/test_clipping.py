import numpy as np
import pytest

from cnn import LayerManager
from cnn.clipping import clip_by_norm, clip_by_value, power_sum
from cnn.stepping import Stepper
from cnn.xp import to_cpu


def grads(xp, dtype="float64"):
    rng = np.random.default_rng(6)
    return [xp.asarray(rng.standard_normal(shape), dtype=dtype) for shape in ((3, 4), (5,), (2, 1, 3))]


def flat(arrays):
    return np.concatenate([to_cpu(x).ravel() for x in arrays])


def test_values_are_held_between_in_place(xp):
    mine = grads(xp)
    kept, before = list(mine), flat(mine)
    clip_by_value(mine, 0.5)
    assert all(x is y for x, y in zip(mine, kept, strict=True))
    np.testing.assert_array_equal(flat(mine), np.clip(before, -0.5, 0.5))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_norm_of_all_together_becomes_the_most_and_the_direction_stays(xp, dtype):
    mine = grads(xp, dtype)
    before = flat(mine)
    clip_by_norm(mine, 0.7)
    assert {x.dtype for x in mine} == {np.dtype(dtype)}
    np.testing.assert_allclose(np.linalg.norm(flat(mine)), 0.7, rtol=1e-6)
    np.testing.assert_allclose(flat(mine), before * 0.7 / np.linalg.norm(before), rtol=1e-6)


def test_a_small_norm_is_left_alone_to_the_bit(xp):
    mine = grads(xp, "float32")
    before = flat(mine)
    clip_by_norm(mine, 1e3)
    np.testing.assert_array_equal(flat(mine), before)


def test_gradients_of_zero_stay(xp):
    mine = [xp.zeros(3)]
    clip_by_norm(mine, 1.0)
    clip_by_norm(mine, 0.5)
    assert to_cpu(mine[0]).tolist() == [0, 0, 0]


def test_float32_numbers_whose_squares_are_too_large_are_clipped_too(xp):
    mine = [xp.full(4, 1e30, dtype="float32")]
    clip_by_norm(mine, 1.0)
    np.testing.assert_allclose(to_cpu(mine[0]), 0.5, rtol=1e-6)


def test_nan_stays_nan_so_that_a_training_ends(xp):
    mine = [xp.asarray([1.0, float("nan")])]
    clip_by_norm(mine, 1.0)
    assert bool(xp.isnan(mine[0]).all())


@pytest.mark.parametrize("key", ["clip_value", "clip_norm"])
def test_no_gradient_at_all_is_not_asked_for(key):
    with pytest.raises(ValueError, match=f"{key} is 0, which leaves no gradient; expected a number above it, or None"):
        Stepper(**{key: 0})


def test_a_model_that_learns_nothing_has_nothing_to_clip(tiny, mode):
    lm = LayerManager(*tiny, mode=mode)
    lm.append(name="f")
    lm.stepper = Stepper(clip_value=1, clip_norm=1)
    lm.update()
    assert lm.steps == 1


@pytest.mark.parametrize("q", [2.0, 1.0, 3.5])
def test_the_power_sum_is_over_all_arrays(xp, q):
    np.testing.assert_allclose(float(power_sum(grads(xp), q)), (np.abs(flat(grads(xp))) ** q).sum(), rtol=1e-13)


@pytest.mark.torch
def test_pytorch_clips_the_same_but_for_what_it_adds_to_the_norm(xp):
    torch = pytest.importorskip("torch")
    mine, tensors = grads(xp), [torch.zeros(tuple(x.shape), requires_grad=True) for x in grads(xp)]
    for tensor, g in zip(tensors, mine, strict=True):
        tensor.data = tensor.data.double()
        tensor.grad = torch.tensor(to_cpu(g))
    norm = float(torch.nn.utils.clip_grad_norm_(tensors, 0.7))
    clip_by_norm(mine, 0.7)
    theirs = np.concatenate([t.grad.numpy().ravel() for t in tensors])
    np.testing.assert_allclose(flat(mine), theirs * (norm + 1e-6) / norm, rtol=1e-12)
