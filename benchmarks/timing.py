"""Does `timeit` tell the truth? Spins that know their length, kernels against graphs, the peers in turns, wall time."""

from __future__ import annotations

import io
import re
import statistics
import time
import timeit as python_timeit
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

import cupy as cp
import numpy as np

import gpuprof
from benchmarks.kernels import Spin, eight_calls, graph_slope
from benchmarks.results import keep
from gpuprof.record.cuda import CupyClock
from gpuprof.statement import from_function

LENGTHS_US = (2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
ROUNDS = 3


def main() -> None:
    """Measure, print tables, keep everything."""
    gpuprof.timeit(Spin(5))  # what only the first measurement pays
    spins = {name: spin_lines(delay) for name, delay in (("at once", 0.0), ("after 200 µs of host work", 200e-6))}
    for name, found in spins.items():
        for quantity, zero in (("device", "floor_us"), ("kernels", "empty_us")):
            line = found[quantity]
            at = f"intercept {line['intercept_us']:.2f} µs ({zero} {line[zero]:.2f})"
            print(f"spins {name}: {quantity} slope {line['slope']:.4f} {at}")
    calls = [row(name, *call) for name, call in eight_calls().items()]
    walls = wall_times()
    harness = harness_cost()
    print(f"harness {harness * 1e9:.1f} ns a call; wall times " + ", ".join(f"{k} {v:.2f} s" for k, v in walls.items()))
    keep("timing", {"spins": spins, "calls": calls, "wall_s": walls, "harness_s": harness})


def spin_lines(delay: float) -> dict[str, Any]:
    """Device and kernel times against the spins' own clock: each a line through all lengths."""
    rows = []
    for us in LENGTHS_US:
        spin = Spin(us, delay)
        timing = gpuprof.timeit(spin, clock=CupyClock())
        rows.append(
            {
                "us": us,
                "own_s": spin.own(),
                "device_s": timing.device.median,
                "kernels_s": timing.kernels.median,
                "host_s": timing.host.median,
                "floor_s": timing.floor_s,
                "empty_s": timing.floor.record if timing.floor else None,
                "way": timing.way,
                "device_samples": list(timing.device.samples),
                "kernel_samples": list(timing.kernels.samples),
                "cupy_benchmark_gpu_s": cupy_benchmark(lambda run=spin: run()) if us in (20, 200) else None,
            }
        )
    own = [r["own_s"] for r in rows]
    device = _line(own, [r["device_s"] for r in rows]) | {"floor_us": _median(rows, "floor_s") * 1e6}
    kernels = _line(own, [r["kernels_s"] for r in rows]) | {"empty_us": _median(rows, "empty_s") * 1e6}
    return {"rows": rows, "device": device, "kernels": kernels}


def _line(x: list[float], y: list[float]) -> dict[str, float]:
    """Least squares with relative errors (weights 1/x): long spins would else decide the intercept by themselves."""
    slope, intercept = np.polyfit(np.array(x) * 1e6, np.array(y) * 1e6, 1, w=1 / np.array(x))
    return {"slope": float(slope), "intercept_us": float(intercept)}


def _median(rows: list[dict[str, Any]], name: str) -> float:
    return statistics.median(row[name] for row in rows if row[name] is not None)


def row(name: str, statement: str, names: dict[str, Any], run: Callable[[], object]) -> dict[str, Any]:
    """One call by every timer, in turns, and by graphs."""
    found: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        timing = gpuprof.timeit(statement, globals=names)
        ours = {
            "ours_device": timing.device.median,
            "ours_kernels": timing.kernels.median,
            "ours_host": timing.host.median,
        }
        for key, value in {**ours, **peers(statement, names)}.items():
            found.setdefault(key, []).append(value)
    captured = gpuprof.timeit(run, clock=CupyClock())
    most = 16 if captured.kernels.median < 1e-4 else 4
    found["graph_slope"] = [graph_slope(run, most) for _ in range(ROUNDS)]
    found["captured_kernels"] = [captured.kernels.median]
    medians = {key: statistics.median(values) for key, values in found.items()}
    off = medians["captured_kernels"] - medians["graph_slope"]
    limit = 0.05 * medians["graph_slope"] + 0.3e-6 * (captured.kernel_count or 1)
    said = " ".join(f"{key} {value * 1e6:.2f}" for key, value in medians.items())
    print(f"{name:26s}{said} | n {timing.kernel_count} off {off * 1e6:+.2f} of ±{limit * 1e6:.2f} µs")
    return {
        "call": name,
        "samples_s": found,
        "kernel_count": timing.kernel_count,
        "floor_s": timing.floor_s,
        "agreement": timing.agreement,
        "kernels_minus_graph_s": off,
        "allowed_s": limit,
        "text": str(timing),
    }


def peers(statement: str, names: dict[str, Any]) -> dict[str, float]:
    """What the others say of the same statement, seconds."""
    from triton.testing import do_bench

    code = compile(statement, "<peer>", "eval")

    def call() -> object:
        return eval(code, names)

    cp.cuda.runtime.deviceSynchronize()
    timer = python_timeit.Timer(statement, globals=names)
    number = 200 if timer.timeit(3) < 1e-3 else 20
    naive = min(timer.repeat(3, number)) / number
    cp.cuda.runtime.deviceSynchronize()
    return {
        "timeit": naive,
        "cupy_magic_gpu": cupy_magic(statement, names),
        "cupy_benchmark_gpu": cupy_benchmark(call),
        "do_bench": float(do_bench(call, return_mode="median")) * 1e-3,
    }


def cupy_benchmark(call: Callable[[], object]) -> float:
    """CuPy's own benchmark: the median of its GPU times."""
    from cupyx.profiler import benchmark

    return float(np.median(benchmark(call, n_repeat=100, n_warmup=10).gpu_times))


def cupy_magic(statement: str, names: dict[str, Any]) -> float:
    """CuPy's %gpu_timeit: the mean it prints for the GPU; NaN where it prints none."""
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    if "cupyx.profiler" not in shell.extension_manager.loaded:
        shell.run_line_magic("load_ext", "cupyx.profiler")
    shell.user_ns.update(names)
    with redirect_stdout(io.StringIO()) as out:
        shell.run_line_magic("gpu_timeit", f"-n 100 {statement}")
    found = re.search(r"GPU[^:]*:\s*([\d.]+)\s*us", out.getvalue())
    return float(found.group(1)) * 1e-6 if found else float("nan")


def wall_times() -> dict[str, float]:
    """How long a default answer takes, seconds."""
    x = cp.zeros(1000, dtype=np.float32)
    statements = {
        "x + 1": lambda: x + 1,
        "spin 1 ms": Spin(1000),
        "spin 100 ms": Spin(100_000),
        "host work 100 ms": Spin(10, 0.1),
        "spin 1 s": Spin(1_000_000),
    }
    found = {}
    for name, run in statements.items():
        start = time.perf_counter()
        gpuprof.timeit(run, clock=CupyClock())
        found[name] = time.perf_counter() - start
    return found


def harness_cost() -> float:
    """What the timing loop adds to a call, seconds."""
    code = from_function(lambda: None)
    found = []
    for number in (10_000, 1_000_000):
        run = code.prepared(number)
        start = time.perf_counter()
        run()
        found.append(time.perf_counter() - start)
    return (found[1] - found[0]) / 990_000


if __name__ == "__main__":
    main()
