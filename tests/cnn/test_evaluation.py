"""Errors and predictions over many images: what is compared with what, in how much memory, with which waits."""

import warnings
from contextlib import ExitStack, contextmanager

import numpy as np
import pytest

from cnn import LayerManager, evaluation, manager
from cnn.xp import get_array_module, to_cpu


@pytest.fixture
def yes_or_no(tiny, mode):
    """A model of one output, with targets (N, 1)."""
    x, t = tiny
    lm = LayerManager(x, tuple(each[:, :1] for each in t), mode=mode, seed=0)
    lm.append(name="o", n=1, act="sigmoid")
    return lm


@contextmanager
def waits_refused(xp):
    """On CuPy, an error whenever the host waits for the device."""
    with ExitStack() as stack:
        if xp is not np:
            import cupyx

            with warnings.catch_warnings():  # CuPy warns that it cannot see every wait; those it sees will do
                warnings.simplefilter("ignore")
                stack.enter_context(cupyx.allow_synchronize(False))
        yield


def rate(capsys):
    return capsys.readouterr().out.splitlines()[-1]


def test_the_error_is_of_the_targets_given(net):
    lm = net()
    with pytest.raises(ValueError, match="Output1 gives 3 numbers an image, the targets have 2"):
        lm.error(lm.x_test, lm.y_test[:, :2])
    with pytest.raises(ValueError, match=r"Output1 gives 3 numbers an image; expected targets \(N, 3\), got \(12,\)"):
        lm.error(lm.x_test, lm.y_test.argmax(axis=1))
    with pytest.raises(ValueError, match="x has 12 images, t 11 targets"):
        lm.error(lm.x_test, lm.y_test[1:])


def test_an_error_reads_nothing_of_the_stored_targets(net, monkeypatch):
    lm = net()

    def refuse(t):
        raise AssertionError("the targets were read")

    monkeypatch.setattr(lm[-1].loss, "check_targets", refuse)
    assert lm.error(lm.x_test, lm.y_test) > 0


def test_an_error_waits_for_its_number_alone(xp, net, monkeypatch):
    lm, read = net(), []
    lm.error(lm.x_test, lm.y_test)
    monkeypatch.setattr(manager, "float", lambda scalar: read.append(scalar) or 0.0, raising=False)
    with waits_refused(xp):
        lm.error(lm.x_test, lm.y_test)
    assert len(read) == 1


def test_the_pieces_hold_what_all_layers_keep(net):
    lm = net()
    assert evaluation.piece_size(lm.layers, 4) == evaluation.PIECE // (4 * sum(layer.kept() for layer in lm))


def test_host_data_is_converted_a_piece_at_a_time(xp, net, monkeypatch):
    lm = net()
    monkeypatch.setattr(evaluation, "PIECE", 5 * 4 * sum(layer.kept() for layer in lm))
    converted, put = [], manager.put
    monkeypatch.setattr(manager, "put", lambda x, *where: (converted.append(len(x)), put(x, *where))[1])
    proba = lm.predict_proba((to_cpu(lm.x_train) * 255).astype("uint8"))
    assert converted == [5, 5, 5, 5, 4]
    assert get_array_module(proba) is xp


@pytest.mark.parametrize("verb", ["forward", "predict", "predict_proba"])
def test_no_images_at_all_are_refused(net, verb):
    lm = net()
    with pytest.raises(ValueError, match=r"inputs of shape \(N, 1, 6, 6\), N 1 or more; got \(0, 1, 6, 6\)"):
        getattr(lm, verb)(lm.x_test[:0])


def test_class_numbers_may_be_a_column(net, capsys):
    lm = net()
    numbers = lm.y_test.argmax(axis=1)
    lm.predict(lm.x_test, numbers)
    expected = rate(capsys)
    lm.predict(lm.x_test, numbers[:, None])
    assert rate(capsys) == expected


def test_a_model_of_one_output_says_yes_above_a_half(xp, yes_or_no, capsys):
    lm = yes_or_no
    lm["Output1"].W[...] = 0
    hits = int((lm.y_test > 0.5).sum())
    lm["Output1"].b[...] = 5
    for y in (lm.y_test, lm.y_test[:, 0]):
        lm.predict(lm.x_test, y)
        assert rate(capsys).endswith(f"({hits}/12)")


@pytest.mark.parametrize("width", [2, 4])
def test_targets_of_another_width_are_not_compared(xp, net, width):
    lm = net()
    with pytest.raises(ValueError, match=rf"y has shape \(12, {width}\); expected class numbers .* one-hot \(N, 3\)"):
        lm.predict(lm.x_test, xp.zeros((12, width)))


def test_targets_of_another_number_are_not_compared(net):
    lm = net()
    with pytest.raises(ValueError, match="x has 12 images, y 11 targets; expected the same number"):
        lm.predict(lm.x_test, lm.y_test[:11])


@pytest.mark.parametrize("dtype", ["float16", "foo"])
def test_a_wrong_dtype_is_not_blamed_on_the_data(tiny, mode, dtype):
    with pytest.raises(ValueError, match=f"^dtype is '{dtype}'; expected 'float32' or 'float64'"):
        LayerManager(*tiny, mode=mode, dtype=dtype)


@pytest.mark.parametrize("change", [lambda x: x + 0j, lambda x: x.astype(str), lambda x: x.astype(object)])
def test_data_that_holds_no_real_numbers_is_refused(tiny, mode, change):
    (x_train, x_test), t = tiny
    with pytest.raises(TypeError, match="x_train is no array of numbers, but of"):
        LayerManager((change(x_train), x_test), t, mode=mode)


def test_pairs_of_data_and_targets_are_answered_with_the_right_pairs(sample, mode):
    with pytest.raises(ValueError, match=r"did you pass \(x, t\) pairs\? the model takes \(x_train, x_test\)"):
        LayerManager(*sample, mode=mode)
    numbers = tuple((x[:9], np.arange(9)) for x, _ in sample)
    with pytest.raises(ValueError, match=r"x_test has shape \(9,\); .*the model takes \(x_train, x_test\)"):
        LayerManager(*numbers, mode=mode)


@pytest.mark.parametrize(("wrong", "said"), [(3, "3"), (-1, "-1"), (0.5, "0.5"), (float("nan"), "nan")])
def test_class_numbers_that_are_none_are_refused(net, wrong, said):
    lm = net()
    numbers = to_cpu(lm.y_test).argmax(axis=1).astype("float64")
    numbers[5] = wrong
    if float(wrong).is_integer():
        numbers = numbers.astype("int64")
    with pytest.raises(ValueError, match=f"y holds {said} as a class number; expected whole numbers, 0 to 2, for"):
        lm.predict(lm.x_test, numbers)
