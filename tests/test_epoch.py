"""benchmarks/epoch: ways in turns, what is left out says why, a table of medians; cnn's own ways train."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import epoch
from benchmarks.epoch import Way, ours


def fails():
    raise RuntimeError("no such library\nat all")


def test_each_way_gives_a_sample_a_round_and_what_fails_is_left_out(monkeypatch):
    done = []
    ways = {"ours": lambda: Way(done.append, 30), "another's": fails}
    monkeypatch.setattr(epoch, "makers", lambda net, n_batch: ways)
    found = epoch.measure("article-8", rounds=3)
    assert len(found["us_a_step"]["ours"]) == 3
    assert found["left_out"] == {"another's": "RuntimeError: no such library"}
    assert max(done) <= 30
    assert found["steps"]["ours"] == 30


def test_the_table_has_medians_with_the_middle_half_and_a_dash_for_what_was_left_out():
    part = {"us_a_step": {"ours": [1.0, 2.0, 3.0, 4.0, 5.0]}, "left_out": {"another's": "why"}}
    rows = epoch.report({"article-8": part}).splitlines()
    assert [row.split() for row in rows] == [
        ["µs", "a", "step", "article-8"],
        ["ours", "3.0", "(1.5–4.5)"],
        ["another's", "–"],
    ]


def test_an_unknown_part_is_refused(capsys):
    assert epoch.main(["article-7"]) == 2
    assert "no part 'article-7'; there are article-8, article-128, keras-8, keras-128" in capsys.readouterr().err


@pytest.mark.parametrize("net", ["article", "keras"])
def test_our_plain_way_trains_layer_by_layer(net, monkeypatch):
    monkeypatch.setattr(ours, "IMAGES", 32)
    x = np.random.default_rng(0).random((48, 1, 28, 28), dtype=np.float32)
    t = np.eye(10, dtype=np.float32)[np.arange(48) % 10]
    monkeypatch.setattr(ours, "images", lambda: ((x[:32], t[:32]), (x[32:], t[32:])))
    way = ours.plain(net, 8, mode="cpu")
    way.run(2)
    assert way.steps == 4


def test_keras_s_net_has_the_shapes_that_the_peers_have(monkeypatch):
    x, t = np.zeros((4, 1, 28, 28), np.float32), np.eye(10, dtype=np.float32)[:4]
    monkeypatch.setattr(ours, "images", lambda: ((x, t), (x, t)))
    lm = ours.made("keras", mode="cpu")
    assert [layer.O_shape for layer in lm.layers if layer.W is not None] == [(32, 26, 26), (64, 24, 24), (128,), (10,)]
