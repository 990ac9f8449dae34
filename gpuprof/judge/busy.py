"""When a device worked, and for whom: each instant of it shared by the kernels that ran then."""

from __future__ import annotations

from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from gpuprof.record.clocks import Ints
from gpuprof.record.launches import OUTSIDE, Kernels


class Gaps(NamedTuple):
    """The times in which a device had nothing to run between two kernels of a block."""

    lengths: Ints
    """ns."""
    calls: Ints
    """Whose they are; OUTSIDE: nobody's."""
    before: Ints
    """The positions of the kernels before them: of those that ended last."""


class _Lane(NamedTuple):
    """A device's kernels in the order they began."""

    rows: Ints
    start: Ints
    end: Ints
    reached: Ints
    """The latest end so far."""

    @property
    def last(self) -> Ints:
        """For each the one that ends last of those begun so far."""
        return np.maximum.accumulate(np.where(self.end == self.reached, np.arange(len(self.end)), 0))


_lanes_of: WeakKeyDictionary[Kernels, list[_Lane]] = WeakKeyDictionary()
_busy_of: WeakKeyDictionary[Kernels, Ints] = WeakKeyDictionary()


def busy_ns(kernels: Kernels) -> Ints:
    """Each kernel's own time: instants in which several ran on its device are shared by them; the sum is the union.

    What does not divide goes to the one that ends last. The array is the same for the same kernels: not to be changed.
    """
    if kernels not in _busy_of:
        own = kernels["end"] - kernels["start"]
        for lane in _lanes(kernels):
            follows = lane.start[1:] < lane.reached[:-1]
            if follows.any():
                together = np.flatnonzero(np.concatenate([[False], follows]) | np.concatenate([follows, [False]]))
                own[lane.rows[together]] = _shared(lane.start[together], lane.end[together])
        own.flags.writeable = False
        _busy_of[kernels] = own
    return _busy_of[kernels]


def union_ns(kernels: Kernels) -> int:
    """How long at least one of them ran, summed over the devices."""
    total = 0
    for _, start, _, reached in _lanes(kernels):
        since = np.maximum(start, np.concatenate([start[:1], reached[:-1]]))
        total += int(np.clip(reached - since, 0, None).sum())
    return total


def gaps(kernels: Kernels, parents: Ints) -> Gaps:
    """The gaps between kernels, and whose they are.

    A gap belongs to the innermost call that holds both the kernel before it and the one after it; to none (OUTSIDE)
    where they are of different calls side by side.
    """
    found = [np.zeros((3, 0), dtype=np.int64)]
    call, block = kernels["call"], kernels["block"]
    for lane in _lanes(kernels):
        length = lane.start[1:] - lane.reached[:-1]
        idle = np.flatnonzero((length > 0) & (np.diff(block[lane.rows]) == 0))
        before, after = lane.rows[lane.last[idle]], lane.rows[idle + 1]
        found.append(np.stack([length[idle], _common(call[before], call[after], parents), before]))
    return Gaps(*np.concatenate(found, axis=1))


def _lanes(kernels: Kernels) -> list[_Lane]:
    """The kernels of each device."""
    if kernels not in _lanes_of:
        device = kernels["device"]
        several = len(device) > 0 and bool((device != device[0]).any())
        lanes = []
        for number in np.unique(device) if several else device[:1]:
            rows = np.flatnonzero(device == number)
            start = kernels["start"][rows]
            if (start[1:] < start[:-1]).any():
                rows = rows[np.argsort(start, kind="stable")]
                start = kernels["start"][rows]
            end = kernels["end"][rows]
            lanes.append(_Lane(rows, start, end, np.maximum.accumulate(end)))
        _lanes_of[kernels] = lanes
    return _lanes_of[kernels]


def _shared(start: Ints, end: Ints) -> Ints:
    """Each one's share of the time in which they ran, kernels in the order they began; whole ns that add up."""
    n = len(start)
    times = np.concatenate([start, end])
    order = np.argsort(times, kind="stable")
    place = np.empty(2 * n, dtype=np.int64)
    place[order] = np.arange(2 * n)
    lengths = np.diff(times[order], append=times[order][-1:])
    begun = np.cumsum(order < n)
    running = np.maximum(1, 2 * begun - np.arange(1, 2 * n + 1))
    each, rest = np.divmod(lengths, running)
    idle = 2 * begun == np.arange(1, 2 * n + 1)  # between two groups nothing runs
    each[idle] = rest[idle] = 0
    upto = np.concatenate([[0], np.cumsum(each)])
    own = upto[place[n:]] - upto[place[:n]]
    longest = np.maximum.accumulate(np.where(end == np.maximum.accumulate(end), np.arange(n), 0))
    odd = np.flatnonzero(rest)
    np.add.at(own, longest[begun[odd] - 1], rest[odd])
    return np.asarray(own)


def _common(one: Ints, other: Ints, parents: Ints) -> Ints:
    """The innermost call that holds both, pair by pair; OUTSIDE where none does."""
    up = np.concatenate([parents, [OUTSIDE]])
    one, other = np.maximum(one, OUTSIDE), np.maximum(other, OUTSIDE)
    differing = np.flatnonzero(one != other)
    while len(differing):
        high, low = np.maximum(one[differing], other[differing]), np.minimum(one[differing], other[differing])
        one[differing], other[differing] = up[high], low  # a call's number is above its parent's
        differing = differing[one[differing] != other[differing]]
    return one
