"""The tables of a profile: rows a (path, phase), and rows a call."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuprof.judge.account import OUTSIDE, Account
from gpuprof.judge.pace import Floats, Pace
from gpuprof.judge.stats import median_interval
from gpuprof.record.clocks import Ints
from gpuprof.record.log import RAISED, Calls

COLUMNS = (
    "path", "layer", "phase", "calls", "first_ms", "total_ms", "mean_us", "median_us", "low_us", "high_us",
    "host_us", "span_us", "busy_us", "idle_us", "launches", "share", "gain", "gpu_gain", "clock",
)  # fmt: skip
KERNEL_COLUMNS = ("name", "path", "phase", "step", "device", "stream", "start_us", "busy_us")


def layer_table(calls: Calls, account: Account, pace: Pace, clock: str) -> Any:
    """`Profile.table`."""
    import pandas as pd

    shares = _shares(account)
    totals = _sums(account, np.ones(len(account.row), dtype=bool))
    rows = []
    for number, (path, phase) in enumerate(account.rows):
        if number == account.outside:
            first, samples, host, span = _outside(account)
        else:
            first, samples, host, span = _called(calls, account, number)
        stepping = phase != "evaluate" and pace.steps > 0
        interval = median_interval(samples)
        rows.append(
            {
                "path": path,
                "layer": path.rpartition("/")[2],
                "phase": phase,
                "calls": len(samples) + (first is not None),
                "first_ms": math.nan if first is None else first * 1e-6,
                "total_ms": float(totals[number]) * 1e-6,
                "mean_us": float(samples.mean()) * 1e-3 if len(samples) else math.nan,
                "median_us": interval.median * 1e-3,
                "low_us": interval.low * 1e-3,
                "high_us": interval.high * 1e-3,
                "host_us": float(np.median(host)) * 1e-3 if len(host) else math.nan,
                "span_us": float(np.median(span)) * 1e-3 if len(span) and calls.on_device else math.nan,
                "busy_us": math.nan,
                "idle_us": math.nan,
                "launches": math.nan,
                "share": shares[number],
                "gain": pace.without(number) if stepping else math.nan,
                "gpu_gain": pace.without(number, host=False) if stepping and calls.on_device else math.nan,
                "clock": clock,
            }
        )
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    last = (table["path"] == OUTSIDE.path).rename("last")
    order = pd.concat([last, -table["gain"].fillna(-1), -table["total_ms"]], axis=1)
    table = table.loc[order.sort_values(list(order.columns), kind="stable").index].reset_index(drop=True)
    table.attrs["passes"] = _passes("events" if calls.on_device else "host")
    return table


def _passes(events: str) -> dict[str, str]:
    """The pass each measured column comes from; "" where none of that kind was made."""
    measured = [name for name in COLUMNS if name.endswith(("_ms", "_us")) or name in ("share", "gain", "gpu_gain")]
    kernels = ("busy_us", "idle_us", "launches")
    return {name: "" if name in kernels else events for name in [*measured, "launches"]}


def call_table(calls: Calls, account: Account) -> Any:
    """`Profile.calls`: a row a call in the order they began; times in µs from the log's opening."""
    import pandas as pd

    scopes = [account.rows[row] for row in account.call_row]
    absent = np.full(len(calls), math.nan)
    on_device = calls.on_device
    return pd.DataFrame(
        {
            "call": calls["call"],
            "parent": calls["parent"],
            "path": [scope.path for scope in scopes],
            "phase": [scope.phase for scope in scopes],
            "step": account.call_step,
            "thread": calls["thread"],
            "device": calls["device"],
            "stream": calls["stream"],
            "shape": [calls.shapes[shape] if shape >= 0 else () for shape in calls["shape"]],
            "host_start_us": (calls["host_start"] - calls.host_window[0]) * 1e-3,
            "host_us": (calls["host_end"] - calls["host_start"]) * 1e-3,
            "start_us": (calls["start"] - calls.window[0]) * 1e-3 if on_device else absent,
            "span_us": (calls["end"] - calls["start"]) * 1e-3 if on_device else absent,
            "own_us": account.call_own_ns * 1e-3,
            "status": np.where(calls["status"] == RAISED, "raised", "returned"),
        }
    )


def _called(calls: Calls, account: Account, row: int) -> tuple[int | None, Ints, Ints, Ints]:
    """The first call's own time, the others' own times, their host times and spans, ns.

    A single call is both: the first, and the only sample there is.
    """
    chosen = np.flatnonzero(account.call_row == row)
    rest = chosen[1:] if len(chosen) > 1 else chosen
    own = account.call_own_ns
    host, span = calls["host_end"] - calls["host_start"], calls["end"] - calls["start"]
    first = int(own[chosen[0]]) if len(chosen) > 1 else None
    return first, own[rest], host[rest], span[rest]


def _outside(account: Account) -> tuple[int | None, Ints, Ints, Ints]:
    """The same for what lay outside the layers, with steps for calls: the first step includes what came before it."""
    outside = account.row == account.outside
    spans, hosts = account.spans, account.host_own
    nothing = np.zeros(0, dtype=np.int64)
    last = int(account.step.max(initial=0))
    if last < 1:
        return None, spans[outside][:-1], hosts[outside][:-1], nothing
    later = outside & (account.step > 0)
    first = int(spans[outside & (account.step <= 0)][:-1].sum())
    samples, host = (
        np.bincount(account.step[later], values[later], minlength=last + 1)[1:].astype(np.int64)
        for values in (spans, hosts)
    )
    return first, samples, host, nothing


def _shares(account: Account) -> Floats:
    """Each row's share of the log's time, without the first step and what came before it where there are others."""
    later = account.step > 0
    sums = _sums(account, later if later.any() else np.ones(len(later), dtype=bool))
    return np.asarray(sums / max(1.0, float(sums.sum())))


def _sums(account: Account, counted: NDArray[np.bool_]) -> Floats:
    """The time of each row in the segments counted, ns."""
    return np.bincount(account.row[counted], account.spans[counted], len(account.rows)).astype(float)
