"""Is `compare` right? The same statement against itself, a true change of 2 %, and separate runs of one statement."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cupy as cp
import numpy as np

from benchmarks.kernels import Spin, softmax
from benchmarks.results import keep
from gpuprof.measure import compare_code
from gpuprof.record.cuda import CupyClock
from gpuprof.statement import Timed, from_function, from_source

PAIRS, CHANGES, PROCESSES = 400, 100, 8
LIMIT_S = float(os.environ.get("GPUPROF_AB_SECONDS", "420"))


def main() -> None:
    """Measure, print tables, keep everything."""
    began = time.perf_counter()
    same = [one(*pair) for pair in _until(PAIRS, began, 0.62, _same())]
    changed = [one(*pair) for pair in _until(CHANGES, began, 0.85, _changed())]
    between = separate_runs(PROCESSES)
    for name, rows in (("A/A", same), ("2 %", changed)):
        seconds = [row["seconds"] for row in rows]
        print(f"{name}: {len(rows)} pairs, {dict(Counter(r['word'] for r in rows))}, "
              f"seconds median {statistics.median(seconds):.2f} max {max(seconds):.2f}")  # fmt: skip
        by_kind = {
            kind: dict(Counter(r["word"] for r in rows if r["kind"] == kind)) for kind in {r["kind"] for r in rows}
        }
        print("   ", by_kind)
    for name, found in between.items():
        print(f"separate runs, {name}: " + ", ".join(f"{q} ±{s['spread'] * 50:.1f} %" for q, s in found.items()))
    keep("ab", {"same": same, "changed": changed, "between": between})


def one(kind: str, a: Timed, b: Timed) -> dict[str, Any]:
    """One comparison of device times."""
    start = time.perf_counter()
    found = compare_code(a, b, quantity="device", clock=CupyClock())
    ratio = found.ratios[0]
    return {"kind": kind, "seconds": time.perf_counter() - start, **ratio._asdict()}


def _until(count: int, began: float, share: float, pairs: Callable[[int], tuple[str, Timed, Timed]]) -> Any:
    """So many pairs, or as many as there is time for."""
    for i in range(count):
        if time.perf_counter() - began > share * LIMIT_S:
            print(f"time is up after {i} of {count}")
            return
        yield pairs(i)


def _same() -> Callable[[int], tuple[str, Timed, Timed]]:
    """The same statement over other memory."""
    random = cp.random.default_rng(0)
    names = {
        "x": cp.zeros(10**6, dtype=np.float32),
        "a": random.random((128, 128), dtype=np.float32),
        "b": random.random((512, 512), dtype=np.float32),
        "softmax": softmax,
        "spin": Spin(20),
    }
    statements = ("x + 1", "softmax(a)", "b @ b", "spin()")

    def pair(i: int) -> tuple[str, Timed, Timed]:
        code = from_source(statements[i % 4], namespace=names)
        return statements[i % 4], code, code.fresh()

    return pair


def _changed() -> Callable[[int], tuple[str, Timed, Timed]]:
    """Spins of 50 and 51 µs, and 2 % more elements of which each takes long enough to count; either order."""
    short, long = Spin(50), Spin(51)
    few, many = (cp.zeros(n, dtype=np.float32) for n in (10_000_000, 10_200_000))

    def pair(i: int) -> tuple[str, Timed, Timed]:
        if i % 2:
            a, b = from_function(short), from_function(long)
        else:
            a, b = from_source("x + 1", namespace={"x": few}), from_source("x + 1", namespace={"x": many})
        return ("spin", "x + 1")[1 - i % 2], *((a, b) if i % 4 < 2 else (b, a))

    return pair


def separate_runs(processes: int) -> dict[str, dict[str, Any]]:
    """The same statements in processes of their own: medians, and (largest - smallest) / median."""
    root = Path(__file__).parent.parent
    answers = []
    for _ in range(processes):
        out = subprocess.run(
            [sys.executable, "-m", "benchmarks.ab", "once"], capture_output=True, text=True, cwd=root, check=True
        )
        answers.append(json.loads(out.stdout.splitlines()[-1]))
    found: dict[str, dict[str, Any]] = {}
    for name in answers[0]:
        found[name] = {}
        for quantity in answers[0][name]:
            values = [answer[name][quantity] for answer in answers]
            found[name][quantity] = {
                "medians_s": values,
                "spread": (max(values) - min(values)) / statistics.median(values),
            }
    return found


def once() -> None:
    """What one of those processes prints."""
    import gpuprof

    x, a = cp.zeros(10**6, dtype=np.float32), cp.random.default_rng(0).random((1024, 1024), dtype=np.float32)
    s = a[:128, :128].copy()
    names = {"x": x, "a": a, "s": s, "softmax": softmax}
    found = {}
    for statement in ("x + 1", "softmax(s)", "a @ a"):
        timing = gpuprof.timeit(statement, globals=names, cold=True)
        quantities = ("host", "device", "kernels", "cold", "graph", "latency")
        found[statement] = {q: getattr(timing, q).median for q in quantities if getattr(timing, q).samples}
    print(json.dumps(found))


if __name__ == "__main__":
    once() if sys.argv[1:] == ["once"] else main()
