"""What the profiler says of a rung: its verdict and its rows; of a layer's call what the magic for statements says."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gpuprof
from benchmarks.ladder.rungs import Rung, layerwise
from cnn import captured
from gpuprof.profiling import LayerTime
from gpuprof.results.graphs import STEP
from gpuprof.results.profile import Profile

STEPS, STEPS_IN_GRAPHS = 200, 3000
CALL = 'lm["Output1"].forward(h)'
BY_HAND = "recorded by hand, which calls no layer"


def told(rung: Rung, net: Any, n_batch: int, steps: int | None = None) -> dict[str, Any]:
    """The verdict of a profile of a training, its rows, and what a step is said to take as one graph.

    Of a rung that was recorded by hand there is nothing but the reason.
    """
    if rung.graph == "by hand":
        return {"why": BY_HAND}
    fused, gpu = rung.graph == "fused", net.mode == "gpu"
    steps = steps or (STEPS_IN_GRAPHS if fused else STEPS)
    given = {"n_batch": n_batch, "threshold": 0, "show_error": False, "graph": fused}
    with layerwise(rung.layerwise), steps_in_a_graph(rung.in_a_graph):
        net.training(1, steps=20, **given)
        with LayerTime((net,), kernels=gpu or None, graph=gpu and "--graph" in rung.typed) as profiling:
            net.training(steps, steps=steps, **given)
        call = {"call": called(net, n_batch)} if rung.call else {}
    return said(profiling.profile) | call


@contextmanager
def steps_in_a_graph(count: int | None) -> Iterator[None]:
    """So many steps in the graphs of a training; None: as it has it."""
    before = captured.STEPS
    captured.STEPS = count or before
    try:
        yield
    finally:
        captured.STEPS = before


def called(net: Any, n_batch: int) -> str:
    """What `%gpu_timeit` prints of the last layer's forward."""
    h = net.x_train[:n_batch]
    for layer in net.layers[:-1]:
        h = layer.forward(h)
    return str(gpuprof.timeit(CALL, globals={"lm": net, "h": h}))


def said(profile: Profile) -> dict[str, Any]:
    """The verdict, the rows with the most time, and what `--graph` measured of the whole step."""
    rows = [_row(row) for row in profile.table.itertuples()]
    found: dict[str, Any] = {"verdict": profile.verdict, "rows": rows, "notes": profile.notes}
    table = profile.graph
    if not table.empty:
        step = table[table["path"] == STEP].iloc[0]
        found["as_a_graph"] = {key: _number(step[key]) for key in ("launches", "now_ms", "graph_ms")} | {
            "why": step.why
        }
    return found


def _row(row: Any) -> dict[str, Any]:
    """What is kept of a row of `Profile.table`."""
    words = {"layer": row.path, "phase": row.phase}
    figures = ("calls", "total_ms", "median_us", "host_us", "busy_us", "launches", "share", "gain")
    return words | {name: _number(getattr(row, name)) for name in figures}


def _number(value: Any) -> float | None:
    """A number that JSON knows."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")
