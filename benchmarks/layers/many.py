"""90 000 calls and 1.2 million kernels: the seconds from the cell's end to the table, and the bytes they hold."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.layers.kept import claim
from benchmarks.layers.lab import GpuLab, Lab
from gpuprof.profiling import LayerTime
from gpuprof.record.schedule import KERNELS, Block
from gpuprof.results.profile import Profile

TABLE_S, CALL_BYTES = 2.0, 200
LAYERS, KERNELS_A_CALL = 4, 13
_BLOCKS = [Block(KERNELS, 1 << 62, 1e9)]


class Many:
    """A layer each of whose phases launches some tiny kernels."""

    def __init__(self, name: str, launch: Callable[[], None], times: int) -> None:
        self.name, self._launch, self._times = name, launch, range(times)

    def forward(self) -> None:
        """Launch them."""
        for _ in self._times:
            self._launch()

    backward = update = forward


def measure(lab: Lab | None = None, steps: int = 7500) -> dict[str, Any]:
    """The same cell twice: its first profile makes the buffers and loads pandas, the second finds them there."""
    lab = lab or GpuLab()
    launch = lab.tiny()
    layers = [Many(f"L{i}", launch, KERNELS_A_CALL) for i in range(LAYERS)]
    train(layers, 3)
    ceilings = _ceilings_seconds() if isinstance(lab, GpuLab) else 0.0
    runs = [cell(lab, layers, steps) for _ in range(2)]
    found = {"steps": steps, "ceilings_s": ceilings, "runs": runs}
    return found | {"claims": claims(found)}


def train(layers: list[Many], steps: int) -> None:
    """Steps of all phases."""
    for _ in range(steps):
        for phase in ("forward", "backward", "update"):
            for layer in layers:
                getattr(layer, phase)()


def cell(lab: Lab, layers: list[Many], steps: int) -> dict[str, Any]:
    """One profile of it."""
    gc.collect()
    empty = resident()
    with LayerTime(tuple(layers), lab.clock, blocks=_BLOCKS) as profiling:
        start = time.perf_counter()
        train(layers, steps)
        full = resident()
        ended = time.perf_counter()
    made = time.perf_counter()
    profile = profiling.profile
    rows = len(profile.table)
    tabled = time.perf_counter()
    text = str(profile)
    shown = time.perf_counter()
    lengths = {"calls": len(profile.log), "kernels": len(profile.seen.kernels), "rows": rows, "characters": len(text)}
    del profiling
    gc.collect()
    held = resident()
    columns = column_bytes(profile)
    found = {
        **lengths,
        "dropped": profile.seen.kernels.dropped,
        "unknown": profile.seen.kernels.unknown,
        "outside": int((profile.seen.kernels["call"] < 0).sum()),
        "ran_s": ended - start,
        "log_s": made - ended,
        "table_s": tabled - made,
        "text_s": shown - tabled,
        "to_table_s": tabled - ended,
        "to_text_s": shown - ended,
        "while_running_bytes": full - empty,
        "held_bytes": held - empty,
        **columns,
    }
    del profile
    gc.collect()
    return found | {"left_bytes": resident() - empty}


def column_bytes(profile: Profile) -> dict[str, int]:
    """What the raw columns take: the calls', the kernels'."""
    return {
        "call_column_bytes": sum(column.nbytes for column in profile.log.columns.values()),
        "kernel_column_bytes": sum(column.nbytes for column in profile.seen.kernels.columns.values()),
    }


def resident() -> int:
    """Bytes of this process in memory."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0


def claims(found: dict[str, Any]) -> list[Any]:
    """The wait for the table, and what a call holds."""
    lines = []
    for name, run in zip(("first profile", "second profile"), found["runs"], strict=True):
        calls, kernels = run["calls"], run["kernels"]
        text = f"{run['to_table_s']:.2f} s ({calls} calls, {kernels} kernels; as text {run['to_text_s']:.2f} s)"
        lines.append(
            claim(f"{name}: from the cell's end to the table", f"≤ {TABLE_S:.0f} s", text, run["to_table_s"] <= TABLE_S)
        )
        right = run["outside"] == run["dropped"] == 0 and kernels == calls * KERNELS_A_CALL
        text = f"{kernels - run['outside']} of {calls * KERNELS_A_CALL}; {run['dropped']} dropped"
        lines.append(claim(f"{name}: kernels given to a call", "all", text, right))
    last = found["runs"][-1]
    log = last["call_column_bytes"] / last["calls"]
    lines.append(claim("the call log's columns", f"≤ {CALL_BYTES} bytes a call", f"{log:.0f} bytes", log <= CALL_BYTES))
    each = last["kernel_column_bytes"] / max(1, last["kernels"])
    lines.append(claim("the kernels' columns", "", f"{each:.0f} bytes a kernel", None))
    running, held, left = (last[f"{name}_bytes"] / last["calls"] for name in ("while_running", "held", "left"))
    text = f"{running:.0f} while it ran, {held:.0f} with the profile, {left:.0f} after it"
    lines.append(claim("the process's growth a call, kernels and all", "", text, None))
    lines.append(claim("measuring this device's ceilings, once a machine", "", f"{found['ceilings_s']:.2f} s", None))
    return lines


def _ceilings_seconds() -> float:
    """What the first profile of a machine takes besides, where its layers compute on arrays."""
    from gpuprof.ceilings import ceilings

    start = time.perf_counter()
    ceilings("float32")
    return time.perf_counter() - start
