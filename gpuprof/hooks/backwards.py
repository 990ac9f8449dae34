"""Backward calls of PyTorch's modules: which part of a run of autograd's engine belongs to which call of a forward.

When a run begins, the graph that it will go through is read, and each node in it is known by its number to have been
made in a call of a module, or in none. The engine runs the nodes of a device in the order of falling numbers, so it
comes through the calls as they were made, backwards, and they lie in each other as they did: a hook is put before each
node at which another call's nodes begin, and there one call ends and another begins. Nothing is put into the graph,
and what a module takes and gives is not looked at. What the engine does for a node besides (adding up gradients,
giving a parameter its own) belongs to the call whose node it has come from. The hooks come off when the run ends.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import pairwise
from operator import itemgetter
from typing import Any, NamedTuple

from gpuprof.hooks.makers import Maker, Makers
from gpuprof.hooks.standin import StandIn
from gpuprof.record.log import CallLog
from gpuprof.record.tape import FAILED, NO_MARK, RAISED, RETURNED, UNSAID, Tape
from gpuprof.record.taped import Way

_MOST_ROWS = 1 << 14
_LEAF = 1 << 63  # what gives a parameter its gradient has a number beyond all others
_BETWEEN_DEVICES = "ToCopyBackward0"


class _Open(NamedTuple):
    """A backward call that has begun."""

    maker: Maker
    number: int
    shape: object
    began: int
    start: int
    mark: int


class _Here(threading.local):
    """The calling thread's makers."""

    def __init__(self, every: list[Makers]) -> None:
        self.makers = Makers()
        every.append(self.makers)


class Backwards:
    """Writes down the backward calls on a log; is told like a `TapedCall` how that is to be done."""

    scope = -2
    seen = True

    def __init__(self, log: CallLog, devices: int = 1) -> None:
        self.log = log
        self.makers: list[Makers] = []
        """Of each thread that has called a module."""
        self._here = _Here(self.makers)
        self.why = ""
        """Why backward calls are not followed any more."""
        self.marks = self.watched = False
        self._several = devices > 1
        self._made: dict[Makers, int] = {}
        self._ended = False
        log.taped.append(self)  # type: ignore[arg-type] # it is asked for what is here alone

    def set_way(self, way: Way) -> None:
        """How the next calls are to be written down."""
        self.marks, self.watched = way.marks, way.watched

    def end(self) -> None:
        """Write down no more."""
        self.log.taped.remove(self)  # type: ignore[arg-type]
        self._ended = True

    def give_up(self, why: str) -> None:
        """Follow no more runs."""
        self.why = self.why or why

    def here(self) -> Makers:
        """The calling thread's."""
        return self._here.makers

    def run(self, outputs: Iterable[Any], inputs: object, makes_graph: bool) -> Run | None:
        """What follows a run of the engine that is about to begin; None where it comes through no call of a module.

        `inputs`: only what leads there is run; `makes_graph`: nodes are made meanwhile, maybe by another thread.
        """
        began = self.log.clock.host()
        makers = self._that_called()
        if self._ended or self.why or makers is None or _compiles():
            return None
        run = Run(self)
        try:
            nodes = nodes_below(_roots(outputs))
            elsewhere = max((number for thread, number in self._made.items() if thread is not makers), default=0)
            whose = [makers.of(number) if number >= elsewhere else None for number, _ in nodes]
            if not any(whose):
                return None
            places = _places(nodes) if self._several or _crosses(nodes) else None
            run.watch([node for _, node in nodes], whose, places, bool(inputs))
            if makes_graph:
                run.at_the_end = self._note_number
        except Exception as error:  # ours, not the measured code's: that goes on, without backward calls
            self.failed(error)
            run.over()
            return None
        run.spent = self.log.clock.host() - began
        return run

    def failed(self, error: Exception) -> None:
        """Give up for an error of our own."""
        self.give_up(f"{type(error).__name__}: {error}")

    def mark(self, tape: Tape) -> int:
        """A mark of its own at this boundary, where such are taken."""
        if not self.marks:
            return NO_MARK
        try:
            place = self.log.clock.place()
            tape.mark, tape.place = self.log.mark(place), place
        except RuntimeError:  # CUDA takes no marks any more; its error rises in the measured code
            tape.mark, tape.place = FAILED, None
        return tape.mark

    def _that_called(self) -> Makers | None:
        """Those of this thread; if it has called no module, of the only one that has."""
        mine = self.here()
        called = [mine] if mine.any else [makers for makers in list(self.makers) if makers.any]
        return called[0] if len(called) == 1 else None

    def _note_number(self) -> None:
        """Remember how many nodes the engine's own thread has made: below that, a number may be of one of those."""
        torch: Any = sys.modules["torch"]
        self._made[self.here()] = torch.autograd._get_sequence_nr()


class Run:
    """One run of autograd's engine."""

    def __init__(self, calls: Backwards) -> None:
        self._calls = calls
        self._log = calls.log
        self._handles: list[Any] = []
        self._open: dict[int, tuple[Tape, list[_Open]]] = {}
        self._queued = self._over = False
        self.spent = 0
        """Host time, ns, that it took to read the graph: the profiler's own, before the first call."""
        self.at_the_end: Callable[[], None] | None = None

    def watch(
        self,
        nodes: Sequence[Any],
        whose: Sequence[Maker | None],
        places: Sequence[object] | None = None,
        every: bool = False,
    ) -> None:
        """Put the hooks on nodes that are in the order of falling numbers.

        Where only some of them are run (`every`), or on several devices (`places`), any node may be the first.
        """
        keep = self._handles.append
        last: Maker | None = None
        for node, maker in zip(nodes, whose, strict=True):
            if maker is not last or every or places:
                keep(node.register_prehook(partial(self._at, maker)))
                last = maker
        for i in leaving(places, whose) if places else ():
            keep(nodes[i].register_hook(self._after))

    def over(self, status: int = RETURNED) -> None:
        """Take the hooks off; what is open still, since the engine failed or ended elsewhere, ends here."""
        self._over = True
        for handle in self._handles:
            handle.remove()
        for tape, opened in self._open.values():
            self._turn(tape, opened, None, None, status)

    def _at(self, maker: Maker | None, gradients: Sequence[Any]) -> None:
        """Before a node that `maker` has made."""
        if self._over:
            return
        tape = self._log.here.tape
        known = self._open.get(tape.number)
        opened = known[1] if known else []
        if maker is (opened[-1].maker if opened else None):
            return
        self._open[tape.number] = tape, opened
        self._turn(tape, opened, maker, gradients)

    def _after(self, *_: Any) -> None:
        """After a node behind which the engine leaves this thread."""
        self._at(None, ())

    def _finish(self) -> None:
        """The engine has done its last node, on this thread."""
        try:
            if self.at_the_end:
                self.at_the_end()
            tape = self._log.here.tape
            self._at(None, ())
            tape.pack(_MOST_ROWS)
        except Exception as error:
            self._calls.failed(error)

    def _turn(
        self, tape: Tape, opened: list[_Open], maker: Maker | None, gradients: Any, status: int = RETURNED
    ) -> None:
        try:
            if not self._queued and maker is not None:
                self._queued = True
                engine: Any = sys.modules["torch"].autograd.Variable._execution_engine
                engine.queue_callback(self._finish)
            self._cross(tape, opened, maker.chain() if maker else [], gradients, status)
        except Exception as error:
            self._calls.failed(error)

    def _cross(self, tape: Tape, opened: list[_Open], chain: list[Maker], gradients: Any, status: int) -> None:
        """A boundary: the calls that are not in `chain` end, and those that are not open begin."""
        calls, log = self._calls, self._log
        now, number = log.clock.host, log.next_number
        reached = now()
        kept = sum(1 for each, maker in zip(opened, chain, strict=False) if each.maker is maker)
        ending, beginning = opened[kept:][::-1], chain[kept:]
        if not ending and not beginning:
            return
        del opened[kept:]
        mark = calls.mark(tape)
        ends, begins = [number() for _ in ending], [number() for _ in beginning]
        if calls.watched:
            for each in ending:
                log.tell_ended(each.number)
            for begun in begins:
                log.tell_begun(begun)
        tape.depth += len(begins) - len(ending)
        log.gone_back.up = True
        tape.inside = -1
        shape = getattr(gradients[0], "shape", None) if gradients else None
        done = now()
        if mark != NO_MARK:
            tape.done = done
        for call in ending:
            until = ends.pop(0)
            after = reached if ends or begins else done
            tape.add(
                (call.number, until, call.maker.scope, UNSAID, call.shape, call.began, call.start, reached, after,
                 call.mark, mark, status)
            )  # fmt: skip
        began, self.spent = reached - self.spent, 0 if begins else self.spent
        for maker, begun in zip(beginning, begins, strict=True):
            opened.append(_Open(maker, begun, shape, began, done, mark))
            began = done


def nodes_below(roots: Iterable[Any]) -> list[tuple[int, Any]]:
    """The nodes of a graph with their numbers, in falling order; without those that give parameters their gradients."""
    seen = set(roots)
    nodes = list(seen)
    for node in nodes:
        for below, _ in node.next_functions:
            if below is not None and below not in seen:
                seen.add(below)
                nodes.append(below)
    numbered = [(node._sequence_nr(), node) for node in nodes]
    return sorted((pair for pair in numbered if pair[0] < _LEAF), key=itemgetter(0), reverse=True)


def leaving(places: Sequence[object], whose: Sequence[Maker | None]) -> list[int]:
    """After which nodes an outermost call is left on a device: each device runs its own nodes, in their order."""
    found = []
    for place in dict.fromkeys(places):
        there = [i for i, each in enumerate(places) if each == place]
        for i, after in pairwise([*there, None]):
            maker, following = (None if j is None else whose[j] for j in (i, after))
            on = after is not None and maker and following and maker.chain()[0] is following.chain()[0]
            # the engine comes back to this device only after it has been on another
            if i is not None and maker and not (on and after == i + 1):
                found.append(i)
    return sorted(found)


def _roots(outputs: Iterable[Any]) -> list[Any]:
    """The nodes that a run begins with: outputs are tensors, or edges of the graph."""
    found = (getattr(each, "node", None) or getattr(each, "grad_fn", None) for each in outputs)
    return [node for node in found if node is not None]


def _crosses(nodes: Iterable[tuple[int, Any]]) -> bool:
    """Whether a copy among them goes to another device."""
    copies = [node for _, node in nodes if type(node).__name__ == _BETWEEN_DEVICES]
    return any(
        _place(node) != _place(below) for node in copies for below, _ in node.next_functions if below is not None
    )


def _places(nodes: Iterable[tuple[int, Any]]) -> list[object]:
    return [_place(node) for _, node in nodes]


def _place(node: Any) -> object:
    """The device of a node's gradients, on whose thread the engine runs it."""
    known = node._input_metadata
    return known[0].device if known else None


def _compiles() -> bool:
    """Whether autograd's run is itself compiled, so that it has no nodes one after another."""
    compiled: Any = sys.modules.get("torch._dynamo.compiled_autograd")
    return bool(getattr(compiled, "compiled_autograd_enabled", False))


def _engine(own: Callable[..., Any], followers: list[Backwards]) -> Callable[..., Any]:
    """In place of what every way to run the engine goes through."""

    def run_backward(outputs: Any, *args: Any, **kwargs: Any) -> Any:
        _, _, makes_graph, inputs = (*args, None, None, None, None)[:4]
        runs = [run for calls in followers if (run := calls.run(outputs, inputs, bool(makes_graph)))]
        if not runs:
            return own(outputs, *args, **kwargs)
        status = RAISED
        try:
            found = own(outputs, *args, **kwargs)
            status = RETURNED
        finally:
            for run in reversed(runs):
                run.over(status)
        return found

    return run_backward


ENGINE: StandIn[Backwards] = StandIn("_engine_run_backward", _engine)
"""The function of `torch.autograd` that `backward`, `grad` and all that calls them end in."""
