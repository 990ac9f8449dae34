"""benchmarks/race: PyTorch's side trains what cnn's trains; seeds are kept one by one; what is said is computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cnn.captured
from benchmarks import race
from benchmarks.accuracy.recipes import ALL, Recipe, images_of
from benchmarks.accuracy.runs import cut
from benchmarks.epoch import page as goals
from benchmarks.race import page
from benchmarks.race.ours import Ours
from cnn import Augment
from cnn.schedules import Cosine, Span
from cnn.training import step
from tests.cnn.emulated.device import COMPILER, Emulated
from tests.cnn.kernel_nets import CASES, net

MOVED = "one epoch: shifted by 1"


def data(count: int) -> Any:
    return cut(images_of("MNIST", sample=True), count)


class FakeSide:
    """Trains without a clock; how often, and from where, can be asked."""

    def __init__(self, share: float = 0.5) -> None:
        self.share, self.done = share, []

    def record(self) -> None:
        self.done.append("record")

    def train(self) -> None:
        self.done.append("train")

    def reset(self) -> None:
        self.done.append("reset")

    def accuracy(self) -> float:
        return self.share


@pytest.fixture
def kept(monkeypatch, tmp_path) -> Any:
    """Results are kept in a folder of their own; the sides are fakes."""
    monkeypatch.setattr("benchmarks.results.FOLDER", tmp_path)
    monkeypatch.setattr("benchmarks.results.HERE", tmp_path / "none")
    monkeypatch.setattr(race, "makers", lambda *_: {"cnn": lambda: FakeSide(0.99), "torch": lambda: FakeSide(0.98)})
    tried = {"torch": {"a way": {"first_s": 2.0, "training_s": [0.3]}}, "cnn": {"first_s": 1.0, "training_s": [0.1]}}
    monkeypatch.setattr(race, "_tried", lambda *_: ("a way", tried))
    return tmp_path


# The sides


@pytest.mark.torch
def test_both_sides_take_the_same_steps() -> None:
    torch = pytest.importorskip("torch")
    from benchmarks.race.peer import Peer

    recipe = ALL["one epoch"]
    ours = Ours(recipe, data(40), "cpu", 0)
    ours.n_batch = 16
    model, theirs = ours.model, Peer(ours.model, {**recipe.training, "n_batch": 16}, 0)
    model.span = Span(0, 3, 0, 1)
    theirs.order[:40] = torch.arange(40)
    for first in (0, 16, 32):
        places = slice(first, min(first + 16, 40))
        step(model, model.x_train[places], model.y_train[places])
        theirs.step(len(model.x_train[places]))
    parameters = [p for layer in model.layers for p in layer.parameters()]
    for p, first, their in zip(parameters, ours.first, theirs.net.parameters(), strict=True):
        difference = their.detach().numpy().T - p if p.ndim == 2 else their.detach().numpy() - p
        assert np.linalg.norm(difference) < 1e-3 * np.linalg.norm(p - first)
    assert theirs.accuracy() == pytest.approx(ours.accuracy())


@pytest.mark.torch
def test_a_training_from_the_first_weights_again_is_the_same() -> None:
    pytest.importorskip("torch")
    from benchmarks.race.peer import Peer

    recipe = ALL[MOVED]
    ours = Ours(recipe, data(200), "cpu", 1)
    theirs = Peer(ours.model, recipe.training, 1)
    for side, weights in (
        (ours, lambda: [p for layer in ours.model.layers for p in layer.parameters()]),
        (theirs, lambda: [p.detach().numpy() for p in theirs.net.parameters()]),
    ):
        side.record()
        side.train()
        once = [p.copy() for p in weights()]
        side.reset()
        side.train()
        assert all(np.array_equal(a, b) for a, b in zip(once, weights(), strict=True))


@pytest.mark.torch
def test_pytorchs_images_are_moved_each_by_itself(monkeypatch) -> None:
    torch = pytest.importorskip("torch")
    from benchmarks.race.peer import Peer

    ours = Ours(ALL[MOVED], data(20), "cpu", 0)
    theirs = Peer(ours.model, ALL[MOVED].training, 0)
    theirs.order[:20] = torch.arange(20)
    drawn = iter([torch.tensor([0, 1, 2]), torch.tensor([2, 1, 0])])  # down, right: of 0 to 2 pixels
    monkeypatch.setattr(torch, "randint", lambda *_, **__: next(drawn))
    x, t = theirs.batch(3)
    wide = np.pad(ours.model.x_train[:3], ((0, 0), (0, 0), (1, 1), (1, 1)))
    expected = [wide[i, :, i : i + 28, 2 - i : 30 - i] for i in range(3)]
    assert np.array_equal(x.numpy(), np.stack(expected))
    assert t.tolist() == ours.model.y_train[:3].argmax(1).tolist()


@pytest.mark.torch
def test_what_pytorchs_side_does_not_know_is_refused() -> None:
    pytest.importorskip("torch")
    from benchmarks.race.peer import Peer

    ours = Ours(ALL["one epoch"], data(20), "cpu", 0)
    with pytest.raises(ValueError, match="expected an Augment that moves alone"):
        Peer(ours.model, {"n_batch": 8, "augment": Augment(flip=True)}, 0)
    ours.model[0].optimizer.beta1 = 0.5
    with pytest.raises(ValueError, match="expected one Adam without weight decay"):
        Peer(ours.model, {"n_batch": 8}, 0)


@pytest.mark.torch
def test_the_race_runs_on_a_cpu(monkeypatch, tmp_path, capsys) -> None:
    pytest.importorskip("torch")
    from benchmarks.race import peer

    monkeypatch.setattr("benchmarks.results.FOLDER", tmp_path)
    monkeypatch.setattr("benchmarks.results.HERE", tmp_path / "none")
    monkeypatch.setattr(peer, "WAYS", {"one": {}, "two": {"in_a_graph": 2, "channels_last": True}})
    monkeypatch.setattr(race, "TRIALS", 1)
    assert race.main(["one epoch"], images=300, seeds=1) == 0
    assert "one epoch, seed 0: cnn" in capsys.readouterr().out
    found = race.newest("race")["races"]["one epoch"]
    assert set(found["tried"]["torch"]) == {"one", "two"}
    assert found["chosen"] in found["tried"]["torch"]
    assert [row["seed"] for row in found["seeds"]] == [0]


# What is kept


def test_each_side_is_trained_while_recording_and_again_from_the_beginning() -> None:
    sides = {"cnn": FakeSide(0.99), "torch": FakeSide(0.98)}
    found = race.raced({name: lambda side=side: side for name, side in sides.items()}, seed=0)
    assert [side.done for side in sides.values()] == [["record", "train", "reset", "train"]] * 2
    assert (found["cnn"]["accuracy"], found["torch"]["accuracy"]) == (0.99, 0.98)
    assert found["first"] in sides


@pytest.mark.torch
def test_seeds_that_this_commit_has_raced_are_not_raced_again(kept, monkeypatch, capsys) -> None:
    pytest.importorskip("torch")
    assert race.main(["one epoch"], images=8, seeds=2) == 0
    capsys.readouterr()
    assert race.main(["one epoch"], images=8, seeds=3) == 0
    told = capsys.readouterr().out
    assert "one epoch, seed 2: cnn" in told
    assert "one epoch, seed 1: cnn" not in told
    assert [row["seed"] for row in race.newest("race")["races"]["one epoch"]["seeds"]] == [0, 1, 2]
    monkeypatch.setenv("GPUPROF_COMMIT", "another")
    assert race.main(["one epoch"], images=8, seeds=1) == 0
    found = race.newest("race")["races"]["one epoch"]
    assert (found["commit"], [row["seed"] for row in found["seeds"]]) == ("another", [0])


@pytest.mark.torch
def test_when_the_time_is_up_the_rest_is_left(kept, monkeypatch, capsys) -> None:
    pytest.importorskip("torch")
    monkeypatch.setenv("GPUPROF_SECONDS", "-1")
    assert race.main(["one epoch"], images=8, seeds=2) == 1
    assert "left: 2 seeds" in capsys.readouterr().out


def test_a_race_that_is_none_is_refused(capsys) -> None:
    assert race.main(["keras"]) == 2
    assert "no race of 'keras'; there are one epoch, one epoch: shifted by 1" in capsys.readouterr().out


# What is said


def seeds(*times: tuple[float, float, float, float]) -> dict[str, Any]:
    """A race of made-up seeds: cnn's and PyTorch's training, cnn's and PyTorch's accuracy; recording takes as long."""
    rows = []
    for seed, (ours, theirs, right, their_right) in enumerate(times):
        sides = {"cnn": (ours, right), "torch": (theirs, their_right)}
        made = {
            name: {"training_s": s, "with_recording_s": 2 * s, "accuracy": share} for name, (s, share) in sides.items()
        }
        rows.append({"seed": seed, **made})
    return {"commit": "abc", "seeds": rows, "tried": {"torch": {"a way": {"training_s": [0.2]}}}, "versions": {}}


def test_the_ratio_is_the_median_over_the_seeds() -> None:
    raced = seeds((0.03, 0.1, 0.991, 0.99), (0.04, 0.1, 0.989, 0.992), (0.02, 0.1, 0.993, 0.98))
    assert page.ratios(raced) == pytest.approx([0.3, 0.4, 0.2])
    assert page.claim("it", raced) == ("it: cnn's time / PyTorch's", "≤ 1/3", "0.300, 3 seeds", "yes")
    assert page.side(raced, "cnn") == ["30.0", "60.0", "99.10 %", "98.90 %", "2 of 3"]
    assert page.side(raced, "torch") == ["100.0", "200.0", "98.73 %", "98.00 %", "2 of 3"]


def test_more_than_a_third_is_not_reached() -> None:
    assert page.claim("it", seeds((0.034, 0.1, 1, 1))).reached == "**no**"


def test_the_page_shows_the_race_of_each_recipe(monkeypatch, tmp_path) -> None:
    measured = {"machine": {"gpu": "G", "driver": "1", "cupy": "14"}, "date": "today"}
    raced = seeds((0.03, 0.1, 0.991, 0.99)) | {"versions": {"torch": "2"}}
    monkeypatch.setattr(page, "load", lambda _: measured | {"races": {"one epoch": raced}})
    monkeypatch.setattr(page, "HERE", tmp_path)
    assert page.raced() == "Not measured yet."
    assert page.claims() == []
    (tmp_path / "race.json").touch()
    text = page.raced()
    assert "| one epoch, cnn | 30.0 | 60.0 | 99.10 % | 99.10 % | 1 of 1 |" in text
    assert "| one epoch, PyTorch | 100.0 | 200.0 | 99.00 % | 99.00 % | 1 of 1 |" in text
    assert "a way 200.0 ms; commit abc." in text
    assert page.claims() == [["one epoch: cnn's time / PyTorch's", "≤ 1/3", "", "0.300, 1 seeds", "yes", ""]]


def test_goals_are_held_against_the_newest_run_that_has_them(monkeypatch) -> None:
    def run(**us: float) -> dict[str, Any]:
        return {"parts": {part.replace("_", "-"): {"us_a_step": {"cnn, graph": [t, t, t]}} for part, t in us.items()}}

    monkeypatch.setattr(goals, "load", lambda _: run(article_8=13.0) | {"earlier": [run(article_8=30, keras_8=66.0)]})
    monkeypatch.setattr(goals, "races", list)
    rows = goals.goals().splitlines()
    assert rows[2] == "| cnn, graph of article-8, µs a step | ≤ 20 | ≤ 12 | 13.0 | yes | **no** |"
    assert rows[3] == "| cnn, graph of article-128, µs a step | ≤ 35 | ≤ 25 | not measured | **no** | **no** |"
    assert rows[4] == "| cnn, graph of keras-8, µs a step | ≤ 60 | ≤ 45 | 66.0 | **no** | **no** |"
    assert rows[6] == "| cnn, plain of article-8, µs a step | ≤ 600 |  | not measured | **no** |  |"


def test_runs_are_shown_down_to_one_with_all_that_was_asked_for() -> None:
    complete = {"parts": {}}
    for way, part in goals.ASKED:
        complete["parts"].setdefault(part, {"us_a_step": {}})["us_a_step"][way] = [1.0]
    part = {"parts": {"article-8": {"us_a_step": {"cnn, graph": [1.0]}}}}
    assert goals._needed([part, complete, part]) == [part, complete]
    assert goals._needed([part]) == [part]


# Through graphs, on the emulator


@pytest.fixture
def captured_side(monkeypatch, tmp_path) -> Ours:
    """A small net that trains through the emulator, two steps a graph."""
    if COMPILER is None:
        pytest.skip("needs g++ to compile the kernels for the CPU")
    monkeypatch.setattr(cnn.captured, "Gpu", lambda: Emulated(tmp_path))
    monkeypatch.setattr(cnn.captured, "on_gpu", lambda model: True)
    monkeypatch.setattr(cnn.captured, "STEPS", 2)
    training = {"n_batch": 8, "schedule": Cosine(), "augment": Augment(shift=1)}
    recipe = Recipe("", "", lambda *_, **__: net(CASES[0]), training, 1, {})
    side = Ours(recipe, None, "cpu", 0)
    side.fast, _ = cnn.captured.captured(side.model, 8, side.model.stepper, side.augment, True)
    return side


def test_cnns_side_is_the_same_again_through_the_graphs_that_it_has(captured_side) -> None:
    def weights() -> list[Any]:
        return [p.copy() for layer in captured_side.model.layers for p in layer.parameters()]

    captured_side.train()
    once, steps = weights(), captured_side.model.steps
    captured_side.reset()
    assert all(np.array_equal(p, first) for p, first in zip(weights(), captured_side.first, strict=True))
    captured_side.train()
    assert captured_side.model.steps == steps == 4
    assert all(np.array_equal(p, before) for p, before in zip(weights(), once, strict=True))
    assert not all(np.array_equal(p, first) for p, first in zip(once, captured_side.first, strict=True))
