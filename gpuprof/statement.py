"""A statement compiled once into a loop, as `timeit` does: its names stay inside, no text is looked at again."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import CodeType
from typing import Any

# Up to the first yield it sets up, up to the second it runs the statement: only that part is timed.
_TEMPLATE = """
def loop(__gpuprof_calls):
    setup
    yield
    for __gpuprof_call in __gpuprof_calls:
        statement
    yield
"""


class Timed:
    """What is to be timed. `prepared(n)` sets up, and what it returns calls it n times in a row."""

    def __init__(self, loop: Callable[[Iterable[None]], Iterator[None]], text: str, objects: list[object]) -> None:
        self._loop = loop
        self.text = text
        self.objects = objects
        """What it works on, as far as can be seen: for `clock_for`."""

    def prepared(self, number: int) -> Callable[[], None]:
        """Run the setup; calling the result calls the statement `number` times, adding under 0.1 µs to each."""
        steps = self._loop(itertools.repeat(None, number))
        next(steps)
        return partial(next, steps)


def from_function(function: Callable[..., Any], *args: Any) -> Timed:
    """`function(*args)` as something to be timed."""

    def loop(calls: Iterable[None]) -> Iterator[None]:
        yield
        for _ in calls:
            function(*args)
        yield

    name = getattr(function, "__qualname__", type(function).__name__)
    objects = [*args, function, *_seen_by(function)]
    return Timed(loop, f"{name}({', '.join(type(arg).__name__ for arg in args)})", objects)


def from_source(
    statement: str, setup: str = "pass", namespace: dict[str, Any] | None = None, filename: str = "<gpu_timeit>"
) -> Timed:
    """Source text as something to be timed, its names looked up in `namespace`.

    Assignments in it stay inside it; `setup` runs before each batch. Raises SyntaxError as Python does.
    """
    trees = [ast.parse(text, filename) for text in (statement, setup)]
    return from_tree(trees[0], trees[1], statement, {} if namespace is None else namespace, filename)


def from_tree(
    statement: ast.Module,
    setup: ast.Module,
    text: str,
    namespace: dict[str, Any],
    filename: str,
    flags: int = 0,
) -> Timed:
    """The same from parsed source; `flags` are the compiler's, such as a `from __future__` of the user's."""
    for part in (setup, statement):
        # `return` and the like are refused here, not taken for the loop's own; this file's __future__ stays here
        compile(part, filename, "exec", flags, dont_inherit=True)
    names = {node.id for part in (statement, setup) for node in ast.walk(part) if isinstance(node, ast.Name)}
    tree = _Fill(statement.body, setup.body).visit(ast.parse(_TEMPLATE))
    code = compile(ast.fix_missing_locations(tree), filename, "exec", flags, dont_inherit=True)
    made: dict[str, Any] = {}
    exec(code, namespace, made)  # noqa: S102 - running the user's statement is what this is for
    objects: list[object] = []
    for name in names & namespace.keys():
        objects += [namespace[name], *_seen_by(namespace[name])]
    return Timed(made["loop"], text, objects)


class _Fill(ast.NodeTransformer):
    """Puts statements where the template has the names `setup` and `statement`."""

    def __init__(self, statement: list[ast.stmt], setup: list[ast.stmt]) -> None:
        self._bodies = {"statement": statement or [ast.Pass()], "setup": setup or [ast.Pass()]}

    def visit_Expr(self, node: ast.Expr) -> Any:
        """The statements for a name of the template."""
        if isinstance(node.value, ast.Name) and node.value.id in self._bodies:
            return self._bodies[node.value.id]
        return node


def _seen_by(function: Any) -> Iterator[object]:
    """What a callable works on that is not in its arguments: its object, its closure, the globals it names."""
    if isinstance(function, partial):
        yield from (*function.args, *function.keywords.values())
        yield from _seen_by(function.func)
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
    yield from (names[name] for name in (_names_in(code) if code else ()) if name in names)


def _names_in(code: CodeType) -> set[str]:
    """The names of a function's code, those of the functions inside it too."""
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*map(_names_in, inner))
