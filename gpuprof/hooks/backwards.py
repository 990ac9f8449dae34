"""Backward calls of PyTorch's modules: which part of a run of autograd's engine belongs to which call of a forward.

When a run begins, the graph that it will go through is read, and each node in it is known by its number to have been
made in a call of a module, or in none. The engine runs the nodes of a device in the order of falling numbers, so it
comes through the calls as they were made, backwards, and they lie in each other as they did: a hook is put before each
node at which another call's nodes begin, and there one call ends and another begins. Nothing is put into the graph,
and what a module takes and gives is not looked at. What the engine does for a node besides (adding up gradients,
giving a parameter its own) belongs to the call whose node it has come from. The hooks come off when the run ends.
"""

from __future__ import annotations

import functools
import itertools
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import pairwise
from operator import methodcaller
from threading import get_ident
from typing import Any

from gpuprof.hooks.boundary import Boundaries, Nested, Opened, nested
from gpuprof.hooks.makers import Here, Maker, Makers, chain
from gpuprof.hooks.standin import StandIn
from gpuprof.record.log import CallLog
from gpuprof.record.tape import RAISED, RETURNED, Tape

_MOST_ROWS = 1 << 14
_MOST_KNOWN = 256
_NUMBER = methodcaller("_sequence_nr")


class Backwards:
    """The backward calls of modules, on a log."""

    def __init__(self, log: CallLog, boundaries: Boundaries, devices: int = 1) -> None:
        self.log = log
        self.boundaries = boundaries
        self.why = ""
        """Why backward calls are not followed any more."""
        self._makers: list[Makers] = []
        self._here = Here(self._makers)
        self._several = devices > 1
        self._made: dict[int, int] = {}
        self._known: dict[tuple[int, ...], Noted] = {}
        """The calls of runs, by the forwards since the runs before."""
        self._ended = False
        torch: Any = sys.modules["torch"]
        self.queue: Callable[[Callable[[], None]], None] = torch.autograd.Variable._execution_engine.queue_callback
        """Has something called by the thread that comes to the end of the engine's run."""
        functions = torch._C._functions
        self._leaf: Any = functions.AccumulateGrad
        self._copy: Any = getattr(functions, "ToCopyBackward0", None)

    def end(self) -> None:
        """Follow no more."""
        self._ended = True

    def give_up(self, why: str) -> None:
        """Follow no more, and say why."""
        self.why = self.why or why
        self._ended = True

    def failed(self, error: Exception) -> None:
        """Give up for an error of our own: the measured code goes on."""
        self.give_up(f"{type(error).__name__}: {error}")

    def here(self) -> Makers:
        """The calling thread's."""
        return self._here.makers

    def run(self, outputs: Iterable[Any], inputs: object, makes_graph: bool) -> Run | Noted | None:
        """What follows a run of the engine that is about to begin; None where it comes through no call of a module.

        `inputs`: only what leads there is run; `makes_graph`: nodes are made meanwhile, maybe by another thread. Where
        only their number is asked for, the calls are taken to be those of the last run that was followed after the
        same forwards.
        """
        mine = self._here.makers
        makers = mine if mine.any else self._only_others()
        if makers is None or self._ended:
            return None
        after = (*makers.outer, bool(inputs))
        makers.outer = []
        if not self.boundaries.asked:
            known = self._known.get(after)
            if known is not None:
                return known
        if _compiles():
            return None
        began = self.log.clock.host()
        run = Run(self)
        run.after = after
        try:
            nodes = nodes_below(_roots(outputs), self._leaf)
            several = self._several or (self._copy in map(type, nodes) and _crosses(nodes, self._copy))
            if several or inputs or self._made:
                whose = self._whose(nodes, makers)
                run.watch_every(nodes, whose, [_place(node) for node in nodes] if several else None)
            else:
                run.watch(nodes, makers)
            if makes_graph:
                run.at_the_end = self._note_number
        except Exception as error:
            self.failed(error)
            run.over()
            return None
        if not run.watches:
            self.learn(after, [])
            return None
        run.spent = self.log.clock.host() - began
        return run

    def learn(self, after: tuple[int, ...], begun: list[tuple[int, int]]) -> None:
        """After these forwards a run has such calls."""
        if len(self._known) > _MOST_KNOWN:
            self._known.clear()
        self._known[after] = Noted(self.boundaries, nested(begun))

    def _whose(self, nodes: Sequence[Any], makers: Makers) -> list[Maker | None]:
        """Who made each node. A number that may be of another thread's node is of nobody's."""
        whose = makers.of(nodes)
        if not self._made:
            return whose
        least = max((number for thread, number in self._made.items() if thread != id(makers)), default=0)
        return [who if node._sequence_nr() >= least else None for node, who in zip(nodes, whose, strict=True)]

    def _only_others(self) -> Makers | None:
        """Those of the one thread that has called modules, where this one has not."""
        called = [makers for makers in list(self._makers) if makers.any]
        return called[0] if len(called) == 1 else None

    def _note_number(self) -> None:
        """Remember how many nodes the engine's own thread has made: below that, a number may be of one of those."""
        torch: Any = sys.modules["torch"]
        self._made[id(self.here())] = torch.autograd._get_sequence_nr()


class Noted:
    """A run of autograd's engine that is not followed: that there are such calls is all that is wanted."""

    def __init__(self, boundaries: Boundaries, calls: list[Nested]) -> None:
        self._note = boundaries.note
        self._calls = calls

    def over(self, status: int = RETURNED) -> None:
        """Write them down."""
        if status == RETURNED and self._calls:
            self._note(self._calls)


class Run:
    """One run of autograd's engine."""

    def __init__(self, calls: Backwards) -> None:
        self._calls = calls
        self._cross, self._pass_on = calls.boundaries.cross, calls.boundaries.pass_on
        self._here = calls.log.here
        self._thread, self._state = -1, _State(self._here.tape)
        self._states = {self._state.tape.number: self._state}
        self._hooks: list[dict[int, Any]] = []
        self._handles: list[Any] = []
        self._queued = self._over = False
        self.begun: list[tuple[int, int]] = []
        """The calls that have begun: each one's scope, and how many are around it."""
        self.spent = 0
        """Host time, ns, that it took to read the graph: the profiler's own, before the first call."""
        self.after: tuple[int, ...] = ()
        """The forwards before it."""
        self.at_the_end: Callable[[], None] | None = None

    def watch(self, nodes: Iterable[Any], makers: Makers) -> None:
        """Put hooks on those nodes, in the order of falling numbers, at which another call's begin.

        It is done as `Tensor.register_hook` does it, which takes a quarter of the time of a node's own hooks, and of
        which nothing is left once the dict is empty.
        """
        since, whose = makers.since, makers.whose
        stands_for, last = _tensor(), None
        for node in nodes:
            maker = whose[bisect_right(since, node._sequence_nr()) - 1]
            if maker is not last:
                hooks = stands_for._backward_hooks = {0: partial(self._at, maker)}
                node._register_hook_dict(stands_for)
                self._hooks.append(hooks)
                last = maker

    def watch_every(self, nodes: Sequence[Any], whose: Sequence[Maker | None], places: Sequence[object] | None) -> None:
        """Put a hook on every node: only some of them are run, or on several devices, at `places`."""
        if not any(whose):
            return
        keep = self._handles.append
        for node, maker in zip(nodes, whose, strict=True):
            keep(node.register_prehook(partial(self._at, maker)))
        for i in leaving(places, whose) if places else ():
            keep(nodes[i].register_hook(self._after))

    @property
    def watches(self) -> bool:
        """Whether there is a hook."""
        return bool(self._hooks or self._handles)

    def over(self, status: int = RETURNED) -> None:
        """Take the hooks off; what is open still, since the engine failed or ended elsewhere, ends here."""
        self._over = True
        for hooks in self._hooks:
            hooks.clear()
        for handle in self._handles:
            handle.remove()
        for state in self._states.values():
            if state.opened:
                self._turn(state, None, None, status)
        if status == RETURNED:
            self._calls.learn(self.after, self.begun)

    def _at(self, maker: Maker | None, gradients: Any) -> None:
        """Before a node that `maker` has made."""
        state = self._state if get_ident() == self._thread else self._state_here()
        makers, opened = state.makers, state.opened
        if makers[-1] is maker or self._over:
            return
        shape = getattr(gradients, "shape", None)
        if maker is None or not opened or maker[1] is not makers[-2]:
            self._turn(state, maker, shape)
            return
        try:  # a neighbour's, as most are
            opened[-1] = self._pass_on(state.tape, opened[-1], maker[0], shape)
            makers[-1] = maker
            self.begun.append((maker[0], len(opened) - 1))
        except Exception as error:
            self._calls.failed(error)

    def _after(self, *_: Any) -> None:
        """After a node behind which the engine leaves this thread."""
        self._at(None, None)

    def _finish(self) -> None:
        """The engine has done its last node, on this thread."""
        try:
            if self.at_the_end:
                self.at_the_end()
            self._at(None, None)
            self._here.tape.pack(_MOST_ROWS)
        except Exception as error:
            self._calls.failed(error)

    def _state_here(self) -> _State:
        """This thread's; the last one asked for is the one that will be asked for again."""
        tape = self._here.tape
        self._state = self._states.get(tape.number) or self._states.setdefault(tape.number, _State(tape))
        self._thread = get_ident()
        return self._state

    def _turn(self, state: _State, maker: Maker | None, shape: object, status: int = RETURNED) -> None:
        """The calls that `maker`'s does not lie in end, and those that are not open yet begin."""
        makers, opened = state.makers, state.opened
        try:
            if not self._queued:
                self._queued = True
                self._calls.queue(self._finish)
            beginning: list[Maker] = []
            while not any(maker is each for each in makers):  # at the latest None is
                beginning.append(maker)  # type: ignore[arg-type] # it is not None
                maker = maker[1]  # type: ignore[index]
            beginning.reverse()
            ending: list[Opened] = []
            while makers[-1] is not maker:
                makers.pop()
                ending.append(opened.pop())
            scopes = [scope for scope, _ in beginning]
            self.begun += zip(scopes, itertools.count(len(opened)))
            opened += self._cross(state.tape, ending, scopes, shape, status, self.spent)
            makers += beginning
            self.spent = 0
        except Exception as error:
            self._calls.failed(error)


class _State:
    """What is open on a thread: calls of forwards, with None beneath them, and their backward calls."""

    __slots__ = ("makers", "opened", "tape")

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.makers: list[Maker | None] = [None]
        self.opened: list[Opened] = []


def nodes_below(roots: Iterable[Any], leaf: type[Any]) -> list[Any]:
    """The nodes of a graph in the order of falling numbers; without `leaf`s, which give parameters their gradients."""
    nodes = [root for root in dict.fromkeys(roots) if type(root) is not leaf]
    seen = set(nodes)
    add, note = nodes.append, seen.add
    for node in nodes:
        for below, _ in node.next_functions:
            if below is not None and type(below) is not leaf and below not in seen:
                note(below)
                add(below)
    nodes.sort(key=_NUMBER, reverse=True)
    return nodes


@functools.cache
def _tensor() -> Any:
    """One that hooks are put on first: see `Run.watch`."""
    return sys.modules["torch"].empty(0, requires_grad=True)


def leaving(places: Sequence[object], whose: Sequence[Maker | None]) -> list[int]:
    """After which nodes an outermost call is left on a device: each device runs its own nodes, in their order."""
    found = []
    for place in dict.fromkeys(places):
        there = [i for i, each in enumerate(places) if each == place]
        for i, after in pairwise([*there, None]):
            maker, following = (None if j is None else whose[j] for j in (i, after))
            on = after is not None and maker and following and chain(maker)[0] is chain(following)[0]
            # the engine comes back to this device only after it has been on another
            if i is not None and maker and not (on and after == i + 1):
                found.append(i)
    return sorted(found)


def _roots(outputs: Iterable[Any]) -> list[Any]:
    """The nodes that a run begins with: outputs are tensors, or edges of the graph."""
    found = (getattr(each, "node", None) or getattr(each, "grad_fn", None) for each in outputs)
    return [node for node in found if node is not None]


def _crosses(nodes: Iterable[Any], copy: type[Any]) -> bool:
    """Whether a copy among them goes to another device."""
    below = (
        (node, each) for node in nodes if type(node) is copy for each, _ in node.next_functions if each is not None
    )
    return any(_place(node) != _place(each) for node, each in below)


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
        makes_graph, inputs = args[2:4] if len(args) > 3 else (False, None)
        runs = [run for calls in followers if (run := calls.run(outputs, inputs, makes_graph))]
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
