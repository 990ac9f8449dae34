"""Real runs: four experiments on whole data sets, many seeds, the accuracy after the last epoch.

    CNN_DATA_DIR=... python -m benchmarks accuracy               # what is not done yet: all seeds, then the choices
    CNN_DATA_DIR=... python -m benchmarks.accuracy keras 'one epoch'    # of these recipes
    CNN_DATA_DIR=... python -m benchmarks.accuracy held-out       # only what settings were chosen from

GPUPROF_SECONDS stops it after so many seconds, and the next call goes on; GPUPROF_PROCESSES is how many runs go side by
side (6 on a GPU, else 1). Settings are fixed in `recipes.py`, on training images that are held out (the last 10 000 of
60 000); the test images are asked once, after the last epoch of a training on all 60 000.
"""

from __future__ import annotations

import os
import time
from typing import Any

from benchmarks.accuracy.kept import choices, claims, current, is_done, keep_runs, kept_runs
from benchmarks.accuracy.recipes import OTHERS, RECIPES
from benchmarks.accuracy.runs import Job
from benchmarks.accuracy.series import in_processes
from benchmarks.net import has_gpu

SECONDS = 3600.0


def main(names: list[str] | None = None, images: int | None = None) -> int:
    """Run what is not done yet, print what was asked beside what came out; 1 if something is left, 2 for a wrong name.

    Args:
        names: recipes, or "held-out"; all by default.
        images: only so many images, to see that it runs.
    """
    runs = kept_runs()
    if unknown := set(names or ()) - {*RECIPES, "held-out"}:
        print(f"no recipe {min(unknown)!r}; there are {', '.join(RECIPES)}, and held-out")
        return 2
    left = [job for job in jobs(names or [*RECIPES, "held-out"], images) if not is_done(job, runs)]

    def done(job: Job, answer: dict[str, Any]) -> None:
        what = f"{job.recipe}, seed {job.seed}{', held out' if job.held_out else ''}"
        if "failed" in answer:
            print(f"{what}: {answer['failed']}", flush=True)
            return
        left.remove(job)
        runs.append(answer)
        keep_runs(runs)
        shares = f"{answer['accuracy']:.2%}, train {answer['train_accuracy']:.2%}"
        print(f"{time.perf_counter() - start:4.0f} s  {what}: {shares}, {answer['seconds']:.0f} s", flush=True)

    start = time.perf_counter()
    processes = int(os.environ.get("GPUPROF_PROCESSES", "6" if has_gpu() else "1"))
    in_processes(list(left), processes, float(os.environ.get("GPUPROF_SECONDS", SECONDS)), done)
    print(report(current(runs)))
    if left:
        print(f"left: {len(left)} runs, the first of {left[0].recipe}; call it again to go on")
    return int(bool(left))


def jobs(names: list[str], images: int | None = None) -> list[Job]:
    """All runs of the recipes, in their order, the longest first; "held-out" is those that settings are chosen by."""
    found = [
        Job(name, seed, images=images)
        for name, recipe in RECIPES.items()
        if name in names
        for seed in range(recipe.seeds)
    ]
    if "held-out" in names:
        tried = {name: recipe.tried for name, recipe in (RECIPES | OTHERS).items()}
        found += [Job(name, seed, True, images) for name in tried for seed in range(tried[name])]
    return found


def report(runs: list[dict[str, Any]]) -> str:
    """A short table."""
    lines = [f"{what}: asked {least}; {found}; reached: {reached}" for what, least, found, reached in claims(runs)]
    return "\n".join(lines + [f"held out: {what}: {share}, {seeds} seeds" for what, share, seeds in choices(runs)])
