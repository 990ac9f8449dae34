import sys

import numpy as np
import pytest

from cnn import Dense, LayerManager, evaluation
from cnn.xp import is_array, to_cpu


def test_data_is_put_where_the_mode_says_once(xp, net):
    lm = net()
    for array in (lm.x_train, lm.x_test, lm.y_train, lm.y_test):
        assert isinstance(array, xp.ndarray)
        assert array.dtype == np.float32


def test_float64_is_there_on_request(net):
    lm = net(dtype="float64")
    assert lm.forward(lm.x_test).dtype == lm.backward(lm.y_test).dtype == np.float64


def test_forward_backward_and_update_make_a_step(net):
    lm = net()
    before = float(lm.error(lm.x_train, lm.y_train))
    for _ in range(30):
        y = lm.forward(lm.x_train, train=True)
        dx = lm.backward(lm.y_train)
        lm.update()
    assert (y.shape, dx.shape) == ((24, 3), (24, 1, 6, 6))
    assert lm.steps == 30
    assert lm.error(lm.x_train, lm.y_train) < before


def test_many_images_run_in_pieces_with_the_same_result(xp, net, monkeypatch):
    lm = net()
    whole = lm.forward(lm.x_train)
    error = float(lm[-1].get_error(lm.y_train))
    monkeypatch.setattr(evaluation, "PIECE", 5 * 4 * sum(layer.kept() for layer in lm))
    sizes = []
    forward = lm[0].forward
    monkeypatch.setattr(lm[0], "forward", lambda x, train=False: (sizes.append(len(x)), forward(x, train))[1])
    pieces = lm.forward(lm.x_train)
    assert sizes == [5, 5, 5, 5, 4]
    np.testing.assert_allclose(to_cpu(pieces), to_cpu(whole), rtol=1e-5)
    np.testing.assert_allclose(float(lm[-1].get_error(lm.y_train)), error, rtol=1e-5)
    np.testing.assert_allclose(lm.error(lm.x_train, lm.y_train), error, rtol=1e-5)


def test_after_pieces_there_is_nothing_to_go_back_from(net, monkeypatch):
    lm = net()
    monkeypatch.setattr(evaluation, "PIECE", 1)
    lm.forward(lm.x_train)
    with pytest.raises(RuntimeError, match=r"Output1\.backward: there is no forward to go back from.*in pieces"):
        lm.backward(lm.y_train)


def test_predict_prints_sixteen_and_the_rate_and_returns_classes(xp, net, capsys):
    lm = net()
    lm["Output1"].W[...] = 0
    lm["Output1"].b[...] = xp.asarray([0, 1, 0])
    classes = lm.predict(lm.x_train, lm.y_train)
    truth = to_cpu(lm.y_train).argmax(axis=1)
    hits = int((truth == 1).sum())
    assert isinstance(classes, xp.ndarray)
    assert to_cpu(classes).tolist() == [1] * 24
    assert capsys.readouterr().out.splitlines() == [
        f"correct: {truth[:16]}",
        "predict: [1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1]",
        f"accuracy rate: {100 * hits / 24:.2f} % ({hits}/24)",
    ]


def test_predict_takes_the_test_set_by_default(net, capsys):
    lm = net()
    assert lm.predict().shape == (12,)
    assert "/12)" in capsys.readouterr().out


def test_predict_without_targets_compares_nothing(net, capsys):
    lm = net()
    lm.predict(lm.x_test)
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == ["predict"]


def test_predict_takes_class_numbers_too(net, capsys):
    lm = net()
    lm.predict(lm.x_test, to_cpu(lm.y_test).argmax(axis=1))
    numbers = capsys.readouterr().out
    lm.predict()
    assert capsys.readouterr().out == numbers


def test_predict_with_targets_alone_is_refused(net):
    lm = net()
    with pytest.raises(ValueError, match="predict got y without x"):
        lm.predict(y=lm.y_test)


def test_predict_proba_gives_a_distribution(net):
    p = to_cpu(net().predict_proba())
    assert p.shape == (12, 3)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("verb", ["forward", "backward", "training", "error", "predict"])
def test_a_model_without_layers_says_so(tiny, mode, verb):
    lm = LayerManager(*tiny, mode=mode)
    arguments = {
        "forward": (lm.x_test,),
        "backward": (lm.y_test,),
        "training": (1,),
        "error": (lm.x_test, lm.y_test),
        "predict": (),
    }
    with pytest.raises(ValueError, match="the model has no layers; add some"):
        getattr(lm, verb)(*arguments[verb])


def test_training_needs_an_output_at_the_end(net):
    lm = net()
    del lm[-1]
    with pytest.raises(ValueError, match="expected one Output layer, the last; Middle1 is number 3 of 3"):
        lm.training(1)


def test_targets_of_another_width_are_refused(net):
    lm = net()
    del lm[-1]
    lm.append(name="o", n=4)
    with pytest.raises(
        ValueError, match="Output1 gives 4 numbers an image, the targets have 3: make the layer with n=3"
    ):
        lm.training(1)


def test_a_chain_that_no_longer_fits_is_named(net):
    lm = net()
    with pytest.warns(UserWarning, match="Middle1 expects inputs"):
        del lm["Pool1"]
    with pytest.raises(ValueError, match=r"Middle1 expects inputs of shape \(18,\), but Conv1 gives \(2, 6, 6\)"):
        lm.training(1)
    with pytest.raises(ValueError, match=r"Middle1\.forward expects x of shape \(N, 18\)"):
        lm.forward(lm.x_test)


def test_targets_that_are_not_one_hot_are_refused_before_training(net):
    lm = net()
    lm.y_train[3] = 0.5
    with pytest.raises(ValueError, match="labels are not one-hot: row 3"):
        lm.training(1)


def test_other_targets_are_fine_for_a_square_error(tiny, mode):
    (x_train, x_test), (t_train, t_test) = tiny
    lm = LayerManager((x_train, x_test), (t_train * 5, t_test - 2), mode=mode)
    lm.append(name="o", n=3, act="identity", err_func="Square")
    assert lm.training(1, show_error=False).steps == 2


def replaced(tiny, place, value):
    x, t = (list(pair) for pair in tiny)
    (x if place[0] == "x" else t)[place[1]] = value
    return tuple(x), tuple(t)


@pytest.mark.parametrize(
    ("place", "value", "error", "text"),
    [
        (
            ("t", 0),
            np.zeros(24, dtype=int),
            ValueError,
            r"t_train has shape \(24,\); labels are not one-hot: expected \(N, n_class\)",
        ),
        (
            ("x", 0),
            np.zeros((23, 1, 6, 6)),
            ValueError,
            "x_train has 23 images, t_train 24 targets; expected the same number",
        ),
        (
            ("x", 1),
            np.zeros((12, 1, 5, 6)),
            ValueError,
            r"x_train has shape .*, x_test \(12, 1, 5, 6\); expected the same but for N",
        ),
        (("x", 0), np.full((24, 1, 6, 6), np.nan), ValueError, "x_train holds 864 numbers that are NaN or infinite"),
        (("t", 1), np.full((12, 3), np.inf), ValueError, "t_test holds 36 numbers that are NaN or infinite"),
        (("x", 1), np.zeros((0, 1, 6, 6)), ValueError, r"x_test has shape \(0, 1, 6, 6\); expected inputs of shape"),
        (("x", 0), [["a", "b"]], TypeError, "x_train is no array of numbers"),
    ],
)
def test_data_that_does_not_fit_is_refused(tiny, mode, place, value, error, text):
    with pytest.raises(error, match=text):
        LayerManager(*replaced(tiny, place, value), mode=mode)


def test_data_that_is_no_pair_is_refused(tiny, mode):
    with pytest.raises(TypeError, match=r"expected a pair, \(x_train, x_test\); got a ndarray of 24"):
        LayerManager(tiny[0][0], tiny[1], mode=mode)


def test_an_unknown_mode_is_refused(tiny):
    with pytest.raises(ValueError, match=r"mode is 'cuda'; expected 'cpu' .* or 'gpu'"):
        LayerManager(*tiny, mode="cuda")


def test_show_errors_before_a_training_says_what_is_missing(net):
    with pytest.raises(RuntimeError, match=r"no training to show yet; call lm\.training"):
        net().show_errors()


def test_a_seed_that_is_no_number_is_refused(tiny):
    with pytest.raises(TypeError, match="seed is 'one'; expected a whole number, 0 or more"):
        LayerManager(*tiny, seed="one")
    with pytest.raises(ValueError, match="seed is -1; expected 0 or more"):
        LayerManager(*tiny, seed=-1)


def held(lm):
    """All arrays that a model keeps."""
    arrays = [lm.x_train, lm.x_test, lm.y_train, lm.y_test]
    for layer in lm:
        arrays += [value for value in vars(layer).values() if is_array(value)]
        if layer.optimizer:
            arrays += [each for states in layer.optimizer.state.values() for each in states]
    return arrays


def test_a_model_moves_to_the_host_with_all_it_has(xp, net):
    lm = net()
    lm.insert("Middle1", name="norm")
    lm.insert("Middle1", name="d")
    lm.training(1, show_error=False)
    before = [to_cpu(array).copy() for array in held(lm)]
    lm.to_cpu()
    assert {lm.mode, *(layer.mode for layer in lm)} == {"cpu"}
    assert all(isinstance(array, np.ndarray) for array in held(lm))
    for array, old in zip(held(lm), before, strict=True):
        np.testing.assert_array_equal(array, old)
    lm.training(1, show_error=False)
    lm.append(Dense(3, 3))


@pytest.mark.gpu
def test_a_model_moves_to_the_gpu_and_back_and_learns_there(net):
    import cupy

    lm = net()
    lm.to_cpu()
    lm.training(1, show_error=False)
    error = lm.error(lm.x_test, lm.y_test)
    lm.to_gpu()
    assert all(isinstance(array, cupy.ndarray) for array in held(lm))
    np.testing.assert_allclose(lm.error(lm.x_test, lm.y_test), error, rtol=1e-5)
    lm.training(1, show_error=False)


def test_without_a_gpu_a_model_stays_where_it_is(tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    lm = LayerManager(*tiny)
    lm.append(name="o", n=3)
    with pytest.raises(RuntimeError, match="mode='gpu' needs CuPy"):
        lm.to_gpu()
    assert (lm.mode, lm[0].mode) == ("cpu", "cpu")
