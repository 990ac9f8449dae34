"""What marking every call costs: steps of two nets plain and profiled, in turns; then the peers, on PyTorch's step.

Beside them, as a measure of what Python lets one do: the least hooks that could be written, which keep two times a
call, and an event where none is near, and nothing else.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter_ns
from typing import Any

from benchmarks.layers.kept import claim
from benchmarks.layers.nets import both_nets
from benchmarks.layers.peers import peer_claims, peers
from benchmarks.layers.turns import added, in_turns, ratio, step_lengths
from benchmarks.pooling import run
from gpuprof.hooks.methods import PHASES
from gpuprof.profiling import LayerTime
from gpuprof.record.schedule import Block, Mode
from gpuprof.record.tape import TOGETHER_NS
from gpuprof.results.profile import Profile

BOUNDARY_US, RATIO, FROM_S = 1.5, 1.03, 2e-3
_FOR_EVER = 1 << 62
WAYS: dict[str, list[Block] | None] = {
    "events": [Block(Mode.EVENTS, _FOR_EVER, math.inf)],
    "hooks alone": [Block(Mode.PLAIN, _FOR_EVER, math.inf)],
    "as asked for": None,
}
"""How the calls are hooked: each marked, none, or taking turns as in `layertime(kernels=False)`."""
LEAST = {"least hooks": False, "least hooks with events": True}


def measure(
    mode: str = "gpu",
    rounds: int = 24,
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

    def least(marks: bool) -> Callable[[], float]:
        def timed() -> float:
            with least_hooks(net, marks):
                run(net, n_batch, 2)
                return run(net, n_batch, steps) / steps

        return timed

    run(net, n_batch, 50 if net.mode == "gpu" else 2)
    ways: dict[str, Callable[[], float]] = {"plain": lambda: run(net, n_batch, steps) / steps}
    ways |= {name: hooked(name) for name in WAYS} | {name: least(marks) for name, marks in LEAST.items()}
    times = in_turns(ways, rounds)
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
        "added_us": {name: added(times, name) / boundaries * 1e6 for name in ways if name != "plain"},
        "ratio": {name: ratio(times, name) for name in ways if name != "plain"},
        "told_step_s": {name: statistics.median(lengths) for name, lengths in told.items()},
        "told_steps": {name: len(lengths) for name, lengths in told.items()},
        "own_share": [profile.own_share for profile in profiles["events"]],
        "closure": [profile.closure for profile in profiles["events"]],
    }


@contextmanager
def least_hooks(net: Any, marks: bool) -> Iterator[None]:
    """Each method of each layer in a closure that keeps two times, and with `marks` the events at its ends."""
    record, events = (_events(net.mode == "gpu")) if marks else (None, deque([0]))
    rows: list[Any] = []
    last = [0]
    hooked = [(layer, phase) for layer in net.layers for phase in PHASES if callable(getattr(layer, phase, None))]
    for layer, phase in hooked:
        vars(layer)[phase] = _least(getattr(layer, phase), rows.append, record, events, last)
    try:
        yield
    finally:
        for layer, phase in hooked:
            vars(layer).pop(phase, None)


def _least(method: Any, keep: Any, record: Any, events: deque[int], last: list[int]) -> Any:
    now = perf_counter_ns

    def plain(*args: Any, **kwargs: Any) -> Any:
        start = now()
        value = method(*args, **kwargs)
        keep((start, now()))
        return value

    def marked(*args: Any, **kwargs: Any) -> Any:
        if now() - last[0] > TOGETHER_NS:
            record(events[0], 0)
            events.rotate()
        start = now()
        value = method(*args, **kwargs)
        end = now()
        record(events[0], 0)
        events.rotate()
        last[0] = now()
        keep((start, end))
        return value

    return marked if record else plain


def _events(on_device: bool) -> tuple[Any, deque[int]]:
    """What records an event on the default stream, and events, which go round."""
    if not on_device:
        return lambda _event, _stream: None, deque([0])
    import cupy

    runtime = cupy.cuda.runtime
    return runtime.eventRecord, deque(runtime.eventCreate() for _ in range(1 << 12))


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
        claim(
            f"{name}: the least hooks with events that Python can have, a boundary and ratio",
            "",
            f"{found['added_us']['least hooks with events']:.2f} µs, {found['ratio']['least hooks with events']:.4f}",
            None,
        ),
    ]
    if marked and bare:
        lines.append(claim(f"{name}: the same by the profile's own steps", "", f"{marked / bare:.4f}", None))
    return lines
