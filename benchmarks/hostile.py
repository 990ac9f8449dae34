"""What is hostile to a gate: does each of these end, and is each figure right or labelled?"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import cupy as cp

import gpuprof
from benchmarks.kernels import Spin
from benchmarks.results import keep
from gpuprof.record import driver
from gpuprof.record.cuda import CupyClock
from gpuprof.record.gate import Gate
from gpuprof.results.timing import Timing

_COOPERATIVE = r"""#include <cooperative_groups.h>
extern "C" __global__ void together(int* out) { cooperative_groups::this_grid().sync(); out[0] = 1; }"""


def main() -> None:
    """Run each in turn, print a line each, keep them."""
    rows = [outcome(name, make) for name, make in SCENES.items()]
    for row in rows:
        print(f"{row['scene']:32s}{row['seconds']:6.2f} s  {row['way']:11s}{row['says'][:150]}")
    keep("hostile", {"scenes": rows})


def outcome(name: str, make: Callable[[], Timing | str]) -> dict[str, Any]:
    """One scene: how long it took, and what came of it."""
    start = time.perf_counter()
    found = make()
    seconds = time.perf_counter() - start
    CupyClock().wait()
    if isinstance(found, str):
        return {"scene": name, "seconds": seconds, "way": "", "says": found}
    ended = found.stopped if found.stopped == "interrupted" else ""
    label = ended or found.why or "; ".join(found.cautions) or found.stopped
    figures = {
        q: getattr(found, q).median for q in ("host", "device", "kernels", "latency") if getattr(found, q).samples
    }
    return {"scene": name, "seconds": seconds, "way": found.way, "says": label, "text": str(found), **figures}


def timed(run: Callable[[], object]) -> Timing:
    """By CuPy's events, whatever is in it."""
    return gpuprof.timeit(run, clock=CupyClock())


def synchronising() -> Timing:
    """A copy to the host inside."""
    x = cp.zeros(1000)
    return timed(lambda: (x + 1).get())


def compiling() -> Timing:
    """A new kernel each time."""
    numbers = iter(range(10**6))

    def run() -> None:
        name = f"k{os.getpid()}_{next(numbers)}"
        cp.RawKernel(f'extern "C" __global__ void {name}() {{}}', name)((1,), (1,), ())

    return gpuprof.timeit(run, clock=CupyClock(), repeat=3)


def allocating() -> Timing:
    """Memory from the driver and back."""
    runtime = cp.cuda.runtime
    return timed(lambda: runtime.free(runtime.malloc(1 << 20)))


def second_stream() -> Timing:
    """20 µs on the current stream, 300 µs on another."""
    spin, longer, other = Spin(20), Spin(300), cp.cuda.Stream(non_blocking=True)

    def run() -> None:
        spin()
        with other:
            longer()

    return timed(run)


def other_stream() -> Timing:
    """All of it on a stream that does not block."""
    spin, other = Spin(100), cp.cuda.Stream(non_blocking=True)

    def run() -> None:
        with other:
            spin()

    return timed(run)


def cooperative() -> Timing:
    """A kernel whose blocks wait for each other."""
    kernel = cp.RawKernel(_COOPERATIVE, "together", enable_cooperative_groups=True)
    out = cp.zeros(1, dtype=cp.int32)
    return timed(lambda: kernel((64,), (64,), (out,)))


def capturing() -> str:
    """Asked for while a capture goes on."""
    x, stream = cp.zeros(1000), cp.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        try:
            gpuprof.timeit("x + 1", globals={"x": x})
        except RuntimeError as error:
            said = str(error)
        else:
            said = "NOT REFUSED"
        finally:
            stream.end_capture().launch(stream)
    stream.synchronize()
    return f"refused: {said}"


def raising() -> str:
    """An exception while the gate holds."""
    spin = Spin(20)

    def run() -> None:
        spin()
        if Gate.held:
            raise ValueError("planted")

    try:
        timed(run)
    except ValueError as error:
        return f"raised {error!r}, kept {len(gpuprof.last.host.samples)} host batches"
    return "NOT RAISED"


def many_launches() -> Timing:
    """5000 launches in a call."""

    def run() -> None:
        for _ in range(5000):
            driver.launch("gpuprof_empty", 0)

    return timed(run)


def interrupted() -> Timing:
    """Ctrl-C while the gate holds."""
    spin = Spin(20)

    def run() -> None:
        spin()
        if Gate.held:
            raise KeyboardInterrupt

    return timed(run)


def two_threads() -> str:
    """Two threads time at once."""
    spin, found = Spin(20), []
    threads = [threading.Thread(target=lambda: found.append(timed(spin))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ", ".join(f"{t.way} {t.device.median * 1e6:.2f} µs" for t in found)


def under(variable: str) -> Callable[[], str]:
    """In a process with an environment variable set."""

    def run() -> str:
        code = (
            "import cupy, gpuprof; x = cupy.zeros(1000); t = gpuprof.timeit('x + 1', globals={'x': x}); "
            "print(f'{t.way}: {t.why}; device {t.device.median * 1e6:.1f}, kernels {t.kernels.median * 1e6:.2f} µs')"
        )
        asked = {"capture_output": True, "text": True, "env": {**os.environ, variable: "1"}, "timeout": 60}
        return subprocess.run([sys.executable, "-c", code], check=True, **asked).stdout.strip()

    return run


SCENES: dict[str, Callable[[], Timing | str]] = {
    "sync inside": synchronising,
    "JIT": compiling,
    "cudaMalloc and cudaFree": allocating,
    "second stream": second_stream,
    "non-blocking stream": other_stream,
    "cooperative launch": cooperative,
    "capture going on": capturing,
    "exception": raising,
    "5000 launches": many_launches,
    "CUDA_LAUNCH_BLOCKING=1": under("CUDA_LAUNCH_BLOCKING"),
    "injected tool": under("NSYS_PROFILING_SESSION_ID"),
    "Ctrl-C": interrupted,
    "two threads": two_threads,
}

if __name__ == "__main__":
    main()
