"""What the profiler says of a rung: its verdict and its rows."""

from __future__ import annotations

import math
from typing import Any

from benchmarks.ladder.rungs import Rung, layerwise
from gpuprof.profiling import LayerTime
from gpuprof.results.graphs import STEP
from gpuprof.results.profile import Profile

STEPS = 200


def told(rung: Rung, net: Any, n_batch: int, steps: int = STEPS) -> dict[str, Any]:
    """The verdict of a profile of a training, its rows, and what a step is said to take as one graph."""
    given = {"n_batch": n_batch, "show_error": False, "graph": rung.graph == "fused" and "auto"}
    if rung.graph == "by hand":
        return {"why": "recorded by hand: no layer is called"}
    with layerwise(rung.layerwise):
        net.training(1, steps=20, **given)
        gpu = net.mode == "gpu"
        with LayerTime((net,), kernels=gpu or None, graph=gpu and "--graph" in rung.typed) as profiling:
            net.training(1, steps=steps, **given)
    return said(profiling.profile) | {"graph": net.history.graph}


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
    words = {"layer": row.path, "phase": row.phase, "calls": int(row.calls)}
    figures = ("total_ms", "median_us", "host_us", "busy_us", "launches", "share", "gain")
    return words | {name: _number(getattr(row, name)) for name in figures}


def _number(value: Any) -> float | None:
    """A number that JSON knows."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")
