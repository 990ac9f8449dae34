"""What %%layertime costs, whether it is right, and how it compares: a part a module, kept as soon as it is done.

`python -m benchmarks layers [PART …]` on a machine with one GPU; without parts all of them, each in a process of its
own with a time limit: what one leaves behind (CUPTI's residue, torch.profiler) is in no other's figures, and one that
hangs or fails costs only itself. One part alone runs in this process. `rest` means the parts that this commit has not
measured yet.
"""

from __future__ import annotations

import sys
import time
from importlib import import_module
from typing import Any

from benchmarks.layers.kept import keep_part, report
from benchmarks.parts import Parts

PARTS = {
    "overhead": 75,
    "launches": 75,
    "spins": 50,
    "busy": 50,
    "many": 75,
    "line": 60,
    "waits": 30,
    "graphs": 60,
    "torchnets": 120,
    "compare": 590,
}
"""The parts in their order, and the seconds each may take."""
ALL = Parts("layers", PARTS)


def main(parts: list[str] | None = None) -> int:
    """Run them, print what was asked for beside what came out; 2 for a name that is none, 1 where one failed."""
    try:
        chosen = ALL.chosen(parts)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    failed = []
    if len(chosen) == 1:
        one(chosen[0])
    else:
        failed = ALL.all_apart(chosen)
    return ALL.said(chosen, failed, report)


def one(part: str) -> dict[str, Any]:
    """Measure a part here, keep it, and print its lines."""
    start = time.perf_counter()
    found = import_module(f"benchmarks.layers.{part}").measure()
    found["seconds"] = time.perf_counter() - start
    file = keep_part(part, found)
    print(f"{part}: {found['seconds']:.0f} s, kept in {file}", flush=True)
    return dict(found)
