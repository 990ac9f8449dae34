"""Real runs: four experiments on whole data sets, many seeds, the accuracy after the last epoch.

    CNN_DATA_DIR=... python -m benchmarks.accuracy                      # what this commit has not run yet
    CNN_DATA_DIR=... python -m benchmarks.accuracy keras 'one epoch'    # of these recipes
    CNN_DATA_DIR=... python -m benchmarks.accuracy --graph              # through CUDA graphs instead of layer by layer

First all seeds with the test images, then what the settings were chosen from. GPUPROF_SECONDS stops it after so many
seconds, and the next call goes on; GPUPROF_PROCESSES is how many runs go side by side (6 on a GPU, else 1). Settings
are fixed in `recipes.py`, on training images that are held out (the last 10 000 of 60 000); the test images are asked
once, after the last epoch of a training on all 60 000.
"""

from __future__ import annotations

import os
import time
from typing import Any

from benchmarks.accuracy.kept import choices, claims, current, is_done, keep_runs, kept_runs
from benchmarks.accuracy.recipes import ALL, RECIPES
from benchmarks.accuracy.runs import Job
from benchmarks.accuracy.series import in_processes
from benchmarks.net import has_gpu

SECONDS = 3600.0


def main(names: list[str] | None = None, images: int | None = None, graph: bool = False) -> int:
    """Run what is not done yet, print what was asked beside what came out; 1 if something is left, 2 for a wrong name.

    Args:
        names: recipes; all by default.
        images: only so many images, to see that it runs.
        graph: through CUDA graphs.
    """
    runs = kept_runs()
    if unknown := set(names or ()) - set(RECIPES):
        print(f"no recipe {min(unknown)!r}; there are {', '.join(RECIPES)}")
        return 2
    left = [job for job in jobs(names or list(RECIPES), images, graph) if not is_done(job, runs)]

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


def jobs(names: list[str], images: int | None = None, graph: bool = False) -> list[Job]:
    """All runs of the recipes: with the test images, then with the held-out images, other settings last."""
    asked = [Job(name, seed, False, images, graph) for name in names for seed in range(RECIPES[name].seeds)]
    tried = {name: recipe.tried for name, recipe in ALL.items() if name.split(":")[0] in names}
    return asked + [Job(name, seed, True, images, graph) for name in tried for seed in range(tried[name])]


def report(runs: list[dict[str, Any]]) -> str:
    """A short table."""
    lines = [f"{what}: asked {least}; {found}; reached: {reached}" for what, least, found, reached in claims(runs)]
    return "\n".join(lines + [f"held out: {what}: {share}, {seeds} seeds" for what, share, seeds in choices(runs)])
