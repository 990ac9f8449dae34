"""benchmarks/epoch: ways in turns, what is left out says why, a table of medians; cnn's own ways train."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import epoch
from benchmarks.epoch import Way, ours, warming


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


def test_a_way_that_is_compiled_for_a_number_of_steps_does_that_number():
    done = []
    assert epoch.chunk(Way(done.append, 30, fixed=True)) == 30
    assert set(done) == {30}


def test_what_another_commit_measured_goes_among_the_earlier_runs(monkeypatch, tmp_path):
    monkeypatch.setattr("benchmarks.results.FOLDER", tmp_path)
    monkeypatch.setattr("benchmarks.results.HERE", tmp_path / "none")
    monkeypatch.setattr(epoch, "measure", lambda part: {"of": part})
    for commit, part in (("a", "article-8"), ("a", "keras-8"), ("b", "keras-8"), ("b", "article-8"), ("c", "keras-8")):
        monkeypatch.setenv("GPUPROF_COMMIT", commit)
        epoch.one(part)
    kept = epoch.newest("epoch")
    runs = [{name: part["commit"] for name, part in run["parts"].items()} for run in (kept, *kept["earlier"])]
    both = {"article-8", "keras-8"}
    assert runs == [{"keras-8": "c"}, dict.fromkeys(both, "b"), dict.fromkeys(both, "a")]


def test_caches_are_warmed_by_a_process_a_way(monkeypatch, capsys):
    monkeypatch.setenv("EPOCH_WAYS", "cnn, graph")  # which needs a GPU
    monkeypatch.setattr(warming.subprocess, "run", lambda *_, **__: SimpleNamespace(stdout="loading\nwarm\n"))
    assert epoch.main(["--warm", "article-8"]) == 0
    assert "article-8 cnn, graph: warm" in capsys.readouterr().out
    monkeypatch.setattr(warming.subprocess, "run", lambda *_, **__: SimpleNamespace(stdout="RuntimeError: no GPU\n"))
    assert epoch.main(["--warm", "article-8"]) == 1
    assert "article-8 cnn, graph: RuntimeError: no GPU" in capsys.readouterr().out


def test_a_way_trains_a_few_steps_to_be_warm(monkeypatch, capsys):
    done = []
    ways = {"ours": lambda: Way(done.append, 300), "another's": fails}
    monkeypatch.setattr(warming, "makers", lambda net, n_batch: ways)
    warming.warm("article-8", "ours")
    warming.warm("article-8", "another's")
    assert done == [20, 20, 20]
    assert capsys.readouterr().out == "warm\nRuntimeError: no such library\n"


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.jit, which torch.compile itself uses
@pytest.mark.parametrize("net", ["article", "keras"])
def test_pytorchs_ways_train(net, monkeypatch):
    torch = pytest.importorskip("torch")
    from benchmarks.epoch import torchways

    few(monkeypatch, torchways)
    torchways.eager(net, 8, "cpu").run(2)
    torchways.compiled(net, 8, "cpu", backend="eager").run(2)
    training = torchways.Counting(net, 8, "cpu")
    training.shuffle()
    before = [p.detach().clone() for p in training.parameters]
    training.step()
    assert training.counter.item() == 1
    assert all(not torch.equal(p, first) for p, first in zip(training.parameters, before, strict=True))


@pytest.mark.torch
def test_a_batch_that_is_found_on_the_device_is_the_one_that_is_next(monkeypatch):
    torch = pytest.importorskip("torch")
    from benchmarks.epoch import torchways

    few(monkeypatch, torchways)
    counting, counted = torchways.Counting("article", 8, "cpu"), torchways.Training("article", 8, "cpu")
    counting.shuffle()
    counted.order.copy_(counting.order)
    for _ in range(4):
        assert torch.equal(counting.places(), counted.places())


@pytest.mark.parametrize("net", ["article", "keras"])
def test_jaxs_ways_train(net, monkeypatch):
    pytest.importorskip("jax")
    from benchmarks.epoch import jaxways

    few(monkeypatch, jaxways)
    for make in (jaxways.step, jaxways.scan):
        way = make(net, 8)
        way.run(way.steps)
        assert way.steps == 4


def few(monkeypatch, module):
    """32 images for a peer's ways."""
    x = np.random.default_rng(0).random((32, 1, 28, 28), dtype=np.float32)
    t = np.eye(10, dtype=np.float32)[np.arange(32) % 10]
    monkeypatch.setattr(module, "IMAGES", 32)
    monkeypatch.setattr(module, "images", lambda: ((x, t), (x, t)))
