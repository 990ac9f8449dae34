"""From the article's first step to the fused one: a rung a change, each with what the profiler says of it.

The rungs are timed in turns, by the wall clock over drained steps. The plain ones are then profiled by `%%layertime`'s
own function, which says what to change next; of the graphs the kernels of one step are timed, each in a graph of its
own.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

from benchmarks.epoch import CHUNK_S, Way
from benchmarks.epoch.ours import captured_way, drain, images
from benchmarks.layers.graphs import ByHand
from benchmarks.layers.turns import in_turns
from benchmarks.net import article_net
from benchmarks.pooling import run
from benchmarks.results import keep
from gpuprof.profiling import LayerTime

RUNGS = (
    "the article's pooling",
    "its pooling mended",
    "the same kernels in a graph of one step",
    "three fused kernels in a graph of one step",
    "three fused kernels in graphs of 50 steps",
)


def main(rounds: int = 9) -> None:
    """Measure, print a table, keep everything."""
    found = {n_batch: measure(n_batch, rounds) for n_batch in (8, 128)}
    for n_batch, part in found.items():
        print(f"n_batch {n_batch}, µs a step")
        for rung, samples in part["us_a_step"].items():
            print(f"  {rung:<44} {statistics.median(samples):9.1f}  {part['told'].get(rung, '')}")
    print(f"wrote {keep('ladder', {'batches': {str(n_batch): part for n_batch, part in found.items()}})}")


def measure(n_batch: int, rounds: int) -> dict[str, Any]:
    """Samples of each rung in µs a step, and what the profiler says of the plain ones."""
    data = images()
    nets = {rung: article_net("gpu", "article" if i == 0 else "first", images=data) for i, rung in enumerate(RUNGS)}
    if n_batch > 32:
        del nets[RUNGS[0]]  # its time grows with the square of the batch: 1.8 s a step at 128
    ways = {rung: _way(rung, net, n_batch) for rung, net in nets.items()}
    steps = {rung: _steps(way) for rung, way in ways.items()}
    samples = in_turns({rung: lambda rung=rung: _us(ways[rung], steps[rung]) for rung in ways}, rounds)
    told = {rung: _told(nets[rung], n_batch) for rung in RUNGS[:2] if rung in nets}
    return {"steps": steps, "us_a_step": samples, "told": told}


def _way(rung: str, net: Any, n_batch: int) -> Way:
    if rung in RUNGS[:2]:
        return Way(lambda steps: _drop(run(net, n_batch, steps)), 10**6)
    if rung == RUNGS[2]:
        hand = ByHand(net, n_batch)
        return Way(lambda steps: _drop(hand.replay(steps)), 10**6)
    return captured_way(net, n_batch, 1 if rung == RUNGS[3] else None)


def _drop(_: object) -> None:
    """What was done for its effect."""


def _us(way: Way, steps: int) -> float:
    start = time.perf_counter()
    way.run(steps)
    return (time.perf_counter() - start) / steps * 1e6


def _steps(way: Way) -> int:
    """How many take about a chunk's time, once warm."""
    way.run(20)
    return max(20, min(way.steps, int(CHUNK_S * 1e6 / _us(way, 20))))


def _told(net: Any, n_batch: int) -> str:
    """The verdict of a profile of some steps."""
    with LayerTime((net,)) as profiling:
        run(net, n_batch, 60)
    drain(net)
    return str(profiling.profile.verdict)


if __name__ == "__main__":
    main()
