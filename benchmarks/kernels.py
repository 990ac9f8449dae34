"""What the timing benchmarks time: spins that know their own length, and the eight calls of everyday code."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from ctypes import byref, c_float, c_int, c_size_t, c_void_p
from typing import Any

import cupy as cp
import numpy as np

_SPIN = r"""
extern "C" __global__ void spin(unsigned long long ns, unsigned long long* length) {
  unsigned long long start, now;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(start));
  do asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now)); while (now - start < ns);
  *length = now - start;
}"""


class Spin:
    """A kernel of one thread that keeps busy for `us` microseconds of the GPU's clock, and notes how long it was."""

    def __init__(self, us: float, delay: float = 0.0) -> None:
        self._kernel = cp.RawKernel(_SPIN, "spin")
        self._length = np.uint64(us * 1000)
        self._lengths = cp.zeros(64, dtype=np.uint64)
        self._launched = 0
        self._delay = delay

    def __call__(self) -> None:
        """Launch it, `delay` seconds of host work before."""
        if self._delay:
            end = time.perf_counter() + self._delay
            while time.perf_counter() < end:
                pass
        self._launched += 1
        place = self._lengths.data.ptr + 8 * (self._launched % 64)
        self._kernel((1,), (1,), (self._length, np.uint64(place)))

    def own(self) -> float:
        """The mean length of the last 64 launches, by their own clock, seconds."""
        return float(self._lengths.get().mean()) * 1e-9


class Product:
    """a @ a in float32 through a cuBLAS handle of its own, which, unlike CuPy's, may be captured into a graph."""

    def __init__(self, a: Any) -> None:
        from cuda import pathfinder

        self._blas = ctypes.CDLL(pathfinder.load_nvidia_dynamic_lib("cublas").abs_path)
        self._handle = c_void_p()
        self._blas.cublasCreate_v2(byref(self._handle))
        self._space = cp.empty(32 << 20, dtype=np.uint8)
        self._a, self._out = a, cp.empty_like(a)
        self._one, self._zero = c_float(1), c_float(0)

    def __call__(self) -> None:
        """Queue it on the current stream."""
        stream = cp.cuda.get_current_stream().ptr
        self._blas.cublasSetStream_v2(self._handle, c_void_p(stream))
        self._blas.cublasSetWorkspace_v2(self._handle, c_void_p(self._space.data.ptr), c_size_t(self._space.nbytes))
        n, a = c_int(self._a.shape[0]), c_void_p(self._a.data.ptr)
        f32, compute = c_int(0), c_int(68)  # CUDA_R_32F, CUBLAS_COMPUTE_32F
        status = self._blas.cublasGemmEx(
            self._handle, c_int(0), c_int(0), n, n, n, byref(self._one), a, f32, n, a, f32, n,
            byref(self._zero), c_void_p(self._out.data.ptr), f32, n, compute, c_int(-1),
        )  # fmt: skip
        if status:
            raise RuntimeError(f"cublasGemmEx: status {status}")


def softmax(a: Any) -> Any:
    """Over rows, in five calls."""
    e = cp.exp(a - a.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def eight_calls() -> dict[str, tuple[str, dict[str, Any], Callable[[], object]]]:
    """By name: the statement, its names, and the same as a function that can be captured into a graph."""
    random = cp.random.default_rng(0)
    x3, x6, x8 = (cp.zeros(n, dtype=np.float32) for n in (1000, 10**6, 10**8))
    small, middle, large = (random.random((n, n), dtype=np.float32) for n in (128, 1024, 4096))
    return {
        "x + 1, 1e3": ("x + 1", {"x": x3}, lambda: x3 + 1),
        "x + 1, 1e6": ("x + 1", {"x": x6}, lambda: x6 + 1),
        "x + 1, 1e8": ("x + 1", {"x": x8}, lambda: x8 + 1),
        "x.sum(), 1e6": ("x.sum()", {"x": x6}, lambda: x6.sum()),
        "A @ A, 128²": ("A @ A", {"A": small}, Product(small)),
        "A @ A, 1024²": ("A @ A", {"A": middle}, Product(middle)),
        "A @ A, 4096²": ("A @ A", {"A": large}, Product(large)),
        "softmax in 5 calls, 128²": ("softmax(A)", {"softmax": softmax, "A": small}, lambda: softmax(small)),
    }


def graph_slope(run: Callable[[], object], most: int = 16) -> float:
    """Seconds a call by an independent way: the slope of CUDA graphs of 1 … `most` calls, events behind a gate."""
    from gpuprof.record.cuda import CupyClock

    clock, sizes = CupyClock(), [n for n in (1, 2, 4, 8, 16) if n <= most]
    run()
    medians = []
    for n in sizes:
        stream, pool = cp.cuda.Stream(non_blocking=True), cp.cuda.MemoryPool()
        with stream, cp.cuda.using_allocator(pool.malloc):
            run()
            stream.synchronize()
            stream.begin_capture()
            kept = [run() for _ in range(n)]
            graph = stream.end_capture()
            found = []
            for _ in range(25):
                clock.wait()
                with clock.gate(0.05) as gate:
                    first = clock.mark()
                    graph.launch(stream)
                    last = clock.mark()
                    gate.release()
                clock.wait()
                start, end = clock.resolve(np.array([first, last], dtype=np.int64))
                found.append((end - start) * 1e-9)
            medians.append(float(np.median(found)))
        del kept, graph
    return float(np.polyfit(sizes, medians, 1)[0])
