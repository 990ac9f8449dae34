"""A statement's value, the names it loads, and itself over fresh arrays."""

import ast

import numpy as np
import pytest

from gpuprof.record.clocks import _within
from gpuprof.statement import from_function, from_source, from_tree


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("x + 1", 4),
        ("y = x + 1", 4),
        ("y = z = x + 1", 4),
        ("a, b = x, x + 1", (3, 4)),
        ("y: int = x + 1", 4),
        ("y = x; y += 2", 5),
        ("y = [x, x]; y[1] += 2", 5),
        ("1; x", 3),
        ("(y := x)", 3),
        ("y: int", None),
        ("for i in range(2): x", None),
        ("pass", None),
        ("", None),
        ("'text'", "text"),
        ("[x for _ in range(2)]", [3, 3]),
    ],
)
def test_the_value_is_the_last_expressions_or_assignments(source: str, value: object) -> None:
    assert from_source(source, namespace={"x": 3}).value() == value


def test_the_value_comes_after_the_setup_and_one_run() -> None:
    ran: list[str] = []
    names = {"ran": ran}
    assert from_source("ran.append('s'); y + 1", "ran.append('u'); y = 1", names).value() == 2
    assert ran == ["u", "s"]
    assert {"y"}.isdisjoint(names)


def test_a_functions_value_is_what_it_returns() -> None:
    assert from_function(divmod, 7, 3).value() == (2, 1)


def test_what_the_statement_raises_rises_from_its_value_with_its_line() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        from_source("1\n2 / x", namespace={"x": 0}, filename="<mine>").value()
    last = caught.traceback[-1]
    assert (str(last.path), last.lineno + 1) == ("<mine>", 2)


@pytest.mark.parametrize(
    ("source", "setup", "names"),
    [
        ("x + y", "pass", {"x": 1, "y": 2}),
        ("f(x)", "pass", {"f": len, "x": 1}),
        ("y = x", "pass", {"x": 1}),
        ("z = x; z + 1", "pass", {"x": 1}),
        ("x + 1", "x = y", {"x": 2}),
        ("x += 1", "x = 7", {"x": 7}),
        ("[x for y in range(3)]", "pass", {"x": 1}),
        ("x.y", "pass", {"x": 1}),
        ("len(unknown)", "pass", {}),
    ],
)
def test_the_names_are_those_the_statement_itself_loads(source: str, setup: str, names: dict[str, object]) -> None:
    assert from_source(source, setup, {"x": 1, "y": 2, "f": len}).named() == names


def test_a_functions_names_are_its_arguments() -> None:
    assert from_function(max, 1, 2).named() == {"args[0]": 1, "args[1]": 2}


def test_the_tree_is_the_statement_and_a_function_has_none() -> None:
    assert ast.unparse(from_source("x @ y", "x = 1").tree[0]) == "x @ y"
    assert from_function(len, []).tree == []


def test_fresh_arrays_are_copied_and_all_else_is_shared() -> None:
    x, held = np.arange(4.0), [np.zeros(2)]
    names = {"x": x, "held": held, "n": 3}
    code = from_source("x, held, n", namespace=names).fresh()
    copied, shared, _ = code.value()
    assert copied is not x
    assert copied.tolist() == x.tolist()
    assert shared is held
    assert names["x"] is x
    assert any(value is copied for value in _within(code.objects, 1))


def test_two_names_of_one_array_stay_one_array() -> None:
    x = np.zeros(3)
    a, b = from_source("x, y", namespace={"x": x, "y": x}).fresh().value()
    assert a is b
    assert a is not x


def test_a_fresh_statement_writes_into_its_own_array() -> None:
    x = np.zeros(3)
    code = from_source("x[0] += 1", "x[:] = 5", {"x": x}).fresh()
    code.prepared(2)()
    assert x.tolist() == [0, 0, 0]


def test_copies_keep_their_strides_or_are_not_made() -> None:
    turned, gaps = np.asfortranarray(np.ones((3, 4))), np.ones(8)[::2]
    a, b = from_source("t, g", namespace={"t": turned, "g": gaps}).fresh().value()
    assert a is not turned
    assert a.strides == turned.strides
    assert b is gaps


def test_a_functions_arguments_are_copied() -> None:
    x = np.zeros(3)
    assert from_function(lambda a, b: (a is x, b), x, 2).fresh().value() == (False, 2)


@pytest.mark.torch
def test_tensors_are_copied_but_for_those_with_a_history() -> None:
    torch = pytest.importorskip("torch")
    x, w = torch.ones(3, 4).T, torch.ones(3, requires_grad=True)
    a, b = from_source("x, w", namespace={"x": x, "w": w}).fresh().value()
    assert a is not x
    assert a.stride() == x.stride()
    assert b is w


def test_the_users_future_imports_hold_for_the_value_and_for_fresh_arrays() -> None:
    import __future__

    tree, setup = ast.parse("def f(x: nobody): ...\nf"), ast.parse("pass")
    code = from_tree(tree, setup, "f", {}, "<cell>", __future__.annotations.compiler_flag)
    assert code.fresh().value().__annotations__ == {"x": "nobody"}


@pytest.mark.gpu
def test_arrays_on_a_gpu_are_copied_there() -> None:
    import cupy

    x = cupy.asfortranarray(cupy.ones((3, 4)))
    copied = from_source("x", namespace={"x": x}).fresh().value()
    assert copied.data.ptr != x.data.ptr
    assert copied.strides == x.strides


def test_a_function_over_copies_has_other_arrays_in_its_closure_and_the_same_of_all_else() -> None:
    array, box = np.arange(5), [1]

    def run() -> tuple[object, object]:
        return array, box

    copied, same = from_function(run).fresh().value()
    assert copied is not array
    assert (copied == array).all()
    assert same is box


def test_a_function_over_copies_still_counts_in_its_own_closure() -> None:
    array, calls = np.arange(5), 0

    def run() -> object:
        nonlocal calls
        calls += 1
        return array

    from_function(run).fresh().value()
    assert calls == 1


def test_a_stop_iteration_of_the_statement_rises_as_itself() -> None:
    run = from_source("next(numbers)", namespace={"numbers": iter([1, 2])}).prepared(3)
    with pytest.raises(StopIteration):
        run()


def test_an_error_in_a_statement_points_at_its_line() -> None:
    run = from_source("x = 1\ny = x / 0", filename="<cell>").prepared(1)
    with pytest.raises(ZeroDivisionError) as caught:
        run()
    frames = [entry for entry in caught.traceback if str(entry.path).endswith("<cell>")]
    assert [frame.lineno + 1 for frame in frames] == [2]
