"""What marking every call costs: steps of two nets plain and profiled, in turns; then the peers, on PyTorch's step.

Beside them, as a measure of what Python lets one do: the least hooks that could be written, which keep two times a
call, and an event where none is near, and nothing else.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
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

Hooks = dict[tuple[Any, str], Any]

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
    rounds: int = 36,
    steps: int = 24,
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
    """Seconds a step in each way, and the boundaries of a step.

    All ways stand ready while they take their turns, a few steps each: what is put on the layers is changed in
    between, so that a host whose pace wanders wanders alike for all.
    """
    run(net, n_batch, 50 if net.mode == "gpu" else 2)
    profilings = {name: LayerTime((net,), kernels=False, blocks=blocks) for name, blocks in WAYS.items()}
    hooks: dict[str, Hooks] = {"plain": {}}
    with ExitStack() as stack:
        for name, profiling in profilings.items():
            stack.enter_context(profiling)
            hooks[name] = taken_off(net)
        for name, marks in LEAST.items():
            stack.enter_context(least_hooks(net, marks))
            hooks[name] = taken_off(net)

        def timed(name: str) -> float:
            with put_on(hooks[name]):
                return run(net, n_batch, steps) / steps

        for name in hooks:
            timed(name)  # what only the first calls pay
        times = in_turns({name: lambda name=name: timed(name) for name in hooks}, rounds)  # type: ignore[misc]
    profiles = {name: profiling.profile for name, profiling in profilings.items()}
    boundaries = 2 * len(profiles["events"].log) / (steps * (rounds + 1))
    told = step_lengths(profiles["as asked for"])
    return {
        "n_batch": n_batch,
        "steps": steps,
        "step_s": times,
        "boundaries": boundaries,
        "added_us": {name: added(times, name) / boundaries * 1e6 for name in hooks if name != "plain"},
        "ratio": {name: ratio(times, name) for name in hooks if name != "plain"},
        "told_step_s": {name: statistics.median(lengths) for name, lengths in told.items()},
        "told_steps": {name: len(lengths) for name, lengths in told.items()},
        "own_share": profiles["events"].own_share,
        "closure": profiles["events"].closure,
    }


def taken_off(net: Any) -> Hooks:
    """What hooks stand on the layers, which have their own methods from now on."""
    found = {(layer, phase): vars(layer).get(phase) for layer in net.layers for phase in PHASES}
    hooks = {place: hook for place, hook in found.items() if hook is not None}
    for layer, phase in hooks:
        del vars(layer)[phase]
    return hooks


@contextmanager
def put_on(hooks: Hooks) -> Iterator[None]:
    """The hooks on their layers, for as long as that."""
    for (layer, phase), hook in hooks.items():
        vars(layer)[phase] = hook
    try:
        yield
    finally:
        for layer, phase in hooks:
            del vars(layer)[phase]


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
