"""A block of kernel records: taken while steps run, and kept with what puts it on the host's axis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from gpuprof.record.kernels import Launched, Recorder
from gpuprof.record.tape import Tape

_TRIES = 5


class Taken(NamedTuple):
    """A block of kernel records, and what puts them on the host's axis."""

    launched: Launched
    bearings: tuple[tuple[int, int], tuple[int, int]]
    """(host's time, records' time) at its beginning and its end, ns."""
    threads: dict[int, int]
    """The log's numbers of threads by what CUPTI calls them."""


class Taking:
    """Kernel records from now on, with a mark among the launches at each call's beginning and end.

    `keep` is given what was taken when it is finished. Raises NoRecordsError where records cannot be had.
    """

    def __init__(self, clock: Any, tapes: list[Tape], launches: bool, keep: Callable[[Taken], None]) -> None:
        self._clock = clock
        self._tapes = tapes
        self._keep = keep
        self._recorder: Recorder = clock.recorder(launches)
        self._began = self._now()

    def entered(self, call: int) -> None:
        """A call begins."""
        self._recorder.mark(2 * call)

    def left(self, call: int) -> None:
        """It ends."""
        self._recorder.mark(2 * call + 1)

    def stop(self) -> None:
        """Record no more; does not wait."""
        self._recorder.stop()
        self._ended = self._now()

    def finish(self) -> None:
        """Hand over what was recorded; it is done on the device."""
        launched = self._recorder.collect()
        threads = {tape.ident & 0xFFFFFFFF: tape.number for tape in self._tapes}
        self._keep(Taken(launched, (self._began, self._ended), threads))

    def _now(self) -> tuple[int, int]:
        """The same moment on the host's axis and on the records'; of some tries the one that took least."""
        tries = []
        for _ in range(_TRIES):
            before = self._clock.host()
            now = self._recorder.now()
            after = self._clock.host()
            tries.append((after - before, (before + after) // 2, now))
        return min(tries)[1:]
