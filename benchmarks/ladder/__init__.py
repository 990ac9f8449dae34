"""From the article's first step to the fused one: a rung a change, each with what the profiler says of it.

    python -m benchmarks ladder

First all rungs are timed in turns, by the wall clock over drained steps, on images gathered by shuffled index. Then
each is profiled by what `%%layertime` calls: its verdict and its rows say what to change next, and that change makes
the next rung. results/ladder.json keeps the samples, the verdicts and the rows; docs/ladder.md shows them.
"""

from __future__ import annotations

import os
import statistics
from typing import Any

from benchmarks import epoch
from benchmarks.epoch.ours import images
from benchmarks.ladder.findings import told
from benchmarks.ladder.rungs import RUNGS, made, way
from benchmarks.layers.turns import in_turns
from benchmarks.net import has_gpu
from benchmarks.results import keep

BATCHES = 8, 128
ROUNDS = 7


def main(rounds: int | None = None, batches: tuple[int, ...] = BATCHES) -> None:
    """Measure, print a table, keep everything; LADDER_ROUNDS says how many rounds."""
    rounds = rounds or int(os.environ.get("LADDER_ROUNDS", str(ROUNDS)))
    data, mode = images(), "gpu" if has_gpu() else "cpu"
    found = {n_batch: timed(data, n_batch, rounds, mode) for n_batch in batches}
    for n_batch, part in found.items():  # profiling leaves traces on launches: what is timed comes first
        part["told"] = profiled(data, n_batch, list(part["us_a_step"]), mode)
        print(report(n_batch, part), flush=True)
    print(f"wrote {keep('ladder', {'batches': {str(n_batch): part for n_batch, part in found.items()}})}")


def timed(data: Any, n_batch: int, rounds: int, mode: str) -> dict[str, Any]:
    """Samples of each rung in µs a step, and why a rung was left out."""
    ways, steps, left_out = {}, {}, {}
    for name, rung in RUNGS.items():
        if why := rung.misfit(n_batch, mode):
            left_out[name] = why
            continue
        try:
            ways[name] = way(rung, made(rung, data, mode), n_batch)
            steps[name] = epoch.chunk(ways[name])
        except Exception as error:
            ways.pop(name, None)
            left_out[name] = epoch.why(error)
    samples = in_turns({name: epoch.timed(each, steps[name]) for name, each in ways.items()}, rounds)
    return {"steps": steps, "us_a_step": samples, "left_out": left_out}


def profiled(data: Any, n_batch: int, names: list[str], mode: str) -> dict[str, Any]:
    """What the profiler says of each of these rungs; why, where it says nothing."""
    found: dict[str, Any] = {}
    for name in names:
        try:
            found[name] = told(RUNGS[name], made(RUNGS[name], data, mode), n_batch)
        except Exception as error:
            found[name] = {"why": epoch.why(error)}
    return found


def report(n_batch: int, part: dict[str, Any]) -> str:
    """A line a rung: the median and the verdict, or why there is none."""
    lines = [f"n_batch {n_batch}, µs a step"]
    for name, samples in part["us_a_step"].items():
        said = part["told"][name]
        lines.append(f"  {name:<44} {statistics.median(samples):9.1f}  {said.get('verdict') or said.get('why', '')}")
    return "\n".join([*lines, *(f"  {name}: {why}" for name, why in part["left_out"].items())])


if __name__ == "__main__":
    main()
