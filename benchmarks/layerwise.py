"""What the kernels of cnn/kernels/layerwise.py gain, layer by layer: with them and without, in turns, on one GPU.

Host time: the wall clock over calls that nobody waits for, the GPU drained between rounds. Launches and the GPU's own
time: kernel records of our profiler. Whole steps, gather and Adam included, are drained.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Any

from benchmarks.epoch.ours import drain, made
from benchmarks.layers.turns import in_turns
from benchmarks.results import HERE, keep, load
from benchmarks.tables import about, table
from cnn import batches
from cnn.kernels import layerwise
from cnn.training import step
from gpuprof import layertime

WAYS: dict[str, Callable[[], AbstractContextManager[None]]] = {"without": layerwise.off, "with": nullcontext}
STEPS = (("article", 8), ("article", 128), ("keras", 8), ("keras", 128))
APART = (("article", 8), ("article", 128), ("keras", 128))


def main(rounds: int = 9) -> None:
    """Measure, print tables, keep everything."""
    steps = [whole(*each, rounds) for each in STEPS]  # recording kernels leaves traces on launches: it comes last
    found = {"steps": steps, "layers": [layers(*each, rounds) for each in APART]}
    print(report(found))
    print(f"wrote {keep('layerwise', found)}")


def layers(name: str, n_batch: int, rounds: int, calls: int = 50) -> dict[str, Any]:
    """Of each layer and phase, and of the gather: host µs a call (a sample a round), launches, the GPU's µs."""
    net = made(name)
    x, t = net.x_train[:n_batch].copy(), net.y_train[:n_batch].copy()
    work = parts(net, x, t)
    turns = {
        (*what, way): lambda call=call, way=way: _host_us(net, call, calls, way)
        for what, call in work.items()
        for way in WAYS
    }
    host = in_turns(turns, rounds)
    gpu = {way: _records(net, x, t, way) for way in WAYS}
    rows = []
    for layer, phase in work:
        row: dict[str, Any] = {"layer": layer, "phase": phase}
        row["host_us"] = {way: host[layer, phase, way] for way in WAYS}
        for figure in ("launches", "busy_us"):
            row[figure] = {way: gpu[way].get((layer, phase), {}).get(figure) for way in WAYS}
        rows.append(row)
    return {"net": name, "n_batch": n_batch, "rows": rows}


def parts(net: Any, x: Any, t: Any) -> dict[tuple[str, str], Callable[[], Any]]:
    """What a step consists of, each to be called alone, in the order of a step."""
    cuts: dict[bool, Any] = {}

    def gather() -> None:
        with_kernels = layerwise.overrides(x) is not None
        if next(cuts.get(with_kernels, iter(())), None) is None:
            cuts[with_kernels] = batches(net.x_train, net.y_train, len(x), seed=0)

    work: dict[tuple[str, str], Callable[[], Any]] = {("(batch)", "gather"): gather}
    inputs = [x]
    for layer in net.layers:
        work[layer.name, "forward"] = lambda layer=layer, x=inputs[-1]: layer.forward(x, train=True)
        inputs.append(layer.forward(inputs[-1], train=True))
    dy = t
    for i, layer in reversed(list(enumerate(net.layers))):
        work[layer.name, "backward"] = lambda layer=layer, dy=dy, asked=i > 0: _back(layer, dy, asked)
        dy = layer.backward(dy)
    work |= {(layer.name, "update"): layer.update for layer in net.layers if layer.optimizer is not None}
    return work


def whole(name: str, n_batch: int, rounds: int, steps: int = 100) -> dict[str, Any]:
    """µs a training step, a sample a round."""
    net = made(name)

    def run(way: str) -> float:
        with WAYS[way]():
            start = time.perf_counter()
            for x, t in islice(batches(net.x_train, net.y_train, n_batch, seed=0), steps):
                step(net, x, t)
            drain(net)
            return (time.perf_counter() - start) / steps * 1e6

    for way in WAYS:
        run(way)
    samples = in_turns({way: lambda way=way: run(way) for way in WAYS}, rounds)
    return {"net": name, "n_batch": n_batch, "us_a_step": samples}


def report(found: dict[str, Any]) -> str:
    """A table of whole steps, and one of each net taken apart."""
    steps = [
        (_title(each), *(f"{statistics.median(s):.0f}" for s in each["us_a_step"].values())) for each in found["steps"]
    ]
    tables = [table(("µs a step", *WAYS), steps)]
    for each in found["layers"]:
        rows = [(row["layer"], row["phase"], *_figures(row)) for row in each["rows"]]
        tables.append(table((_title(each), "", "launches", "GPU, µs", "host, µs"), rows))
    return "\n\n".join(tables)


def _title(each: dict[str, Any]) -> str:
    return f"{each['net']}, n_batch {each['n_batch']}"


def _figures(row: dict[str, Any]) -> list[str]:
    host = {way: statistics.median(samples) for way, samples in row["host_us"].items()}
    return [_arrow(figures[way] for way in WAYS) for figures in (row["launches"], row["busy_us"], host)]


def gained() -> str:
    """What docs/ladder.md shows of it, Markdown."""
    if not (HERE / "layerwise.json").exists():
        return "Not measured yet."
    found = load("layerwise")
    rounds = len(found["steps"][0]["us_a_step"]["with"])
    return f"{report(found)}\n\nMedians of {rounds} rounds in turns; without → with the kernels. {about('layerwise')}"


def _arrow(pair: Iterable[float | None]) -> str:
    """Both, to three digits; what was not counted is empty."""
    return " → ".join(f"{each:.3g}" for each in pair if each is not None)


def _back(layer: Any, dy: Any, asked: bool) -> None:
    """As in a training step: nobody asks for the gradient by the images."""
    layer.wants_dx = asked
    layer.backward(dy)
    layer.wants_dx = True


def _host_us(net: Any, call: Callable[[], Any], calls: int, way: str) -> float:
    with WAYS[way]():
        call()
        call()
        drain(net)
        start = time.perf_counter()
        for _ in range(calls):
            call()
        seconds = time.perf_counter() - start
        drain(net)
    return seconds / calls * 1e6


def _records(net: Any, x: Any, t: Any, way: str) -> dict[tuple[str, str], dict[str, float]]:
    """Launches and the GPU's own time of each layer and phase."""
    with WAYS[way]():
        for _ in range(10):
            step(net, x, t)
        with layertime(net, kernels=True) as run:
            for _ in range(60):
                step(net, x, t)
    rows = run.profile.table.to_dict("records")
    return {(row["path"], row["phase"]): {name: float(row[name]) for name in ("launches", "busy_us")} for row in rows}
