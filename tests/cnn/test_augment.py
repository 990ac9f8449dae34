import numpy as np
import pytest

from cnn import Augment
from cnn.xp import to_cpu


def rng(xp, seed=0):
    return xp.random.default_rng(seed)


def images(xp, N=200, C=2, H=5, W=4):
    """Images whose numbers are all different, and none of them 0."""
    return xp.arange(1, N * C * H * W + 1, dtype="float32").reshape(N, C, H, W)


def moved(image, down, across):
    """(C, H, W), moved by a loop over pixels."""
    found = np.zeros_like(image)
    _, H, W = image.shape
    for i in range(H):
        for j in range(W):
            if 0 <= i - down < H and 0 <= j - across < W:
                found[:, i, j] = image[:, i - down, j - across]
    return found


def test_each_image_is_one_of_the_moves_and_all_of_them_occur(xp):
    x = images(xp)
    seen = set()
    for old, new in zip(to_cpu(x), to_cpu(Augment(shift=(2, 1), flip=True)(x, rng(xp))), strict=True):
        ways = {
            (down, across, mirrored): moved(old[:, :, ::-1] if mirrored else old, down, across)
            for down in range(-2, 3)
            for across in (-1, 0, 1)
            for mirrored in (False, True)
        }
        (way,) = [way for way, image in ways.items() if np.array_equal(image, new)]
        seen.add(way)
    assert len(seen) == 5 * 3 * 2


def test_all_moves_are_equally_likely(xp):
    x = xp.ones((9000, 1, 3, 3), dtype="float32")
    y = to_cpu(Augment(shift=1)(x, rng(xp)))[:, 0]
    counts = [(y[:, 0].sum(1) == 0).sum(), (y[:, 2].sum(1) == 0).sum(), (y[:, :, 0].sum(1) == 0).sum()]
    assert all(abs(count - 3000) < 200 for count in counts)


def test_half_of_the_images_are_mirrored(xp):
    x = images(xp, N=4000, C=1, H=1, W=2)
    mirrored = (to_cpu(Augment(flip=True)(x, rng(xp))) != to_cpu(x)).any(axis=(1, 2, 3)).sum()
    assert abs(mirrored - 2000) < 150


def test_without_either_the_images_are_the_same(xp):
    x = images(xp, N=3)
    np.testing.assert_array_equal(to_cpu(Augment()(x, rng(xp))), to_cpu(x))


def test_what_comes_in_is_the_fill(xp):
    y = to_cpu(Augment(shift=1, fill=-7)(xp.ones((50, 1, 2, 2)), rng(xp)))
    assert set(np.unique(y)) == {-7, 1}


def test_one_seed_gives_the_same_images_and_the_type_stays(xp):
    x = images(xp, N=20)
    one, other, third = (Augment(2, True)(x, rng(xp, seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(to_cpu(one), to_cpu(other))
    assert (to_cpu(one) != to_cpu(third)).any()
    assert one.dtype == np.float32
    assert isinstance(one, xp.ndarray)


@pytest.mark.parametrize(
    ("keywords", "error", "text"),
    [
        ({"shift": -1}, ValueError, "shift is -1; expected 0 or more"),
        ({"shift": 1.5}, TypeError, "shift is 1.5; expected a whole number"),
        ({"flip": "yes"}, TypeError, "flip is 'yes'; expected True or False"),
        ({"fill": "black"}, TypeError, "fill is 'black'; expected a finite number"),
    ],
)
def test_bad_keywords_are_answered(keywords, error, text):
    with pytest.raises(error, match=text):
        Augment(**keywords)


def test_what_are_no_images_is_refused(xp):
    with pytest.raises(ValueError, match=r"images to augment have shape \(N, C, H, W\); got \(3, 4\)"):
        Augment(1)(xp.ones((3, 4)), rng(xp))
    with pytest.raises(ValueError, match=r"images to augment have shape \(N, C, H, W\); got a list"):
        Augment(1)([[1.0]], rng(xp))
