"""PyTorch's optimizers: found when they step, by the parameters they hold; a step is a call of phase "update"."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from gpuprof.hooks.boundary import Cross, Opened
from gpuprof.hooks.methods import free_path
from gpuprof.record.log import CallLog
from gpuprof.record.tape import RAISED, RETURNED, Tape

_OTHERS = -1


class Updates:
    """The steps of the optimizers that hold parameters of some modules, on a log.

    What a closure does that is given to a step (the forward and the backward, with some optimizers and frameworks)
    is no part of it: the call begins again when that has returned.
    """

    def __init__(self, modules: Iterable[Any], log: CallLog, cross: Cross, taken: Iterable[str]) -> None:
        self._modules = list(modules)
        self._log = log
        self._cross = cross
        self._taken = set(taken)
        self._known: dict[int, tuple[Any, int]] = {}
        self._open: dict[int, tuple[Tape, list[_Step]]] = {}

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Inside, steps are written down, by PyTorch's own hooks around each optimizer's step."""
        optimizer = import_module("torch.optim.optimizer")
        before = optimizer.register_optimizer_step_pre_hook(self._before)
        after = optimizer.register_optimizer_step_post_hook(self._after)
        try:
            yield
        finally:
            before.remove()
            after.remove()
            for tape, opened in self._open.values():  # PyTorch tells nobody of a step that raises
                self._cross(tape, [each.call for each in reversed(opened)], (), status=RAISED)

    def _before(self, optimizer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        its, scope = self._known.get(id(optimizer)) or self._look_at(optimizer)
        if its() is not optimizer:  # that one has gone, and this has its place
            _, scope = self._look_at(optimizer)
        if scope == _OTHERS:
            return None
        if len(args) == 1 and not kwargs:
            self._begin(optimizer, scope)
            return None
        closure = kwargs.get("closure") or (args[1] if len(args) > 1 else None)
        if closure is None:
            self._begin(optimizer, scope)
            return None
        outside = self._outside(closure, optimizer, scope)
        if kwargs.get("closure"):
            return args, {**kwargs, "closure": outside}
        return (args[0], outside, *args[2:]), kwargs

    def _after(self, optimizer: Any, _args: Any, _kwargs: Any) -> None:
        tape = self._log.here.tape
        opened = self._open.get(tape.number, (tape, []))[1]
        if opened and opened[-1].optimizer is optimizer and not opened[-1].inside:
            self._cross(tape, (opened.pop().call,), ())
        elif each := _last_of(opened, optimizer):
            if each.inside:
                each.inside -= 1
            else:  # another one inside it has raised
                self._end(optimizer)

    def _outside(self, closure: Callable[..., Any], optimizer: Any, scope: int) -> Callable[..., Any]:
        def evaluated(*args: Any, **kwargs: Any) -> Any:
            self._end(optimizer)
            found = closure(*args, **kwargs)
            self._begin(optimizer, scope)
            return found

        return evaluated

    def _begin(self, optimizer: Any, scope: int) -> None:
        tape = self._log.here.tape
        opened = self._open.setdefault(tape.number, (tape, []))[1]
        if each := _last_of(opened, optimizer):
            if _steps(optimizer) > 1:  # a class's step that calls that of the class above, of which we are told, too
                each.inside += 1
                return
            self._end(optimizer, RAISED)  # the step before, of which nobody was told that it raised
        opened.append(_Step(optimizer, self._cross(tape, (), (scope,))[0]))

    def _end(self, optimizer: Any, status: int = RETURNED) -> None:
        tape = self._log.here.tape
        opened = self._open.get(tape.number, (tape, []))[1]
        while _last_of(opened, optimizer):
            ended = opened.pop()
            self._cross(tape, (ended.call,), (), status=status if ended.optimizer is optimizer else RAISED)

    def _look_at(self, optimizer: Any) -> tuple[Any, int]:
        """The optimizer, weakly, and the scope of its row; -1 for one of other parameters."""
        ours = {id(parameter) for module in self._modules for parameter in module.parameters(recurse=False)}
        held = (id(parameter) for group in optimizer.param_groups for parameter in group["params"])
        scope = self._new(optimizer) if ours.intersection(held) else _OTHERS
        known = self._known[id(optimizer)] = (weakref.ref(optimizer), scope)
        return known

    def _new(self, optimizer: Any) -> int:
        path = free_path(type(optimizer).__name__, self._taken)
        self._taken.add(path)
        return self._log.scope(path, "update")


@dataclass
class _Step:
    """A step that has begun."""

    optimizer: Any
    call: Opened
    inside: int = 0
    """Steps of the same optimizer inside it."""


def _last_of(opened: list[_Step], optimizer: Any) -> _Step | None:
    return next((each for each in reversed(opened) if each.optimizer is optimizer), None)


def _steps(optimizer: Any) -> int:
    """How many steps of an optimizer are running on this thread: by the frames of what PyTorch puts around each."""
    frames = 0
    frame: Any = sys._getframe()
    while frame is not None:
        code = frame.f_code
        if code.co_name == "wrapper" and code.co_filename.endswith("optimizer.py"):
            frames += frame.f_locals.get("self") is optimizer
        frame = frame.f_back
    return frames
