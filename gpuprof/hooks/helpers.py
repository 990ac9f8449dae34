"""The methods that a method calls on its own object: a line that only calls one is not where the work is written."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from inspect import unwrap
from types import FunctionType
from typing import Any

from gpuprof.hooks.source import code_of, node_of, self_of

_MOST = 8


def with_helpers(name: str, function: Callable[..., Any]) -> list[tuple[str, Callable[..., Any]]]:
    """`function` by its name, and after it the methods written in Python that it calls on its own object.

    Also those that these call, at most eight in all; none of a class in another package. A plain function has none.
    """
    owner = self_of(function)
    found = [(name, function)]
    if owner is None:
        return found
    path = name.rpartition(".")[0]
    package = type(owner).__module__.partition(".")[0]
    known = {code_of(function)}
    for _, each in found:  # grows as it goes
        for called in _called_on_self(each):
            helper: Any = getattr(type(owner), called, None)
            helper = unwrap(helper) if callable(helper) else None
            if not isinstance(helper, FunctionType) or str(helper.__module__).partition(".")[0] != package:
                continue
            if len(found) < _MOST and helper.__code__ not in known:
                known.add(helper.__code__)
                found.append((f"{path}.{called}" if path else called, helper))
    return found


def _called_on_self(function: Callable[..., Any]) -> Iterator[str]:
    """The names that it calls on its first argument."""
    code = code_of(function)
    node = node_of(code)
    own = code.co_varnames[0] if code.co_argcount else ""
    for each in ast.walk(node) if node is not None else ():
        match each:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=called)) if name == own:
                yield called
