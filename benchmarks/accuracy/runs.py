"""One run: a recipe, a seed, and which images it learns from and is asked about."""

from __future__ import annotations

import datetime
import inspect
import time
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.accuracy.recipes import ALL, Images, images_of
from benchmarks.net import has_gpu
from benchmarks.results import commit
from cnn import LayerManager

HELD_OUT = 10_000  # of the 60 000 training images, the last


@dataclass(frozen=True)
class Job:
    """What is to be run.

    Attributes:
        recipe: its name, in `RECIPES` or `OTHERS`.
        seed: of weights, order and dropout.
        held_out: whether it is asked about training images that are held out, instead of the test images.
        images: only so many images to learn from, and to be asked about; None: all.
        graph: through CUDA graphs of many steps, instead of layer by layer.
    """

    recipe: str
    seed: int
    held_out: bool = False
    images: int | None = None
    graph: bool = False


def run(job: Job) -> dict[str, Any]:
    """Train, and what came of it after the last epoch: a line of the results."""
    recipe = ALL[job.recipe]
    images = images_of(recipe.images, sample=job.images is not None)
    images = cut(held_out(images) if job.held_out else images, job.images)
    lm = recipe.net(images, mode="gpu" if has_gpu() else "cpu", seed=job.seed, **recipe.given)
    start = time.perf_counter()
    history = lm.training(**{"threshold": 0, "show_error": False, **way(job.graph), **recipe.training})
    seconds = time.perf_counter() - start
    return {
        **asdict(job),
        "settings": recipe.settings(),
        "learned_from": len(lm.x_train),
        "asked": len(lm.x_test),
        "accuracy": accuracy(lm, lm.x_test, lm.y_test),
        "train_accuracy": accuracy(lm, lm.x_train, lm.y_train),
        "errors": history.table["test_error"].tolist(),
        "seconds": seconds,
        "reason": history.reason,
        "mode": lm.mode,
        "commit": commit(),
        "date": datetime.date.today().isoformat(),
    }


def way(graph: bool) -> dict[str, bool]:
    """The keyword of `training` for the way asked for; none where there is but one."""
    if "graph" in inspect.signature(LayerManager.training).parameters:
        return {"graph": graph}
    if graph:
        raise ValueError("this version of cnn has no CUDA graphs to train through")
    return {}


def held_out(images: Images) -> Images:
    """The training images alone: all but the last 10 000 to learn from, these in the place of the test images.

    Of a smaller data set it is the last sixth. The test images are not among what comes back.
    """
    (x, t), _ = images
    first = len(x) - min(HELD_OUT, len(x) // 6)
    return (x[:first], t[:first]), (x[first:], t[first:])


def cut(images: Images, count: int | None) -> Images:
    """The first `count` of each part."""
    return tuple((x[:count], t[:count]) for x, t in images)


def accuracy(lm: LayerManager, x: Any, t: Any) -> float:
    """The share of `x` whose class is found."""
    return float((lm.predict_proba(x).argmax(axis=1) == t.argmax(axis=1)).mean())
