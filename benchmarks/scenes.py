"""What docs/timing.md shows of benchmarks/hostile.py, and what is right or labelled in each of its scenes."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from typing import Any

from benchmarks.results import load
from benchmarks.tables import Claim, about, table, word
from gpuprof.units import seconds_text


def _not_gated(row: dict[str, Any]) -> bool:
    return row["way"] in ("throughput", "events") and bool(row["says"])


def _near(seconds: float, truth: float) -> bool:
    return abs(seconds / truth - 1) <= 0.05


def _elsewhere(row: dict[str, Any], truth: float) -> bool:
    return _near(row["kernels"], truth) and "another stream" in row["says"] and "Replayed" not in row["text"]


RIGHT: dict[str, tuple[str, Callable[[dict[str, Any]], bool]]] = {
    "sync inside": (
        "not gated, the line named",
        lambda r: _not_gated(r) and "waits for the GPU inside, at" in r["says"],
    ),
    "JIT": ("not gated, and why", _not_gated),
    "cudaMalloc and cudaFree": ("not gated, and why", _not_gated),
    "second stream": ("kernels 320 µs ± 5 %, the other stream told, no graph", lambda r: _elsewhere(r, 320e-6)),
    "non-blocking stream": ("kernels 100 µs ± 5 %, the other stream told, no graph", lambda r: _elsewhere(r, 100e-6)),
    "cooperative launch": (
        "gated, device beyond kernels by less than 3 µs",
        lambda r: r["way"] == "gate" and 0 < r["device"] - r["kernels"] < 3e-6,
    ),
    "capture going on": ("refused", lambda r: r["says"].startswith("refused")),
    "exception": ("raised, what was measured kept", lambda r: r["says"].startswith("raised") and "kept" in r["says"]),
    "5000 launches": ("not gated, and why; 5000 kernels", lambda r: _not_gated(r) and "(5000)" in r["text"]),
    "CUDA_LAUNCH_BLOCKING=1": (
        "not gated, and why",
        lambda r: r["says"].startswith("throughput: CUDA_LAUNCH_BLOCKING"),
    ),
    "injected tool": ("not gated, and why", lambda r: r["says"].startswith("throughput: a CUDA tool")),
    "Ctrl-C": ("what there was is returned", lambda r: r["says"] == "interrupted" and "host" in r),
    "two threads": (
        "both 20 µs, and up to 3 of the floor",
        lambda r: all(20 <= float(us) <= 23 for us in re.findall(r"([\d.]+) µs", r["says"])),
    ),
}
_HUNG_S = 60


def hostile_claims() -> list[Claim]:
    scenes = load("hostile")["scenes"]
    ended = sum(row["seconds"] < _HUNG_S for row in scenes)
    right = sum(RIGHT[row["scene"]][1](row) for row in scenes)
    return [
        Claim("hostile to a gate: scenes that end", f"all {len(RIGHT)}", str(ended), word(ended == len(RIGHT))),
        Claim("… each figure right or labelled", f"all {len(RIGHT)}", str(right), word(right == len(RIGHT))),
    ]


def hostile() -> str:
    """Each scene, what is asked of it, and what came of it."""
    rows = []
    for row in load("hostile")["scenes"]:
        asked, right = RIGHT[row["scene"]]
        says = f"`{textwrap.shorten(row['says'].replace('`', ''), 110, placeholder=' …')}`"
        figures = ", ".join(f"{name} {seconds_text(row[name])}" for name in ("device", "kernels") if row.get(name))
        cells = (row["scene"], f"{row['seconds']:.1f}", asked, row["way"], figures, says, word(right(row)))
        rows.append(cells)
    head = ("scene", "ended after (s)", "asked", "way", "figures", "it says", "reached")
    return f"{table(head, rows)}\n\n{about('hostile')}"
