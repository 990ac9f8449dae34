"""Two clocks: the pace of the host that issues work and of the device that does it, and what each row costs both.

Events show when the device passed a mark, not whether it worked or waited before. But a mark that the device
passed later than the host took it shows that work was queued, so up to there the device was busy; a mark passed
as soon as it was taken shows that the device had nothing left to do. From this follow, for each segment, the least
and the most the device can have worked, with no synchronising and no kernel records.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpuprof.judge.account import Account
from gpuprof.record.clocks import Ints
from gpuprof.record.log import Calls

Floats = NDArray[np.float64]

_CAUGHT_UP_NS = 20_000  # a device this little behind the host counts as having caught up
_SATURATED = 0.9  # a device certainly busy for this share of the step is the limit, whatever the host does


@dataclass(frozen=True)
class Pace:
    """A typical step. Times are seconds, medians over `steps`; the arrays have a value for each row of the account."""

    steps: int
    """How many steps the medians are over; 0 where the log has none."""
    first_included: bool
    """True where the only step is the first, with its compiling."""
    step: float
    host: Floats
    """The host's own time, waiting for the device left out where that shows."""
    work: Floats
    """The least the device can have worked."""
    most_work: Floats
    """The most: all the time from one mark to the next."""
    waited: float
    """Host time a step that went by while the device finished its queue."""
    on_device: bool

    @property
    def bound(self) -> str:
        """What sets the step's length: "host" (it issues more slowly than the device works) or "device"."""
        if not self.on_device:
            return "host"
        work = float(self.work.sum())
        return "device" if work > min(float(self.host.sum()), _SATURATED * self.step) else "host"

    def without(self, row: int, host: bool = True) -> float:
        """The share of the step saved if `row` took no time: max(host, device) with and without it.

        With host=False only its work on the device goes, and the host issues it as before.
        """
        works = float(self.work.sum())
        hosts = float(self.host.sum()) if self.host_known else 0.0
        now = max(hosts, works)
        then = max(hosts - (self.host[row] if host and self.host_known else 0.0), works - self.work[row])
        return max(0.0, 1 - then / now) if now > 0 else 0.0

    @property
    def host_known(self) -> bool:
        """False where the device was the limit and held the host up in every step: its own pace did not show."""
        return self.bound == "host" or float(self.host.sum()) < _SATURATED * self.step


def pace(calls: Calls, account: Account) -> Pace:
    """The typical step of a log.

    Steps with an evaluation in them are left out, and so are the first step and the last (no mark ends it), where
    others remain. The host's times come from the steps that found the device's queue at most half as long as it
    ever was: a full queue (about a thousand launches) makes the host wait in whatever layer it has come to.
    """
    used, first_included = _typical_steps(account)
    rows = len(account.rows)
    if not len(used):
        nothing = np.zeros(rows)
        return Pace(0, False, 0.0, nothing, nothing, nothing, 0.0, calls.on_device)
    spans = account.end - account.begin
    hosts = np.maximum(0, account.host_end - account.host_begin)
    lag_begin, lag_end = _lags(calls, account)
    work = np.clip(np.minimum(lag_end, spans), 0, None) if calls.on_device else np.zeros_like(spans)
    waits = _waits(hosts, lag_begin, lag_end) if calls.on_device else np.zeros_like(hosts)
    unhindered = used[_queue_short(account, used)] if calls.on_device else used
    return Pace(
        steps=len(used),
        first_included=first_included,
        step=float(np.median(_by_step(account, spans, used).sum(axis=1))) * 1e-9,
        host=np.median(_by_step(account, hosts - waits, unhindered), axis=0) * 1e-9,
        work=np.median(_by_step(account, work, used), axis=0) * 1e-9,
        most_work=np.median(_by_step(account, spans, used), axis=0) * 1e-9,
        waited=float(np.median(_by_step(account, waits, unhindered).sum(axis=1))) * 1e-9,
        on_device=calls.on_device,
    )


def _typical_steps(account: Account) -> tuple[Ints, bool]:
    """The steps to take medians over, and whether the first is among them."""
    every = np.unique(account.step[account.step >= 0])
    if not len(every):
        return every, False
    evaluations = [i for i, scope in enumerate(account.rows) if scope.phase == "evaluate"]
    evaluated = np.unique(account.step[np.isin(account.row, evaluations)])
    for excluded in ([*evaluated, every[0], every[-1]], [every[0], every[-1]], [every[0]]):
        used = np.setdiff1d(every, excluded)
        if len(used):
            return used, False
    return every, True


def _by_step(account: Account, values: Ints, used: Ints) -> Floats:
    """`values` of the segments summed over each step used and each row: (steps, rows)."""
    index = np.searchsorted(used, account.step)
    wanted = np.isin(account.step, used)
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


def _waits(hosts: Ints, lag_begin: Ints, lag_end: Ints) -> Ints:
    """Host time of each segment that was waiting for the device, ns; 0 where nothing shows it.

    It shows where the device was behind at the segment's first mark, had caught up at its last, and the host
    went on just when the device had finished (within a tenth, or 30 µs).
    """
    behind = (lag_begin > _CAUGHT_UP_NS) & (lag_end <= _CAUGHT_UP_NS)
    rest = hosts - lag_begin
    waited = behind & (rest >= 0) & (rest <= np.maximum(hosts // 10, 30_000))
    return np.where(waited, lag_begin, 0)


def _queue_short(account: Account, used: Ints) -> NDArray[np.bool_]:
    """Which of the steps used found at most half as many steps queued before them as the fullest queue had."""
    numbers, first = np.unique(account.step, return_index=True)
    inside = numbers >= 0
    numbers, first = numbers[inside], first[inside]
    begun = np.searchsorted(np.sort(account.begin[first]), account.host_begin[first], side="right")
    depth = np.maximum(0, np.arange(len(numbers)) - begun)
    depth = depth[np.isin(numbers, used)]
    return np.asarray(depth <= max(1, depth.max() / 2))
