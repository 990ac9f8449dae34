"""Functions and their source: which code runs, where its text stands, which of its lines make a statement."""

from __future__ import annotations

import ast
import difflib
import functools
import inspect
import linecache
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_LAZY = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


@dataclass(frozen=True)
class Source:
    """The text of one function: its lines as they stand in the file, decorators first."""

    name: str
    """As the class calls it, such as "MaxPool2d.backward"."""
    file: str
    first: int
    """The number of its first line."""
    lines: tuple[str, ...]

    @classmethod
    def of(cls, function: Any) -> Source:
        """The source of `function`, of a notebook's cell too. ValueError where there is none, or another by now."""
        code = code_of(function)
        text = linecache.getlines(code.co_filename)
        node = node_of(code)
        if not text:
            raise ValueError(
                f"{code.co_qualname} has no source here ({code.co_filename}), so its lines cannot be shown; "
                "define it in a file or in a notebook's cell"
            )
        if node is None or node.end_lineno is None:
            raise ValueError(
                f"{code.co_qualname} does not stand at line {code.co_firstlineno} of {code.co_filename}: the file was "
                "changed after it was imported; import it anew"
            )
        first = _first(node)
        lines = tuple(line.rstrip("\r\n") for line in text[first - 1 : node.end_lineno])
        return cls(code.co_qualname, code.co_filename, first, lines)


def code_of(function: Any) -> CodeType:
    """The code whose lines run when `function` is called: that of the innermost function under its wrappers.

    Takes functions, methods, `functools.partial`, what `functools.wraps` made, objects with a `__call__` written in
    Python, and code itself. TypeError for a class, and for what is not written in Python.
    """
    came, seen = function, set[int]()
    while not isinstance(function, CodeType) and id(function) not in seen:
        seen.add(id(function))
        function = _inside(function)
    if isinstance(function, CodeType):
        return function
    raise TypeError(_no_code(came))


def is_lazy(function: Any) -> bool:
    """Whether a call of it returns before its work is begun: a generator or a coroutine, under whatever wraps it."""
    try:
        return bool(code_of(function).co_flags & _LAZY)
    except TypeError:  # not written in Python
        return False


def self_of(function: Any) -> Any:
    """The object whose method it is, under whatever wraps it, or that is called itself; None for a function.

    None, too, for a method of a class, which objects of other classes may be given.
    """
    seen = set[int]()
    while id(function) not in seen:
        seen.add(id(function))
        owner = getattr(function, "__self__", None)
        if owner is not None:
            return None if isinstance(owner, (type, ModuleType)) else owner
        if isinstance(function, functools.partial):
            function = function.func
        elif "__wrapped__" in getattr(function, "__dict__", {}):
            function = function.__wrapped__
        else:
            call = inspect.getattr_static(type(function), "__call__", None)
            return function if isinstance(call, FunctionType) else None
    return None


def statements(code: CodeType) -> dict[int, int]:
    """For each line of the function's body, the first line of the statement it belongs to.

    A compound statement's header is a statement of its own; a nested function or class is one. Of several statements
    on one line, the outermost has it. Without source each line stands for itself.
    """
    node = node_of(code)
    if node is None:
        return {line: line for _, _, line in code.co_lines() if line is not None}
    found: dict[int, int] = {}
    if isinstance(node, ast.Lambda):
        _claim(node, node.end_lineno or node.lineno, found)
    else:
        _claim_all(node.body, found)
    return found


def resolve(text: str, layers: Sequence[tuple[str, Any]], namespace: Mapping[str, Any]) -> tuple[str, Any]:
    """The name and the function that `text` stands for: "Pool1.backward" of `layers`, else a Python expression.

    ValueError, with what comes nearest, for what is neither, and for a call, which is not made; TypeError for what has
    no lines of Python.
    """
    text = text.strip()
    path, _, method = text.rpartition(".")
    for name, layer in layers:
        if name == path and callable(getattr(layer, method, None)):
            code_of(getattr(layer, method))
            return text, getattr(layer, method)
    try:
        tree = ast.parse(text, mode="eval")
        if isinstance(tree.body, ast.Call):
            raise ValueError(
                f"expected a function's name; got the call {text}: name it without arguments, as in --lines "
                f"{ast.unparse(tree.body.func)}; or, to make that call and follow all of it: %layertime --lines {text}"
            )
    except SyntaxError as error:
        raise ValueError(_unknown(text, layers, namespace, error)) from None
    try:
        function = eval(text, dict(namespace))  # noqa: S307  the user's own words in their own namespace
    except Exception as error:
        raise ValueError(_unknown(text, layers, namespace, error)) from None
    code_of(function)
    return text, function


def _inside(function: Any) -> Any:
    """What lies one wrapper further in; the same object where there is none."""
    if isinstance(function, (functools.partial, functools.partialmethod)):
        return vars(function).get("__wrapped__", function.func)
    if isinstance(function, (staticmethod, classmethod, MethodType)):
        return function.__func__
    if isinstance(function, type):
        return function
    if "__wrapped__" in getattr(function, "__dict__", {}):
        return function.__wrapped__
    if isinstance(function, FunctionType):
        return function.__code__
    call = inspect.getattr_static(type(function), "__call__", None)
    return call if isinstance(call, FunctionType) else getattr(function, "__wrapped__", function)


def _no_code(came: Any) -> str:
    wanted = "expected a function or a method written in Python"
    if isinstance(came, type):
        return f"{wanted}; got the class {came.__qualname__}: name one of its methods, as {came.__qualname__}.METHOD"
    if isinstance(came, property):
        return f"{wanted}; got a property: its function is its .fget"
    if callable(came):
        name = getattr(came, "__qualname__", type(came).__qualname__)
        return f"{wanted}; got {name}, whose code is not Python, so it has no lines: give the function that calls it"
    if type(came).__module__ != "builtins":
        return f"{wanted}; got an object, of the class {type(came).__qualname__}: name one of its methods"
    return f"{wanted}; got {type(came).__name__}: {str(came)[:60]}; give the function itself, not what it returned"


def _unknown(text: str, layers: Sequence[tuple[str, Any]], namespace: Mapping[str, Any], error: Exception) -> str:
    private = text.rpartition(".")[2].startswith("_")
    methods = [f"{path}.{method}" for path, layer in layers for method in _methods(layer, private)]
    functions = [name for name, value in namespace.items() if isinstance(value, FunctionType) and name.strip("_")]
    near = [method for method in methods if method.startswith(f"{text}.")][:3]
    near = near or difflib.get_close_matches(text, [*methods, *functions], 3, 0.5)
    there_are = f"; there are {', '.join(methods[:3])}" if methods else ""
    there_are += ", and functions defined before the cell runs" if isinstance(error, NameError) else ""
    hint = f"; did you mean {' or '.join(near)}?" if near else there_are
    why = f"{type(error).__name__}: {error}"
    return f"expected a layer's method, such as Pool1.backward, or a function; got {text!r} ({why}){hint}"


def _methods(layer: Any, private: bool) -> list[str]:
    names = [name for base in type(layer).__mro__[:-1] for name, value in vars(base).items() if callable(value)]
    return [name for name in dict.fromkeys(names) if not name.startswith("__" if private else "_")]


def node_of(code: CodeType) -> Any:
    """The definition that `code` was compiled from; None where there is no source, or another."""
    try:
        tree = ast.parse("".join(linecache.getlines(code.co_filename)))
    except SyntaxError:
        return None
    kinds: Any = ast.Lambda if code.co_name == "<lambda>" else _FUNCTIONS
    for node in ast.walk(tree):
        if isinstance(node, kinds) and getattr(node, "name", "<lambda>") == code.co_name and _holds(node, code):
            return node
    return None


def _holds(node: Any, code: CodeType) -> bool:
    """Whether `code` begins with the definition, and every line of it lies in there."""
    return _first(node) == code.co_firstlineno and all(
        line is None or _first(node) <= line <= node.end_lineno for _, _, line in code.co_lines()
    )


def _first(node: Any) -> int:
    """The number of its first line, decorators included; of a case, where its pattern begins."""
    if isinstance(node, ast.match_case):
        return node.pattern.lineno
    decorators = getattr(node, "decorator_list", [])
    return int(decorators[0].lineno if decorators else node.lineno)


def _claim_all(body: Sequence[Any], found: dict[int, int]) -> None:
    for node in body:
        blocks = [] if isinstance(node, (*_FUNCTIONS, ast.ClassDef)) else list(_blocks(node))
        _claim(node, _first(blocks[0][0]) - 1 if blocks else node.end_lineno, found)
        for block in blocks:
            _claim_all(block, found)


def _blocks(node: Any) -> Iterator[list[Any]]:
    """The blocks of a compound statement in their order; a handler or a case is a statement with a block."""
    for field in ("body", "cases", "handlers", "orelse", "finalbody"):
        block = getattr(node, field, None)
        if block:
            yield block


def _claim(node: Any, last: int, found: dict[int, int]) -> None:
    """The lines from the node's first to `last`, unless they are taken."""
    first = _first(node)
    start = found.get(first, first)
    for line in range(first, max(first, last) + 1):
        found.setdefault(line, start)
