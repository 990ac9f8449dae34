"""How long a training step takes: cnn's ways beside PyTorch's and JAX's, in turns, on MNIST-sized data on the device.

`python -m benchmarks epoch [PART …]` on a machine with one GPU; a part is a net and a batch size, such as article-8.
Each part runs in a process of its own with a time limit and is kept in results/epoch.json as soon as it is done; `rest`
means those that this commit has not measured yet. EPOCH_WAYS names the ways to run (all by default), EPOCH_ROUNDS the
rounds.

A step gathers its batch by shuffled index on the device, goes forward and backward, and updates by Adam (fused in
PyTorch); TF32 is allowed to all. A round runs each way once, in an order drawn anew, over as many steps as take it
about a third of a second, an epoch at most; the wall clock, drained before and after, over the steps is a sample. An
epoch's shuffling counts, evaluation does not.
"""

from __future__ import annotations

import datetime
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from benchmarks.layers.turns import in_turns
from benchmarks.results import FOLDER, commit, keep, load

PARTS = {"article-8": 8, "article-128": 128, "keras-8": 8, "keras-128": 128}
LIMIT_S = 175
CHUNK_S = 0.3
IMAGES = 60_000


class Way(NamedTuple):
    """One way to train: `run(steps)` does so many and waits until they are done; `steps` at most at a time."""

    run: Callable[[int], None]
    steps: int


def main(parts: list[str] | None = None) -> int:
    """Run them and print a table; 2 for a name that is none, 1 where one failed."""
    chosen = parts or list(PARTS)
    if chosen == ["rest"]:
        done = kept_parts()
        chosen = [part for part in PARTS if done.get(part, {}).get("commit") != commit()]
    if unknown := [part for part in chosen if part not in PARTS]:
        print(f"no part {unknown[0]!r}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    failed = [part for part in chosen if not _apart(part)]
    kept = kept_parts()
    print(report({part: kept[part] for part in chosen if part in kept}))
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


def one(part: str) -> None:
    """Measure a part here, and keep it."""
    start = time.perf_counter()
    found = measure(part)
    about = {"date": datetime.date.today().isoformat(), "commit": commit(), "seconds": time.perf_counter() - start}
    keep("epoch", {"parts": kept_parts() | {part: about | found}})


def measure(part: str, rounds: int | None = None) -> dict[str, Any]:
    """Microseconds a step of each way, a sample a round; and why a way was not run."""
    rounds = rounds or int(os.environ.get("EPOCH_ROUNDS", "9"))
    net, n_batch = part.split("-")[0], PARTS[part]
    ways, left_out, chunks = {}, {}, {}
    for name, make in makers(net, n_batch).items():
        start = time.perf_counter()
        try:
            ways[name] = make()
            chunks[name] = _chunk(ways[name])
        except Exception as error:  # another library's: it is missing, or fails, and is left out
            ways.pop(name, None)
            left_out[name] = f"{type(error).__name__}: {error}".splitlines()[0][:300]
        print(f"{part} {name}: ready after {time.perf_counter() - start:.1f} s {left_out.get(name, '')}", flush=True)
    runs = {name: _timed(way, chunks[name]) for name, way in ways.items()}
    samples = in_turns(runs, rounds)
    return {"n_batch": n_batch, "steps": chunks, "us_a_step": samples, "left_out": left_out, "versions": versions()}


def makers(net: str, n_batch: int) -> dict[str, Callable[[], Way]]:
    """By name, what makes a way; libraries are imported there."""

    def ours(kind: str) -> Callable[[], Way]:
        def make() -> Way:
            from benchmarks.epoch import ours as module

            return getattr(module, kind)(net, n_batch)

        return make

    def torch(kind: str) -> Callable[[], Way]:
        def make() -> Way:
            from benchmarks.epoch import torchways

            return getattr(torchways, kind)(net, n_batch)

        return make

    def jax(kind: str) -> Callable[[], Way]:
        def make() -> Way:
            os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
            from benchmarks.epoch import jaxways

            return getattr(jaxways, kind)(net, n_batch)

        return make

    ways = {
        "cnn, graph": ours("captured_net"),
        "cnn, plain": ours("plain"),
        "torch, eager": torch("eager"),
        "torch, compile": torch("compiled"),
        "torch, graph": torch("graph"),
        "jax, step": jax("step"),
        "jax, scan": jax("scan"),
    }
    wanted = os.environ.get("EPOCH_WAYS")
    return ways if not wanted else {name: make for name, make in ways.items() if name in wanted.split(";")}


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


def kept_parts() -> dict[str, dict[str, Any]]:
    """The parts in the newest file there is: that of this run, else the one in the tree."""
    file = FOLDER / "epoch.json"
    if file.exists():
        return dict(json.loads(file.read_text(encoding="utf-8"))["parts"])
    try:
        return dict(load("epoch")["parts"])
    except FileNotFoundError:
        return {}


def versions() -> dict[str, str]:
    """Of the libraries that are loaded."""
    names = ("numpy", "cupy", "torch", "jax")
    return {name: sys.modules[name].__version__ for name in names if name in sys.modules}


def _timed(way: Way, steps: int) -> Callable[[], float]:
    def run() -> float:
        start = time.perf_counter()
        way.run(steps)
        return (time.perf_counter() - start) / steps * 1e6

    return run


def _chunk(way: Way) -> int:
    """How many steps take about CHUNK_S, once warm."""
    few = min(way.steps, 20)
    way.run(few)
    way.run(few)
    seconds = _timed(way, few)() * 1e-6
    steps = max(few, min(way.steps, int(CHUNK_S / seconds)))
    way.run(steps)
    seconds = _timed(way, steps)() * 1e-6
    steps = max(few, min(way.steps, int(CHUNK_S / seconds)))
    way.run(steps)
    return steps


def _apart(part: str) -> bool:
    """Measure a part in a process of its own; whether it ended well."""
    command = [sys.executable, "-c", f"from benchmarks.epoch import one; one({part!r})"]
    try:
        return subprocess.run(command, timeout=LIMIT_S, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        print(f"{part}: not done after {LIMIT_S} s", flush=True)
        return False
