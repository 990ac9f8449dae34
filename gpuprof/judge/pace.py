"""Two clocks: the pace of the host that issues work and of the device that does it, and what each row costs both.

Events show when the device passed a mark, not whether it worked or waited before. But a mark that the device
passed later than the host took it shows that work was queued, so up to there the device was busy; a mark passed
as soon as it was taken shows that the device had nothing left to do. From this follows, for each segment, the
least the device can have worked, with no synchronising and no kernel records; where there are such, they tell.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuprof.judge.account import Account
from gpuprof.judge.busy import busy_ns
from gpuprof.record.calls import Calls
from gpuprof.record.clocks import Ints
from gpuprof.record.launches import UNKNOWN, Kernels
from gpuprof.record.schedule import KERNELS, Mode

Floats = NDArray[np.float64]

_CLOSE_NS = 2_000
_AMISS = 0.1  # of a step: where rows' medians come to less or more than it by this, they are no typical step
_CAUGHT_UP_NS = 20_000  # a device this little behind the host counts as having caught up


@dataclass(frozen=True)
class Pace:
    """A typical step. Times are seconds; the arrays have a value for each row of the account, and add up."""

    steps: int
    """How many steps it is taken from; 0 where the log has none."""
    first_included: bool
    """True where the only step is the first, with its compiling."""
    step: float
    """Its length as measured, with the profiler on."""
    own: float
    """Host time of it that the profiler's own code took."""
    host: Floats
    """The host's own time, waiting for the device left out where that shows."""
    work: Floats
    """What the device worked, by kernel records; without them the least it can have worked."""
    waited: float
    """Host time a step that went by while the device finished its queue."""
    host_known: bool
    """False where a long queue held the host up in every step, so that its own pace did not show."""
    on_device: bool
    launches: Floats | None = None
    """Kernels and copies by kernel records; None without them, and then `work` is a least."""

    @property
    def work_known(self) -> bool:
        """Whether `work` is what kernel records say, and not only a least."""
        return self.launches is not None

    @property
    def bound(self) -> str:
        """What sets the step's length: "host" (it issues more slowly than the device works) or "device"."""
        work = float(self.work.sum())
        return "device" if self.on_device and (not self.host_known or work > float(self.host.sum())) else "host"

    @property
    def plain(self) -> float:
        """The step's length without the profiler's own code, where the host sets it; else as measured."""
        return self.step - self.own if self.bound == "host" else self.step

    def without(self, *rows: int, host: bool = True) -> float:
        """The share of the step saved if `rows` took no time: max(host, device) with and without them.

        With host=False only their work on the device goes, and the host issues it as before: at least this much,
        for the device's work is only known where it lagged behind the host.
        """
        hosts = float(self.host.sum()) if self.host_known else 0.0
        works = float(self.work.sum())
        now = max(hosts, works)
        saved_host = sum(float(self.host[row]) for row in rows) if host and self.host_known else 0.0
        then = max(hosts - saved_host, works - sum(float(self.work[row]) for row in rows))
        return min(1.0, max(0.0, 1 - then / now)) if now > 0 else 0.0

    def at_roof(self, row: int, seconds: float) -> float:
        """The share of the step saved if the device took only `seconds` for `row`; NaN where that is not known."""
        if math.isnan(seconds) or not self.work_known:
            return math.nan
        hosts = float(self.host.sum()) if self.host_known else 0.0
        works = float(self.work.sum())
        now, then = max(hosts, works), max(hosts, works - max(0.0, float(self.work[row]) - seconds))
        return max(0.0, 1 - then / now) if now > 0 else 0.0


def pace(calls: Calls, account: Account, kernels: Kernels | None = None) -> Pace:
    """The typical step of a log; its work from kernel records where there are any.

    Steps with an evaluation in them are left out, and so are the first step and the last (no mark ends it), where
    others remain. Of the rest each row's median is taken; where rows are missing from some steps (an update every
    fourth step), the mean. The mean, too, on the host clock where the rows' medians do not come to the step's (each
    step was held up, now in one row and now in another). On a GPU the host's times come from the steps that found the
    device's queue at most half as long as it ever was: a full queue (about a thousand launches) makes the host wait in
    whatever layer it has come to.
    """
    used, first_included = _typical_steps(account)
    if not len(used):
        nothing = np.zeros(len(account.rows))
        return Pace(0, False, 0.0, 0.0, nothing, nothing, 0.0, True, calls.on_device)
    typical = _typical(_by_step(account, np.ones(len(account.row), dtype=np.int64), used) > 0)
    spans = account.spans
    hosts = account.host_own
    logging = np.maximum(0, account.host_end - account.host_begin - hosts)
    own = float(typical(_by_step(account, logging, used).sum(axis=1))) * 1e-9
    step = float(typical(_by_step(account, spans, used).sum(axis=1))) * 1e-9
    if not calls.on_device:
        # what turns at lines cost lies in some of the steps: a typical one must not be called longer for it
        each = _by_step(account, hosts, used)
        if abs(np.median(each, axis=0).sum() - (middle := np.median(each.sum(axis=1)))) > _AMISS * middle:
            typical = np.mean
        host = typical(each, axis=0) * 1e-9
        step = float(typical(each.sum(axis=1))) * 1e-9 + own
        return Pace(len(used), first_included, step, own, host, np.zeros_like(host), 0.0, True, False)
    lag_begin, lag_end = _lags(calls, account)
    waits = _waits(account, used, hosts + logging, lag_begin, lag_end)
    free = used[_queue_short(account, used)]
    work = np.clip(np.minimum(lag_end, spans), 0, None)
    host = typical(_by_step(account, np.maximum(0, hosts - waits), free), axis=0) * 1e-9
    queued = float(np.median(_least_lag(account, used, lag_begin))) * 1e-9
    recorded = work_of_a_step(account, kernels) if kernels is not None else None
    return Pace(
        steps=len(used),
        first_included=first_included,
        step=step,
        own=own,
        host=host,
        work=recorded[0] if recorded else typical(_by_step(account, work, used), axis=0) * 1e-9,
        waited=float(typical(_by_step(account, waits, free).sum(axis=1))) * 1e-9,
        # held up by a full queue: as slow as the device, which yet never catches up all step long
        host_known=not (float(host.sum()) > 0.97 * step and queued > 0.1 * step),
        on_device=True,
        launches=recorded[1] if recorded else None,
    )


def work_of_a_step(account: Account, kernels: Kernels) -> tuple[Floats, Floats] | None:
    """Seconds of the device and launches of each row in a step of those recorded; None where no whole step was.

    A kernel's time, and the least gap the device leaves between two where they follow each other closely. Each row's
    median over the steps; where rows are missing from some, the mean. The first step is left out, and so is the last
    (what was launched outside after it is no part of it), where others remain.
    """
    every = account.steps_of(KERNELS)
    if not len(every):
        every = account.steps_of(KERNELS | Mode.LINES)
    ends = [0, len(account.step_mode) - 1]
    steps = next((s for s in (np.setdiff1d(every, ends), np.setdiff1d(every, [0])) if len(s)), every)
    call, after = kernels["call"], kernels["after"]
    step = np.append(account.call_step, -1)[after]
    counted = np.flatnonzero((call != UNKNOWN) & np.isin(step, steps) & (step >= 0))
    if not (call[counted] >= 0).any():
        return None
    index, rows = np.searchsorted(steps, step[counted]), np.append(account.call_row, account.outside)[call[counted]]
    shape = len(steps), len(account.rows)
    cell = index * shape[1] + rows
    busy = np.bincount(cell, busy_ns(kernels)[counted], shape[0] * shape[1]).reshape(shape)
    number = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)
    typical = _typical(number[:, :-1] > 0)
    work, launches = typical(busy, axis=0), typical(number, axis=0)
    return (work + spacing(kernels) * launches) * 1e-9, launches


def spacing(kernels: Kernels) -> float:
    """The gap, ns, that the device leaves between kernels that wait for each other in its queue; 0 where none did."""
    if len(kernels) < 2:
        return 0.0
    order = np.argsort(kernels["start"], kind="stable")
    gap = kernels["start"][order][1:] - np.maximum.accumulate(kernels["end"][order])[:-1]
    close = gap[(gap > 0) & (gap < _CLOSE_NS)]
    return float(np.median(close)) if len(close) > len(gap) / 10 else 0.0


def _typical(present: NDArray[np.bool_]) -> Callable[..., Any]:
    """The median, or the mean where rows are missing from some steps; `present` says which step has which row."""
    often = present.mean(axis=0)
    return np.median if bool(((often == 0) | (often >= 0.95)).all()) else np.mean


def _typical_steps(account: Account) -> tuple[Ints, bool]:
    """The steps to take medians over, of those marked inside, and whether the first is among them."""
    every = np.unique(account.step[account.step >= 0])
    if not len(every):
        return every, False
    evaluations = [i for i, scope in enumerate(account.rows) if scope.phase == "evaluate"]
    evaluated = np.unique(account.step[np.isin(account.row, evaluations)])
    ends = [every[0], every[-1]]
    for marked in (account.marked_steps(), every):
        for excluded in ([*evaluated, *ends], ends, [every[0]], []):
            used = np.setdiff1d(marked, excluded)
            if len(used):
                return used, bool(every[0] in used)
    return every, True


def _by_step(account: Account, values: Ints, used: Ints) -> Floats:
    """`values` of the segments summed over each step used and each row: (steps, rows)."""
    index = np.searchsorted(used, account.step)
    wanted = np.isin(account.step, used) & (account.row >= 0)
    sums = np.zeros((len(used), len(account.rows)))
    np.add.at(sums, (index[wanted], account.row[wanted]), values[wanted])
    return sums


def _lags(calls: Calls, account: Account) -> tuple[Ints, Ints]:
    """How long after the host took it the device passed each segment's first and last mark, ns.

    Less the delay on a drained device, which the bearings give at both ends of the log; the axes drift apart
    by some millionths, and the straight line between the two takes that out as well.
    """
    at = np.array([bearing.host for bearing in calls.bearings], dtype=float)
    delay = np.array([bearing.device - bearing.host for bearing in calls.bearings], dtype=float)

    def lag(device: Ints, host: Ints) -> Ints:
        return np.asarray(device - host - np.interp(host, at, delay), dtype=np.int64)

    return lag(account.begin, account.host_begin), lag(account.end, account.host_end)


def _least_lag(account: Account, used: Ints, lag: Ints) -> Ints:
    """The least lag in each of the steps used, ns."""
    least = np.full(len(used), np.iinfo(np.int64).max)
    inside = np.isin(account.step, used)
    np.minimum.at(least, np.searchsorted(used, account.step[inside]), lag[inside])
    return least


def _waits(account: Account, used: Ints, hosts: Ints, lag_begin: Ints, lag_end: Ints) -> Ints:
    """Host time of each segment that was waiting for the device, ns; 0 where nothing shows it.

    It shows where the device was behind at the segment's first mark, had caught up at its last, and the host
    went on just when the device had finished (within a twentieth), in most of the steps: once may be chance.
    """
    behind = (lag_begin > 2 * _CAUGHT_UP_NS) & (lag_end <= _CAUGHT_UP_NS)
    rest = hosts - lag_begin
    waited = behind & (rest >= 0) & (rest <= hosts // 20 + _CAUGHT_UP_NS // 2)
    often = (_by_step(account, waited.astype(np.int64), used) > 0).mean(axis=0) > 0.5
    return np.where(waited & often[account.row], lag_begin, 0)


def _queue_short(account: Account, used: Ints) -> NDArray[np.bool_]:
    """Which of the steps used found at most half as many steps queued before them as the fullest queue had.

    All of them, where none did: their host's times show a full queue, if there was one.
    """
    numbers, first = np.unique(account.step, return_index=True)
    inside = numbers >= 0
    numbers, first = numbers[inside], first[inside]
    begun = np.searchsorted(np.sort(account.begin[first]), account.host_begin[first], side="right")
    depth = np.maximum(0, np.arange(len(numbers)) - begun)
    short = np.asarray(depth <= max(1, depth.max() / 2))[np.isin(numbers, used)]
    return short if short.any() else np.ones(len(used), dtype=bool)
