"""What has been run: results/accuracy.json, written anew after each run, so that the next call goes on."""

from __future__ import annotations

import statistics
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.accuracy.recipes import ALL, Recipe
from benchmarks.accuracy.runs import Job
from benchmarks.results import commit, keep, newest
from benchmarks.tables import Claim, word


def kept_runs() -> list[dict[str, Any]]:
    """The runs in the newest file there is."""
    return list(newest("accuracy").get("runs", []))


def is_done(job: Job, runs: list[dict[str, Any]]) -> bool:
    """Whether this commit has run it."""
    wanted = {**asdict(job), "commit": commit()}
    return any(wanted.items() <= {"graph": False, **run}.items() for run in runs)


def current(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each recipe, kind of images and way to train, the runs of one commit and size: the last."""
    last = {_kind(run): (run["commit"], run["images"]) for run in runs}
    return sorted((run for run in runs if (run["commit"], run["images"]) == last[_kind(run)]), key=_place)


def keep_runs(runs: list[dict[str, Any]]) -> Path:
    """The file written."""
    return keep("accuracy", {"runs": current(runs)})


def _kind(run: dict[str, Any]) -> tuple[str, bool, bool]:
    return run["recipe"], run["held_out"], run.get("graph", False)


def _place(run: dict[str, Any]) -> tuple[Any, ...]:
    _, held_out, graph = _kind(run)
    return held_out, graph, list(ALL).index(run["recipe"]), run["seed"]


def of(runs: list[dict[str, Any]], recipe: str, held_out: bool = False, graph: bool = False) -> list[dict[str, Any]]:
    """The runs of one recipe and kind."""
    return [run for run in runs if _kind(run) == (recipe, held_out, graph)]


def average(recipe: Recipe, runs: list[dict[str, Any]], images: str = "test") -> float:
    """The mean or median share of right answers, as the recipe has it."""
    key = "train_accuracy" if images == "train" else "accuracy"
    return float(getattr(statistics, recipe.average)([run[key] for run in runs]))


def claims(runs: list[dict[str, Any]]) -> list[Claim]:
    """What was asked of each recipe and what came out, of those that have been run."""
    found = []
    for graph, (name, recipe) in product((False, True), ALL.items()):
        mine = of(runs, name, graph=graph)
        for images, least in recipe.goals.items() if mine else ():
            each = [run["train_accuracy" if images == "train" else "accuracy"] for run in mine]
            reached = average(recipe, mine, images)
            asked = f"≥ {100 * least:g} %, {recipe.seeds} seeds"
            text = f"{100 * reached:.2f} % ({100 * min(each):.2f} to {100 * max(each):.2f}, {len(each)} seeds)"
            part = f"{len(each)} of {recipe.seeds} seeds run"
            what = f"{recipe.title}{', in CUDA graphs' if graph else ''}: {recipe.average}, {images} images"
            found.append(Claim(what, asked, text, part if len(each) < recipe.seeds else word(reached >= least)))
    return found


def choices(runs: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Settings, their mean share of right answers on held-out images, and the number of seeds; a recipe's own first."""
    found = []
    for name, recipe in ALL.items():
        mine = [run["accuracy"] for graph in (False, True) for run in of(runs, name, True, graph)]
        if mine:
            what = ", ".join(f"{key} {value}" for key, value in recipe.settings().items())
            found.append((f"{name} ({what})", f"{100 * statistics.mean(mine):.2f} %", str(len(mine))))
    return found
