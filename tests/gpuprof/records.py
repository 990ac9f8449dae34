"""Calls and kernels written down by hand, for tests of what is made of them."""

from collections.abc import Sequence

import numpy as np

from gpuprof.record.calls import Calls
from gpuprof.record.launches import COLUMNS, Kernels
from gpuprof.record.log import CallLog
from gpuprof.testing import FakeClock


def kernels(rows: Sequence[Sequence[int]], columns: str = "start end", **others: object) -> Kernels:
    """Kernels with these columns, and the rest 0; of nobody unless `call` is among them."""
    names = columns.split()
    table = np.array(rows, dtype=np.int64).reshape(-1, len(names))
    found = {name: np.zeros(len(table), dtype=np.int64) for name in COLUMNS} | {"call": np.full(len(table), -1)}
    found |= {name: table[:, i] for i, name in enumerate(names)}
    return Kernels({**found, "after": found["call"], **others}, ("gemm", "add", "copy"))


def called(tree: Sequence[object], clock: FakeClock | None = None) -> Calls:
    """A log of calls: each is a name or (name, calls inside it); every boundary takes 1 ms."""
    clock = clock or FakeClock(device=True)
    with CallLog(clock) as log:
        _call(tree, log, clock)
    return log.calls


def _call(tree: Sequence[object], log: CallLog, clock: FakeClock) -> None:
    for each in tree:
        name, inner = (each, []) if isinstance(each, str) else each
        call = log.enter(log.scope(name, "forward"))
        clock.spend(1e-3)
        _call(inner, log, clock)
        clock.spend(1e-3)
        log.leave(call)
