"""The smaller tables of a profile: memory, waits, hot lines, costs; and the facts that advice is given on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from gpuprof.judge.account import Account
from gpuprof.judge.cost import roof
from gpuprof.judge.findings import Facts, KernelFact, RowFact
from gpuprof.judge.layercost import roof_seconds
from gpuprof.judge.pace import Floats, Pace
from gpuprof.record.calls import Calls, Scope
from gpuprof.results.kerneltable import KernelFigures
from gpuprof.results.seen import Seen, Work

MEMORY_COLUMNS = (
    "path", "phase", "calls", "allocated_bytes", "allocations", "peak_bytes", "retained_bytes", "grown_bytes", "growths"
)  # fmt: skip
WAIT_COLUMNS = ("file", "line", "function", "source", "what", "api", "a_step", "cost_us", "longest_us", "bytes")
HOT_COLUMNS = ("file", "line", "function", "source", "launches", "busy_us", "share", "threads")
COST_COLUMNS = ("path", "phase", "flops", "bytes", "how", "dtype", "roof_us", "busy_us", "of_roof", "nearest")


def memory_table(calls: Calls, account: Account, seen: Seen) -> Any:
    """`Profile.memory`: means a call over the calls watched; a call's own figures hold those inside it."""
    import pandas as pd

    memory = seen.memory
    at = calls.positions(memory["call"])
    rows = np.where(at >= 0, account.call_row[np.maximum(at, 0)] if len(calls) else -1, -1)
    found = []
    for row in np.unique(rows[rows >= 0]):
        chosen = rows == row
        peak = memory["peak"][chosen]
        means = {name: float(memory[name][chosen].mean()) for name in memory if name not in ("call", "peak")}
        found.append(
            (
                *account.rows[row],
                int(chosen.sum()),
                means["allocated"],
                means["allocations"],
                float(peak.max()) if (peak >= 0).all() else math.nan,
                means["retained"],
                means["grown"],
                means["growths"],
            )
        )
    return pd.DataFrame(found, columns=list(MEMORY_COLUMNS))


def wait_table(seen: Seen) -> Any:
    """`Profile.waits`: a row a line and kind, the dearest first; a step's."""
    import pandas as pd

    steps = max(1, seen.inspected)
    rows = [
        (
            *(wait.file, wait.line, wait.function, wait.source, wait.kind, wait.api),
            wait.times / steps,
            wait.seconds / steps * 1e6,
            wait.longest * 1e6,
            wait.bytes / steps,
        )
        for wait in seen.waits
    ]
    return pd.DataFrame(rows, columns=list(WAIT_COLUMNS))


def hot_table(seen: Seen) -> Any:
    """`Profile.hot`: a row a line, the longest first; a step's."""
    import pandas as pd

    steps, total = max(1, seen.hot_steps), sum(line.seconds for line in seen.hot)
    rows = [
        (
            *(line.file, line.line, line.function, line.source),
            line.launches / steps,
            line.seconds / steps * 1e6,
            line.seconds / total if total else math.nan,
            line.threads,
        )
        for line in seen.hot
    ]
    return pd.DataFrame(rows, columns=list(HOT_COLUMNS))


def roofs(rows: tuple[Scope, ...], seen: Seen, busy: Mapping[int, KernelFigures]) -> Floats:
    """The least seconds a call of each row takes at the device's ceilings; NaN where its cost is not known."""
    found = np.full(len(rows), math.nan)
    for number, scope in enumerate(rows):
        work = _work(scope, seen)
        if work and seen.ceilings and number in busy:
            found[number] = roof_seconds(work.cost, work.dtype, seen.ceilings)
    return found


def cost_table(rows: tuple[Scope, ...], seen: Seen, busy: Mapping[int, KernelFigures]) -> Any:
    """`Profile.costs`."""
    import pandas as pd

    found = []
    for number, scope in enumerate(rows):
        work = _work(scope, seen)
        if work is None or (work.cost.bytes is None and work.cost.flops is None and not work.cost.how):
            continue
        took = busy[number].busy_us * 1e-6 if number in busy else math.nan
        least = roof_seconds(work.cost, work.dtype, seen.ceilings) if seen.ceilings else math.nan
        nearest = roof(work.cost, took, work.dtype, seen.ceilings).sentence if seen.ceilings and took > 0 else ""
        found.append(
            (
                *scope,
                *(math.nan if value is None else value for value in (work.cost.flops, work.cost.bytes)),
                work.cost.how,
                work.dtype,
                least * 1e6,
                took * 1e6,
                least / took if took > 0 else math.nan,
                nearest,
            )
        )
    return pd.DataFrame(found, columns=list(COST_COLUMNS))


def facts(
    account: Account, pace: Pace, table: Any, seen: Seen, kernel_table: Any, memory: Any, model: str = ""
) -> Facts:
    """What advice is given on."""
    figures = {(row.path, row.phase): row for row in table.itertuples()}
    grown = {(row.path, row.phase): row.grown_bytes for row in memory.itertuples()}
    steps = max(1, account.steps)
    by_row: dict[tuple[str, str], list[KernelFact]] = {}
    for each in kernel_table.itertuples():
        fact = KernelFact(each.name, each.launches, each.busy_us * 1e-6, each.threads)
        by_row.setdefault((each.path, each.phase), []).append(fact)
    found = []
    for scope in account.rows:
        key, work = (scope.path, scope.phase), _work(scope, seen)
        row = figures[key]
        found.append(
            RowFact(
                scope=scope,
                calls_a_step=row.calls / steps,
                busy=row.busy_us * 1e-6,
                launches=row.launches,
                threads=row.threads,
                elements=work.elements if work else 0,
                dtype=work.dtype if work else "",
                grown=grown.get(key, math.nan),
                kernels=tuple(by_row.get(key, ())),
            )
        )
    modules = frozenset(seen.modules)
    return Facts(pace, tuple(found), seen.waits, seen.inspected, seen.parameters, modules, model or "lm")


def _work(scope: Scope, seen: Seen) -> Work | None:
    """What a row's call has to do; an evaluation or a recomputation is a forward."""
    forward = Scope(scope.path, "forward") if scope.phase in ("evaluate", "recompute") else scope
    return seen.work.get(forward)
