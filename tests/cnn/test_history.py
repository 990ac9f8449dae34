import math

import matplotlib.pyplot as plt
import pytest

from cnn.history import Epoch, History, chart_is_seen

HISTORY = History((Epoch(1, math.nan, 0.5, 2.0), Epoch(2, math.nan, 0.25, 2.5)), 20, "moved by 1 < 2")


@pytest.fixture
def axes():
    yield plt.subplots()[1]
    plt.close("all")


def test_the_table_has_a_row_an_epoch():
    table = HISTORY.table
    assert list(table.columns) == ["epoch", "train_error", "test_error", "seconds"]
    assert table.test_error.tolist() == [0.5, 0.25]


def test_an_interrupted_history_has_an_empty_table_with_the_same_columns():
    assert list(History((), 3, "interrupted").table.columns) == ["epoch", "train_error", "test_error", "seconds"]


def test_a_history_is_frozen():
    with pytest.raises(AttributeError):
        HISTORY.steps = 3


def test_a_history_shows_itself_as_text_and_as_escaped_html():
    assert repr(HISTORY).endswith("20 steps, epochs: 2; ended: moved by 1 < 2")
    assert "0.25" in repr(HISTORY)
    assert "moved by 1 &lt; 2" in HISTORY._repr_html_()
    assert repr(History((), 3, "interrupted")) == "3 steps, epochs: 0; ended: interrupted"


def test_the_curve_is_drawn_on_a_log_axis(axes):
    assert HISTORY.show(axes) is axes
    assert axes.get_yscale() == "log"
    assert [line.get_label() for line in axes.lines] == ["test"]
    assert axes.lines[0].get_xydata().tolist() == [[1, 0.5], [2, 0.25]]


def test_the_train_error_is_drawn_where_it_was_measured(axes):
    History((Epoch(1, 0.4, 0.5, 2.0),), 10, "done").show(axes)
    assert [line.get_label() for line in axes.lines] == ["test", "train"]


def test_lm_show_errors_draws_the_last_training(net, axes):
    lm = net()
    lm.training(1, show_error=False)
    assert lm.show_errors(axes) is axes
    assert len(axes.lines) == 1


def test_nothing_is_drawn_where_nobody_would_see_it(net):
    assert not chart_is_seen()
    net().training(1, show_error=True)
    assert plt.get_fignums() == []


def test_the_curve_appears_where_it_would_be_seen(net):
    plt.ion()
    try:
        net().training(1, show_error=True)
        assert len(plt.get_fignums()) == 1
    finally:
        plt.ioff()
        plt.close("all")


@pytest.mark.parametrize("errors", [[math.nan], [0.0], [math.inf, 0.0], []])
def test_a_curve_without_a_positive_error_is_drawn_without_a_warning(errors, axes):
    History(tuple(Epoch(i, math.nan, error, 1.0) for i, error in enumerate(errors)), 1, "done").show(axes)
    axes.figure.canvas.draw()
    assert axes.get_yscale() == "linear"


def test_ctrl_c_while_the_curve_is_drawn_keeps_the_history(net, monkeypatch):
    def interrupted(self, ax=None):
        raise KeyboardInterrupt

    lm = net()
    monkeypatch.setattr(History, "show", interrupted)
    monkeypatch.setattr("cnn.training.chart_is_seen", lambda: True)
    with pytest.raises(KeyboardInterrupt):
        lm.training(1)
    assert len(lm.history.epochs) == 1
