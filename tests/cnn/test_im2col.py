import numpy as np
import pytest

from cnn import Conv2d
from cnn.im2col import col2im, im2col
from cnn.windows import out_size, pad_state
from cnn.xp import to_cpu

CASES = [  # I_shape, window, stride, pad
    ((2, 3, 7, 7), (3, 3), (1, 1), 0),
    ((2, 1, 28, 28), (3, 3), (3, 3), 0),
    ((1, 2, 28, 28), (5, 5), (2, 2), 0),
    ((2, 2, 7, 7), (2, 2), (3, 3), 0),
    ((1, 5, 20, 15), (5, 3), (1, 1), 3),
    ((2, 2, 6, 9), (2, 4), (2, 1), (0, 2)),
    ((2, 2, 8, 8), (2, 2), (1, 1), "same"),
    ((1, 1, 7, 10), (4, 3), (2, 3), "same"),
]


def windows_one_by_one(x, window, stride, sides):
    padded = np.pad(x, ((0, 0), (0, 0), *sides))
    N, C, H, W = padded.shape
    OH, OW = (H - window[0]) // stride[0] + 1, (W - window[1]) // stride[1] + 1
    cols = np.zeros((C * window[0] * window[1], N * OH * OW))
    for n in range(N):
        for i in range(OH):
            for j in range(OW):
                rows, columns = (
                    slice(i * stride[0], i * stride[0] + window[0]),
                    slice(j * stride[1], j * stride[1] + window[1]),
                )
                cols[:, (n * OH + i) * OW + j] = padded[n, :, rows, columns].ravel()
    return cols


@pytest.mark.parametrize(("I_shape", "window", "stride", "pad"), CASES)
def test_each_column_is_a_window(xp, I_shape, window, stride, pad):
    x = np.random.default_rng(0).standard_normal(I_shape)
    cols, (OH, OW), sides = im2col(xp.asarray(x), window, stride, pad)
    assert cols.shape == (I_shape[1] * window[0] * window[1], I_shape[0] * OH * OW)
    np.testing.assert_array_equal(to_cpu(cols), windows_one_by_one(x, window, stride, sides))


@pytest.mark.parametrize(("I_shape", "window", "stride", "pad"), CASES)
def test_col2im_is_the_transpose_of_im2col(xp, I_shape, window, stride, pad):
    rng = np.random.default_rng(1)
    x = xp.asarray(rng.standard_normal(I_shape))
    cols, _, sides = im2col(x, window, stride, pad)
    other = xp.asarray(rng.standard_normal(cols.shape))
    back = col2im(other, I_shape, window, stride, sides)
    assert back.shape == I_shape
    np.testing.assert_allclose(float((cols * other).sum()), float((x * back).sum()), rtol=1e-12)


def test_both_keep_float32(xp):
    cols, _, _ = im2col(xp.ones((1, 1, 4, 4), dtype="float32"), (2, 2), 2, 1)
    assert cols.dtype == np.float32
    assert col2im(cols, (1, 1, 4, 4), (2, 2), 2, 1).dtype == np.float32


def test_the_padding_holds_the_value_asked_for(xp):
    cols, _, _ = im2col(xp.zeros((1, 1, 2, 2)), (2, 2), 2, 1, value=-7.0)
    assert float(cols.min()) == -7


def test_overlapping_windows_add_up(xp):
    back = col2im(xp.ones((4, 4)), (1, 1, 3, 3), (2, 2))
    assert to_cpu(back)[0, 0].tolist() == [[1, 2, 1], [2, 4, 2], [1, 2, 1]]


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("window", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("size", [5, 6, 7, 28])
def test_same_gives_size_over_stride_rounded_up(size, window, stride):
    sides, _ = pad_state((size, size), (window, window), (stride, stride), "same")
    assert out_size(size, window, stride, sides) == -(-size // stride)


def test_same_puts_the_odd_pixel_below_and_right():
    assert pad_state((4, 4), (2, 2), (1, 1), "same") == ((0, 1), (0, 1))


def test_a_pad_state_is_taken_as_it_is():
    assert pad_state((4, 4), (2, 2), (1, 1), ((0, 1), (2, 3))) == ((0, 1), (2, 3))


def test_a_window_larger_than_the_image_is_refused(xp):
    with pytest.raises(ValueError, match=r"window of \(5, 5\) is larger than the padded image, \(4, 4\)"):
        im2col(xp.zeros((1, 1, 2, 2)), (5, 5), 1, 1)


def test_an_unknown_pad_is_answered_with_the_known_ones(xp):
    with pytest.raises(ValueError, match="pad is 'full'; expected 'same', 'valid', a number or a pair"):
        im2col(xp.zeros((1, 1, 4, 4)), (2, 2), 1, "full")


def test_columns_that_do_not_belong_to_the_images_are_refused(xp):
    with pytest.raises(ValueError, match=r"cols has shape \(4, 5\).*give \(4, 4\)"):
        col2im(xp.zeros((4, 5)), (1, 1, 3, 3), (2, 2))


@pytest.mark.parametrize("x", [None, [[1.0]], np.ones((3, 3)), "abc"])
def test_what_are_no_images_or_columns_is_refused(x):
    with pytest.raises(ValueError, match=r"x is an? .*; expected an array of images \(N, C, H, W\)"):
        im2col(x, (2, 2))
    cols = np.ones(9) if isinstance(x, np.ndarray) else x
    with pytest.raises(ValueError, match=r"cols is an? .*; expected an array of columns \(C·KH·KW, N·OH·OW\)"):
        col2im(cols, (1, 1, 3, 3), (2, 2))


@pytest.mark.parametrize("I_shape", [None, (3, 3), (1, 1, 3), [1, 1, 3, 3, 3]])
def test_the_shape_of_images_has_four_sizes(I_shape):
    with pytest.raises(ValueError, match=r"I_shape is .*; expected \(N, C, H, W\)"):
        col2im(np.ones((4, 4)), I_shape, (2, 2))
    with pytest.raises(ValueError, match=r"I_shape is .*; expected \(N, C, H, W\)"):
        Conv2d((1, 3, 3), (1, 2, 2), pad=0).col2im(np.ones((4, 4)), I_shape, (1, 2, 2))
