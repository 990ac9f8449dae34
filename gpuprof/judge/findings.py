"""What could be mended, by few rules: each speaks only on evidence, and says the next thing to type."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from gpuprof.judge.facts import Facts, KernelFact, RowFact
from gpuprof.judge.kernelnames import INDEXING, REDUCING, function, is_double
from gpuprof.judge.pace import Pace
from gpuprof.record.apis import ALLOCATE, COPY, FREE, SYNCHRONISE, WAYS
from gpuprof.record.calls import Scope
from gpuprof.record.waits import WaitLine
from gpuprof.units import count, digits, percent, seconds_text, several

__all__ = ["Facts", "Finding", "KernelFact", "RowFact", "findings", "label"]

_NOTHING = 0.03  # a gain below this share of the step is called next to nothing, as in the verdict
_TIMES = 32  # threads for each element returned: padding, windows and float4 stay well below, a pairing does not
_THREADS = 1_000_000  # fewer threads than this are done in microseconds, whatever they do
_SUMMARY = 1000  # a smaller array is a loss or an error: what was computed for it is rightly larger
_HEAVY = 0.02  # of the GPU's work, or the host's: below that a row or a kernel is not worth a word
_MOSTLY = 0.5  # a kernel that is no known indexing must be this much of its row
_WAITING = 0.01  # of a step: waits that cost less are not worth a line's change
_UPDATE = 0.1  # of the host's time, from which fusing the update shows in the step
_FEW = 4  # with fewer parameters one launch for each is no matter

_TO_DEVICE, _TO_HOST = WAYS[1], WAYS[2]
_CURES = {
    SYNCHRONISE: "leave it out, or synchronise once an epoch",
    _TO_HOST: "keep the value on the GPU, and fetch it once an epoch",
    _TO_DEVICE: "copy it once before the loop, or from pinned memory",
    COPY: "copy it once, outside the loop",
    FREE: "keep the memory: free it after the loop",
}


class Finding(NamedTuple):
    """One thing that could be mended."""

    rule: str
    """A name for it, such as "launch-bound"."""
    gain: float
    """The share of a step that mending it saves, at most; NaN where that is not known."""
    sentence: str
    """What is the matter, with the evidence."""
    next: str
    """What to type next; "" for nothing."""


def findings(facts: Facts) -> tuple[Finding, ...]:
    """The findings, those that gain most first; those whose gain is not known last."""
    if not facts.pace.steps:
        return ()
    found = [finding for rule in _RULES if (finding := rule(facts))]
    return tuple(sorted(found, key=lambda finding: math.inf if math.isnan(finding.gain) else -finding.gain))


def label(scope: Scope) -> str:
    """A row's name in a sentence: "Pool1.backward"."""
    return scope.name


def _launch_bound(facts: Facts) -> Finding | None:
    if not facts.launch_bound:
        return None
    pace, launches = facts.pace, facts.launches
    phases, layers = facts.totals("phase"), facts.totals("path")
    phase, layer = next(iter(phases), ""), next(iter(layers), "")
    of_all = f"{count(phases[phase])} of {count(launches.sum())}" if phase else ""
    most = f" Most come from {phase} ({of_all}), and from {layer} ({count(layers[layer])})." if phase else ""
    gain = _gain(pace, host=float(pace.host[facts.issuing].sum())) if pace.work_known else math.nan
    return Finding(
        "launch-bound",
        gain,
        f"Launch-bound: {several(launches.sum(), 'launch a step takes', 'launches a step take')} the host "
        f"{seconds_text(pace.host.sum())}, the GPU works {'' if pace.work_known else 'at least '}"
        f"{seconds_text(pace.work.sum())} of it.{most}",
        # PyTorch's own way to graphs, for --graph captures no modules
        f'torch.compile({facts.model}, mode="reduce-overhead")'
        if facts.modules
        else f"%%layertime --graph {facts.model}",
    )


def _indexed_assignment(facts: Facts) -> Finding | None:
    pace, found = facts.pace, []
    for number, row in facts.of_step():
        for kernel in row.kernels:
            least = max(_THREADS, _TIMES * row.elements)
            seconds = kernel.seconds * row.calls_a_step
            if row.elements >= _SUMMARY and kernel.threads >= least and seconds >= _HEAVY * pace.work.sum():
                known = bool(INDEXING.search(kernel.name))
                if known or _may_be_too_many(row, kernel, _gain(pace, work=facts.work_of(number, kernel))):
                    found.append((known, seconds, number, kernel))
    if not found:
        return None
    known, seconds, number, kernel = max(found, key=lambda each: each[:2])
    row = facts.rows[number]
    gain = _gain(pace, work=facts.work_of(number, kernel)) if pace.work_known else math.nan
    what = (
        "it indexes far more than it returns"
        if known
        else "perhaps more than it needs, unless it works on something larger, such as the weights"
    )
    share = f", {percent(min(1.0, kernel.seconds / row.busy))} of the layer's GPU time" if row.busy > 0 else ""
    return Finding(
        "indexed assignment" if known else "many threads",
        gain,
        f"{label(row.scope)}: {function(kernel.name)} runs {count(kernel.threads)} threads for an output of "
        f"{count(row.elements)} elements: {what}. It takes {seconds_text(seconds)} a step{share}{_worth(gain)}.",
        _following(facts, row.scope),
    )


def _hidden_synchronisation(facts: Facts) -> Finding | None:
    pace, steps = facts.pace, facts.inspected
    waits = [wait for wait in facts.waits if wait.kind in _CURES]
    if not waits or not steps or not pace.plain > 0:
        return None
    seconds = sum(wait.seconds for wait in waits) / steps
    if seconds < _WAITING * pace.plain:
        return None
    # without the waits a step still takes as long as the GPU works
    gain = max(0.0, min(seconds / pace.plain, 1 - float(pace.work.sum()) / pace.plain))
    dearest = max(waits, key=lambda wait: wait.seconds)
    source = f" `{dearest.source}`" if dearest.source else ""
    return Finding(
        "hidden synchronisation",
        gain,
        f"The host waits for the GPU {_times(sum(wait.times for wait in waits) / steps)} a step, "
        f"{seconds_text(seconds)} in all{_worth(gain)}. The dearest is {_place(dearest)}{source}: "
        f"{dearest.kind}, {_times(dearest.times / steps)} a step, {seconds_text(dearest.seconds / steps)}.",
        f"{_place(dearest)}: {_CURES[dearest.kind]}",
    )


def _float64(facts: Facts) -> Finding | None:
    pace = facts.pace
    names, work, host = [], 0.0, 0.0
    for number, row in facts.of_step():
        doubles = [kernel for kernel in row.kernels if is_double(kernel.name)]
        if row.dtype == "float64" or doubles:
            names.append((float(pace.work[number]), float(pace.host[number]), label(row.scope)))
            whole = row.dtype == "float64"
            work += float(pace.work[number]) if whole else facts.work_of(number, *doubles)
            host += float(pace.host[number])
    share, whose = _share(work, pace.work), "the GPU's work"
    faster = ", and most GPUs compute it many times as fast" if pace.on_device else ""
    if not share > 0:
        share, whose = _share(host, pace.host), "the host's time"
    if not names or max(share, _share(host, pace.host)) < _HEAVY:
        return None
    known = pace.work_known or not pace.on_device
    gain = _gain(pace, work=work / 2) if known and pace.on_device else math.nan  # half the bytes: at least that
    first = ", ".join(name for *_, name in sorted(names, reverse=True)[:3])
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return Finding(
        "float64",
        gain,
        f"float64 in {first}{more}, {percent(share)} of {whose}: float32 moves half the bytes{faster}{_worth(gain)}.",
        '.astype("float32") where data and parameters are made',
    )


def _one_launch_a_parameter(facts: Facts) -> Finding | None:
    if not facts.parameters or not facts.launch_bound:
        return None
    pace = facts.pace
    rows = [number for number, row in facts.of_step() if row.scope.phase == "update"]
    launches, host = float(facts.launches[rows].sum()), float(pace.host[rows].sum())
    least = facts.parameters * (1 if facts.parameters >= _FEW else 2)
    if launches < least or host < _UPDATE * pace.host.sum():
        return None
    gain = _gain(pace, host=host) if pace.work_known else math.nan
    arrays = several(facts.parameters, "array")
    return Finding(
        "one launch a parameter",
        gain,
        f"update launches {count(launches)} kernels a step for {arrays} of parameters, which takes "
        f"the host {seconds_text(host)} ({percent(_share(host, pace.host))} of its time){_worth(gain)}.",
        "one kernel over all parameters (kept in one array, or cupy.fuse; in PyTorch an optimizer with fused=True)",
    )


def _pool_growth(facts: Facts) -> Finding | None:
    grown = {number: row.grown * row.calls_a_step for number, row in facts.of_step() if row.grown > 0}
    if not grown:
        return None
    most = max(grown.values())
    # a call's figures hold those inside it: of those that grew as much, the innermost
    where = max((number for number in grown if grown[number] > 0.9 * most), key=lambda n: _depth(facts.rows[n].scope))
    waits = [wait for wait in facts.waits if wait.kind == ALLOCATE]
    took = sum(wait.seconds for wait in waits) / facts.inspected if waits and facts.inspected else math.nan
    gain = min(took / facts.pace.plain, 1.0) if took > 0 and facts.pace.plain > 0 else math.nan
    cost = f"; that takes the host {seconds_text(took)} a step" if took > 0 else ""
    line = f"{_place(max(waits, key=lambda wait: wait.seconds))}: " if waits else ""
    return Finding(
        "pool growth",
        gain,
        f"{label(facts.rows[where].scope)} still makes the memory pool grow by {_bytes(grown[where])} a step after the "
        f"first: each cudaMalloc can make the GPU wait{cost}.",
        f"{line}keep the arrays between steps, or write into them (out=)",
    )


_RULES: tuple[Callable[[Facts], Finding | None], ...] = (
    _launch_bound,
    _indexed_assignment,
    _hidden_synchronisation,
    _float64,
    _one_launch_a_parameter,
    _pool_growth,
)


def _may_be_too_many(row: RowFact, kernel: KernelFact, gain: float) -> bool:
    """Whether a kernel that is no known indexing is worth a question."""
    return gain >= _NOTHING and kernel.seconds > _MOSTLY * row.busy and not REDUCING.search(kernel.name)


def _gain(pace: Pace, host: float = 0.0, work: float = 0.0) -> float:
    """The share of the step saved by that much less of the host's time and of the GPU's work."""
    hosts, works = (float(pace.host.sum()) if pace.host_known else 0.0), float(pace.work.sum())
    now, then = max(hosts, works), max(hosts - host if pace.host_known else 0.0, works - work)
    return min(1.0, max(0.0, 1 - then / now)) if now > 0 else 0.0


def _worth(gain: float) -> str:
    """What to add to a sentence about what mending gains; "" where that is not known."""
    if math.isnan(gain):
        return ""
    if gain < _NOTHING:
        return ", but mending it gains next to nothing at this batch"
    return f", and mending it gains up to {percent(gain)} of the step"


def _share(part: float, whole: Any) -> float:
    total = float(whole.sum())
    return part / total if total > 0 else 0.0


def _following(facts: Facts, scope: Scope) -> str:
    """What follows the lines of a row; "" for a backward that PyTorch does."""
    if scope.path in facts.modules and scope.phase == "backward":
        return ""
    return f"%%layertime --lines {scope.path if scope.phase == 'call' else label(scope)} {facts.model}"


def _depth(scope: Scope) -> int:
    return scope.path.count("/") + scope.path.count(".")


def _place(wait: WaitLine) -> str:
    if not wait.file:
        return "a thread without Python code"
    cell = "ipykernel" in wait.file or wait.file.startswith("<ipython")
    return f"line {wait.line} of a cell" if cell else f"{Path(wait.file).name}:{wait.line}"


def _times(number: float) -> str:
    return "once" if (text := count(number)) == "1" else f"{text} times"


def _bytes(number: float) -> str:
    size, unit = next(
        ((size, unit) for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")) if number >= size), (1, "B")
    )
    return f"{digits(number / size, 2)} {unit}"
