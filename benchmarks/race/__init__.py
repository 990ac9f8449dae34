"""A race: the recipes that learn MNIST in one epoch, trained by cnn's CUDA graphs and by PyTorch's whole-step graph.

    CNN_DATA_DIR=... python -m benchmarks race                # what this commit has not raced yet
    CNN_DATA_DIR=... python -m benchmarks race 'one epoch'    # of these recipes

Both sides begin with the same weights and train one epoch with the same loss, learning rates, betas and batch size,
all images in a new order, the short last batch too, each image moved as the recipe has it; batches and moves are made
on the device. Data and weights lie there when the clock starts, and it stops when the device is done.

A seed is trained twice by each side, the sides in drawn order: first a model just made, whose graphs are recorded
while the clock runs; then, from the same weights again, with the graphs there are. PyTorch's way is chosen first, the
fastest of some (`peer.WAYS`). GPUPROF_SECONDS stops it after so many seconds, and the next call goes on;
results/race.json keeps both times and the accuracy of every seed.
"""

from __future__ import annotations

import datetime
import os
import random
import statistics
import time
from collections.abc import Callable
from typing import Any, Protocol

from benchmarks.accuracy.recipes import ALL, Images, images_of
from benchmarks.accuracy.runs import cut
from benchmarks.net import has_gpu
from benchmarks.race.page import report
from benchmarks.results import commit, keep, newest
from cnn.xp import put

RECIPES = {"one epoch": 30, "one epoch: shifted by 1": 10}
"""And how many seeds of each."""
TRIALS = 3
TRIED = 1000  # the seed of what is trained before the race
SECONDS = 600.0


class Side(Protocol):
    """A net about to be trained."""

    def record(self) -> None:
        """Make what the training launches."""
        ...

    def train(self) -> None:
        """One epoch; waits until it is done."""
        ...

    def reset(self) -> None:
        """Back to the first weights, order and moves."""
        ...

    def accuracy(self) -> float:
        """The share of the test images whose class is found."""
        ...


Maker = Callable[[], Side]


def main(names: list[str] | None = None, images: int | None = None, seeds: int | None = None) -> int:
    """Race the seeds that are left, print both sides' medians; 1 if some are left, 2 for a wrong name.

    Args:
        names: recipes; by default `RECIPES`.
        images: only so many images, to see that it runs.
        seeds: how many; by default as `RECIPES` has it.
    """
    if unknown := set(names or ()) - set(RECIPES):
        print(f"no race of {min(unknown)!r}; there are {', '.join(RECIPES)}")
        return 2
    end = time.monotonic() + float(os.environ.get("GPUPROF_SECONDS", SECONDS))
    left = 0
    for name in names or RECIPES:
        wanted = [seed for seed in range(seeds or RECIPES[name]) if not _done(name, seed, images)]
        left += race(name, wanted, images, end) if wanted else 0
    print(report(newest("race").get("races", {})))
    if left:
        print(f"left: {left} seeds; call it again to go on")
    return int(bool(left))


def race(name: str, seeds: list[int], images: int | None, end: float) -> int:
    """Race these seeds of a recipe until the time is up; how many are left."""
    from benchmarks.race import peer

    mode = "gpu" if has_gpu() else "cpu"
    data = _placed(cut(images_of(ALL[name].images, sample=images is not None), images), mode)
    chosen, tried = _tried(name, data, mode)
    print(
        f"{name}: PyTorch trains {chosen}, of {_words(tried['torch'])}; cnn: {_words({'': tried['cnn']})}", flush=True
    )
    about = {"tried": tried, "chosen": chosen, "versions": peer.versions()}
    for place, seed in enumerate(seeds):
        if time.monotonic() > end:
            return len(seeds) - place
        row = {"seed": seed, **raced(makers(name, data, mode, seed, chosen), seed)}
        _keep(name, images, row, about)
        sides = (
            f"{side} {row[side]['training_s'] * 1e3:.1f} ms, {row[side]['accuracy']:.2%}" for side in ("cnn", "torch")
        )
        print(f"{name}, seed {seed}: {'; '.join(sides)}", flush=True)
    return 0


def makers(name: str, data: Images, mode: str, seed: int, way: str) -> dict[str, Maker]:
    """Both sides of a seed, from the same weights; PyTorch trains in this way of `peer.WAYS`."""
    from benchmarks.race.ours import Ours
    from benchmarks.race.peer import WAYS, Peer

    recipe = ALL[name]
    ours = Ours(recipe, data, mode, seed)
    return {"cnn": lambda: ours, "torch": lambda: Peer(ours.model, recipe.training, seed, **WAYS[way])}


def raced(sides: dict[str, Maker], seed: int) -> dict[str, Any]:
    """Both times and the accuracy of each side, in an order drawn from the seed."""
    made = {name: make() for name, make in sides.items()}
    order = random.Random(seed).sample(list(made), len(made))
    found: dict[str, Any] = {"first": order[0]}
    for name in order:
        side = made[name]
        start = time.perf_counter()
        side.record()
        side.train()
        with_recording = time.perf_counter() - start
        found[name] = {"with_recording_s": with_recording, "training_s": timed(side), "accuracy": side.accuracy()}
    return found


def timed(side: Side) -> float:
    """Seconds of a training from the first weights, with what is recorded."""
    side.reset()
    start = time.perf_counter()
    side.train()
    return time.perf_counter() - start


def _tried(name: str, data: Images, mode: str) -> tuple[str, dict[str, Any]]:
    """PyTorch's fastest way, and what all took: the first training with all that is compiled, then some alone."""
    from benchmarks.race.peer import WAYS

    peers = {way: _trials(makers(name, data, mode, TRIED, way)["torch"]()) for way in WAYS}
    chosen = min(peers, key=lambda way: statistics.median(peers[way]["training_s"]))
    return chosen, {"torch": peers, "cnn": _trials(makers(name, data, mode, TRIED, chosen)["cnn"]())}


def _trials(side: Side) -> dict[str, Any]:
    start = time.perf_counter()
    side.record()
    side.train()
    first = time.perf_counter() - start
    return {"first_s": first, "training_s": [timed(side) for _ in range(TRIALS)]}


def _words(tried: dict[str, Any]) -> str:
    return "; ".join(
        f"{way} {statistics.median(each['training_s']) * 1e3:.1f} ms".strip() for way, each in tried.items()
    )


def _placed(data: Images, mode: str) -> Images:
    return tuple(tuple(put(each, mode, "float32") for each in pair) for pair in data)


def _done(name: str, seed: int, images: int | None) -> bool:
    """Whether this commit has raced it."""
    kept = newest("race").get("races", {}).get(name, {})
    return (kept.get("commit"), kept.get("images")) == (commit(), images) and seed in [r["seed"] for r in kept["seeds"]]


def _keep(name: str, images: int | None, row: dict[str, Any], about: dict[str, Any]) -> None:
    """The file written, with this seed in its place; what another commit raced is left out."""
    races = newest("race").get("races", {})
    kept = races.get(name, {})
    same = (kept.get("commit"), kept.get("images")) == (commit(), images)
    rows = [each for each in kept["seeds"] if each["seed"] != row["seed"]] if same else []
    date = datetime.date.today().isoformat()
    new = {"commit": commit(), "date": date, "images": images, **about, "seeds": sorted([*rows, row], key=_seed)}
    keep("race", {"races": races | {name: new}})


def _seed(row: dict[str, Any]) -> int:
    return int(row["seed"])
