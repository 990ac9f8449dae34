"""PyTorch's optimizers: found when they step, by the parameters they hold; a step is a call of phase "update"."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from threading import get_ident
from typing import Any
from weakref import WeakKeyDictionary

from gpuprof.hooks.methods import free_path
from gpuprof.record.log import CallLog
from gpuprof.record.tape import RAISED

_OTHERS = -1


class Updates:
    """The steps of the optimizers that hold parameters of some modules, on a log.

    What a closure does that is given to a step (the forward and the backward, with some optimizers and frameworks)
    is no part of it: the call begins again when that has returned.
    """

    def __init__(self, modules: Iterable[Any], log: CallLog, taken: Iterable[str]) -> None:
        self._modules = list(modules)
        self._log = log
        self._taken = set(taken)
        self._scopes: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
        self._open: dict[int, list[tuple[Any, int]]] = {}

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
            for opened in self._open.values():
                for _, call in reversed(opened):
                    self._log.leave(call, RAISED)  # PyTorch tells nobody of a step that raises

    def _before(self, optimizer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        scope = self._scope(optimizer)
        if scope == _OTHERS:
            return None
        self._end(optimizer, RAISED)  # the step before, if it is still open
        closure = kwargs.get("closure") or (args[1] if len(args) > 1 else None)
        if not callable(closure):
            self._begin(optimizer, scope)
            return None
        outside = self._outside(closure, optimizer, scope)
        if kwargs.get("closure"):
            return args, {**kwargs, "closure": outside}
        return (args[0], outside, *args[2:]), kwargs

    def _after(self, optimizer: Any, _args: Any, _kwargs: Any) -> None:
        self._end(optimizer)

    def _outside(self, closure: Callable[[], Any], optimizer: Any, scope: int) -> Callable[[], Any]:
        def evaluated(*args: Any, **kwargs: Any) -> Any:
            self._end(optimizer)
            found = closure(*args, **kwargs)
            self._begin(optimizer, scope)
            return found

        return evaluated

    def _begin(self, optimizer: Any, scope: int) -> None:
        self._open.setdefault(get_ident(), []).append((optimizer, self._log.enter(scope)))

    def _end(self, optimizer: Any, status: int = 0) -> None:
        opened = self._open.get(get_ident(), [])
        if any(each is optimizer for each, _ in opened):
            ended = None
            while ended is not optimizer:
                ended, call = opened.pop()
                self._log.leave(call, status if ended is optimizer else RAISED)

    def _scope(self, optimizer: Any) -> int:
        """That of an optimizer's row; -1 for one of other parameters."""
        if optimizer not in self._scopes:
            ours = {id(parameter) for module in self._modules for parameter in module.parameters(recurse=False)}
            held = (id(parameter) for group in optimizer.param_groups for parameter in group["params"])
            self._scopes[optimizer] = self._new(optimizer) if ours.intersection(held) else _OTHERS
        return self._scopes[optimizer]

    def _new(self, optimizer: Any) -> int:
        path = free_path(type(optimizer).__name__, self._taken)
        self._taken.add(path)
        return self._log.scope(path, "update")
