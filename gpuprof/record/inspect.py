"""Watching a few steps closely: where the host waits, what memory each call takes, which line launches."""

from __future__ import annotations

import sys
import threading
from array import array
from contextlib import ExitStack
from time import perf_counter_ns
from typing import Any

import numpy as np

from gpuprof.record.clocks import Ints
from gpuprof.record.cupti import NoRecordsError
from gpuprof.record.memory import MemoryLog, following
from gpuprof.record.waits import Launches, Wait, watching

MEMORY = ("call", "allocated", "allocations", "peak", "retained", "grown", "growths")
"""The columns of the memory of calls that were watched."""


class Inspection:
    """What all the steps inspected showed; an `Inspector` a block adds to it."""

    def __init__(self, also: frozenset[str], launches: bool) -> None:
        self.also = also
        """Top-level packages whose lines count as the user's."""
        self.with_launches = launches
        self.waits: list[Wait] = []
        self.memory = array("q")
        self.launches: dict[int, Launches] = {}
        """By the number of the block of records they are in."""
        self.why = ""
        """Why waits were not watched."""

    def columns(self) -> dict[str, Ints]:
        """The memory of each call watched; `peak` -1 where the library does not say."""
        rows = np.array(self.memory, dtype=np.int64).reshape(-1, len(MEMORY))
        return {name: rows[:, i] for i, name in enumerate(MEMORY)}


class Inspector:
    """Watches a block of steps; memory on the thread that began it, and where autograd runs."""

    def __init__(self, inspection: Inspection, block: int) -> None:
        self._into = inspection
        self._block = block
        self._thread = threading.get_ident()
        self._stack, self._memory = ExitStack(), ExitStack()
        self._stopped = 0
        try:
            self._watch = self._stack.enter_context(watching(inspection.also, launches=inspection.with_launches))
        except (NoRecordsError, RuntimeError) as error:
            inspection.why = str(error)
        self._log: MemoryLog = self._memory.enter_context(following())
        self._depths: dict[int, tuple[int, int]] = {}

    def entered(self, call: int) -> None:
        """A call begins."""
        thread = threading.get_ident()
        if thread == self._thread or _runs_autograd():
            # CuPy's hooks are a thread's: one that is not ours may end with one on it
            self._depths[call] = thread, self._log.enter(pool=thread == self._thread)

    def left(self, call: int) -> None:
        """It ends."""
        thread, depth = self._depths.pop(call, (-1, -1))
        if thread == threading.get_ident():
            row = self._log.leave(depth)
            peak = -1 if row.peak is None else row.peak
            self._into.memory.extend((call, row.allocated, row.allocations, peak, row.retained, row.grown, row.grows))

    def stop(self) -> None:
        """Watch no more."""
        self._stopped = perf_counter_ns()
        self._memory.close()

    def finish(self) -> None:
        """Come off."""
        self._stack.close()
        if watch := getattr(self, "_watch", None):
            self._into.waits += [wait for wait in watch.waits if wait.start_ns <= self._stopped]
            if self._into.with_launches:
                self._into.launches[self._block] = watch.launches


def _runs_autograd() -> bool:
    """Whether this thread is in a backward of PyTorch's: what begins there ends there, before another step begins."""
    binding: Any = getattr(sys.modules.get("torch"), "_C", None)
    return hasattr(binding, "_current_graph_task_id") and binding._current_graph_task_id() >= 0
