"""What `append` and `insert` answer to a call that cannot be meant."""

import numpy as np
import pytest

from cnn import Dropout, LayerManager
from cnn.layers import Layer


def test_an_existing_layer_takes_no_kind_and_no_label(net):
    lm = net()
    for keywords in ({"name": "conv"}, {"label": "last"}, {"label": ""}):
        with pytest.raises(
            TypeError, match=rf"a layer that exists takes no keywords; got \['{next(iter(keywords))}'\]"
        ):
            lm.append(Dropout((3,), mode=lm.mode), **keywords)


def test_a_kind_given_by_place_is_answered_with_the_keyword(net):
    with pytest.raises(TypeError, match="a new layer's kind goes by keyword: write name='c' instead of 'c'"):
        net().append("c", F_shape=(2, 3, 3))


def test_a_label_has_to_be_a_text(net):
    lm = net()
    with pytest.raises(TypeError, match="name or label is 5; expected a text"):
        lm.insert(2, name="d", label=5)
    assert len(lm) == 4


@pytest.mark.parametrize(
    ("keywords", "text"),
    [
        ({"name": "m", "n": 2, "act": "ReLV"}, "Middle2: unknown activation 'ReLV'; did you mean 'ReLU'"),
        ({"name": "m", "n": 2, "opt": "adm"}, "Middle2: unknown optimizer 'adm'; did you mean 'Adam'"),
        ({"name": "m", "n": 2, "opt_dic": {"alpha": -1}}, "Middle2: Adam: alpha is -1; expected a finite number"),
        ({"name": "o", "n": 2, "err_func": "Cros"}, "Output1: unknown err_func 'Cros'; did you mean 'Cross'"),
    ],
)
def test_an_unknown_word_is_answered_with_the_layer_s_name(net, keywords, text):
    lm = net()
    del lm[-1]
    with pytest.raises(ValueError, match=f"^{text}"):
        lm.append(**keywords)


def test_images_without_an_axis_for_their_channel_are_told_how_to_get_one():
    lm = LayerManager((np.zeros((4, 6, 6)),) * 2, (np.eye(4),) * 2)
    text = (
        r"Conv1 expects inputs of shape \(1, 6, 6\), but the data gives \(6, 6\): give images an axis .* x\[:, None\]"
    )
    with pytest.raises(ValueError, match=text):
        lm.append(name="c", F_shape=(2, 3, 3))


def test_a_custom_layer_of_one_axis_is_not_given_images_to_flatten(net):
    class Same(Layer):
        role = "Same"

    lm = net()
    del lm[2:]
    with pytest.raises(ValueError, match=r"Same expects inputs of shape \(18,\), but Pool1 gives \(2, 3, 3\)"):
        lm.append(Same((18,), (18,), name="Same", mode=lm.mode, dtype=lm.dtype))
