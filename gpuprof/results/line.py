"""The figures of one statement as text: the line, how wide the intervals are, the small print, the graph's code."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from gpuprof.judge.cost import bytes_text, rate_text
from gpuprof.judge.figures import Figures, Sample
from gpuprof.results.smallprint import machine
from gpuprof.units import digits, percent, seconds_text, several

QUANTITIES = ("host", "device", "kernels", "cold", "graph", "latency")
_NARROW = 0.015  # intervals no wider than this are told in one figure


class Part(NamedTuple):
    """A quantity of the line."""

    name: str
    amount: str
    """Such as "12.3 µs", "≤ 1.8 µs"."""
    detail: str
    """Such as "floor 1.3 µs", "5 kernels"; "" for none."""
    sample: Sample


def parts(f: Figures) -> Iterator[Part]:
    """The quantities that were measured, in the line's order."""
    for name in QUANTITIES:
        sample: Sample = getattr(f, name)
        if sample.samples:
            bound = "≤ " if name == "device" and not f.resolved else ""
            yield Part(name, bound + sample.text(f.digits), _detail(f, name), sample)


def line(f: Figures) -> str:
    """The line, such as "host 69 µs · device 12 µs (floor 6.4 µs) · kernels 7.3 µs (5) · latency 81 µs"."""
    return " · ".join(f"{p.name} {p.amount}{f' ({p.detail})' if p.detail else ''}" for p in parts(f))


def spread(f: Figures) -> str:
    """How wide the 95 % intervals are, and how many batches of how many calls there were."""
    widths = {p.name: p.sample.width for p in parts(f) if not math.isnan(p.sample.width)}
    if not widths:
        text = ""
    elif max(widths.values()) <= _NARROW:
        text = f"±{percent(max(widths.values()))}, "
    else:
        text = ", ".join(f"{name} ±{percent(width)}" for name, width in widths.items()) + "; "
    return f"{text}{several(len(f.host.samples), 'batch', 'batches')} of {f.number}{_way(f)} ({f.clock})"


def small_print(f: Figures) -> list[str]:
    """The machine, the clocks, the memory, what was cross-checked, why it stopped."""
    notes = [machine(f.about, f.clock), _clocks(f), _floor(f), *_rates(f)]
    if not math.isnan(f.agreement):
        notes.append(f"events and kernel records agree to {percent(abs(f.agreement))}")
    notes.append(_memory(f))
    if not math.isnan(f.first):
        notes.append(f"first call {seconds_text(f.first)}")
    far = sum(sum(p.sample.outliers) for p in parts(f))
    if far:
        notes.append(f"{several(far, 'batch lies', 'batches lie')} far out: in .samples, but not in the intervals")
    notes += [f.graph_why and f"not captured into a graph: {f.graph_why}", f.stopped]
    return [note for note in notes if note]


def snippet(f: Figures) -> str:
    """Code that captures the statement into a CUDA graph and replays it; "" where that was not done."""
    if not f.graph.samples:
        return ""
    body = "\n".join(f"    {text}" for text in _kept(f).splitlines())
    if f.library == "torch":
        return (
            "graph = torch.cuda.CUDAGraph()\n"
            f"with torch.cuda.graph(graph):  # after some warm-up calls on a side stream\n{body}\n"
            "graph.replay()  # does it all again, on the same tensors; result has what it computes"
        )
    return (
        "stream, pool = cupy.cuda.Stream(non_blocking=True), cupy.cuda.MemoryPool()\n"
        "with stream, cupy.cuda.using_allocator(pool.malloc):  # memory that nothing else is given\n"
        "    stream.begin_capture()\n"
        f"{body}\n"
        "    graph = stream.end_capture()\n"
        "graph.launch(stream)  # does it all again, on the same arrays; result has what it computes"
    )


def _kept(f: Figures) -> str:
    """The statement so that what it comes to stays alive, for a replay writes there; a function's call by its name."""
    if not f.source:
        return f"result = {f.statement.partition('(')[0].rpartition('.')[2]}(...)"
    try:
        compile(f.statement.strip(), "<statement>", "eval")
    except SyntaxError:
        return f.statement.strip()
    return f"result = {f.statement.strip()}"


def _detail(f: Figures, name: str) -> str:
    count = f.kernel_count
    if name == "device" and f.way == "gate":
        return f"floor {seconds_text(f.floor_s, 2)}" if f.floor else ""
    if name == "device":
        return f.way
    if name == "kernels" and count is not None:
        return digits(count) if count % 1 else str(int(count))
    if name == "cold" and f.floor:
        return f"floor {seconds_text(f.floor.of(1, max(1.0, count or 0.0)), 2)}"
    return ""


def _way(f: Figures) -> str:
    return f", gated by {f.device_number}" if f.way == "gate" else ""


def _floor(f: Figures) -> str:
    if not f.floor or math.isnan(f.floor_s):
        return ""
    pair, launch = seconds_text(f.floor.pair), seconds_text(f.floor.launch)
    return f"floor: {pair} a pair of events, {launch} a launch"


def _rates(f: Figures) -> Iterator[str]:
    if f.roof and f.roof.bytes_per_s:
        yield rate_text(f.roof.bytes_per_s, "B/s")
    if f.roof and f.roof.flops_per_s:
        yield rate_text(f.roof.flops_per_s, "FLOP/s")


def _memory(f: Figures) -> str:
    if not f.memory or f.memory.peak is None or not f.memory.allocations:
        return ""
    misses = f", {f.memory.misses} of them from the driver" if f.memory.misses else ""
    kept = f", {bytes_text(f.memory.retained)} kept" if f.memory.retained > 0 else ""
    made = several(f.memory.allocations, "allocation")
    return f"{made}{misses}, at most {bytes_text(f.memory.peak)} more in use{kept}"


def _clocks(f: Figures) -> str:
    values = [state.get("clock_sm_mhz") for state in (f.before, f.after)]
    known = list(dict.fromkeys(str(mhz) for mhz in values if mhz))
    return f"SM clock {' → '.join(known)} MHz" if known else ""
