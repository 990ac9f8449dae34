import numpy as np
import pytest

from cnn import Dropout
from cnn.xp import to_cpu


def ones(xp, N=200, n=500):
    return xp.ones((N, n), dtype="float32")


def test_it_keeps_the_share_it_says(xp, mode):
    y = to_cpu(Dropout((500,), ratio=0.25, mode=mode, seed=0).forward(ones(xp), train=True))
    assert abs((y > 0).mean() - 0.75) < 0.005


def test_what_is_kept_is_scaled_so_that_the_mean_stays(xp, mode):
    y = to_cpu(Dropout((500,), ratio=0.2, mode=mode, seed=0).forward(ones(xp), train=True))
    assert sorted(set(y.ravel().tolist())) == [0.0, 1.25]


def test_each_image_and_each_call_has_a_mask_of_its_own(xp, mode):
    layer = Dropout((500,), mode=mode, seed=0)
    first, second = (to_cpu(layer.forward(ones(xp), train=True)) for _ in range(2))
    assert (first[0] != first[1]).any()
    assert (first != second).any()


def test_the_gradient_goes_where_the_value_went(xp, mode):
    layer = Dropout((500,), mode=mode, seed=0)
    y = layer.forward(ones(xp), train=True)
    np.testing.assert_array_equal(to_cpu(layer.backward(ones(xp))), to_cpu(y))


def test_outside_of_training_nothing_is_dropped(xp, mode):
    x = ones(xp, 2)
    layer = Dropout((500,), mode=mode)
    layer.forward(x, train=True)
    assert layer.forward(x) is x
    assert layer.backward(x) is x


def test_one_seed_gives_one_sequence_of_masks(xp, mode):
    first, second = (Dropout((500,), mode=mode, seed=7).forward(ones(xp), train=True) for _ in range(2))
    np.testing.assert_array_equal(to_cpu(first), to_cpu(second))


def test_each_epoch_begins_a_sequence_of_its_own_that_its_step_determines(xp, mode):
    x = xp.ones((2, 50))
    one, other = (Dropout((50,), mode=mode, seed=4, dtype="float64") for _ in range(2))
    one.forward(x, train=True)
    masks = []
    for step in (0, 5):
        for layer in (one, other):
            layer.begin_epoch(step)
            masks.append(layer.forward(x, train=True))
    assert bool((masks[0] == masks[1]).all())
    assert bool((masks[2] == masks[3]).all())
    assert bool((masks[0] != masks[2]).any())


def test_float32_stays_float32(xp, mode):
    layer = Dropout((500,), mode=mode)
    assert layer.forward(ones(xp), train=True).dtype == layer.backward(ones(xp)).dtype == "float32"


@pytest.mark.parametrize(("ratio", "error"), [(1, ValueError), (-0.1, ValueError), ("half", TypeError)])
def test_a_ratio_that_is_no_share_is_refused(ratio, error):
    with pytest.raises(error, match=f"Dropout: ratio is {ratio!r}; expected 0 <= value < 1"):
        Dropout((3,), ratio=ratio)
