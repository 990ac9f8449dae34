import copy

import numpy as np
import pytest

from cnn import ActivationLayer, AvgPool2d, BatchNorm, Conv2d, Dense, Dropout, Flatten, MaxPool2d, Output
from cnn.xp import to_cpu


def names(lm):
    return [layer.name for layer in lm]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        *[(code, Conv2d) for code in ("c", "conv", "Convolution")],
        *[(code, MaxPool2d) for code in ("p", "pool", "pooling", "max pool")],
        *[(code, Dense) for code in ("m", "mid", "middle", "dense")],
        *[(code, Output) for code in ("o", "out", "output")],
        *[(code, Dropout) for code in ("d", "drop", "dropout")],
        *[(code, AvgPool2d) for code in ("avg", "Avg-Pool", "average")],
        *[(code, BatchNorm) for code in ("b", "norm", "batch norm")],
        *[(code, Flatten) for code in ("f", "flatten")],
        *[(code, ActivationLayer) for code in ("a", "act", "activation")],
    ],
)
def test_a_code_makes_its_layer(net, code, kind):
    lm = net()
    del lm[1:]
    needed = {Conv2d: {"F_shape": (2, 3, 3)}, Dense: {"n": 4}, Output: {"n": 3}}
    needed |= {MaxPool2d: {"pool": 2}, AvgPool2d: {"pool": 2}}
    lm.append(name=code, **needed.get(kind, {}))
    assert type(lm[1]) is kind


def test_layers_are_found_by_place_slice_and_name(net):
    lm = net()
    assert names(lm) == ["Conv1", "Pool1", "Middle1", "Output1"]
    assert lm["Conv1"] is lm[0] is lm.layers[0] is lm[-4]
    assert lm[1:3] == [lm["Pool1"], lm["Middle1"]]
    assert len(lm) == 4
    assert list(lm) == lm.layers


def test_sizes_follow_from_the_layer_before(net):
    lm = net()
    assert [layer.O_shape for layer in lm] == [(2, 6, 6), (2, 3, 3), (5,), (3,)]
    assert lm["Middle1"].prev == 18


def test_layers_can_be_taken_out_and_given_back(net):
    lm = net()
    output, pool = lm[-1], lm["Pool1"]
    assert lm.pop() is output
    with pytest.warns(UserWarning, match="Middle1 expects"):
        assert lm.pop("Pool1") is pool
    assert names(lm) == ["Conv1", "Middle1"]
    lm.clear()
    assert len(lm) == 0
    with pytest.raises(IndexError):
        lm.pop()


def test_layers_come_in_reverse_too(net):
    assert [layer.name for layer in reversed(net())] == ["Output1", "Middle1", "Pool1", "Conv1"]


def test_two_layers_that_no_longer_fit_are_warned_of_once(net):
    lm = net()
    with pytest.warns(
        UserWarning, match=r"^Middle1 expects inputs of shape \(18,\), but Conv1 gives \(2, 6, 6\): give"
    ) as found:
        del lm["Pool1"]
    assert len(found) == 1
    assert found[0].filename == __file__
    lm["Output1"].label = "last"
    lm.insert("Middle1", name="p", pool=2)
    assert lm.misfits() == []


def test_what_is_put_between_has_to_fit_on_the_other_side_too(net):
    lm = net()
    with pytest.warns(UserWarning, match=r"^Middle2 expects inputs of shape \(18,\), but Middle1 gives \(7,\)"):
        lm.insert("Middle1", name="m", n=7)
    with pytest.warns(UserWarning, match=r"^Output1 expects inputs of shape \(5,\), but Middle2 gives \(4,\)"):
        lm["Middle2"] = Dense(7, 4, mode=lm.mode)
    assert lm.misfits() == [
        "Output1 expects inputs of shape (5,), but Middle2 gives (4,): give it prev=4, leave that out, or change what "
        "comes before"
    ]


def test_several_layers_can_be_replaced_at_once(net):
    lm = net()
    lm[1:3] = [Dense(72, 5, mode=lm.mode)]
    assert names(lm) == ["Conv1", "Middle1", "Output1"]


def test_running_numbers_are_kept_right_after_every_change(net):
    lm = net()
    lm.insert("Middle1", name="m", n=18)
    assert names(lm) == ["Conv1", "Pool1", "Middle1", "Middle2", "Output1"]
    lm.remove("Middle1")
    assert names(lm) == ["Conv1", "Pool1", "Middle1", "Output1"]
    lm[2] = Dense(18, 5, mode=lm.mode)
    assert names(lm) == ["Conv1", "Pool1", "Middle1", "Output1"]
    with pytest.warns(UserWarning, match="Pool1 expects"):
        del lm["Conv1"]
    assert names(lm) == ["Pool1", "Middle1", "Output1"]


def test_a_label_stays_and_running_numbers_avoid_it(net):
    lm = net()
    lm.insert(2, name="m", n=18, label="Middle1")
    lm.insert(2, name="d", label="rest")
    assert names(lm) == ["Conv1", "Pool1", "rest", "Middle1", "Middle2", "Output1"]
    with pytest.warns(UserWarning, match="Pool1 expects"):
        del lm[0]
    assert lm["rest"].name == "rest"


def test_an_existing_layer_can_be_appended(net):
    lm = net()
    del lm[-1]
    output = Output(5, 3, mode=lm.mode)
    lm.append(output)
    assert lm["Output1"] is output
    assert lm.index(output) == lm.index("Output1") == 3


def test_extend_takes_copies_of_the_layers_of_another_model(net):
    one, other = net(), net()
    one.insert(2, name="m", n=18)
    del one[3:]
    one.extend(copy.deepcopy(other[2:]))
    assert names(one) == ["Conv1", "Pool1", "Middle1", "Middle2", "Output1"]
    assert names(other) == ["Conv1", "Pool1", "Middle1", "Output1"]
    np.testing.assert_array_equal(to_cpu(one["Middle2"].W), to_cpu(other["Middle1"].W))


def test_a_layer_of_another_model_is_refused_and_keeps_its_name(net):
    one, other = net(), net()
    one.insert(2, name="m", n=18)
    del one[3:]
    for change in (lambda: one.extend(other[2:]), lambda: one.append(other[2]), lambda: one.insert(3, other[2])):
        with pytest.raises(ValueError, match=r"Middle1 is in another model, which names it, too: take copy\.deepcopy"):
            change()
    assert names(one) == ["Conv1", "Pool1", "Middle1"]
    assert names(other) == ["Conv1", "Pool1", "Middle1", "Output1"]


def test_a_layer_can_move_to_another_model(net):
    one, other = net(), net()
    del one[-1]
    output = other["Output1"]
    other.remove(output)
    one.append(output)
    assert one["Output1"] is output


def test_a_model_knows_its_layers_by_name_and_as_objects(net):
    lm, other = net(), net()
    assert "Conv1" in lm
    assert "Conv2" not in lm
    assert lm[0] in lm
    assert other[0] not in lm


def test_a_seed_gives_each_layer_weights_of_its_own(net):
    lm = net()
    lm.insert(2, name="m", n=18)
    lm.insert(2, name="m", n=18)
    assert float(abs(lm[2].W - lm[3].W).max()) > 0


def test_a_name_that_does_not_exist_is_answered_with_those_that_do(net):
    with pytest.raises(KeyError, match="no layer is called 'Conv9'; there are Conv1, Pool1, Middle1, Output1"):
        net()["Conv9"]


def test_a_layer_that_is_not_there_is_no_member(net):
    with pytest.raises(ValueError, match="is not in this model; there are Conv1"):
        net().index(Dense(1, 1))


def test_a_failed_change_changes_nothing(net):
    lm = net()
    before = list(lm.layers)
    with pytest.raises(ValueError, match="the same layer is in the model twice"):
        lm[1] = lm[0]
    with pytest.raises(TypeError, match=r'expected a layer, such as Conv2d\(...\) or a code in name="c"; got 3'):
        lm[0] = 3
    with pytest.raises(ValueError, match="the name '' is taken or empty"):
        lm.insert(0, name="d", label="")
    assert lm.layers == before
    assert names(lm) == ["Conv1", "Pool1", "Middle1", "Output1"]


@pytest.mark.parametrize(
    ("keywords", "error", "text"),
    [
        ({"name": "x"}, ValueError, "unknown layer 'x';.*known: c, conv"),
        (
            {"name": "m", "n": 3, "activation": "ReLU"},
            TypeError,
            "Middle2 has no keyword 'activation'; .*known: prev, n, wb_width",
        ),
        ({"name": "m"}, TypeError, "Middle2 needs n, as in Dense: add the keyword"),
        ({"name": "m", "n": 0}, ValueError, "Middle2: n is 0; expected 1 or more"),
        ({"name": "m", "n": 2.5}, TypeError, "Middle2: n is 2.5; expected a whole number"),
        (
            {"name": "m", "n": 2, "prev": 7},
            ValueError,
            r"Middle2 expects inputs of shape \(7,\), but Middle1 gives \(5,\): .*prev=5",
        ),
        (
            {"name": "c", "F_shape": (1, 2, 2)},
            ValueError,
            r"I_shape of .*|Conv2: I_shape is \(5,\); expected \(C, H, W\)",
        ),
        (
            {"name": "m", "n": 2, "opt_dic": {"eta": 1}},
            TypeError,
            "optimizer Adam has no keyword 'eta'; .*known: alpha",
        ),
        (
            {"name": "m", "n": 2, "opt": "AdaDelta", "opt_dic": {"eta": 1}},
            TypeError,
            "optimizer AdaDelta has no keyword 'eta'",
        ),
        ({"name": "m", "n": 2, "act_dic": {"a": 1}}, TypeError, "activation ReLU has no keyword 'a'; it takes none"),
    ],
)
def test_bad_keywords_are_answered_with_the_layer_s_name(net, keywords, error, text):
    lm = net()
    del lm[-1]
    with pytest.raises(error, match=text):
        lm.append(**keywords)
    assert len(lm) == 3


def test_a_shape_that_does_not_fit_the_data_is_refused(net):
    lm = net()
    del lm[:]
    with pytest.raises(ValueError, match=r"Conv1 expects inputs of shape \(1, 9, 9\), but the data gives \(1, 6, 6\)"):
        lm.append(name="c", I_shape=(9, 9), F_shape=(2, 3, 3))


def test_a_layer_of_another_type_is_refused(net):
    lm = net()
    with pytest.raises(
        ValueError, match=r"Dropout was made for mode='cpu', dtype='float64'; this model has .*'float32'"
    ):
        lm.append(Dropout((3,), dtype="float64"))


def test_an_existing_layer_takes_no_keywords(net):
    with pytest.raises(TypeError, match=r"a layer that exists takes no keywords; got \['n'\]"):
        net().append(Dropout((3,)), n=3)


def test_the_parameters_are_where_the_mode_says(xp, net):
    lm = net(dtype="float64")
    assert all(isinstance(layer.W, xp.ndarray) for layer in lm if layer.parameter_names)
    assert lm["Conv1"].W.dtype == np.float64


def test_the_layers_of_a_copied_model_are_its_own(net):
    model = net()
    copied, third = copy.deepcopy(model), net()
    with pytest.raises(ValueError, match="is in another model"):
        third[0] = copied[0]
    del copied[-1]
    assert len(copied) == len(model) - 1
