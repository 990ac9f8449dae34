"""What the device does at best, measured once and kept: a large copy, and a large matrix product of each type."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from gpuprof.environment import identity, state
from gpuprof.judge.cost import Ceilings
from gpuprof.record.clocks import MISSING, Clock
from gpuprof.workloads import Gpu, current_gpu, gpu_for

TYPES = ("float16", "bfloat16", "tf32", "float32", "float64")
_LEAST_COPY, _MOST_COPY = 1 << 28, 1 << 30  # bytes
_SIDES = (8192, 4096, 2048, 1024)
_TRIAL = 2048  # the side of the product that shows how large the others may be
_LONGEST_S = 50e-3  # of one product
_BATCH_S = 20e-3
_ALL_S = 0.2

_known: dict[str, Ceilings] = {}


def ceilings(dtype: str | None = None) -> Ceilings | None:
    """The device's copy rate, L2 size, and rates of matrix products, `dtype`'s among them; None without a GPU.

    What is not known of this GPU with this driver is measured now, on the stream in use, in about 0.3 s each. It is
    kept in memory and in `cache_file()`, there not while other processes compute on the GPU. Left out is a type that
    the libraries in use cannot multiply, or that there is no room for. Without a type no product is measured.
    """
    if dtype and dtype not in TYPES:
        raise ValueError(f"dtype must be one of {', '.join(TYPES)}; got {dtype!r}")
    gpu = current_gpu()
    if gpu is None:
        return None
    key = " · ".join(filter(None, (gpu.name, identity())))
    known = _known.get(key) or _read().get(key)
    found = _completed(gpu, known, dtype)
    if found is not None and found != known:
        _write(key, found)
    if found is not None:
        _known[key] = found
    return found


def copy_rate(gpu: Gpu) -> float:
    """Bytes/s, read and written, of copies much larger than the L2 cache."""
    size = min(max(8 * gpu.l2, _LEAST_COPY), _MOST_COPY, gpu.free() // 8) // 256 * 256
    with gpu.working(""):
        return 2 * size / best_seconds(gpu.copy(size), gpu.clock)


def product_rate(gpu: Gpu, dtype: str) -> float:
    """FLOP/s of products of two square matrices, as large as memory and time allow."""
    with gpu.working(dtype):
        once = best_seconds(gpu.product(_TRIAL, dtype), gpu.clock, 0)
        room = gpu.free() / 4 / (6 * 8)  # elements of each of six matrices of doubles
        fits = (side for side in _SIDES if side**2 <= room and once * (side / _TRIAL) ** 3 <= _LONGEST_S)
        side = next(fits, _SIDES[-1])
        return 2 * side**3 / best_seconds(gpu.product(side, dtype), gpu.clock)


def best_seconds(run: Callable[[], object], clock: Clock, most: float = _ALL_S) -> float:
    """The device's least time for a call of `run`, from at least two batches and as many as `most` seconds hold."""
    run()  # loads and compiles
    once = _seconds(run, 1, clock)
    number = max(1, min(100, int(_BATCH_S / once)))
    batches = max(2, int(most / (number * once)))
    return min(_seconds(run, number, clock) for _ in range(batches)) / number


def cache_file() -> Path:
    """Where ceilings are kept: in $GPUPROF_CACHE, else $XDG_CACHE_HOME/gpuprof, else ~/.cache/gpuprof."""
    folder = os.environ.get("GPUPROF_CACHE")
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return (Path(folder) if folder else Path(caches, "gpuprof")).expanduser() / "ceilings.json"


def _completed(gpu: Gpu, known: Ceilings | None, dtype: str | None) -> Ceilings | None:
    """`known` with what it lacks; as far as that can be measured."""
    found = known
    with suppress(ImportError, MemoryError, RuntimeError):  # no cuBLAS, no room, a stream that is being captured
        found = found or Ceilings(copy_rate(gpu), {}, gpu.l2)
        worker = gpu_for(dtype, gpu) if dtype and dtype not in found.flops else None
        if worker and dtype:
            found = found._replace(flops={**found.flops, dtype: product_rate(worker, dtype)})
    return found


def _seconds(run: Callable[[], object], number: int, clock: Clock) -> float:
    """The device's time for `number` calls in a row. Raises RuntimeError where its events cannot be read."""
    clock.wait()
    first = clock.mark()
    for _ in range(number):
        run()
    last = clock.mark()
    clock.wait()
    begin, end = clock.resolve(np.array([first, last], dtype=np.int64))
    if MISSING in (begin, end):
        raise RuntimeError("the device's events cannot be read; is a stream being captured?")
    return max(int(end - begin), 1) * 1e-9


def _read() -> dict[str, Ceilings]:
    """What the file has; what is damaged is left out."""
    try:
        entries = json.loads(cache_file().read_text(encoding="utf-8"))
    except (OSError, ValueError, RuntimeError):  # RuntimeError: nobody's home is known
        return {}
    found = {key: _checked(entry) for key, entry in entries.items()} if isinstance(entries, dict) else {}
    return {key: entry for key, entry in found.items() if entry is not None}


def _checked(entry: Any) -> Ceilings | None:
    try:
        flops = {name: float(entry["flops"][name]) for name in TYPES if name in entry["flops"]}
        found = Ceilings(float(entry["copy"]), flops, int(entry["l2"]))
    except (KeyError, TypeError, ValueError):
        return None
    return found if all(0 < rate < float("inf") for rate in (found.copy, *flops.values())) else None


def _write(key: str, found: Ceilings) -> None:
    """Put it into the file, whole or not at all; a folder that cannot be written to is left alone."""
    others = state().get("other_processes")
    if isinstance(others, int) and others:
        return
    kept = {name: entry._asdict() for name, entry in _read().items()}
    if key in kept:
        found = found._replace(flops={**kept[key]["flops"], **found.flops})
    with suppress(OSError, RuntimeError):
        file = cache_file()
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent) as folder:
            new = Path(folder, file.name)
            new.write_text(json.dumps({**kept, key: found._asdict()}, indent=1), encoding="utf-8")
            new.replace(file)
