"""A statement compiled once into a loop, as `timeit` does: its names stay inside, no text is looked at again."""

from __future__ import annotations

import ast
import dis
import inspect
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from types import CellType, CodeType, FunctionType
from typing import Any

from gpuprof.arrays import copies

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
        self.objects = [*args, function, *_seen_by(function)]
        self.tree = []
        code = getattr(inspect.unwrap(function), "__code__", None)
        self.filename = code.co_filename if code else ""

    def value(self) -> object:
        return self._function(*self._args)

    def named(self) -> dict[str, object]:
        return {f"args[{i}]": arg for i, arg in enumerate(self._args)}

    def fresh(self) -> Timed:
        return _Function(_over_copies(self._function), tuple(copies(self._args)))


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
            self.objects += [namespace[name], *_seen_by(namespace[name])]

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
        names = _loaded_by(self._loop.__code__) & _names_under(*self.tree)
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


def _over_copies(function: Callable[..., Any]) -> Callable[..., Any]:
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


def _loaded_by(code: CodeType) -> set[str]:
    """The globals that a function's code loads, that of the functions inside it too."""
    own = {step.argval for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL"}
    return own.union(*(_loaded_by(inner) for inner in code.co_consts if isinstance(inner, CodeType)))


def _seen_by(function: Any, depth: int = 3) -> Iterator[object]:
    """What a callable works on that is not in its arguments: its object, its closure, the globals it names.

    So do the functions among those, `depth` levels down.
    """
    for value in _seen_at_once(function):
        yield value
        if depth and (isinstance(value, partial) or hasattr(value, "__code__") or hasattr(value, "__func__")):
            yield from _seen_by(value, depth - 1)


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
    yield from (names[name] for name in (_loaded_by(code) if code else ()) if name in names)
