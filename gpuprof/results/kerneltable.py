"""Kernel records as figures of rows: busy, idle, launches of a call, and kernels by name."""

from __future__ import annotations

import math
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from gpuprof.judge.account import Account
from gpuprof.judge.busy import Gaps, busy_ns, gaps
from gpuprof.judge.steptimes import StepTimes
from gpuprof.record.calls import Calls
from gpuprof.record.clocks import Ints
from gpuprof.record.launches import OUTSIDE, Kernels
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


_figures_of: WeakKeyDictionary[Kernels, tuple[Account, dict[int, KernelFigures]]] = WeakKeyDictionary()


def kernel_figures(calls: Calls, account: Account, kernels: Kernels) -> dict[int, KernelFigures]:
    """By row, from the calls of the steps in which kernels alone were recorded; the first call left out, if others."""
    known = _figures_of.get(kernels)
    if known is None or known[0] is not account:
        known = _figures_of[kernels] = account, _figures(calls, account, kernels)
    return known[1]


def _figures(calls: Calls, account: Account, kernels: Kernels) -> dict[int, KernelFigures]:
    recorded = recorded_calls(calls, kernels)
    if not recorded.any():
        return {}
    call, busy = kernels["call"], busy_ns(kernels)
    idle = gaps(kernels, calls.parents)
    inside, held = call >= 0, idle.calls >= 0
    n = len(calls)
    of_call = {
        "busy": np.bincount(call[inside], busy[inside], n),
        "idle": np.bincount(idle.calls[held], idle.lengths[held], n),
        "launches": np.bincount(call[inside], minlength=n),
        "threads": _most(call[inside], kernels["threads"][inside], n),
    }
    found = {}
    for row in range(account.outside):
        of_row = np.flatnonzero(account.call_row == row)
        chosen = of_row[recorded[of_row]]
        if not len(chosen):
            continue
        later = chosen[chosen != of_row[0]] if len(chosen) > 1 else chosen
        found[row] = KernelFigures(
            float(np.median(of_call["busy"][later])) * 1e-3,
            float(np.median(of_call["idle"][later])) * 1e-3,
            float(of_call["launches"][later].mean()),
            float(of_call["threads"][chosen].max()),
        )
    return found | {account.outside: _outside(account, kernels, recorded, idle)}


def _outside(account: Account, kernels: Kernels, recorded: Any, idle: Gaps) -> KernelFigures:
    """The same of a step outside the calls; the first step left out, and the last, which no mark ends, if others."""
    every = np.unique(account.call_step[recorded])
    every = every[every >= 0]
    ends = [0, int(account.call_step.max(initial=0))]
    steps = next((s for s in (np.setdiff1d(every, ends), np.setdiff1d(every, [0])) if len(s)), every)
    if not len(steps):
        return KernelFigures()
    after = kernels["after"]
    counted = (after >= 0) & np.append(recorded, False)[after]
    step = np.where(counted, account.call_step[after], -1)
    chosen = np.flatnonzero(np.isin(step, steps) & (kernels["call"] == OUTSIDE))
    at = np.searchsorted(steps, step)
    gap = np.isin(step[idle.before], steps) & (idle.calls < 0)
    return KernelFigures(
        float(np.median(np.bincount(at[chosen], busy_ns(kernels)[chosen], len(steps)))) * 1e-3,
        float(np.median(np.bincount(at[idle.before[gap]], idle.lengths[gap], len(steps)))) * 1e-3,
        len(chosen) / len(steps),
        float(kernels["threads"][chosen].max(initial=0)),
    )


def busy_times(calls: Calls, account: Account, kernels: Kernels) -> StepTimes:
    """What the kernels of a call of each row ran in each step that was recorded; of "(outside)", those of no call.

    The first step is left out, and the last, which may be without its end.
    """
    recorded = recorded_calls(calls, kernels)
    steps = np.setdiff1d(account.call_step[recorded], [-1, 0, int(account.call_step.max(initial=0))])
    place = np.full(int(account.call_step.max(initial=0)) + 2, -1)
    place[steps] = np.arange(len(steps))
    of_call = np.where(recorded, place[account.call_step], -1)
    times, number = np.zeros((2, len(steps), len(account.rows)))
    np.add.at(number, (of_call[of_call >= 0], account.call_row[of_call >= 0]), 1)
    number[:, account.outside] = 1
    launcher, after = kernels["call"], kernels["after"]
    beside = (launcher == OUTSIDE) & (after >= 0)
    for chosen, owner in ((launcher >= 0, launcher), (beside, after)):
        step, row = of_call[owner[chosen]], account.call_row[owner[chosen]]
        row = row if owner is launcher else np.full(len(step), account.outside)
        np.add.at(times, (step[step >= 0], row[step >= 0]), busy_ns(kernels)[chosen][step >= 0] * 1e-9)
    return StepTimes(account.rows, np.where(number > 0, times, np.nan) / np.maximum(1, number), number)


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

    recorded = recorded_calls(calls, kernels)
    inside = np.flatnonzero(np.append(recorded, False)[np.maximum(kernels["call"], OUTSIDE)])
    row = account.call_row[kernels["call"][inside]]
    kinds, kind = np.unique(row * max(1, len(kernels.names)) + kernels["name"][inside], return_inverse=True)
    rows, names = np.divmod(kinds, max(1, len(kernels.names)))
    made = np.bincount(account.call_row[recorded], minlength=len(account.rows))[rows]
    table = pd.DataFrame(
        {
            "path": [account.rows[row].path for row in rows],
            "phase": [account.rows[row].phase for row in rows],
            "name": [kernels.names[name] for name in names],
            "launches": np.bincount(kind, minlength=len(kinds)) / made,
            "busy_us": np.bincount(kind, busy_ns(kernels)[inside], len(kinds)) * 1e-3 / made,
            **{n: _most(kind, kernels[n][inside], len(kinds)) for n in ("threads", "registers", "bytes")},
        }
    )
    return table.sort_values("busy_us", ascending=False, kind="stable").reset_index(drop=True)


def _most(group: Ints, values: Ints, number: int) -> Ints:
    """The largest value of each of so many groups; 0 for one without any."""
    most = np.zeros(number, dtype=np.int64)
    np.maximum.at(most, group, values)
    return most
