"""The hottest launching lines: kernels put together with the lines that launched them."""

from __future__ import annotations

import linecache
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from gpuprof.judge.busy import busy_ns
from gpuprof.record.launches import Kernels
from gpuprof.record.waits import Launches


class HotLine(NamedTuple):
    """A line of the user's that launches: figures of all the steps in which launches were followed."""

    file: str
    line: int
    function: str
    source: str
    launches: int
    seconds: float
    threads: int
    """The most of one kernel."""


def hot_lines(kernels: Kernels, launches: Mapping[int, Launches]) -> tuple[HotLine, ...]:
    """By line what it launched, the longest first, over the blocks of records in which launches' lines were noted.

    Kernels whose launch was not seen (a library's own thread) are of no line: "" and 0.
    """
    busy = busy_ns(kernels) if launches else np.zeros(0, dtype=np.int64)
    sums: dict[tuple[str, int, str], list[int]] = {}
    for block, seen in launches.items():
        rows = np.flatnonzero(kernels["block"] == block)
        at = np.minimum(np.searchsorted(seen.ids, kernels["correlation"][rows]), max(0, len(seen.ids) - 1))
        known = seen.ids[at] == kernels["correlation"][rows] if len(seen.ids) else np.zeros(len(rows), dtype=bool)
        for row, place, is_known in zip(rows, at, known, strict=True):
            where = seen.table[seen.places[place]] if is_known else ("", 0, "")
            found = sums.setdefault((where[0], where[1], where[2]), [0, 0, 0])
            found[0] += 1
            found[1] += int(busy[row])
            found[2] = max(found[2], int(kernels["threads"][row]))
    lines = [
        HotLine(file, line, function, linecache.getline(file, line).strip() if file else "", n, ns * 1e-9, threads)
        for (file, line, function), (n, ns, threads) in sums.items()
    ]
    return tuple(sorted(lines, key=lambda row: -row.seconds))
