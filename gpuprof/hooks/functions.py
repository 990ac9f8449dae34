"""Single methods and plain functions: found, wrapped where they are looked up, and put back."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType, MethodWrapperType, ModuleType
from typing import Any, NamedTuple

from gpuprof.hooks.methods import (
    PHASES,
    TimedMethod,
    find_layers,
    free_path,
    own_of,
    phases_of,
    refuse_lazy,
    wrapped,
)
from gpuprof.hooks.source import is_lazy
from gpuprof.record.calls import in_a_line
from gpuprof.record.log import CallLog


class Target(NamedTuple):
    """A method of one object, or a function, to be timed."""

    path: str
    phase: str
    owner: Any
    """The object whose method it is; None for a function."""
    function: Callable[..., Any]


def split(models: Iterable[object]) -> tuple[list[object], list[Target]]:
    """What has layers or may have, and what is itself a method or a function, in lists and dicts too.

    A bound method's row is its object's name and its own; a function's is its own name, or that of the variable it
    stands under, and "call". Each is there once, under a path of its own, and not where its layer is timed anyway.
    Raises TypeError for what cannot be wrapped, such as a class or a built-in function.
    """
    found: list[Target] = []
    others = [other for model in models if (other := _without_targets(model, found)) is not None or model is None]
    layers = find_layers(*others) if others else []
    return others, list(_settled(found, layers))


@contextmanager
def timed_target(
    target: Target, log: CallLog, namespace: dict[str, Any] | None = None, later: ExitStack | None = None
) -> Iterator[TimedMethod]:
    """Log each call of `target`; afterwards everything is as it was.

    A method is wrapped on its object. A function is replaced wherever a name of a module, or of `namespace`, stands
    for it; what the code inside has copied to such a name becomes the function again. Calls through a reference kept
    elsewhere (an attribute, a list, a closure, a local name) go unseen. All modules are looked through to put a
    function back, for milliseconds: with `later`, when that is closed; the calls are logged no more from now on.
    """
    scope = log.scope(target.path, target.phase)
    if target.owner is not None:
        with wrapped(target.owner, target.phase, scope, log) as method:
            yield method
        return
    function = target.function
    if not _places(function, namespace):
        raise TypeError(
            f"the function {target.path} stands under no name of a module or of the notebook, so its calls cannot be "
            'seen; def or assign it there, or put what calls it into `with gpuprof.region("name"):`'
        )
    wrapper = TimedMethod(None, target.phase, scope, log, function)
    with ExitStack() as now:
        (now if later is None else later).callback(lambda: _replace(wrapper, own_of(wrapper), namespace))
        now.callback(wrapper.end)
        _replace(function, wrapper, namespace)
        yield wrapper


def name_of(owner: object) -> str:
    """An object's `name`, else that of its class."""
    name = getattr(owner, "name", None)
    return in_a_line(name if isinstance(name, str) else "") or type(owner).__name__


def _without_targets(model: object, found: list[Target]) -> object:
    """What is left of a model without its functions and methods, which go to `found`; None where that is nothing.

    In a list their places stay, for a layer without a name is called by its own.
    """
    if isinstance(model, (list, tuple, dict)):
        before = len(found)
        members = model.values() if isinstance(model, dict) else model
        left = [_without_targets(member, found) for member in members]
        if len(found) == before:
            return model
        if all(each is None for each in left):
            return None
        return dict(zip(model, left, strict=True)) if isinstance(model, dict) else left
    target = _target(model)
    if target is None:
        return model
    found.append(target)
    return None


def _target(model: Any) -> Target | None:
    """What is a method or a function, as a target; None for what may have layers."""
    if isinstance(model, TimedMethod):  # a profile around this one is being taken
        return Target("", model.phase, model.layer, model)
    if isinstance(model, MethodType) and not isinstance(model.__self__, type):
        name = _attribute(model)
        refuse_lazy(name_of(model.__self__), model.__self__, name)
        return Target("", name, model.__self__, model)
    if isinstance(model, (FunctionType, partial)) or _is_wrapper(model):
        _refuse_unfit(model)
        return Target("", "call", None, model)
    if isinstance(model, (BuiltinFunctionType, MethodType, MethodWrapperType)):
        raise TypeError(
            f"expected an object with layers, one of its methods, or a function written in Python; got {model!r}; "
            'put what calls it into a function, or into `with gpuprof.region("name"):`'
        )
    if isinstance(model, type) and not hasattr(model, "layers"):
        raise TypeError(f"expected an object with layers; got the class {model.__qualname__}: give an object of it")
    return None


def _settled(found: Iterable[Target], layers: Iterable[tuple[str, Any]]) -> Iterator[Target]:
    """Each target once, with a path of its own: a layer's where its object is one."""
    paths = {id(layer): path for path, layer in layers}
    known = {(id(layer), phase) for _, layer in layers for phase in phases_of(layer)}
    for target in found:
        thing = target.owner if target.owner is not None else target.function
        if (id(thing), target.phase) in known:
            continue
        known.add((id(thing), target.phase))
        name = name_of(target.owner) if target.owner is not None else _name(target.function)
        path = paths.setdefault(id(thing), "") or free_path(name, set(paths.values()))
        paths[id(thing)] = path
        yield target._replace(path=path)


def _attribute(method: MethodType) -> str:
    """The name by which its object has a method: an alias or a decorator may have given its function another."""
    owner = method.__self__
    name = str(getattr(method, "__name__", ""))
    if getattr(owner, name, None) != method:
        spaces = [getattr(owner, "__dict__", {}), *map(vars, type(owner).__mro__)]
        names = [key for space in spaces for key, value in space.items() if value is method.__func__ or value is method]
        if not names:
            raise TypeError(
                f"{type(owner).__name__} has no method under the name of {method!r}, so its calls cannot be seen; "
                "profile what calls it"
            )
        name = names[0]
    if name.startswith("__") and name.endswith("__"):
        raise TypeError(
            f"Python looks {name} up on the class {type(owner).__name__}, not on one object, so its calls cannot be "
            "seen; give a method of another name, and let it do the work"
        )
    return name


def _places(function: object, namespace: dict[str, Any] | None = None) -> list[tuple[dict[str, Any], str]]:
    """The names of modules and of `namespace` that stand for a function."""
    modules = [module for module in list(sys.modules.values()) if isinstance(module, ModuleType)]
    spaces = [namespace, getattr(function, "__globals__", None)]
    spaces += [object.__getattribute__(module, "__dict__") for module in modules]  # a lazy one stays unloaded
    known = {id(space): space for space in spaces if isinstance(space, dict)}
    return [(space, name) for space in known.values() for name, value in list(space.items()) if value is function]


def _replace(old: object, new: object, namespace: dict[str, Any] | None) -> None:
    for space, name in _places(old, namespace):
        space[name] = new


def _name(function: Any) -> str:
    """A function's own name; of a lambda or a partial the first name that stands for it."""
    name = getattr(function, "__name__", "")
    if str(name).isidentifier():
        return str(name)
    names = [name for _, name in _places(function) if name.strip("_")]  # not IPython's _ and __
    return names[0] if names else getattr(function, "__name__", type(function).__name__)


def _is_wrapper(model: Any) -> bool:
    """Whether it is a function that a decorator has made into something else, as functools.cache does."""
    wraps = callable(model) and callable(getattr(model, "__wrapped__", None))
    return wraps and not isinstance(model, type) and not any(hasattr(model, name) for name in ("layers", *PHASES))


def _refuse_unfit(function: Any) -> None:
    inner = inspect.unwrap(function.func if isinstance(function, partial) else function)
    name = getattr(inner, "__qualname__", type(inner).__qualname__)
    if is_lazy(function):
        raise TypeError(
            f"{name} is a coroutine or a generator: a call returns before its work is begun; profile the functions "
            "that do the work"
        )
    home = name.rpartition(".")[0]
    if home and not home.endswith("<locals>") and not _places(function):
        raise TypeError(
            f"{name} is a function of the class {home}, where its calls are looked up; give a method of one object "
            'that uses self, or put what calls it into `with gpuprof.region("name"):`'
        )
