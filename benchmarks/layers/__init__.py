"""What %%layertime costs, whether it is right, and how it compares: a part a module, kept as soon as it is done.

`python -m benchmarks layers [PART …]` on a machine with one GPU; without parts all of them, each in a process of its
own with a time limit: what one leaves behind (CUPTI's residue, torch.profiler) is in no other's figures, and one that
hangs or fails costs only itself. One part alone runs in this process. `rest` means the parts that this commit has not
measured yet.
"""

from __future__ import annotations

import subprocess
import sys
import time
from importlib import import_module
from typing import Any

from benchmarks.layers.kept import keep_part, kept_parts, report
from benchmarks.results import commit

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


def main(parts: list[str] | None = None) -> int:
    """Run them, print what was asked for beside what came out; 2 for a name that is none, 1 where one failed."""
    chosen = parts or list(PARTS)
    if chosen == ["rest"]:
        done = kept_parts()
        chosen = [part for part in PARTS if done.get(part, {}).get("commit") != commit()]
    if unknown := [part for part in chosen if part not in PARTS]:
        print(f"no part {unknown[0]!r}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    if len(chosen) == 1:
        one(chosen[0])
        failed = []
    else:
        failed = [part for part in chosen if not _apart(part)]
    kept = kept_parts()
    print(report({part: kept[part] for part in chosen if part in kept}))
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


def one(part: str) -> dict[str, Any]:
    """Measure a part here, keep it, and print its lines."""
    start = time.perf_counter()
    found = import_module(f"benchmarks.layers.{part}").measure()
    found["seconds"] = time.perf_counter() - start
    file = keep_part(part, found)
    print(f"{part}: {found['seconds']:.0f} s, kept in {file}", flush=True)
    return dict(found)


def _apart(part: str) -> bool:
    """Measure a part in a process of its own; whether it ended well."""
    command = [sys.executable, "-c", f"from benchmarks.layers import one; one({part!r})"]
    try:
        return subprocess.run(command, timeout=PARTS[part], check=False).returncode == 0
    except subprocess.TimeoutExpired:
        print(f"{part}: not done after {PARTS[part]} s", flush=True)
        return False
