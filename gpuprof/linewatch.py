"""Functions whose statements are followed in the steps that are for it: each statement is a call on the log."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import CodeType
from typing import Any, NamedTuple

from gpuprof.hooks.assigned import assigned, result_in
from gpuprof.hooks.follow import stack
from gpuprof.hooks.functions import Target
from gpuprof.hooks.helpers import with_helpers
from gpuprof.hooks.lines import LineHook
from gpuprof.hooks.methods import PHASES, free_path
from gpuprof.hooks.modules import is_module
from gpuprof.hooks.source import Source, code_of, is_lazy, resolve, self_of
from gpuprof.record.calls import LINE
from gpuprof.record.log import CallLog
from gpuprof.record.tape import RAISED, RETURNED


class Function:
    """A function whose statements are followed: in all its runs, or in those of one object's method alone.

    `scopes` are those of the object's calls, which tell its runs where the first argument does not.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        owner: object,
        scopes: frozenset[int] = frozenset(),
        caller: Function | None = None,
    ) -> None:
        self.name = name
        self.function = function
        self.owner = owner
        """The object whose method it is; None for a function."""
        self.caller = caller
        """The function asked for, in whose statements alone it is followed; None for that itself."""
        self.code = code_of(function)
        self.source = Source.of(function)
        self.unit = "resumption" if is_lazy(function) else "call"
        """What a run of it is."""
        self.results: dict[int, str] = {}
        """What its assignments made, by line."""
        self.begun: set[int] = set()
        """The first statement of each run that was followed from beginning to end, by its number on the log."""
        self.cut = 0
        """How often passes took turns in the middle of a run."""
        self.left_out = array("q")
        """The statements of such runs: they are in no figures."""
        self.targets = assigned(self.code)
        self.statements: dict[int, int] = {}
        """Their scopes, by their lines."""
        self._scopes = scopes
        self._names = {name.rpartition(".")[2], self.code.co_name}

    def has(self, first: object, log: CallLog) -> bool:
        """Whether a run with this first argument is one of its: told by its object, else by whose call is open."""
        if self.caller is not None and not log.inside(self.caller.statements.values()):
            return False
        if self.owner is not None and first is not None:
            if first is self.owner:
                return True
            if any(hasattr(type(first), name) for name in self._names):
                return False
        return not self._scopes or log.inside(self._scopes) or not log.here.tape.depth


class Run(NamedTuple):
    """From a function's beginning or resumption to where control leaves it."""

    function: Function
    calls: array[int]
    """Its statements so far, by their numbers on the log."""


class LineWatch:
    """Follows the statements of some functions through a block of steps, and what they assign.

    A run counts if it begins and ends inside the block. What is already running, or still is at the end, is cut.
    """

    def __init__(self, log: CallLog, functions: Iterable[Function]) -> None:
        self._log = log
        self._functions: dict[CodeType, list[Function]] = {}
        for function in functions:
            self._functions.setdefault(function.code, []).append(function)
        for frame in stack():  # whose argument is not looked at: to see it is to keep it alive
            for function in self._functions.get(frame.f_code, ()):
                function.cut += 1
        self._hook = LineHook(self._functions, self._begin, self._end, self._starts, self._cut)
        self._hook.__enter__()

    def stop(self) -> None:
        """Follow no more."""
        self._hook.__exit__(None, None, None)

    def finish(self) -> None:
        """There is nothing on the device to come off."""

    def _whose(self, code: CodeType, first: object) -> Function | None:
        return next((each for each in self._functions[code] if each.has(first, self._log)), None)

    def _starts(self, code: CodeType, first: object, _resumed: bool) -> Run | None:
        function = self._whose(code, first)
        return None if function is None else Run(function, array("q"))

    def _begin(self, run: Run, line: int) -> tuple[int, Function, int]:
        function, calls = run
        scope = function.statements.get(line)
        if scope is None:
            scope = function.statements[line] = self._log.scope(f"{function.name}:{line}", LINE)
        call = self._log.enter(scope)
        if not calls:
            function.begun.add(call)
        calls.append(call)
        return call, function, line

    def _end(self, token: tuple[int, Function, int], raised: bool) -> None:
        call, function, line = token
        self._log.leave(call, RAISED if raised else RETURNED)
        if line in function.targets and line not in function.results and not raised:
            function.results[line] = result_in(function.code, function.targets[line])

    def _cut(self, run: Run) -> None:
        run.function.cut += 1
        if not run.calls:
            return
        run.function.begun.discard(run.calls[0])
        run.function.left_out.extend(run.calls)
        self._log.leave(run.calls[-1])


def named(
    wanted: str | Callable[..., Any] | tuple[str, Callable[..., Any]],
    layers: Sequence[tuple[str, Any]],
    targets: Iterable[Target],
    namespace: Mapping[str, Any],
) -> tuple[str, Callable[..., Any]]:
    """A function that is to be followed, with its name: given by that, or itself, or both.

    Raises ValueError for an unknown name, TypeError for what is not written in Python.
    """
    if isinstance(wanted, tuple):
        return wanted
    if callable(wanted):
        owner = self_of(wanted)
        path = next((path for path, layer in layers if layer is owner), "")
        return f"{path}.{method_name(wanted)}" if path else qualified(wanted), wanted
    path, _, method = wanted.rpartition(".")
    if method in PHASES[1:] and is_module(dict(layers).get(path)):
        raise ValueError(
            f"{wanted} is no Python: PyTorch's own code does it, and that has no lines here; follow {path}.forward, or "
            "the backward of a torch.autograd.Function by its name"
        )
    owners = [(target.path, target.owner) for target in targets if target.owner is not None]
    functions = {target.path: target.function for target in targets if target.owner is None}
    return resolve(wanted, [*layers, *owners], {**functions, **namespace})


def qualified(function: Callable[..., Any]) -> str:
    """A function's name, with that of its class; of a partial or the like the name of what it calls."""
    return str(getattr(function, "__qualname__", "") or code_of(function).co_qualname)


def method_name(function: Callable[..., Any]) -> str:
    """The same without its class."""
    return str(getattr(function, "__name__", "") or code_of(function).co_name)


def to_follow(
    wanted: Iterable[tuple[str, Callable[..., Any]]],
    layers: Sequence[tuple[str, Any]],
    targets: Iterable[Target],
    log: CallLog,
) -> list[Function]:
    """The functions wanted, and after them their helpers, each once and under a name of its own."""
    timed = [(path, phase, layer) for path, layer in layers for phase in PHASES if hasattr(layer, phase)]
    timed += [(target.path, target.phase, target.owner) for target in targets if target.owner is not None]
    found: dict[tuple[CodeType, int], Function] = {}

    def add(name: str, function: Callable[..., Any], owner: object, **rest: Any) -> None:
        if (code_of(function), id(owner)) not in found:
            name = free_path(name, [each.name for each in found.values()])
            found[code_of(function), id(owner)] = Function(name, function, owner, **rest)

    for name, function in wanted:
        path, _, method = name.rpartition(".")
        owner = self_of(function)
        layer = dict(layers).get(path) if owner is None else owner
        scopes = {phase: log.scope(path, phase) for path, phase, its in timed if its is layer}
        within = [scopes[method]] if method in scopes else scopes.values() if owner is not None else ()
        add(name, function, owner, scopes=frozenset(within))
    for each in list(found.values()):
        for called, helper in with_helpers(each.name, each.function)[1:]:
            add(called, helper, each.owner, caller=each)
    return list(found.values())
