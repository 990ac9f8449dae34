"""What a profile says beside its figures: warnings, what could not be had, and the small print."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gpuprof.record.calls import Calls
from gpuprof.record.clocks import Ints
from gpuprof.record.schedule import Mode
from gpuprof.record.tape import RAISED
from gpuprof.results.seen import Seen
from gpuprof.units import count, percent, several

_NOTICED_NS = 50_000  # a cell of microseconds has some that no mark can hold


def machine(about: Mapping[str, str], clock: str) -> str:
    """The GPU, or, where the host alone was timed, the processor; "" where that is not known."""
    return about.get("processor" if clock == "host clock" else "gpu", "")


def warnings(log: Calls, seen: Seen, closure: float, ended_by: str) -> list[str]:
    """What the reader must know before trusting the figures."""
    raised = int((log["status"] == RAISED).sum()) + log.left_out.raised
    lost = log.lost + log.left_out.lost
    devices = np.unique(log["device"][log["device"] >= 0])  # -1: a call that was not marked, or had no device
    unknown, dropped = seen.kernels.unknown, seen.kernels.dropped
    threads = _threads(log, seen)
    missed = closure > 0.02 and closure * (log.host_window[2] - log.host_window[0]) > _NOTICED_NS
    records = several(dropped, "kernel record was", "kernel records were")
    found = [
        (bool(ended_by), f"The cell ended early ({ended_by}); this is what was measured until then."),
        (
            bool(raised),
            f"Calls that raised: {raised}. They are in the totals; medians are of those that returned.",
        ),
        (bool(log.failure), f"CUDA reported an error, and later marks could not be read: {log.failure}"),
        (lost > 0, f"{several(lost, 'call is', 'calls are')} left out: events could not be read."),
        (bool(seen.all_kept), f"All calls of a long run were kept, for leaving some out failed: {seen.all_kept}"),
        (
            unknown > 0,
            f"In no row: {several(unknown, 'kernel')} launched by threads that could not be told apart, or in a region "
            "never left.",
        ),
        (
            bool(seen.replaced),
            f"At the end {', '.join(seen.replaced)} had gone, or another layer stood there: its calls are outside.",
        ),
        (dropped > 0, f"{records} dropped: busy and launches may be too low."),
        (threads > 1, f"Calls came from {threads} threads; an instant is of the one begun last of those open then."),
        (len(devices) > 1, f"Calls ran on {len(devices)} devices; their times lie on one axis here, side by side."),
        (len(log) > 0 and not log.failure and missed, f"The rows miss the wall clock by {percent(closure)}."),
    ]
    return [text for holds, text in found if holds]


def missing(log: Calls, seen: Seen) -> list[str]:
    """What could not be had of what a GPU has to tell, and of what modules are made of, and why."""
    found = [f"{each}." for each in seen.untold]
    if not log.on_device:  # then nothing is missed, unless it was asked for
        return [*found, f"GPU busy and idle, launches and hot lines ({seen.no_records})."] if seen.no_records else found
    why = seen.no_records or "the cell was too short for kernel records; --kernels takes them from the first step on"
    found += [f"GPU busy and idle, launches ({why})."] if not len(seen.kernels) else []
    return [*found, f"where the host waits for the GPU ({seen.no_waits})."] if seen.no_waits else found


def _threads(log: Calls, seen: Seen) -> int:
    """How many threads called layers; those on which PyTorch runs its backward call none."""
    modules, phases = set(seen.modules), ("backward", "recompute")
    own = np.array([scope.path in modules and scope.phase in phases for scope in log.scopes], dtype=bool)
    return len(np.unique(log["thread"][~own[log["scope"]]])) if len(log) else 0


def passes(clock: str, modes: Ints, on_device: bool) -> list[str]:
    """The clocks, in how many of the steps: "CUDA events (1 step in 2) + CUPTI kernels (1 step in 75)"; all steps."""
    steps = several(len(modes), "step")
    if not on_device:
        return [f"{clock}: no GPU in use, so this is host time, not GPU time", steps]
    recorded = int(((modes > 0) & (modes & int(Mode.RECORDS) > 0)).sum())
    marked = int((modes == int(Mode.EVENTS)).sum())
    parts = [clock + _one_in(len(modes), marked) if marked or not recorded else ""]
    parts += [f"CUPTI kernels{_one_in(len(modes), recorded)}"] if recorded else []
    return [" + ".join(filter(None, parts)), steps]


def inactive(seen: Seen, modes: Ints) -> list[str]:
    """That no step was active, where a schedule was asked for; `modes` are those of all steps."""
    if not seen.schedule or not bool(((modes >= 0) & (modes & int(Mode.TURNING) > 0)).all()):
        return []
    before = several(sum(seen.schedule[:2]), "step")
    return [
        f"No active step came: the schedule skips and warms up for {before}, and there were {len(modes)}. The figures "
        "are of these."
    ]


def chosen(log: Calls, seen: Seen, modes: Ints) -> list[str]:
    """Which of the steps are measured, and which are kept, where that is not all of them; `modes` are of all steps."""
    found, steps = [], len(modes)
    if seen.schedule:
        skip, warmup, active, repeat = seen.schedule
        often = several(repeat, "time") if repeat else "again and again"
        measured = count(int(((modes >= 0) & (modes & int(Mode.TURNING) == 0)).sum()))
        found.append(f"schedule: skip {skip}, warm up {warmup}, measure {active}, {often}: {measured} steps")
    if left := log.left_out.steps:
        kept = f"{count(steps - left)} of {several(steps, 'step')}"
        found.append(f"kept whole: {kept}, drawn at random; calls and totals are of all")
    return found


def first_calls(first_ms: float) -> str:
    """What the first calls took that no interval holds; "" where that is little."""
    return f"first calls apart: {first_ms:.0f} ms" if first_ms >= 1 else ""


def _one_in(steps: int, measured: int) -> str:
    """How many of the steps were measured so; "" for all."""
    if measured in (0, steps):
        return ""
    return f" (1 step in {steps / measured:.0f})" if steps >= 1.5 * measured else f" ({measured} of {steps} steps)"
