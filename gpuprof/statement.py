"""A statement compiled once into a loop, as `timeit` does: its names stay inside, no text is looked at again."""

from __future__ import annotations

import ast
import inspect
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from typing import Any

from gpuprof.arrays import copies
from gpuprof.closures import loaded_by, over_copies, seen_by

# Up to the first yield it sets up, up to the second it runs the statement: only that part is timed.
_TEMPLATE = """
def loop(__gpuprof_calls):
    setup
    yield
    for __gpuprof_call in __gpuprof_calls:
        statement
    yield
"""


# The same once more, to be run once for its value.
_ONCE = """
def once():
    setup
    statement
"""
_MADE = "__gpuprof_value"


class Timed(ABC):
    """What is to be timed. `prepared(n)` sets up, and what it returns calls it n times in a row."""

    text: str
    """The statement as the user wrote it, or the function and the types of its arguments."""
    objects: list[object]
    """What it works on, as far as can be seen: for `clock_for`."""
    filename: str
    """The file name that the statement was compiled under; a function's own file."""
    tree: list[ast.stmt]
    """The statement parsed; [] for a function."""
    _loop: Callable[[Iterable[None]], Generator[None, None, None]]

    def prepared(self, number: int) -> Callable[[], None]:
        """Run the setup; calling the result calls the statement `number` times, adding under 0.1 µs to each."""
        steps = self._loop(itertools.repeat(None, number))
        _advanced(steps)
        return partial(_advanced, steps)

    @abstractmethod
    def value(self) -> object:
        """Run the setup and the statement once: what it comes to.

        The value of a last expression or a last assignment (for `x += y` what x then is), else None; for a function
        what it returns. Raises what they raise.
        """

    @abstractmethod
    def named(self) -> dict[str, object]:
        """The names that the statement itself loads, with their values after one more setup; a function's arguments."""

    @abstractmethod
    def fresh(self) -> Timed:
        """The same over copies of the arrays it names directly: other memory, the same sizes, strides and contents.

        A function's are those in its arguments, closure, defaults and globals. The rest is shared, and so are arrays of
        the setup's own, what a copy would change (strides with gaps) and PyTorch tensors that require gradients. The
        user's namespace stays as it is. Raises where memory is short.
        """


class _Function(Timed):
    """A function and its arguments."""

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        def loop(calls: Iterable[None]) -> Generator[None, None, None]:
            yield
            for _ in calls:
                function(*args)
            yield

        name = getattr(function, "__qualname__", type(function).__name__)
        self._loop = loop
        self._function = function
        self._args = args
        self.text = f"{name}({', '.join(type(arg).__name__ for arg in args)})"
        self.objects = [*args, function, *seen_by(function)]
        self.tree = []
        code = getattr(inspect.unwrap(function), "__code__", None)
        self.filename = code.co_filename if code else ""

    def value(self) -> object:
        return self._function(*self._args)

    def named(self) -> dict[str, object]:
        return {f"args[{i}]": arg for i, arg in enumerate(self._args)}

    def fresh(self) -> Timed:
        return _Function(over_copies(self._function), tuple(copies(self._args)))


class _Source(Timed):
    """Source text, parsed, over a namespace."""

    def __init__(
        self,
        statement: list[ast.stmt],
        setup: list[ast.stmt],
        text: str,
        namespace: dict[str, Any],
        filename: str,
        flags: int,
    ) -> None:
        self._setup, self._namespace, self._flags = setup, namespace, flags
        self.filename = filename
        self.text = text
        self.tree = statement
        self._loop = self._made(_TEMPLATE, statement)["loop"]
        self.objects = []
        for name in _names_under(*statement, *setup) & namespace.keys():
            self.objects += [namespace[name], *seen_by(namespace[name])]

    def value(self) -> object:
        return self._made(_ONCE, _returning(self.tree))["once"]()

    def named(self) -> dict[str, object]:
        steps = self._loop(())
        _advanced(steps)
        local = inspect.getgeneratorlocals(steps)
        steps.close()
        found = {**self._globals(), **local}
        return {name: found[name] for name in sorted(_names_under(*self.tree, stored=False) & found.keys())}

    def fresh(self) -> Timed:
        names = self._globals()
        overlay = {**self._namespace, **dict(zip(names, copies(names.values()), strict=True))}
        return _Source(self.tree, self._setup, self.text, overlay, self.filename, self._flags)

    def _globals(self) -> dict[str, Any]:
        """The names that the statement loads from the namespace: those it or the setup assigns are not of it."""
        names = loaded_by(self._loop.__code__) & _names_under(*self.tree)
        return {name: self._namespace[name] for name in sorted(names & self._namespace.keys())}

    def _made(self, template: str, statement: list[ast.stmt]) -> dict[str, Any]:
        """What the template defines, with the setup and this statement in it."""
        tree = ast.parse(template)
        for node in ast.walk(tree):  # its lines are the statement's, so that a traceback finds the statement's text
            if isinstance(node, (ast.stmt, ast.expr)):
                node.lineno = node.end_lineno = 1
        tree = _Fill(statement, self._setup).visit(tree)
        tree.body[0].end_lineno = max([1, *(part.end_lineno or 1 for part in (*statement, *self._setup))])
        code = compile(ast.fix_missing_locations(tree), self.filename, "exec", self._flags, dont_inherit=True)
        made: dict[str, Any] = {}
        exec(code, self._namespace, made)  # noqa: S102 - running the user's statement is what this is for
        return made


def _advanced(steps: Iterator[None]) -> None:
    """Run to the next yield; a StopIteration of the statement's own rises as itself, not as a generator's error."""
    try:
        next(steps)
    except RuntimeError as error:
        if isinstance(error.__cause__, StopIteration):
            raise error.__cause__ from None
        raise


def from_function(function: Callable[..., Any], *args: Any) -> Timed:
    """`function(*args)` as something to be timed."""
    return _Function(function, args)


def from_source(
    statement: str, setup: str = "pass", namespace: dict[str, Any] | None = None, filename: str = "<gpu_timeit>"
) -> Timed:
    """Source text as something to be timed, its names looked up in `namespace`.

    Assignments in it stay inside it; `setup` runs before each batch. Raises SyntaxError as Python does.
    """
    if not isinstance(statement, str):
        raise TypeError(f"expected a statement as text, or a function; got {type(statement).__name__}")
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
    return _Source(statement.body, setup.body, text, namespace, filename, flags)


class _Fill(ast.NodeTransformer):
    """Puts statements where the template has the names `setup` and `statement`."""

    def __init__(self, statement: list[ast.stmt], setup: list[ast.stmt]) -> None:
        self._bodies = {"statement": statement or [ast.Pass()], "setup": setup or [ast.Pass()]}

    def visit_Expr(self, node: ast.Expr) -> Any:
        """The statements for a name of the template."""
        if isinstance(node.value, ast.Name) and node.value.id in self._bodies:
            return self._bodies[node.value.id]
        return node


def _returning(body: list[ast.stmt]) -> list[ast.stmt]:
    """`body` as that of a function that returns what its last statement comes to."""
    if not body:
        return body
    *before, last = body
    value = ast.Name(_MADE, ast.Load())
    match last:
        case ast.Expr():
            ends: list[ast.stmt] = [ast.Return(last.value)]
        case ast.Assign():
            ends = [ast.Assign([ast.Name(_MADE, ast.Store()), *last.targets], last.value), ast.Return(value)]
        case ast.AnnAssign(value=ast.expr() as given):
            annotated = ast.AnnAssign(last.target, last.annotation, value, last.simple)
            ends = [ast.Assign([ast.Name(_MADE, ast.Store())], given), annotated, ast.Return(value)]
        case ast.AugAssign():
            ends = [last, ast.Return(ast.parse(ast.unparse(last.target), mode="eval").body)]
        case _:
            ends = [last]
    return [*before, *(ast.copy_location(end, last) for end in ends)]


def _names_under(*nodes: ast.AST, stored: bool = True) -> set[str]:
    """The names in these trees; with stored=False without those that are only assigned."""
    found = [node for root in nodes for node in ast.walk(root)]
    augmented = {node.target for node in found if isinstance(node, ast.AugAssign)}
    names = [node for node in found if isinstance(node, ast.Name)]
    return {node.id for node in names if stored or isinstance(node.ctx, ast.Load) or node in augmented}
