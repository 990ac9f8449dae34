import collections
import sys
import types

import numpy as np
import pytest

from cnn import hooked
from cnn.layers import Conv2d, Dense, Dropout, Flatten, Layer, MaxPool2d, Output
from cnn.optimizers import get_optimizer


class Record:
    def __init__(self):
        self.calls = []

    def before(self, layer, phase):
        self.calls.append(("before", layer.name, phase))

    def after(self, layer, phase):
        self.calls.append(("after", layer.name, phase))


def shadows(lm):
    return {(layer.name, key): id(value) for layer in lm.layers for key, value in vars(layer).items()}


def test_a_hook_sees_every_phase_of_every_layer(net):
    lm = net()
    with hooked(lm, Record()) as hook:
        lm.forward(lm.x_train[:4], train=True)
        lm.backward(lm.y_train[:4])
        lm.update()
    names = [layer.name for layer in lm]
    expected = [(name, "forward") for name in names]
    expected += [(name, "backward") for name in reversed(names)] + [(name, "update") for name in names]
    assert [call[1:] for call in hook.calls if call[0] == "before"] == expected
    assert [call[1:] for call in hook.calls if call[0] == "after"] == expected


def test_a_hook_on_one_layer_sees_no_other(net):
    lm = net()
    with hooked(lm["Pool1"], Record()) as hook:
        lm.forward(lm.x_train[:4])
    assert hook.calls == [("before", "Pool1", "forward"), ("after", "Pool1", "forward")]


@pytest.mark.parametrize("target", [3, None, "Conv1", [1, 2]])
def test_a_hook_on_no_layer_is_refused(target):
    with pytest.raises(TypeError, match="is no layer, list of layers or model"), hooked(target, Record()):
        pass


@pytest.mark.parametrize(("keywords", "text"), [({"mode": "gpux"}, "mode is 'gpux'"), ({"dtype": 5}, "dtype is 5")])
def test_a_mode_or_dtype_that_is_none_is_answered_with_the_layer_s_name(keywords, text):
    with pytest.raises(ValueError, match=f"^Hidden: {text}; expected "):
        Dense(3, 2, name="Hidden", **keywords)


@pytest.mark.parametrize("layer", [Dense(3, 2), Flatten((3,)), MaxPool2d((2, 2), 2), Dropout((3,))])
def test_a_layer_is_moved_to_no_place_that_is_not_known(layer):
    with pytest.raises(ValueError, match=rf"^{layer.name}: mode is 'tpu'; expected 'cpu' .* or 'gpu'"):
        layer.to("tpu")
    assert layer.mode == "cpu"


@pytest.mark.parametrize("name", ["a\0b", "two\nlines", "\ud800"])
def test_a_name_that_cannot_be_printed_is_refused(name):
    with pytest.raises(ValueError, match=r"a layer's name or label is .*; expected a text that can be printed in one"):
        Dense(3, 2, name=name)


@pytest.mark.parametrize("x", [np.ma.ones((2, 3)), np.ones((2, 3), complex), np.full((2, 3), "1"), [[1.0, 2, 3]]])
def test_a_layer_takes_plain_real_numbers_only(x):
    with pytest.raises(TypeError, match=r"Middle\.forward expects "):
        Dense(3, 2).forward(x)


class Elsewhere(np.ndarray):
    """Stands for an array on the other device."""


@pytest.mark.parametrize("verb", ["forward", "backward", "get_error"])
def test_an_array_of_the_other_device_is_told_where_to_go(monkeypatch, verb):
    layer = Output(3, 2, name="Last")
    layer.forward(np.ones((4, 3)))
    monkeypatch.setitem(sys.modules, "cupy", types.SimpleNamespace(ndarray=Elsewhere))
    with pytest.raises(
        TypeError, match=rf"Last\.{verb} expects .* on the host, where its .* take cnn\.xp\.to_cpu of it"
    ):
        getattr(layer, verb)(np.ones((4, 3 if verb == "forward" else 2)).view(Elsewhere))


@pytest.mark.gpu
def test_an_array_of_the_host_is_told_to_go_to_the_gpu():
    layer = Dense(3, 2, mode="gpu")
    with pytest.raises(
        TypeError, match=r"Middle\.forward expects x on the GPU, where its .* take cnn\.xp\.to_gpu of it"
    ):
        layer.forward(np.ones((4, 3)))


def test_an_image_that_no_machine_has_room_for_is_refused():
    with pytest.raises(ValueError, match=r"Flatten: one input \(100000, 100000\) would have more than 536,870,912"):
        Flatten((10**5, 10**5))
    with pytest.raises(ValueError, match=r"Conv: one output \(600000000, 2, 2\) would have more than"):
        Conv2d((2, 2), (600_000_000, 1, 1))
    with pytest.raises(ValueError, match=r"Conv: the padded image would be \(200006, 200006\) .*use less padding"):
        Conv2d((6, 6), (3, 3), pad=100_000)


def test_a_hook_of_five_lines_counts_a_training(net):
    class Count:
        def __init__(self):
            self.calls = collections.Counter()

        def before(self, layer, phase):
            self.calls[layer.name, phase] += 1

    lm = net()
    with hooked(lm, Count()) as count:
        lm.training(1, n_batch=5, show_error=False)
    assert count.calls["Conv1", "backward"] == 5
    assert count.calls["Conv1", "forward"] == 5 + 1  # and one evaluation


def test_hooks_leave_nothing_behind(net):
    lm = net()
    before = shadows(lm)
    with hooked(lm, Record()):
        pass
    assert shadows(lm) == before


def test_hooks_come_off_and_after_is_called_when_a_layer_raises(net):
    lm = net()
    before = shadows(lm)
    hook = Record()
    with pytest.raises(ValueError, match=r"Conv1\.forward expects x"), hooked(lm, hook):
        lm["Conv1"].forward(lm.x_train[:, :, :3])
    assert hook.calls == [("before", "Conv1", "forward"), ("after", "Conv1", "forward")]
    assert shadows(lm) == before


def test_hooks_nest_and_give_back_each_other(net):
    layer = net()["Middle1"]
    outer, inner = Record(), Record()
    with hooked(layer, outer):
        shadow = vars(layer)["update"]
        with hooked(layer, inner):
            assert vars(layer)["update"] is not shadow
        assert vars(layer)["update"] is shadow
    assert "update" not in vars(layer)


def test_an_object_that_is_no_hook_is_refused(net):
    with (
        pytest.raises(TypeError, match=r"is no hook: expected an object with before\(layer, phase\) or after"),
        hooked(net(), 3),
    ):
        pass


def test_a_layer_without_parameters_has_an_update_that_does_nothing():
    MaxPool2d(I_shape=(1, 4, 4), pool=2).update()


def test_update_before_backward_says_what_is_missing():
    with pytest.raises(RuntimeError, match=r"Middle\.update: there are no gradients yet; call forward and backward"):
        Dense(prev=2, n=2).update()


def test_backward_before_forward_says_what_is_missing(xp, mode):
    with pytest.raises(RuntimeError, match=r"Middle\.backward: there is no forward to go back from"):
        Dense(prev=2, n=2, mode=mode).backward(xp.zeros((1, 2)))


def test_a_gradient_of_another_shape_is_refused(xp, mode):
    layer = Dense(prev=2, n=3, mode=mode)
    layer.forward(xp.zeros((4, 2), dtype="float32"))
    with pytest.raises(
        ValueError, match=r"Middle\.backward expects the shape of its last output, \(4, 3\); got \(4, 2\)"
    ):
        layer.backward(xp.zeros((4, 2)))


def test_an_update_costs_the_optimizer_s_arithmetic_and_traffic():
    layer = Dense(prev=3, n=2)  # 8 parameters; Adam reads p, g, m, v and writes p, m, v
    assert layer.cost("update", (5, 3)) == (12 * 8, 7 * 8 * 4)


def test_evaluation_costs_what_forward_costs():
    layer = Dense(prev=3, n=2)
    assert layer.cost("evaluate", (5, 3)) == layer.cost("recompute", (5, 3)) == layer.cost("forward", (5, 3))


def test_a_width_that_is_no_number_is_refused():
    with pytest.raises(TypeError, match="Middle: wb_width is 'wide'; expected a finite number, 0 or more"):
        Dense(prev=2, n=2, wb_width="wide")


def test_a_hook_is_put_on_a_list_of_layers(net):
    lm = net()
    with hooked(lm[:2], Record()) as hook:
        lm.forward(lm.x_train[:4])
    assert [name for when, name, _ in hook.calls if when == "before"] == ["Conv1", "Pool1"]


def test_a_hook_leaves_alone_what_somebody_has_taken_off_or_put_over_it(net):
    layer = net()["Middle1"]

    def other():
        """Somebody else's."""

    with hooked(layer, Record()):
        del layer.update
        layer.forward = other
    assert "update" not in vars(layer)
    assert vars(layer)["forward"] is other


def test_a_layer_learns_the_parameters_that_it_names(xp, mode):
    class Scale(Layer):
        role = "Scale"
        parameter_names = ("gamma",)

        def __init__(self):
            super().__init__((3,), (3,), name=None, mode=mode, dtype="float32")
            self.gamma, self.dgamma = xp.ones(3, dtype="float32"), None
            self.optimizer = get_optimizer("SGD", {"eta": 0.5})

    layer = Scale()
    with pytest.raises(RuntimeError, match=r"Scale\.update: there are no gradients yet"):
        layer.update()
    layer.dgamma = xp.asarray([0, 1, 2], dtype="float32")
    layer.update()
    assert layer.gamma.tolist() == [1, 0.5, 0]


@pytest.mark.parametrize("dtype", ["int64", "float64", "uint8"])
def test_an_array_of_another_type_widens_nothing(xp, mode, dtype):
    layers = [
        Conv2d((1, 4, 4), (2, 3, 3), mode=mode),
        MaxPool2d((1, 4, 4), 2, mode=mode),
        Dropout((1, 4, 4), mode=mode),
        Dense(16, 3, mode=mode),
    ]
    for layer in layers:
        y = layer.forward(xp.ones((2, 1, 4, 4), dtype=dtype), train=True)
        assert y.dtype == layer.backward(xp.ones(y.shape, dtype=dtype)).dtype == "float32"


def test_a_numpy_width_is_a_width():
    assert float(abs(Dense(prev=2, n=2, wb_width=np.float32(0)).W).max()) == 0


@pytest.mark.parametrize("keywords", [{"wb_width": 1e40}, {"act": "PReLU", "act_dic": {"alpha": 1e39}}])
def test_first_values_that_the_type_cannot_hold_are_refused(keywords):
    with pytest.raises(ValueError, match="wide: the first values of its parameters are too large for float32"):
        Dense(3, 3, name="wide", **keywords)
    assert Dense(3, 3, dtype="float64", **keywords).n_parameters >= 12


def test_parameters_that_no_machine_has_room_for_are_refused():
    with pytest.raises(ValueError, match="Middle would learn 10,000,000,000 numbers; expected 536,870,912 or fewer"):
        Dense(10**5, 10**5)
    with pytest.raises(ValueError, match="Middle: n is 1000000000000; expected 2147483647 or less"):
        Dense(1, 10**12)
