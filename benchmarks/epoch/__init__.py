"""How long a training step takes: cnn's ways beside PyTorch's and JAX's, in turns, on MNIST-sized data on the device.

    python -m benchmarks epoch --warm        # fill the compilers' caches, many processes at once; nothing is kept
    python -m benchmarks epoch [PART …]      # measure; a part is a net and a batch size, such as article-8

On a machine with one GPU. Each part runs in a process of its own with a time limit and is kept in results/epoch.json as
soon as it is done; `rest` means those that this commit has not measured yet. EPOCH_WAYS names the ways to run (all by
default, else with a semicolon between), EPOCH_ROUNDS the rounds.

A step gathers its batch by shuffled index on the device, goes forward and backward, and updates by Adam; TF32 is
allowed to all. Each peer is written as its own pages have it for speed (`torchways`, `jaxways`). Keras's net has its
two dropouts in every way. A round runs each way once, in an order drawn anew, over as many steps as take it about a
sixth of a second, an epoch at most; the wall clock, drained before and after, over the steps is a sample. An epoch's
shuffling counts, evaluation does not.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from benchmarks.layers.turns import in_turns
from benchmarks.parts import Parts
from benchmarks.results import commit, newest

PARTS = {"article-8": 8, "article-128": 128, "keras-8": 8, "keras-128": 128}
LIMIT_S = 120
ALL = Parts("epoch", dict.fromkeys(PARTS, LIMIT_S))
CHUNK_S = 0.16
ROUNDS = 9
IMAGES = 60_000


class Way(NamedTuple):
    """One way to train: `run(steps)` does so many and waits until they are done; `steps` at most at a time.

    `fixed`: always so many at a time, as it is compiled for that number.
    """

    run: Callable[[int], None]
    steps: int
    fixed: bool = False


Makers = dict[str, Callable[[], Way]]


def main(parts: list[str] | None = None) -> int:
    """Run them and print a table; 2 for a name that is none, 1 where one failed."""
    warm = "--warm" in (parts or ())
    try:
        chosen = ALL.chosen([part for part in parts or () if part != "--warm"])
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if warm:
        from benchmarks.epoch.warming import warm_all

        return warm_all(chosen)
    return ALL.said(chosen, ALL.all_apart(chosen), report)


def one(part: str) -> None:
    """Measure a part here, and keep it; what another commit measured goes among the earlier runs."""
    start = time.perf_counter()
    found = measure(part)
    seconds = time.perf_counter() - start
    kept, earlier = ALL.kept(), newest("epoch").get("earlier", [])
    old = {name: each for name, each in kept.items() if each["commit"] != commit()}
    if old:
        earlier = [{"parts": old}, *earlier]
    ALL.keep(
        part, {"seconds": seconds, **found}, parts={n: p for n, p in kept.items() if n not in old}, earlier=earlier
    )
    print(f"{part}: {seconds:.0f} s", flush=True)


def measure(part: str, rounds: int | None = None) -> dict[str, Any]:
    """Microseconds a step of each way, a sample a round; and why a way was not run."""
    rounds = rounds or int(os.environ.get("EPOCH_ROUNDS", str(ROUNDS)))
    net, n_batch = part.split("-")[0], PARTS[part]
    ways, left_out, chunks = {}, {}, {}
    for name, make in makers(net, n_batch).items():
        start = time.perf_counter()
        try:
            ways[name] = make()
            chunks[name] = chunk(ways[name])
        except Exception as error:  # another library's: it is missing, or fails, and is left out
            ways.pop(name, None)
            left_out[name] = why(error)
        print(f"{part} {name}: ready after {time.perf_counter() - start:.1f} s {left_out.get(name, '')}", flush=True)
    runs = {name: timed(way, chunks[name]) for name, way in ways.items()}
    samples = in_turns(runs, rounds)
    return {"n_batch": n_batch, "steps": chunks, "us_a_step": samples, "left_out": left_out, "versions": versions()}


def why(error: Exception) -> str:
    """What an error says, in a line."""
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]


def makers(net: str, n_batch: int) -> Makers:
    """By name, what makes a way; libraries are imported there."""
    made = {
        "cnn, graph": ("ours", "captured_net"),
        "cnn, plain": ("ours", "plain"),
        "torch, eager": ("torchways", "eager"),
        "torch, compile": ("torchways", "compiled"),
        "torch, graph": ("torchways", "graph"),
        "jax, step": ("jaxways", "step"),
        "jax, scan": ("jaxways", "scan"),
    }
    wanted = os.environ.get("EPOCH_WAYS", ";".join(made)).split(";")
    return {name: _maker(*where, net, n_batch) for name, where in made.items() if name in wanted}


def _maker(module: str, kind: str, net: str, n_batch: int) -> Callable[[], Way]:
    def make() -> Way:
        from importlib import import_module

        way: Way = getattr(import_module(f"benchmarks.epoch.{module}"), kind)(net, n_batch)
        return way

    return make


def report(parts: dict[str, dict[str, Any]]) -> str:
    """A row a way, a column a part: the median in µs a step, and how far the middle half spreads."""
    names = [*dict.fromkeys(name for part in parts.values() for name in (*part["us_a_step"], *part["left_out"]))]
    rows = [["µs a step", *parts]]
    for name in names:
        cells = [_cell(part["us_a_step"].get(name)) for part in parts.values()]
        rows.append([name, *cells])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _cell(samples: list[float] | None) -> str:
    if not samples:
        return "–"
    low, middle, high = statistics.quantiles(samples, n=4) if len(samples) > 1 else samples * 3
    return f"{middle:.1f} ({low:.1f}–{high:.1f})"


def versions() -> dict[str, str]:
    """Of the libraries that are loaded."""
    names = ("numpy", "cupy", "torch", "jax")
    return {name: sys.modules[name].__version__ for name in names if name in sys.modules}


def timed(way: Way, steps: int) -> Callable[[], float]:
    def run() -> float:
        start = time.perf_counter()
        way.run(steps)
        return (time.perf_counter() - start) / steps * 1e6

    return run


def chunk(way: Way) -> int:
    """How many steps take about CHUNK_S, once warm."""
    if way.fixed:
        for _ in range(3):
            way.run(way.steps)
        return way.steps
    steps = few = min(way.steps, 20)
    way.run(few)
    for _ in range(2):
        way.run(steps)
        steps = max(few, min(way.steps, int(CHUNK_S / (timed(way, steps)() * 1e-6))))
    way.run(steps)
    return steps
