"""What has been run: results/accuracy.json, written anew after each run, so that the next call goes on."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from benchmarks.accuracy.recipes import OTHERS, RECIPES, Recipe
from benchmarks.accuracy.runs import Job
from benchmarks.results import FOLDER, commit, keep
from benchmarks.tables import Claim, word

HERE = Path(__file__).parent.parent / "results"


def kept_runs() -> list[dict[str, Any]]:
    """The runs in the newest file there is: that of this call, else the one in the tree."""
    for folder in (FOLDER, HERE):
        file = folder / "accuracy.json"
        if file.exists():
            return list(json.loads(file.read_text(encoding="utf-8"))["runs"])
    return []


def is_done(job: Job, runs: list[dict[str, Any]]) -> bool:
    """Whether this commit has run it."""
    wanted = {"recipe": job.recipe, "seed": job.seed, "held_out": job.held_out, "images": job.images}
    return any(wanted.items() <= run.items() and run["commit"] == commit() for run in runs)


def current(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each recipe, and of each kind of images, the runs of one commit and size, the last there is."""
    last = {_kind(run): (run["commit"], run["images"]) for run in runs}
    return sorted((run for run in runs if (run["commit"], run["images"]) == last[_kind(run)]), key=_place)


def keep_runs(runs: list[dict[str, Any]]) -> Path:
    """The file written."""
    return keep("accuracy", {"runs": current(runs)})


def _kind(run: dict[str, Any]) -> tuple[str, bool]:
    return run["recipe"], run["held_out"]


def _place(run: dict[str, Any]) -> tuple[Any, ...]:
    return run["held_out"], [*RECIPES, *OTHERS].index(run["recipe"]), run["seed"]


def of(runs: list[dict[str, Any]], recipe: str, held_out: bool = False) -> list[dict[str, Any]]:
    """The runs of one recipe."""
    return [run for run in runs if run["recipe"] == recipe and run["held_out"] == held_out]


def average(recipe: Recipe, runs: list[dict[str, Any]], images: str = "test") -> float:
    """The mean or median share of right answers, as the recipe has it."""
    key = "train_accuracy" if images == "train" else "accuracy"
    return float(getattr(statistics, recipe.average)([run[key] for run in runs]))


def claims(runs: list[dict[str, Any]]) -> list[Claim]:
    """What was asked of each recipe and what came out, of those that have been run."""
    found = []
    for name, recipe in RECIPES.items():
        mine = of(runs, name)
        for images, least in recipe.goals.items() if mine else ():
            each = [run["train_accuracy" if images == "train" else "accuracy"] for run in mine]
            reached = average(recipe, mine, images)
            asked = f"≥ {100 * least:g} %, {recipe.seeds} seeds"
            text = f"{100 * reached:.2f} % ({100 * min(each):.2f} to {100 * max(each):.2f}, {len(each)} seeds)"
            enough = reached >= least and len(each) >= recipe.seeds
            found.append(Claim(f"{recipe.title}: {recipe.average}, {images} images", asked, text, word(enough)))
    return found


def choices(runs: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Settings, their mean share of right answers on held-out images, and the number of seeds; chosen ones first."""
    found = []
    for name, recipe in (RECIPES | OTHERS).items():
        mine = [run["accuracy"] for run in of(runs, name, held_out=True)]
        if mine:
            what = ", ".join(f"{key} {value}" for key, value in recipe.settings().items())
            found.append((f"{name} ({what})", f"{100 * statistics.mean(mine):.2f} %", str(len(mine))))
    return found
