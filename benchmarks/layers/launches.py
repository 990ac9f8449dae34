"""What kernel records cost a launch while they are taken, beside cupti-python, and what is left of it afterwards."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

from benchmarks.layers.kept import claim
from benchmarks.layers.turns import added, in_turns
from benchmarks.net import article_net, data
from benchmarks.pooling import drain, run
from gpuprof.measure import layertime
from gpuprof.profiling import LayerTime
from gpuprof.record import kernels
from gpuprof.record.clocks import Clock, clock_for
from gpuprof.record.schedule import KERNELS, Block
from gpuprof.results.profile import Profile

ADDED_US, RESIDUE, HOST_COLUMNS = 2.5, 0.05, 0.05
N_BATCH = 8
_BLOCKS = [Block(KERNELS, 1 << 62, 1e9)]


def measure(mode: str = "gpu", rounds: int = 6, steps: int = 250, loops: int = 25) -> dict[str, Any]:
    """Launches before any record was taken; steps in turns; launches after; cupti-python last, in its own turns."""
    net = article_net(mode, "first", images=data())
    run(net, N_BATCH, 50 if mode == "gpu" else 2)
    clock = clock_for(net.layers)
    held, same = [dict(vars(layer)) for layer in net.layers], untouched(net)
    before = launch_costs(net, clock, loops)
    sessions: dict[str, list[dict[str, float]]] = {}

    def plain() -> float:
        return run(net, N_BATCH, steps) / steps

    ways: dict[str, Callable[[], float]] = {"plain": plain}
    for name, threads in (("records", False), ("records with threads", True)) if clock.on_device else ():
        ways[name] = lambda name=name, threads=threads: recorded(  # type: ignore[misc]
            net, clock, steps, threads, sessions.setdefault(name, [])
        )
    ways["the profile's kernel pass"] = lambda: profiled(net, steps)
    times = in_turns(ways, rounds)
    after = launch_costs(net, clock, loops)
    columns = host_columns(net, steps)
    same &= all(_same(a, vars(layer)) for a, layer in zip(held, net.layers, strict=True))
    found = {
        "n_batch": N_BATCH,
        "steps": steps,
        "step_s": times,
        "sessions": sessions,
        "launch_us": {"before": before, "after": after},
        "host_columns": columns,
        "vars_same": same,
        "cupti_python": cupti_python(plain, rounds),
    }
    return found | {"claims": claims(found)}


def recorded(net: Any, clock: Clock, steps: int, threads: bool, sessions: list[dict[str, float]]) -> float:
    """Seconds a step while a `Recorder` records; a session's figures go to `sessions`."""
    recorder = clock.recorder(threads)  # type: ignore[attr-defined]
    free = _buffers()
    start = time.perf_counter()
    seconds = run(net, N_BATCH, steps)
    recorder.stop()
    clock.wait()
    done = time.perf_counter()
    launched = recorder.collect()
    sessions.append(
        {
            "launches": len(launched.records.start),
            "calls": len(launched.calls),
            "dropped": launched.records.dropped,
            "seconds": done - start,
            "collect_s": time.perf_counter() - done,
            "buffers_made": _buffers() - free,
            "buffers": _buffers(),
        }
    )
    return seconds / steps


def profiled(net: Any, steps: int) -> float:
    """Seconds a step in a profile that takes records of every step, marks and hooks included."""
    with LayerTime((net,), blocks=_BLOCKS if net.mode == "gpu" else None):
        run(net, N_BATCH, 2)
        return run(net, N_BATCH, steps) / steps


def launch_costs(net: Any, clock: Any, loops: int, launches: int = 200) -> dict[str, list[float]]:
    """Host µs of a launch, in tight loops: an empty kernel through the driver, an addition through CuPy."""
    import numpy as np

    x = np.zeros(1000, dtype=np.float32)
    if net.mode == "gpu":
        import cupy

        x = cupy.zeros(1000, dtype=np.float32)
    found: dict[str, list[float]] = {}
    launching: dict[str, Callable[[], object]] = {"addition": lambda: x + 1}
    if clock.on_device:
        launching["empty"] = clock.launch_empty
    for name, launch in launching.items():
        for loop in range(loops + 2):
            drain(net)
            start = time.perf_counter()
            for _ in range(launches):
                launch()
            took = (time.perf_counter() - start) / launches * 1e6
            if loop >= 2:
                found.setdefault(name, []).append(took)
    drain(net)
    return found


def host_columns(net: Any, steps: int) -> dict[str, Any]:
    """A step's host time, summed over the table's rows, with kernel records in some of the steps and without any."""
    found: dict[str, Any] = {}
    for name, wanted in (("without", False), ("with", True)):
        with layertime(net, kernels=wanted) as profiling:
            run(net, N_BATCH, 2 * steps)
        profile: Profile = profiling.profile
        table = profile.table[profile.table["path"] != "(outside)"]
        found[name] = float((table["host_us"] * table["calls"]).sum() / max(1, len(profile.account.step_mode)))
        found[f"{name}_pass"] = profile.table.attrs["passes"]["host_us"]
    return found


def cupti_python(plain: Callable[[], float], rounds: int) -> dict[str, Any]:
    """The same steps with cupti-python taking the records: it makes a Python object of each, in its callback."""
    count = [0]
    try:
        cupti: Any = import_module("cupti.cupti")
    except ImportError as error:
        return {"why": f"cupti-python is not there: {error}"}

    def completed(rows: Any) -> None:
        count[0] += len(rows)

    wanted = [getattr(cupti.ActivityKind, name) for name in ("CONCURRENT_KERNEL", "MEMCPY", "MEMSET")]

    def watched() -> float:
        for kind in wanted:
            cupti.activity_enable(kind)
        try:
            return plain()
        finally:
            cupti.activity_flush_all(1)
            for kind in wanted:
                cupti.activity_disable(kind)

    try:
        cupti.activity_register_callbacks(lambda: (8 << 20, 0), completed)
        return {"step_s": in_turns({"plain": plain, "cupti-python": watched}, max(2, rounds // 2)), "records": count[0]}
    except Exception as error:  # a peer's trouble is not ours
        return {"why": f"{type(error).__name__}: {error}"}


def claims(found: dict[str, Any]) -> list[Any]:
    """The cost of a launch, with the buffers' turning over; the host's columns; what is left."""
    lines = []
    for name, sessions in found["sessions"].items():
        launches = sessions[-1]["launches"] / found["steps"]
        cost = added(found["step_s"], name) / launches * 1e6 if launches else float("nan")
        most = max(session["buffers"] for session in sessions)
        told = f"{cost:.2f} µs ({launches:.0f} launches a step, {most:.0f} buffers)"
        lines.append(claim(f"{name}: added a launch", f"≤ {ADDED_US} µs", told, cost <= ADDED_US))
        lines.append(_dropped(name, sessions))
    base = next((s[-1]["launches"] / found["steps"] for s in found["sessions"].values() if s[-1]["launches"]), 0)
    whole = added(found["step_s"], "the profile's kernel pass")
    text = f"{whole / base * 1e6:.2f} µs" if base else "no launches"
    lines.append(claim("the profile's kernel pass, its marks included: added a launch", "", text, None))
    peer = found["cupti_python"]
    if "step_s" in peer and base:
        text = f"{added(peer['step_s'], 'cupti-python') / base * 1e6:.2f} µs"
    else:
        text = peer.get("why", "no launches")
    lines.append(claim("peer: cupti-python, added a launch", "", text, None))
    columns = found["host_columns"]
    off = columns["with"] / columns["without"] - 1
    text = f"{off:+.1%}, from the pass '{columns['with_pass']}'"
    lines.append(
        claim("host columns with records against without", f"± {HOST_COLUMNS:.0%}", text, abs(off) <= HOST_COLUMNS)
    )
    lines.append(claim("vars(layer) afterwards", "the same objects", str(found["vars_same"]), found["vars_same"]))
    for name, times in found["launch_us"]["before"].items():
        a, b = (_low(each) for each in (times, found["launch_us"]["after"][name]))
        text = f"{a:.2f} µs before, {b:.2f} after"
        lines.append(claim(f"launching, {name}", f"after ≤ before + {RESIDUE:.0%}", text, b <= a * (1 + RESIDUE)))
    return lines


def _dropped(name: str, sessions: list[dict[str, float]]) -> Any:
    counts = {session["launches"] for session in sessions}
    dropped = sum(session["dropped"] for session in sessions)
    text = f"{dropped:.0f} dropped; {', '.join(f'{count:.0f}' for count in sorted(counts))} a session"
    return claim(f"{name}: none dropped, the same number each session", "", text, not dropped and len(counts) == 1)


def _low(times: list[float]) -> float:
    """The lower quartile: what a launch takes where nothing else disturbs."""
    return statistics.quantiles(times, n=4)[0] if len(times) > 1 else times[0]


def untouched(net: Any) -> bool:
    """Whether a profile without a step leaves every attribute of every layer the same object, in the same order."""
    held = [dict(vars(layer)) for layer in net.layers]
    with layertime(net):
        pass
    pairs = [(before, vars(layer)) for before, layer in zip(held, net.layers, strict=True)]
    return all(list(a) == list(b) and all(a[name] is b[name] for name in a) for a, b in pairs)


def _same(before: dict[str, Any], now: dict[str, Any]) -> bool:
    """Whether nothing callable is new after steps, which replace arrays."""
    return set(before) == set(now) and all(now[name] is before[name] for name, each in now.items() if callable(each))


def _buffers() -> int:
    """The buffers that the process's log has at rest."""
    try:
        return len(kernels._log()._free)
    except kernels.NoRecordsError:
        return 0
