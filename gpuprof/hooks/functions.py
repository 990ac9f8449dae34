"""Single methods and plain functions: found, wrapped where they are looked up, and put back."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, NamedTuple

from gpuprof.hooks.methods import TimedMethod, refuse_lazy, wrapped
from gpuprof.record.log import CallLog


class Target(NamedTuple):
    """A method of one object, or a function, to be timed."""

    path: str
    phase: str
    owner: Any
    """The object whose method it is; None for a function."""
    function: Callable[..., Any]


def split(models: Iterable[object]) -> tuple[list[object], list[Target]]:
    """What has layers or may have, and what is itself a method or a function.

    A bound method's row is its object's name and its own; a function's is its own name and "call". Raises TypeError
    for what cannot be wrapped: a class, a built-in function, a coroutine.
    """
    others: list[object] = []
    targets: list[Target] = []
    for model in models:
        if isinstance(model, MethodType) and not isinstance(model.__self__, type):
            owner = model.__self__
            refuse_lazy(name_of(owner), owner, model.__name__)
            targets.append(Target(name_of(owner), model.__name__, owner, model))
        elif isinstance(model, FunctionType):
            _refuse_unfit(model)
            targets.append(Target(model.__name__, "call", None, model))
        elif isinstance(model, (BuiltinFunctionType, type, MethodType)):
            raise TypeError(
                f"expected an object with layers, one of its methods, or a function written in Python; got {model!r}; "
                'put what calls it into a function, or into `with gpuprof.region("name"):`'
            )
        else:
            others.append(model)
    return others, targets


@contextmanager
def timed_target(target: Target, log: CallLog, namespace: dict[str, Any] | None = None) -> Iterator[TimedMethod]:
    """Log each call of `target`; afterwards everything is as it was.

    A method is wrapped on its object. A function is replaced wherever its own name stands for it: in its module, in
    `namespace`, in every module loaded; under another name it goes on unseen.
    """
    scope = log.scope(target.path, target.phase)
    if target.owner is not None:
        with wrapped(target.owner, target.phase, scope, log) as method:
            yield method
        return
    wrapper = TimedMethod(None, target.phase, scope, log, target.function)
    places = _places(target.function, namespace)
    for place in places:
        place[target.function.__name__] = wrapper
    try:
        yield wrapper
    finally:
        for place in places:
            if place.get(target.function.__name__) is wrapper:  # else somebody has put something else there
                place[target.function.__name__] = target.function


def _places(function: Callable[..., Any], namespace: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The namespaces in which the function's name stands for it."""
    spaces = [namespace or {}, getattr(function, "__globals__", {})]
    spaces += [vars(module) for module in list(sys.modules.values()) if hasattr(module, "__dict__")]
    found = {id(space): space for space in spaces if space.get(function.__name__) is function}
    if not found:
        raise TypeError(
            f"the function {function.__name__} is in no module and not among the names of the cell under its own "
            "name, so its calls cannot be seen; give it a name of its own, def or assign it, and profile that"
        )
    return list(found.values())


def name_of(owner: object) -> str:
    """An object's `name`, else that of its class."""
    name = getattr(owner, "name", None)
    return " ".join((name if isinstance(name, str) and name else type(owner).__name__).split())


def _refuse_unfit(function: FunctionType) -> None:
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise TypeError(
            f"{function.__name__} is a coroutine or a generator: a call returns before its work is begun; profile the "
            "functions that do the work"
        )
