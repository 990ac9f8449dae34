"""What a callable works on besides its arguments: its closure, its defaults and the globals it names."""

from __future__ import annotations

import dis
from collections.abc import Callable, Iterator
from functools import partial
from types import CellType, CodeType, FunctionType
from typing import Any

from gpuprof.arrays import copies


def over_copies(function: Callable[..., Any]) -> Callable[..., Any]:
    """A plain function over copies of the arrays in its closure, its defaults and the globals it names; else itself."""
    if not isinstance(function, FunctionType):
        return function
    names = {name: value for name, value in function.__globals__.items() if name in function.__code__.co_names}
    cells = [cell for cell in function.__closure__ or () if _filled(cell)]
    made = copies([*names.values(), *(cell.cell_contents for cell in cells)])
    overlay = {**function.__globals__, **dict(zip(names, made, strict=False))}
    fresh = {id(cell): _cell(cell, value) for cell, value in zip(cells, made[len(names) :], strict=True)}
    closure = tuple(fresh.get(id(cell), cell) for cell in function.__closure__ or ())
    defaults = tuple(copies(function.__defaults__ or ()))
    copy = FunctionType(function.__code__, overlay, function.__name__, defaults, closure)
    copy.__kwdefaults__, copy.__qualname__ = function.__kwdefaults__, function.__qualname__
    return copy


def _filled(cell: CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - asking is what tells
    except ValueError:
        return False
    return True


def _cell(cell: CellType, value: object) -> CellType:
    """A cell for `value`; the same cell where it holds that very object, for the function may assign to it."""
    return cell if cell.cell_contents is value else CellType(value)


def seen_by(function: Any, depth: int = 3) -> Iterator[object]:
    """What a callable works on that is not in its arguments: its object, its closure, the globals it names.

    So do the functions among those, `depth` levels down.
    """
    for value in _seen_at_once(function):
        yield value
        if depth and (isinstance(value, partial) or hasattr(value, "__code__") or hasattr(value, "__func__")):
            yield from seen_by(value, depth - 1)


def _seen_at_once(function: Any) -> Iterator[object]:
    if isinstance(function, partial):
        yield from (*function.args, *function.keywords.values(), function.func)
        return
    yield from filter(None, [getattr(function, "__self__", None)])
    yield from getattr(function, "__defaults__", None) or ()
    yield from (getattr(function, "__kwdefaults__", None) or {}).values()
    for cell in getattr(function, "__closure__", None) or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not filled yet
            continue
    names = getattr(function, "__globals__", {})
    code = getattr(function, "__code__", None)
    yield from (names[name] for name in (loaded_by(code) if code else ()) if name in names)


def loaded_by(code: CodeType) -> set[str]:
    """The globals that a function's code loads, that of the functions inside it too."""
    own = {step.argval for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL"}
    return own.union(*(loaded_by(inner) for inner in code.co_consts if isinstance(inner, CodeType)))
