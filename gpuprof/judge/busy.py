"""When a device worked, and for whom: each instant of it shared by the kernels that ran then."""

from __future__ import annotations

import numpy as np

from gpuprof.record.clocks import Ints
from gpuprof.record.launches import OUTSIDE, Kernels


def busy_ns(kernels: Kernels) -> Ints:
    """Each kernel's own time: instants in which several ran on its device are shared by them; the sum is the union."""
    own = kernels["end"] - kernels["start"]
    for device in np.unique(kernels["device"]):
        rows = np.flatnonzero(kernels["device"] == device)
        start, end = kernels["start"][rows], kernels["end"][rows]
        order = np.argsort(start, kind="stable")
        rows, start, end = rows[order], start[order], end[order]
        reached = np.maximum.accumulate(end)
        overlaps = np.concatenate([[False], start[1:] < reached[:-1]])
        if not overlaps.any():
            continue
        cluster = np.cumsum(~overlaps)
        several = np.flatnonzero(np.bincount(cluster)[cluster] > 1)
        for group in np.split(several, np.flatnonzero(np.diff(cluster[several])) + 1):
            own[rows[group]] = _shared(start[group], end[group])
    return own


def union_ns(kernels: Kernels) -> int:
    """How long at least one of them ran, summed over the devices."""
    total = 0
    for device in np.unique(kernels["device"]):
        rows = kernels["device"] == device
        order = np.argsort(kernels["start"][rows], kind="stable")
        start, end = kernels["start"][rows][order], kernels["end"][rows][order]
        reached = np.maximum.accumulate(end)
        since = np.maximum(start, np.concatenate([start[:1], reached[:-1]]))
        total += int(np.clip(reached - since, 0, None).sum())
    return total


def gaps(kernels: Kernels, parents: Ints) -> tuple[Ints, Ints]:
    """The times in which a device had nothing to run between two kernels of a block: lengths, ns, and whose they are.

    A gap belongs to the innermost call that holds both the kernel before it and the one after it; to none (OUTSIDE)
    where they are of different calls side by side.
    """
    lengths, calls = [], []
    for device in np.unique(kernels["device"]):
        rows = np.flatnonzero(kernels["device"] == device)
        rows = rows[np.argsort(kernels["start"][rows], kind="stable")]
        reached = np.maximum.accumulate(kernels["end"][rows])
        gap = kernels["start"][rows][1:] - reached[:-1]
        last = np.maximum.accumulate(np.where(kernels["end"][rows] == reached, np.arange(len(rows)), 0))
        before, after = kernels["call"][rows][last[:-1]], kernels["call"][rows][1:]
        idle = (gap > 0) & (np.diff(kernels["block"][rows]) == 0)
        lengths.append(gap[idle])
        calls.append(_common(before[idle], after[idle], parents))
    empty = np.zeros(0, dtype=np.int64)
    return np.concatenate([*lengths, empty]), np.concatenate([*calls, empty])


def _shared(start: Ints, end: Ints) -> Ints:
    """Each one's share of the time in which a group of overlapping kernels ran."""
    cuts = np.unique(np.concatenate([start, end]))
    first, last = np.searchsorted(cuts, start), np.searchsorted(cuts, end)
    steps = np.zeros(len(cuts) + 1)
    np.add.at(steps, first, 1)
    np.add.at(steps, last, -1)
    running = np.cumsum(steps)[: len(cuts) - 1]
    each = np.concatenate([[0.0], np.cumsum(np.diff(cuts) / np.maximum(running, 1))])
    own: Ints = np.rint(each[last] - each[first]).astype(np.int64)
    return own


def _common(one: Ints, other: Ints, parents: Ints) -> Ints:
    """The innermost call that holds both, pair by pair; OUTSIDE where none does."""
    up = np.concatenate([parents, [OUTSIDE]])
    one, other = np.maximum(one, OUTSIDE), np.maximum(other, OUTSIDE)
    while ((one != other) & ((one >= 0) | (other >= 0))).any():
        deeper = one > other  # a call's number is above its parent's
        one, other = np.where(deeper, up[one], one), np.where(~deeper & (one != other), up[other], other)
    return np.asarray(one)
