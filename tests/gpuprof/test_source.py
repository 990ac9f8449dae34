"""Functions, the code under their wrappers, their source and its statements."""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import Any

import pytest

from gpuprof.hooks.source import Source, code_of, is_lazy, resolve, self_of, statements

from .models import plainly


# fmt: off
def matching(x: object) -> int:
    match x:
        case 1:
            return 1
        case (
            2 | 3
        ):
            return 2
    return 3
# fmt: on


@plainly
@plainly
def decorated(x: int) -> int:
    return x + 1


def test_lines_map_to_the_first_of_their_statement() -> None:
    found = {line - 1: first - 1 for line, first in _from_def(matching).items()}
    assert found == {0: 0, 1: 1, 2: 2, 4: 4, 5: 4, 6: 6, 7: 7}


def _from_def(function: Any) -> dict[int, int]:
    first = function.__code__.co_firstlineno
    return {line - first: start - first for line, start in statements(function.__code__).items()}


def test_code_without_source_has_a_statement_a_line() -> None:
    space: dict[str, Any] = {}
    exec(compile("def f():\n    x = (1 +\n      x)\n", "<nowhere>", "exec"), space)
    assert {2, 3} <= statements(space["f"].__code__).keys()
    assert all(line == first for line, first in statements(space["f"].__code__).items())


class Layer:
    """A method of each kind."""

    def forward(self, x: int) -> int:
        return x

    @staticmethod
    def fixed(x: int) -> int:
        return x

    @classmethod
    def made(cls) -> Layer:
        return cls()

    def _hidden(self) -> None: ...

    @property
    def size(self) -> int:
        return 1

    def __call__(self) -> int:
        return 2


def test_the_code_of_a_function_is_found_through_whatever_wraps_it() -> None:
    forward = Layer.__dict__["forward"].__code__
    assert code_of(Layer.forward) is forward
    assert code_of(Layer().forward) is forward
    assert code_of(functools.partial(functools.partial(Layer().forward), 1)) is forward
    assert code_of(plainly(plainly(Layer().forward))) is forward
    assert code_of(functools.lru_cache(Layer.forward)) is forward
    assert code_of(forward) is forward
    assert code_of(Layer.__dict__["fixed"]) is code_of(Layer.fixed) is Layer.fixed.__code__
    assert code_of(Layer.__dict__["made"]) is code_of(Layer.made)
    assert code_of(Layer()) is Layer.__call__.__code__


def test_the_code_under_the_profilers_own_wrapper_is_the_methods() -> None:
    from gpuprof.hooks.methods import timed
    from gpuprof.record.log import CallLog
    from gpuprof.testing import FakeClock

    layer = Layer()
    with CallLog(FakeClock()) as log, timed([("L", layer)], log):
        assert code_of(layer.forward) is Layer.forward.__code__


def yielding() -> Any:
    yield 1


async def awaited() -> int:
    return 1


async def both() -> Any:
    yield 1


@pytest.mark.parametrize("function", [yielding, awaited, both])
def test_what_returns_before_its_work_is_begun_is_lazy_under_whatever_wraps_it(function: Any) -> None:
    for each in (function, plainly(function), functools.partial(plainly(function), 1), functools.lru_cache(function)):
        assert is_lazy(each)


@pytest.mark.parametrize("function", [decorated, len, Layer, 3, Layer(), Layer.forward])
def test_all_else_is_not_lazy(function: Any) -> None:
    assert not is_lazy(function)


def test_whose_method_a_function_is() -> None:
    layer = Layer()
    for method in (layer.forward, functools.partial(layer.forward, 1), plainly(layer.forward), functools.cache(layer)):
        assert self_of(method) is layer
    assert self_of(layer) is layer  # which is called itself


@pytest.mark.parametrize("function", [decorated, Layer.forward, Layer.fixed, Layer.made, Layer().made, len, 3])
def test_what_is_no_objects_method_is_nobodys(function: Any) -> None:
    assert self_of(function) is None


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (SimpleNamespace(), "got an object, of the class SimpleNamespace: name one of its methods"),
        (len, "got len, whose code is not Python"),
        (Layer, "got the class Layer: name one of its methods"),
        (Layer.__dict__["size"], r"got a property: its function is its \.fget"),
        (3, "got int: 3; give the function itself"),
        ([].append, "whose code is not Python"),
    ],
)
def test_what_has_no_lines_of_python_is_refused_with_what_to_give(given: Any, sentence: str) -> None:
    with pytest.raises(TypeError, match=sentence):
        code_of(given)


def test_wrappers_in_a_circle_end() -> None:
    def around() -> None: ...

    around.__wrapped__ = around  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        code_of(around)


def test_a_source_has_the_functions_own_lines_with_its_decorators() -> None:
    source = Source.of(decorated)
    assert source.name == "decorated"
    assert source.lines == (
        "@plainly",
        "@plainly",
        "def decorated(x: int) -> int:",
        "    return x + 1",
    )
    assert source.first == code_of(decorated).co_firstlineno
    assert source.file == __file__


def test_a_methods_source_is_named_after_its_class() -> None:
    assert Source.of(Layer().forward).name == "Layer.forward"


def test_a_notebooks_cell_has_its_source() -> None:
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell()
    try:
        shell.run_cell("x = 1\ndef f():\n    y = (1 +\n         2)\n    return y\n")
        source = Source.of(shell.user_ns["f"])
        assert (source.first, source.lines[0], len(source.lines)) == (2, "def f():", 4)
        assert statements(shell.user_ns["f"].__code__) == {3: 3, 4: 3, 5: 5}
    finally:
        shell.history_manager.end_session()  # type: ignore[union-attr]


def test_without_source_there_is_a_sentence() -> None:
    space: dict[str, Any] = {}
    exec("def f():\n    return 1\n", space)
    with pytest.raises(ValueError, match=r"f has no source here \(<string>\)"):
        Source.of(space["f"])


def test_a_file_that_was_changed_since_is_refused(tmp_path: Any) -> None:
    file = tmp_path / "module.py"
    file.write_text("def f():\n    return 1\n")
    space: dict[str, Any] = {}
    exec(compile(file.read_text(), str(file), "exec"), space)
    file.write_text("# a new line\n\ndef f():\n    return 1\n")
    with pytest.raises(ValueError, match="was changed after it was imported"):
        Source.of(space["f"])


POOL = Layer()
LAYERS = [("Conv1", Layer()), ("Pool1", POOL), ("block/Pool.2", Layer())]


@pytest.mark.parametrize("text", ["Pool1.forward", " Pool1.forward "])
def test_a_method_is_found_by_its_layers_path(text: str) -> None:
    assert resolve(text, LAYERS, {}) == ("Pool1.forward", POOL.forward)


def test_a_path_may_have_dots_and_slashes() -> None:
    assert resolve("block/Pool.2.forward", LAYERS, {})[1] == LAYERS[2][1].forward


def test_else_it_is_an_expression_in_the_users_namespace() -> None:
    lm = SimpleNamespace(layers=[POOL])
    assert resolve("lm.layers[0].forward", LAYERS, {"lm": lm}) == ("lm.layers[0].forward", POOL.forward)


def test_a_layers_path_comes_before_a_variable_of_that_name() -> None:
    assert resolve("Pool1.forward", LAYERS, {"Pool1": Layer()})[1] == POOL.forward


def test_an_unknown_name_is_answered_with_what_comes_nearest() -> None:
    with pytest.raises(ValueError, match=r"got 'Pol1.forwad' \(NameError: .*did you mean Pool1.forward"):
        resolve("Pol1.forwad", LAYERS, {})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("decoratd", "did you mean decorated?"),
        ("Pool1._hiden", "did you mean Pool1._hidden"),
        ("Pool1", r"did you mean Pool1\.forward or Pool1\.fixed\?"),
        (
            "nothing",
            r"there are Conv1\.forward, Conv1\.fixed, Pool1\.forward, and functions defined before the cell runs",
        ),
        ("lm.nothing", r"there are Conv1\.forward, Conv1\.fixed, Pool1\.forward$"),
    ],
)
def test_an_unknown_name_is_answered_with_what_there_is(text: str, says: str) -> None:
    space = {"decorated": decorated, "lm": SimpleNamespace(), "_": decorated}
    with pytest.raises(ValueError, match=says):
        resolve(text, LAYERS, space)


def test_a_call_is_refused_and_not_made() -> None:
    made: list[int] = []
    with pytest.raises(ValueError, match=r"as in --lines made\.append; or, .*: %layertime --lines made.append\(1\)"):
        resolve("made.append(1)", LAYERS, {"made": made})
    assert made == []


@pytest.mark.parametrize("text", ["", "Pool1.", "1 +", "Pool1.backward", "nothing"])
def test_what_is_neither_a_layers_method_nor_an_expression_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected a layer's method, such as Pool1\.backward, or a function"):
        resolve(text, LAYERS, {})


def test_an_expression_that_is_no_function_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="expected a function or a method"):
        resolve("len", LAYERS, {})


def test_resolving_leaves_the_namespace_as_it_was() -> None:
    space = {"f": decorated}
    resolve("f", LAYERS, space)
    assert space == {"f": decorated}
