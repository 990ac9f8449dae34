import warnings

import pytest

from cnn import Conv2d


def test_the_text_has_a_line_a_layer_and_a_sum(net, capsys):
    net().summary()
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "layer    kind       output        parameters  multiply-adds",
        "Conv1    Conv2d     (N, 2, 6, 6)          20            648",
        "Pool1    MaxPool2d  (N, 2, 3, 3)           0              0",
        "Middle1  Dense      (N, 5)                95             90",
        "Output1  Output     (N, 3)                18             15",
        "sum                                      133            753",
    ]


def test_what_is_returned_has_the_sums_and_a_table(net, capsys):
    found = net().summary()
    assert str(found) == capsys.readouterr().out.rstrip("\n")
    assert (found.parameters, found.multiply_adds) == (133, 753)
    assert found.table.columns.tolist() == ["layer", "kind", "output", "parameters", "multiply_adds"]
    assert found.table["multiply_adds"].tolist() == [648, 0, 90, 15]
    assert found.table["output"].tolist()[0] == (2, 6, 6)
    assert repr(found) == "<Summary: 4 layers, 133 parameters, 753 multiply-adds an image>"
    assert "<td>Middle1</td>" in found._repr_html_()


def test_a_model_without_layers_has_a_sum_of_nothing(net, capsys):
    lm = net()
    lm.clear()
    assert lm.summary().parameters == 0
    assert lm.summary().table.columns.tolist()[0] == "layer"


def test_layers_that_do_not_fit_are_told_below(net, capsys):
    lm = net()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        del lm["Pool1"]
    lm.summary()
    assert capsys.readouterr().out.splitlines()[-1].startswith("Middle1 expects inputs of shape (18,), but Conv1 gives")


@pytest.mark.parametrize(
    ("keywords", "count"),
    [
        ({"F_shape": (6, 3, 2)}, 6 * 8 * 7 * 4 * 6),
        ({"F_shape": (6, 3, 2), "groups": 2}, 6 * 8 * 7 * 2 * 6),
        ({"F_shape": (6, 3, 2), "stride": 2, "dilation": 2}, 6 * 4 * 4 * 4 * 6),
    ],
)
def test_a_convolution_multiplies_each_output_by_each_number_it_sees(keywords, count):
    assert Conv2d((4, 8, 7), **keywords).multiply_adds == count


def test_the_article_s_net_has_as_many_as_by_hand(sample):
    from cnn import LayerManager

    (x, t), (x_test, t_test) = sample
    lm = LayerManager((x[:1], x_test[:1]), (t[:1], t_test[:1]))
    for keywords in (
        {"name": "c", "F_shape": (10, 3, 3)},
        {"name": "p", "pool": 2},
        {"n": 100},
        {"name": "o", "n": 10},
    ):
        lm.append(**keywords)
    assert lm.summary().parameters == 100 + 196_100 + 1_010
    assert lm.summary().multiply_adds == 10 * 28 * 28 * 9 + 196_000 + 1_000
