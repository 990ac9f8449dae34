"""A statement compiled once into a loop, as `timeit` does: its names stay inside, no text is looked at again."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Loop = Callable[[Iterable[None]], None]

_TEMPLATE = """
def loop(__gpuprof_calls):
    setup
    for __gpuprof_call in __gpuprof_calls:
        statement
"""


class Timed:
    """What is to be timed: `run(n)` calls it n times in a row, in a loop that adds under 0.1 µs a call."""

    def __init__(self, loop: Loop, text: str, objects: list[object]) -> None:
        self._loop = loop
        self.text = text
        self.objects = objects
        """What it works on, as far as can be seen: for `clock_for`."""

    def run(self, number: int) -> None:
        """Call it `number` times."""
        self._loop(itertools.repeat(None, number))


def from_function(function: Callable[..., Any], *args: Any) -> Timed:
    """`function(*args)` as something to be timed."""

    def loop(calls: Iterable[None]) -> None:
        for _ in calls:
            function(*args)

    name = getattr(function, "__qualname__", type(function).__name__)
    return Timed(loop, f"{name}({', '.join(type(arg).__name__ for arg in args)})", [*args, *_seen_by(function)])


def from_source(
    statement: str, setup: str = "pass", namespace: dict[str, Any] | None = None, filename: str = "<gpu_timeit>"
) -> Timed:
    """Source text as something to be timed, its names looked up in `namespace`.

    Assignments in it stay inside it; `setup` is run before each batch. Raises SyntaxError as Python does.
    """
    namespace = {} if namespace is None else namespace
    body = ast.parse(statement, filename)
    return from_tree(body, ast.parse(setup, filename), statement, namespace, filename)


def from_tree(statement: ast.Module, setup: ast.Module, text: str, namespace: dict[str, Any], filename: str) -> Timed:
    """The same from parsed source."""
    for part in (setup, statement):
        compile(part, filename, "exec")  # `return` and the like are refused here, not taken for the loop's own
    tree = ast.parse(_TEMPLATE)
    tree = ast.fix_missing_locations(_Fill(statement.body, setup.body).visit(tree))
    code = compile(tree, filename, "exec")
    made: dict[str, Any] = {}
    exec(code, namespace, made)  # noqa: S102 - running the user's statement is what this is for
    names = {node.id for part in (statement, setup) for node in ast.walk(part) if isinstance(node, ast.Name)}
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


def _seen_by(value: object) -> Iterator[object]:
    """What a function works on that is not in its arguments: its object, its closure, the globals it names."""
    yield from filter(None, [getattr(value, "__self__", None)])
    for cell in getattr(value, "__closure__", None) or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not filled yet
            continue
    code, names = getattr(value, "__code__", None), getattr(value, "__globals__", {})
    if code is not None:
        yield from (names[name] for name in code.co_names if name in names)
