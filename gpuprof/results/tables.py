"""The tables of a profile: rows a (path, phase), a call, a kernel, and a kernel's name."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from gpuprof.judge import division
from gpuprof.judge.account import OUTSIDE, Account
from gpuprof.judge.busy import busy_ns
from gpuprof.judge.pace import Floats, Pace
from gpuprof.judge.stats import median_interval
from gpuprof.record.calls import Calls
from gpuprof.record.clocks import MISSING, Ints
from gpuprof.record.schedule import Mode
from gpuprof.record.tape import NOTED, RAISED
from gpuprof.results.kerneltable import KernelFigures, kernel_figures
from gpuprof.results.seen import Seen

COLUMNS = (
    "path", "layer", "phase", "calls", "first_ms", "total_ms", "mean_us", "median_us", "low_us", "high_us",
    "host_us", "span_us", "busy_us", "idle_us", "launches", "threads", "share", "gain", "gpu_gain", "roof_gain",
    "clock",
)  # fmt: skip
_FROM_KERNELS = ("busy_us", "idle_us", "launches", "threads")


def layer_table(calls: Calls, account: Account, pace: Pace, clock: str, seen: Seen, roofs: Floats) -> Any:
    """`Profile.table`; `roofs` has the least seconds that the device could take for a call of each row, or NaN."""
    import pandas as pd

    kernels = kernel_figures(calls, account, seen.kernels)
    modes = _modes(calls)
    timed = [*(_called(calls, account, chosen, *modes) for chosen in _by_row(account)), _outside(account)]
    means = np.array([each.own.mean() if len(each.own) else math.nan for each in timed])
    firsts = np.array([math.nan if each.first is None else each.first for each in timed])
    totals, shares = (find(account, division.Each(means, firsts)) for find in (division.totals, division.shares))
    rows = []
    for number, (path, phase) in enumerate(account.rows):
        first, samples, host, span, count = timed[number]
        stepping = phase != "evaluate" and pace.steps > 0
        interval = median_interval(samples)
        own = kernels.get(number, KernelFigures())
        rows.append(
            {
                "path": path,
                "layer": path.rpartition("/")[2],
                "phase": phase,
                "calls": count + account.left_out.calls.get((path, phase), 0),
                "first_ms": math.nan if first is None else first * 1e-6,
                "total_ms": totals[number] * 1e-6,
                "mean_us": means[number] * 1e-3,
                "median_us": interval.median * 1e-3,
                "low_us": interval.low * 1e-3,
                "high_us": interval.high * 1e-3,
                "host_us": float(np.median(host)) * 1e-3 if len(host) else math.nan,
                "span_us": float(np.median(span)) * 1e-3 if len(span) and calls.on_device else math.nan,
                "busy_us": own.busy_us,
                "idle_us": own.idle_us,
                "launches": own.launches,
                "threads": own.threads,
                "share": shares[number],
                "gain": pace.without(number) if stepping else math.nan,
                "gpu_gain": pace.without(number, host=False) if stepping and calls.on_device else math.nan,
                "roof_gain": pace.at_roof(number, roofs[number]) if stepping else math.nan,
                "clock": clock,
            }
        )
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    last = (table["path"] == OUTSIDE.path).rename("last")
    order = pd.concat([last, -table["gain"].fillna(-1), -table["total_ms"]], axis=1)
    table = table.loc[order.sort_values(list(order.columns), kind="stable").index].reset_index(drop=True)
    table.attrs["passes"] = _passes(calls, modes[0], bool(len(seen.kernels)))
    return table


def _modes(calls: Calls) -> tuple[int | None, int]:
    """The modes of the steps from which host times and the device's times are taken: the purest there are.

    None for the host where all steps were watched in a way that slows it.
    """
    there = set(np.unique(calls["mode"]).tolist())
    host = next((int(mode) for mode in (Mode.PLAIN, Mode.EVENTS) if int(mode) in there), None)
    if not calls.on_device:
        host = int(Mode.EVENTS) if int(Mode.EVENTS) in there else next(iter(there), None)
    marked = [int(mode) for mode in (Mode.EVENTS, Mode.EVENTS | Mode.RECORDS) if int(mode) in there]
    others = [mode for mode in sorted(there) if mode & int(Mode.EVENTS)]
    return host, next(iter([*marked, *others]), int(Mode.EVENTS))


def _passes(calls: Calls, host_mode: int | None, kernels: bool) -> dict[str, str]:
    """The pass each measured column comes from; "" where none of that kind was made."""
    measured = [name for name in COLUMNS if name.endswith(("_ms", "_us", "gain")) or name in ("share", "threads")]
    events = "events" if calls.on_device else "host"
    passes = dict.fromkeys([*measured, "launches"], events)
    plain = "" if host_mode is None else "plain" if host_mode == Mode.PLAIN else events
    return passes | {"host_us": plain} | dict.fromkeys(_FROM_KERNELS, "kernels" if kernels else "")


def call_table(calls: Calls, account: Account) -> Any:
    """`Profile.calls`: a row a call in the order they began; times in µs from the log's opening, by the host."""
    import pandas as pd

    rows = account.rows
    start, end, own = (column.astype(float) for column in (calls["start"], calls["end"], account.call_own_ns))
    for column, whole in ((start, calls["start"]), (end, calls["end"]), (own, account.call_own_ns)):
        column[whole == MISSING] = math.nan
    absent = np.full(len(calls), math.nan)
    return pd.DataFrame(
        {
            "call": calls["call"],
            "parent": calls["parent"],
            "path": [rows[row].path for row in account.call_row],
            "phase": [rows[row].phase for row in account.call_row],
            "step": account.call_step,
            "thread": calls["thread"],
            "device": calls["device"],
            "stream": calls["stream"],
            "shape": [calls.shapes[shape] if shape >= 0 else () for shape in calls["shape"]],
            "host_start_us": (calls["host_start"] - calls.host_window[0]) * 1e-3,
            "host_us": np.where(calls["status"] == NOTED, math.nan, (calls["host_end"] - calls["host_start"]) * 1e-3),
            "start_us": (start - calls.host_window[0]) * 1e-3 if calls.on_device else absent,
            "span_us": (end - start) * 1e-3 if calls.on_device else absent,
            "own_us": own * 1e-3,
            "status": np.array(["returned", "raised", "noted"], dtype=object)[calls["status"]],
            "mode": calls["mode"],
        }
    )


def _by_row(account: Account) -> list[Ints]:
    """The calls of each row but `OUTSIDE`."""
    order = np.argsort(account.call_row, kind="stable")
    return np.split(order, np.cumsum(np.bincount(account.call_row, minlength=account.outside))[:-1])


class _Timed(NamedTuple):
    """A row's first call's own time, the others' own times, their host times and spans, ns; the number of calls.

    A single call is both: the first, and the only sample there is. Calls that raised are among the samples where no
    others are.
    """

    first: int | None
    own: Ints
    host: Ints
    span: Ints
    calls: int


def _called(calls: Calls, account: Account, chosen: Ints, host_mode: int | None, marked_mode: int) -> _Timed:
    rest = chosen[1:] if len(chosen) > 1 else chosen
    rest = rest[calls["status"][rest] != NOTED]
    returned = rest[calls["status"][rest] != RAISED]
    rest = returned if len(returned) else rest  # how long a call takes is not told by one that was broken off
    own, modes = account.call_own_ns, calls["mode"]
    marked = rest[own[rest] != MISSING]
    samples = marked[modes[marked] == marked_mode]
    samples = samples if len(samples) else marked
    host = rest[modes[rest] == host_mode] if host_mode is not None else rest[:0]
    if not len(host) and host_mode is not None:  # an evaluation, say, is never plain
        host = rest[modes[rest] & ~int(Mode.TURNING) == int(Mode.EVENTS)]
    first = int(own[chosen[0]]) if len(chosen) > 1 and own[chosen[0]] != MISSING else None
    host_times = calls["host_end"][host] - calls["host_start"][host]
    return _Timed(first, own[samples], host_times, calls["end"][samples] - calls["start"][samples], len(chosen))


def _outside(account: Account) -> _Timed:
    """The same for what lay outside the layers, with steps for calls: the first step includes what came before it."""
    outside = account.row == account.outside
    spans, hosts = account.spans, account.host_own
    nothing = np.zeros(0, dtype=np.int64)
    last = int(account.step.max(initial=0))
    if last < 1:
        found = spans[outside][:-1]
        return _Timed(None, found, hosts[outside][:-1], nothing, len(found))
    used = np.setdiff1d(account.marked_steps(), [0])
    used = used if len(used) else np.arange(1, last + 1)
    later = outside & np.isin(account.step, used)
    first = int(spans[outside & (account.step <= 0)][:-1].sum())
    samples, host = (
        np.bincount(account.step[later], values[later], minlength=last + 1)[used].astype(np.int64)
        for values in (spans, hosts)
    )
    return _Timed(first, samples, host, nothing, account.steps)


def kernel_table(calls: Calls, account: Account, seen: Seen) -> Any:
    """`Profile.kernels`: a row a kernel, copy or fill, in the order they began; µs from the log's opening.

    call: the number of the call that launched it; -1 for none, -2 where that cannot be told.
    """
    import pandas as pd

    kernels = seen.kernels
    call = kernels["call"]
    rows = np.append(account.call_row, [len(account.rows), account.outside])[call]
    steps = np.append(account.call_step, -1)[kernels["after"]]
    paths = [*(scope.path for scope in account.rows), "(unknown)"]
    phases = [*(scope.phase for scope in account.rows), ""]
    return pd.DataFrame(
        {
            "name": pd.Categorical.from_codes(kernels["name"], list(kernels.names)),
            "path": _labels(rows, paths),
            "phase": _labels(rows, phases),
            "step": steps,
            "call": np.concatenate([calls["call"], [-2, -1]])[call],
            "device": kernels["device"],
            "stream": kernels["stream"],
            "start_us": (kernels["start"] - calls.host_window[0]) * 1e-3,
            "span_us": (kernels["end"] - kernels["start"]) * 1e-3,
            "busy_us": busy_ns(kernels) * 1e-3,
            "threads": kernels["threads"],
            "registers": kernels["registers"],
            "bytes": kernels["bytes"],
        }
    )


def _labels(rows: Ints, texts: list[str]) -> Any:
    """A column of these texts, each stored once."""
    import pandas as pd

    known = {text: code for code, text in enumerate(dict.fromkeys(texts))}
    codes = np.array([known[text] for text in texts], dtype=np.int64)
    return pd.Categorical.from_codes(codes[rows], list(known))
