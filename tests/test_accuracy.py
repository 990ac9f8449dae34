"""benchmarks/accuracy, on a few images: what is held out, what is run, what is kept, and what is made of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import accuracy
from benchmarks.accuracy import kept, recipes, runs, series
from benchmarks.accuracy.recipes import ALL, OTHERS, RECIPES, images_of
from benchmarks.accuracy.runs import Job
from cnn import Augment
from cnn.schedules import Moment, Span

from .conftest import CUPY


@pytest.fixture
def folder(monkeypatch, tmp_path) -> Path:
    """Results are kept here, and none are there yet."""
    monkeypatch.setattr("benchmarks.results.FOLDER", tmp_path)
    monkeypatch.setattr("benchmarks.results.HERE", tmp_path / "none")
    return tmp_path


def line(recipe: str = "article", seed: int = 0, share: float = 0.5, **more: Any) -> dict[str, Any]:
    """A run that has been kept."""
    common = {"held_out": False, "images": None, "commit": "abc", "accuracy": share, "train_accuracy": share}
    return {"recipe": recipe, "seed": seed, **common, **more}


def test_the_last_10_000_training_images_are_held_out_and_no_test_image_is_asked() -> None:
    x, t = np.arange(60_000).reshape(-1, 1), np.arange(60_000).reshape(-1, 1)
    (x_learned, t_learned), (x_asked, t_asked) = runs.held_out(((x, t), (-x, -t)))
    np.testing.assert_array_equal(x_learned[:, 0], np.arange(50_000))
    np.testing.assert_array_equal(x_asked[:, 0], np.arange(50_000, 60_000))
    np.testing.assert_array_equal(x_learned, t_learned)
    np.testing.assert_array_equal(x_asked, t_asked)


def test_a_run_learns_from_the_images_it_is_given_and_says_what_it_was() -> None:
    found = runs.run(Job("one epoch", seed=1, held_out=True, images=40))
    assert (found["learned_from"], found["asked"], found["mode"]) == (40, 40, "cpu" if CUPY is None else "gpu")
    assert found["settings"]["n_batch"] == str(recipes.ONE_EPOCH.training["n_batch"])
    assert len(found["errors"]) == 1
    assert found["reason"] == "all epochs are done"
    json.dumps(found)


def test_a_run_with_one_seed_comes_out_the_same_again() -> None:
    job = Job("keras", seed=3, images=16)
    first, again = runs.run(job), runs.run(job)
    assert first["errors"] == again["errors"]


@pytest.mark.parametrize("name", ALL)
def test_every_recipe_makes_a_net_whose_layers_fit(name: str) -> None:
    recipe = ALL[name]
    lm = recipe.net(runs.cut(images_of("MNIST", sample=True), 8), mode="cpu", seed=0, **recipe.given)
    lm.check_model()
    schedule = recipe.training.get("schedule")
    assert schedule is None or schedule.factor(Moment(0, 0, Span(0, 100, 0, 1))) > 0


def test_a_choice_differs_from_its_recipe_in_settings_alone() -> None:
    for name, choice in OTHERS.items():
        recipe = RECIPES[name.split(":")[0]]
        assert (choice.net, choice.images) == (recipe.net, recipe.images)
        assert choice.settings() != recipe.settings()


def test_what_is_done_is_kept_and_not_done_again(folder: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(accuracy, "ALL", {})
    asked: list[Job] = []

    def at_once(jobs: list[Job], processes: int, seconds: float, done: series.Done) -> None:
        for job in jobs[:20]:
            asked.append(job)
            done(job, line(job.recipe, job.seed, commit=kept.commit(), images=job.images, seconds=1.0))

    monkeypatch.setattr(accuracy, "in_processes", at_once)
    assert accuracy.main(["one epoch"]) == 1
    assert "left: 10 runs, the first of one epoch" in capsys.readouterr().out
    assert accuracy.main(["one epoch"]) == 0
    assert [job.seed for job in asked] == list(range(30))
    assert len(json.loads((folder / "accuracy.json").read_text())["runs"]) == 30


def test_a_run_that_fails_is_told_and_left(folder: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(
        accuracy, "in_processes", lambda jobs, processes, seconds, done: done(jobs[0], {"failed": "ValueError: no"})
    )
    assert accuracy.main(["article"]) == 1
    said = capsys.readouterr().out
    assert "article, seed 0: ValueError: no" in said
    assert "left: 5 runs" in said


def test_a_wrong_name_is_answered_with_those_there_are(folder: Path, capsys) -> None:
    assert accuracy.main(["artcle"]) == 2
    assert "no recipe 'artcle'; there are article, keras, fashion, one epoch" in capsys.readouterr().out


def test_a_worker_answers_each_job_with_a_line_and_a_fault_with_what_it_said(folder: Path) -> None:
    found: dict[int, dict[str, Any]] = {}
    jobs = [Job("one epoch", 0, images=8), Job("one epoch", 1, images=0), Job("one epoch", 2, images=8)]
    series.in_processes(jobs, 1, 60, lambda job, answer: found.update({job.seed: answer}))
    assert (found[0]["seed"], found[2]["seed"]) == (0, 2)
    assert "x_train has shape" in found[1]["failed"]


def test_a_worker_whose_time_is_up_is_stopped_and_the_rest_is_left() -> None:
    found: list[Job] = []
    series.in_processes([Job("article", 0), Job("article", 1)], 1, 0.0, lambda job, answer: found.append(job))
    assert found == []


def test_of_each_recipe_the_runs_of_the_last_commit_count() -> None:
    old, new = line(commit="old"), line(seed=1, commit="new")
    other, held = line("keras", commit="old"), line(held_out=True, commit="old")
    assert kept.current([old, other, held, new]) == [new, other, held]


def test_what_was_asked_stands_beside_the_average_and_the_range_of_the_seeds() -> None:
    lines = [line(seed=seed, share=share) for seed, share in enumerate((0.98, 0.99, 0.97, 0.995, 0.96))]
    test, train = kept.claims(lines)
    assert test[1:] == ("≥ 98.03 %, 5 seeds", "98.00 % (96.00 to 99.50, 5 seeds)", "**no**")
    assert train[1] == "≥ 99.2 %, 5 seeds"


def test_before_all_seeds_are_run_nothing_is_said_of_what_is_reached() -> None:
    enough = [line(seed=seed, share=0.999) for seed in range(5)]
    assert [claim.reached for claim in kept.claims(enough)] == ["yes", "yes"]
    assert [claim.reached for claim in kept.claims(enough[:4])] == ["4 of 5 seeds run"] * 2


def test_the_choices_are_told_with_their_settings_and_their_mean() -> None:
    lines = [line("keras: not shifted", seed, share, held_out=True) for seed, share in enumerate((0.99, 0.992))]
    ((what, share, seeds),) = kept.choices(lines)
    assert what == "keras: not shifted (epoch 12, n_batch 128, schedule Cosine())"
    assert (share, seeds) == ("99.10 %", "2")


def test_what_was_trained_through_graphs_has_a_line_of_its_own() -> None:
    plain = [line("keras", seed, 0.99) for seed in range(5)]
    captured = [line("keras", seed, 0.995, graph=True) for seed in range(5)]
    found = kept.claims(kept.current(captured + plain))
    assert ["CUDA graphs" in claim.what for claim in found] == [False, True]
    assert [claim.found[:7] for claim in found] == ["99.00 %", "99.50 %"]


def test_of_a_recipe_the_test_images_come_first_and_other_settings_last() -> None:
    found = accuracy.jobs(["keras"], graph=True)
    assert [(job.recipe, job.held_out) for job in found][:8] == [*[("keras", False)] * 5, *[("keras", True)] * 3]
    assert {job.recipe for job in found[8:]} == {name for name in OTHERS if name.startswith("keras:")}
    assert all(job.graph for job in found)


def test_a_setting_is_told_by_what_is_not_by_default() -> None:
    assert recipes.brief(Augment(shift=1)) == "Augment(shift=(1, 1))"
    assert recipes.brief(None) == "None"
