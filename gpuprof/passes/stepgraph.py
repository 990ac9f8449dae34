"""What a captured graph would gain: a typical step's calls, made again on copies of the layers, and captured.

The user's layers and arrays are only read. Copies are called with arrays of made-up values in the shapes that the
layers' own calls had, in the order of a typical step: twice plainly, then captured call by call, then all in one
graph. Graphs are replayed in the order in which they were captured, since each works on what those before it leave,
and in turns with plain steps of the same copies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from gpuprof.judge.account import OUTSIDE, Account
from gpuprof.judge.cost import bytes_text
from gpuprof.judge.usualstep import outermost, usual_step
from gpuprof.passes.apart import copied, device_bytes, is_array, reachable
from gpuprof.passes.stepcalls import Called, Repeated, host_draws, host_draws_kept
from gpuprof.record.calls import Calls, Scope
from gpuprof.record.capturer import Capturer, Graph
from gpuprof.record.graphs import NotCapturableError, reason
from gpuprof.results.graphs import STEP, Graphed, Graphs

_TIMES = 20
_AT_ONCE = 5
_LONG_S = 0.1  # a step longer than this is replayed once at a time
_ALL_S = 10.0
_ROOM = 3  # times what the layers hold: the copies, and what their calls allocate
_ALGORITHM = 2  # launches by which another algorithm of a product may differ
_NOTHING = "it launches nothing"


def step_graphs(
    calls: Calls,
    account: Account,
    methods: Mapping[Scope, Called],
    capturer: Capturer,
    now: Callable[[], int],
    launches: Mapping[int, float] | None = None,
) -> Graphs:
    """A typical step's calls as graphs; what cannot be captured is said, and the rest goes on.

    `now` is the host's clock, ns; `launches` has those of a call by kernel records, by the account's rows.
    """
    step = usual_step(calls, account)
    if not step:
        return Graphs(why="there is no step in which no call raised")
    if len(np.unique(calls["device"][calls["device"] >= 0])) > 1:
        return Graphs(why="the calls ran on several devices")
    layers = {
        method.path: method.layer for each in step if (method := methods.get(each.scope)) and method.layer is not None
    }
    needed, room = _ROOM * device_bytes(layers.values()), capturer.room()
    if needed > room:
        return Graphs(
            why=f"copies of the layers, and what their calls allocate, need about {bytes_text(needed)} of the "
            f"device's memory; {bytes_text(room)} are free"
        )
    found = _Pass([Repeated(call, methods.get(call.scope)) for call in step], capturer, now)
    found.expected = _expected(calls, account, launches or {})
    with host_draws_kept(), capturer.apart():
        found.run(layers)
    return Graphs(
        rows=(*_rows(calls, account, found.calls), found.whole()),
        plain_ms=_ms(found.plain),
        let_through=capturer.let_through,
    )


class _Pass:
    """A step's calls through copies, captures and replays."""

    def __init__(self, calls: list[Repeated], capturer: Capturer, now: Callable[[], int]) -> None:
        self.calls = calls
        self.plain: list[float] = []
        """Seconds of steps without graphs."""
        self.expected: Mapping[int, float] = {}
        """The launches of a call, by row, where kernel records tell."""
        self._capturer = capturer
        self._now = now
        self._graph: Graph | None = None
        self._seconds: list[float] = []
        self._launches: int | None = None
        self._why = ""

    def run(self, layers: Mapping[str, Any]) -> None:
        """Copy, try, capture, replay; afterwards nothing is left of it but numbers."""
        capturer = self._capturer
        copies, refused = capturer.run(lambda: copied(layers))
        for call in self._able():
            call.why = refused.get(call.method.path, "") if call.method else ""
        for call in self._able():
            _try(call, "its arguments could not be made up", call.prepare, copies, capturer)
        for call in 2 * self._able():
            if not call.why:
                _try(call, "the call of its copy failed", capturer.run, call.run)
        try:
            self._capture(list(copies.values()))
        finally:
            self._graph = None
            for call in self.calls:
                call.run, call.graph = _nothing, None

    def whole(self) -> Graphed:
        """The row of all calls in one graph."""
        return Graphed(STEP, "", 1, self._launches, _ms(self._seconds), self._why)

    def _able(self) -> list[Repeated]:
        return [call for call in self.calls if not call.why]

    def _capture(self, copies: list[Any]) -> None:
        """Each call, then all of them; and replay what there is.

        What the copies hold between the captures is kept, for graphs read it where it lies.
        """
        kept = [_arrays(copies)]
        for call in self._able():
            self._capture_one(call, copies)
        kept.append(_arrays(copies))
        self._why = next((f"{call.label}: {call.why}" for call in self.calls if call.why not in ("", _NOTHING)), "")
        if not self._why and all(call.why for call in self.calls):
            self._why = _NOTHING
        if not self._why:
            try:
                self._graph = self._capturer.capture(self._step)
                self._launches = self._graph.launches
            except NotCapturableError as error:
                self._why = f"capture failed: {error}"
        kept.append(_arrays(copies))
        self._replay()

    def _capture_one(self, call: Repeated, copies: list[Any]) -> None:
        """One call; where that fails, make it plainly, for the calls after it work on what it leaves."""
        capturer, things = self._capturer, reachable(copies)
        drawn, through = host_draws(things), capturer.let_through
        try:
            graph = capturer.capture(call.run)
            call.launches = graph.launches
            call.why = self._flaw(call, graph, capturer.let_through - through)
            if host_draws(things) != drawn:
                call.why = "it draws random numbers on the host, which a graph would repeat"
        except NotCapturableError as error:
            call.why = f"capture failed: {error}"
        if not call.why:
            call.graph = graph
            return
        with suppress(Exception):
            capturer.run(call.run)

    def _flaw(self, call: Repeated, graph: Graph, products: int) -> str:
        """What is wrong with a call's graph; "" where nothing is."""
        if graph.launches == 0:
            return _NOTHING
        asked = self.expected.get(call.call.row, 0.0)
        if graph.launches is None or graph.launches + _ALGORITHM * products + 0.5 >= asked:
            return ""
        return (
            f"its graph holds {graph.launches} of the {asked:.3g} launches of a call: the others are on a stream that "
            "is not the current one, or calls differ"
        )

    def _step(self) -> list[object]:
        return [call.run() for call in self.calls]

    def _replay(self) -> None:
        """Rounds of all graphs and of plain steps, until there are enough, or for long enough."""
        capturer, captured = self._capturer, [call for call in self.calls if call.graph]
        graphs = [call.graph for call in captured]
        begun = self._now()
        for each in (graphs, [self._graph] if self._graph else []):
            if each:
                capturer.replay(each, 1)  # the first launch of a graph takes it to the device
        times = _AT_ONCE if (self._now() - begun) * 1e-9 < _LONG_S else 1
        while graphs and len(captured[0].seconds) < _TIMES and (self._now() - begun) * 1e-9 < _ALL_S:
            for call, seconds in zip(captured, capturer.replay(graphs, times), strict=True):
                call.seconds += seconds
            if self._graph:
                self._seconds += capturer.replay([self._graph], times)[0]
                with suppress(Exception):  # a copy that cannot be called so often: its replays can
                    self.plain += [capturer.seconds(self._step) for _ in range(times)]


def _try(call: Repeated, trouble: str, do: Callable[..., object], *args: Any) -> None:
    try:
        do(*args)
    except Exception as error:
        call.why = f"{trouble}: {reason(error)}"


def _nothing() -> None:
    """What is left of a call."""


def _arrays(copies: Iterable[Any]) -> list[Any]:
    return [thing for thing in reachable(copies) if is_array(thing)]


def _expected(calls: Calls, account: Account, launches: Mapping[int, float]) -> dict[int, float]:
    """The launches of a call, of rows in which nothing else is called."""
    around = np.unique(account.call_row[calls.parents[calls.parents >= 0]])
    return {row: number for row, number in launches.items() if row not in around and number == number}


def _rows(calls: Calls, account: Account, repeated: list[Repeated]) -> list[Graphed]:
    """A row for each that was called, also of what is in no graph of its own."""
    inside = np.ones(len(account.rows), dtype=bool)
    inside[account.call_row[outermost(calls)]] = False
    found = []
    for number, scope in enumerate(account.rows):
        if scope == OUTSIDE or scope.phase == "region":
            continue
        mine = [call for call in repeated if call.call.row == number]
        why = next((call.why for call in mine if call.why), "")
        if not mine:
            why = "it is in the graph of what calls it" if inside[number] else "it is no part of a typical step"
        sizes = [call.launches for call in mine if call.launches is not None]
        launches = float(np.mean(sizes)) if sizes and len(sizes) == len(mine) else None
        times = [] if why else [seconds for call in mine for seconds in call.seconds]
        found.append(Graphed(scope.path, scope.phase, len(mine), launches, _ms(times), why))
    return found


def _ms(seconds: Iterable[float]) -> tuple[float, ...]:
    return tuple(1e3 * each for each in seconds)
