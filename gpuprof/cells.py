"""The user's cells: compiled as the shell would, run in their namespace; the models named on a magic's line."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import Any

from gpuprof.latest import last_profile
from gpuprof.results.profile import Profile
from gpuprof.saved import name_of, profiles_in
from gpuprof.statement import Timed, from_tree


class Cells:
    """What compiling needs of an IPython shell. Raises ValueError for what the user should write otherwise."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell

    @property
    def namespace(self) -> dict[str, Any]:
        """The user's names."""
        names: dict[str, Any] = self._shell.user_ns
        return names

    def models(self, expression: str) -> tuple[object, ...]:
        """The value of the magic's line in the user's namespace; several with commas between."""
        text = expression.strip()
        if not text:
            raise ValueError("%%layertime needs a model: %%layertime lm")
        try:
            words = text.rstrip(" ,;")
            value = eval(f"({words}\n,)", self.namespace)  # noqa: S307 - the user's own words, and a comment
        except (NameError, SyntaxError) as error:
            if letter := re.search(r"\s(-[a-z])(?=\s|$)", text):
                raise ValueError(f"%%layertime: {letter[1]} stands before the model; got {text!r}") from None
            if isinstance(error, NameError):
                raise ValueError(f"%%layertime {text}: {error}; make the model in a cell before this one") from None
            raise ValueError(f"%%layertime expected an expression such as lm; got {text!r}: {error.msg}") from None
        except Exception as error:
            raise ValueError(f"%%layertime {text}: {type(error).__name__}: {error}") from error
        return tuple(value)

    def call(self, text: str) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        """The function, the arguments and the keyword arguments of a call written out: `lm[0].backward(dy)`."""
        try:
            node = ast.parse(text.strip(), mode="eval").body
        except SyntaxError as error:
            raise ValueError(f"expected a call such as lm[0].backward(dy); got {text!r}: {error.msg}") from None
        if not isinstance(node, ast.Call):
            raise ValueError(
                f"expected a call such as lm[0].backward(dy), which is then made; got {text!r}. While a cell runs: "
                "%%layertime --lines Pool1.backward lm"
            )

        try:
            function = eval(_code(node.func), self.namespace)  # noqa: S307 - the user's own words, here and below
            node.func = ast.copy_location(ast.Name("given", ast.Load()), node.func)
            args, kwargs = eval(_code(node), self.namespace, {"given": _given})  # noqa: S307
        except Exception as error:
            raise ValueError(f"{text}: {type(error).__name__}: {error}") from error
        return function, args, kwargs

    def profiles(self, text: str) -> tuple[list[Profile], str]:
        """The profiles that --vs names, and what to call them.

        A name or an expression, for one or a list of them; the path of a saved one, or of a folder of some; or "last".
        """
        text = text.strip()
        if text not in self.namespace:
            if text == "last":
                return [_newest()], text
            path = Path(text).expanduser()
            if path.exists():
                return profiles_in(path), name_of(path)
        try:
            value = eval(text, self.namespace)  # noqa: S307 - the user's own words
        except Exception as error:
            raise ValueError(
                f"--vs expected the name of a profile, a saved one's path, or last; {text!r} is none of these "
                f"({type(error).__name__}: {error}). %%layertime -v before lm keeps one as before"
            ) from None
        found = list(value) if isinstance(value, (list, tuple)) else [value]
        if not found or any(not isinstance(each, Profile) for each in found):
            kinds = ", ".join(dict.fromkeys(type(each).__name__ for each in found)) or "nothing"
            raise ValueError(f"--vs expected a Profile, or a list of them; {text} holds {kinds}")
        return found, text

    def named_in(self, cell: str) -> list[object]:
        """What the names in a cell stand for before it runs: where the model holds no arrays, these may."""
        words = re.findall(r"[^\W\d]\w*", cell)
        return [self.namespace[word] for word in dict.fromkeys(words) if word in self.namespace]

    def body(self, header: str, cell: str) -> Callable[[], Any]:
        """The cell compiled once: calling it runs it in the user's namespace and gives its last expression's value."""
        shell = self._shell
        source = "\n" + shell.transform_cell(cell)  # line 1 is the magic's own, so that tracebacks count right
        name = shell.compile.cache(source, self._number(), raw_code=f"{header}\n{cell}")
        tree = shell.transform_ast(shell.compile.ast_parse(source, name))
        result = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        namespace = self.namespace
        try:
            statements = self._compile(tree, name, "exec")
            value = self._compile(ast.Expression(result.value), name, "eval") if result is not None else None
        except SyntaxError as error:
            if "await" in error.msg or "asynchronous" in error.msg:
                raise ValueError(
                    "%%layertime cannot await at the top of a cell; put it into a function and run that"
                ) from None
            raise

        def run() -> Any:
            __tracebackhide__ = True
            exec(statements, namespace)  # noqa: S102 - the user's cell
            return None if value is None else eval(value, namespace)  # noqa: S307

        return run

    def statement(self, statement: str, setup: str, names: dict[str, Any]) -> Timed:
        """Compiled over the user's namespace, `names` before it."""
        shell = self._shell
        namespace = {**shell.user_ns, **names} if names else shell.user_ns
        source, before = shell.transform_cell(statement), shell.transform_cell(setup)
        name = shell.compile.cache(source, self._number(), raw_code=statement)
        trees = [shell.transform_ast(shell.compile.ast_parse(text, name)) for text in (source, before)]
        return from_tree(trees[0], trees[1], statement, namespace, name, shell.compile.flags)

    def _compile(self, tree: ast.Module | ast.Expression, name: str, mode: str) -> CodeType:
        """Code with the `from __future__` of the user's notebook, not with this file's."""
        code: CodeType = compile(tree, name, mode, self._shell.compile.flags, dont_inherit=True)
        return code

    def _number(self) -> int:
        """The number in the cell's own "In [n]": IPython 9 counts on before it runs the cell."""
        return max(0, len(self.namespace.get("In", ())) - 1)


def _newest() -> Profile:
    found = last_profile()
    if found is None:
        raise ValueError("--vs last: there is no profile yet; %%layertime lm takes one")
    return found


def _code(part: ast.expr) -> CodeType:
    code: CodeType = compile(ast.Expression(part), "<%layertime>", "eval", dont_inherit=True)
    return code


def _given(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a call gives."""
    return args, kwargs
