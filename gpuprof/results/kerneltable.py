"""Kernel records as figures of rows: busy, idle, launches of a call, and kernels by name."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from gpuprof.judge.account import Account
from gpuprof.judge.busy import busy_ns, gaps
from gpuprof.record.clocks import Ints
from gpuprof.record.launches import OUTSIDE, Kernels
from gpuprof.record.log import Calls
from gpuprof.record.schedule import KERNELS, Mode


class KernelFigures(NamedTuple):
    """Of one call of a row (of a step, for what was launched outside); NaN where there are no records."""

    busy_us: float = math.nan
    """Median."""
    idle_us: float = math.nan
    """Median of the gaps between its own kernels."""
    launches: float = math.nan
    """Mean: a whole number where every call launches the same."""
    threads: float = math.nan
    """The most of one kernel."""


def kernel_figures(calls: Calls, account: Account, kernels: Kernels) -> dict[int, KernelFigures]:
    """By row, from the calls of the steps in which kernels alone were recorded; the first call left out, if others."""
    if not len(kernels):
        return {}
    recorded = recorded_calls(calls, kernels)
    if not recorded.any():
        return {}
    call, busy = kernels["call"], busy_ns(kernels)
    idle, holders = gaps(kernels, calls.parents)
    inside, held = call >= 0, holders >= 0
    n = len(calls)
    of_call = {
        "busy": np.bincount(call[inside], busy[inside], n),
        "idle": np.bincount(holders[held], idle[held], n),
        "launches": np.bincount(call[inside], minlength=n),
    }
    threads = np.zeros(n, dtype=np.int64)
    np.maximum.at(threads, call[inside], kernels["threads"][inside])
    found = {}
    for row in range(account.outside):
        chosen = np.flatnonzero(recorded & (account.call_row == row))
        if not len(chosen):
            continue
        first = np.flatnonzero(account.call_row == row)[0]
        later = chosen[chosen != first] if len(chosen) > 1 else chosen
        found[row] = KernelFigures(
            float(np.median(of_call["busy"][later])) * 1e-3,
            float(np.median(of_call["idle"][later])) * 1e-3,
            float(of_call["launches"][later].mean()),
            float(threads[chosen].max()),
        )
    steps = max(1, len(np.unique(account.call_step[recorded])))
    outside = call == OUTSIDE
    found[account.outside] = KernelFigures(
        float(busy[outside].sum()) * 1e-3 / steps,
        float(idle[~held].sum()) * 1e-3 / steps,
        float(outside.sum()) / steps,
        float(kernels["threads"][outside].max(initial=0)),
    )
    return found


def recorded_calls(calls: Calls, kernels: Kernels) -> Any:
    """Which calls were made while kernels alone were recorded; with nothing else, those with lines followed too."""
    for mode in (KERNELS, KERNELS | Mode.LINES, KERNELS | Mode.INSPECT, KERNELS | Mode.LINES | Mode.INSPECT):
        chosen = calls["mode"] == int(mode)
        if chosen.any() and len(kernels):
            return chosen
    return np.zeros(len(calls), dtype=bool)


def by_name(calls: Calls, account: Account, kernels: Kernels) -> Any:
    """A DataFrame with a row for each row's kernels of one name: launches and busy_us a call, threads, registers."""
    import pandas as pd

    columns = ["path", "phase", "name", "launches", "busy_us", "threads", "registers", "bytes"]
    recorded = recorded_calls(calls, kernels)
    call = kernels["call"]
    inside = call >= 0
    inside[inside] = recorded[call[inside]]
    rows = account.call_row[call[inside]] if inside.any() else np.zeros(0, dtype=np.int64)
    busy = busy_ns(kernels)[inside]
    names = kernels["name"][inside]
    found = []
    for row in np.unique(rows):
        calls_of = int((recorded & (account.call_row == row)).sum())
        for name in np.unique(names[rows == row]):
            chosen = (rows == row) & (names == name)
            found.append(
                (
                    *account.rows[row],
                    kernels.names[name],
                    float(chosen.sum()) / calls_of,
                    float(busy[chosen].sum()) * 1e-3 / calls_of,
                    *(_most(kernels[column][inside][chosen]) for column in ("threads", "registers", "bytes")),
                )
            )
    table = pd.DataFrame(found, columns=columns)
    return table.sort_values("busy_us", ascending=False, kind="stable").reset_index(drop=True)


def _most(values: Ints) -> int:
    return int(values.max(initial=0))
