"""What marking every call costs: steps of two nets plain and profiled, in turns; then the peers, on PyTorch's step."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import Any

from benchmarks.layers.kept import claim
from benchmarks.layers.nets import both_nets
from benchmarks.layers.peers import peer_claims, peers
from benchmarks.layers.turns import added, in_turns, ratio, step_lengths
from benchmarks.pooling import run
from gpuprof.profiling import LayerTime
from gpuprof.record.schedule import Block, Mode
from gpuprof.results.profile import Profile

BOUNDARY_US, RATIO, FROM_S = 1.5, 1.03, 2e-3
_FOR_EVER = 1 << 62
WAYS: dict[str, list[Block] | None] = {
    "events": [Block(Mode.EVENTS, _FOR_EVER, math.inf)],
    "hooks alone": [Block(Mode.PLAIN, _FOR_EVER, math.inf)],
    "as asked for": None,
}
"""How the calls are hooked: each marked, none, or taking turns as in `layertime(kernels=False)`."""


def measure(
    mode: str = "gpu",
    rounds: int = 20,
    steps: int = 40,
    batches: tuple[int, int] = (8, 32),
    peer: Callable[[], Any] | None = peers,
) -> dict[str, Any]:
    """Both nets, then the peers."""
    nets = {name: net_cost(net, n, rounds, steps) for name, (net, n) in both_nets(mode, *batches).items()}
    claims = [each for name, found in nets.items() for each in net_claims(name, found)]
    found: dict[str, Any] = {"nets": nets, "claims": claims}
    if peer:
        found["peers"] = peer()
        claims += peer_claims(found["peers"])
    return found


def net_cost(net: Any, n_batch: int, rounds: int, steps: int) -> dict[str, Any]:
    """Seconds a step in each way, and the boundaries of a step."""
    profiles: dict[str, list[Profile]] = {name: [] for name in WAYS}

    def hooked(name: str) -> Callable[[], float]:
        def timed() -> float:
            with LayerTime((net,), kernels=False, blocks=WAYS[name]) as profiling:
                run(net, n_batch, 2)  # what only the first calls pay
                seconds = run(net, n_batch, steps)
            profiles[name].append(profiling.profile)
            return seconds / steps

        return timed

    run(net, n_batch, 50 if net.mode == "gpu" else 2)
    times = in_turns(
        {"plain": lambda: run(net, n_batch, steps) / steps} | {name: hooked(name) for name in WAYS}, rounds
    )
    told: dict[str, list[float]] = {}
    for profile in profiles["as asked for"]:
        for each, lengths in step_lengths(profile).items():
            told.setdefault(each, []).extend(lengths)
    boundaries = 2 * len(profiles["events"][-1].log) / (steps + 2)
    return {
        "n_batch": n_batch,
        "steps": steps,
        "step_s": times,
        "boundaries": boundaries,
        "added_us": {name: added(times, name) / boundaries * 1e6 for name in WAYS},
        "ratio": {name: ratio(times, name) for name in WAYS},
        "told_step_s": {name: statistics.median(lengths) for name, lengths in told.items()},
        "told_steps": {name: len(lengths) for name, lengths in told.items()},
        "own_share": [profile.own_share for profile in profiles["events"]],
        "closure": [profile.closure for profile in profiles["events"]],
    }


def net_claims(name: str, found: dict[str, Any]) -> list[Any]:
    """The cost of a boundary, the ratio, and what the profile itself would say of marked and plain steps."""
    plain, events = statistics.median(found["step_s"]["plain"]), found["added_us"]["events"]
    share, told = found["ratio"]["events"], found["told_step_s"]
    marked, bare = told.get(str(int(Mode.EVENTS))), told.get(str(int(Mode.PLAIN)))
    lines = [
        claim(f"{name}: a boundary marked", f"≤ {BOUNDARY_US} µs", f"{events:.2f} µs", events <= BOUNDARY_US),
        claim(
            f"{name}: ratio, events / plain",
            f"≤ {RATIO} where a step takes ≥ {FROM_S * 1e3:.0f} ms",
            f"{share:.4f} of {plain * 1e3:.2f} ms ({found['boundaries']:.0f} boundaries)",
            share <= RATIO if plain >= FROM_S else None,
        ),
        claim(f"{name}: ratio, as asked for / plain", "", f"{found['ratio']['as asked for']:.4f}", None),
    ]
    if marked and bare:
        lines.append(claim(f"{name}: the same by the profile's own steps", "", f"{marked / bare:.4f}", None))
    return lines
