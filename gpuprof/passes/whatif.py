"""What a CUDA graph would save: measured, by capturing the statement and replaying it beside plain calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpuprof.passes.subject import Subject, repeated
from gpuprof.record.graphs import Captured, NotCapturableError, captured
from gpuprof.record.kernels import NoRecordsError

_BATCH_S = 2e-3
_MOST = 100


class GraphPass:
    """Batches of plain calls and of replays in turns: seconds a call with all work done."""

    def __init__(self, subject: Subject, library: str, launches: float | None) -> None:
        self._subject = subject
        self._library = library
        self._launches = launches
        self.plain: list[float] = []
        self.replayed: list[float] = []
        self.why = ""
        """Why the statement was not captured."""

    def run(self, repeat: int | None, precision: float, share: float) -> None:
        """Capture, measure, and call the statement once more: what it left behind is then a plain call's."""
        try:
            graph = captured(self._subject.code.prepared(1), self._library)
            self._check(graph)
        except NotCapturableError as error:
            self.why = str(error)
        else:
            number = max(1, min(_MOST, int(_BATCH_S / max(self._subject.usual, 1e-9))))
            graph.launch()
            graph.wait()

            def take() -> Sequence[Sequence[float]]:
                self.plain.append(self._subject.finished(number) / number)
                self.replayed.append(self._replays(graph, number) / number)
                return [self.plain, self.replayed]

            repeated(self._subject, "graph", take, share=share, repeat=repeat, precision=precision)
        finally:
            self._subject.finished(1)

    def _check(self, graph: Captured) -> None:
        """A replay must launch what a plain call does: what went to another stream was done, not captured."""
        clock: Any = self._subject.clock
        try:
            with clock.recording() as found:
                graph.launch()
                graph.wait()
        except NoRecordsError:
            return
        launched = len(found.records.start)
        if self._launches is not None and abs(launched - self._launches) >= 1:
            raise NotCapturableError(
                f"the graph launches {launched} kernels, a plain call {self._launches:.3g}: part of its work is on a "
                "stream that is not the current one, or calls differ"
            )

    def _replays(self, graph: Captured, number: int) -> float:
        host = self._subject.clock.host
        start = host()
        for _ in range(number):
            graph.launch()
        graph.wait()
        return (host() - start) * 1e-9
