"""What a statement is inferred to move and compute, and what its user may say instead."""

import operator

import numpy as np
import pytest

from gpuprof import footprint
from gpuprof.footprint import INFERRED, computed_in, evaluated, inferred
from gpuprof.judge.cost import Cost
from gpuprof.statement import from_function, from_source

X = np.zeros(1000, dtype=np.float32)
Y = np.zeros(1000, dtype=np.float32)
NAMES = {"np": np, "x": X, "y": Y, "n": 3, "held": [X]}


def cost(source: str, names: dict[str, object] | None = None) -> Cost:
    code = from_source(source, namespace=NAMES if names is None else names)
    return inferred(code, code.value())


@pytest.mark.parametrize(
    ("source", "moved"),
    [
        ("x + y", 12_000),
        ("z = x + y", 12_000),
        ("x + x", 8_000),
        ("np.add(x, y, out=y)", 8_000),
        ("x, y", 8_000),
        ("x.sum()", 4_000),
        ("x[:10]", 40),
        ("x[:10] + x[:10]", 40),
        ("y[:] = x", 8_000),
        ("y[...] = x", 8_000),
        ("y[1:] = 0", None),
        ("x.shape", None),
        ("len(x)", None),
        ("n + 1", None),
        ("np.ones(10)", 80),
        ("{'a': [x + 1]}", 8_000),
        ("held", 4_000),
    ],
)
def test_bytes_are_those_of_the_arrays_named_and_of_the_value(source: str, moved: float | None) -> None:
    assert cost(source).bytes == moved


def test_an_inferred_cost_says_so_and_none_says_nothing() -> None:
    assert cost("x + y") == Cost(12_000, None, INFERRED)
    assert cost("n + 1") == Cost(None, None, "")


def test_a_view_counts_its_own_size_and_a_broadcast_dimension_once() -> None:
    names = {"v": X[:100], "b": np.broadcast_to(X, (50, 1000))}
    assert cost("v, b; None", names).bytes == 4_000
    assert cost("v; None", names).bytes == 400


def test_a_function_is_known_by_its_arguments() -> None:
    assert inferred(from_function(np.add, X, Y), X + Y) == Cost(12_000, None, INFERRED)
    assert inferred(from_function(lambda: X + Y), X + Y) == Cost(None, None, "")


A, B, V = np.zeros((3, 4)), np.zeros((4, 5)), np.zeros(4)
STACK, PAIR = np.zeros((7, 3, 4)), np.zeros((2, 1, 4, 5))
PRODUCTS = {"np": np, "a": A, "b": B, "v": V, "s": STACK, "p": PAIR, "i": A.astype(int), "c": A.astype(complex)}


@pytest.mark.parametrize(
    ("source", "flops"),
    [
        ("a @ b", 120),
        ("y = a @ b", 120),
        ("np.matmul(a, b)", 120),
        ("np.dot(a, b)", 120),
        ("a.dot(b)", 120),
        ("b.T @ a.T", 120),
        ("a @ v", 24),
        ("v @ b", 40),
        ("v @ v", 8),
        ("s @ b", 7 * 120),
        ("s @ p", 2 * 7 * 120),
        ("s.dot(b)", 7 * 120),
        ("np.dot(s, p)", 7 * 2 * 120),
        ("a @ b + 1", None),
        ("x = 1; a @ b", None),
        ("a * a", None),
        ("i @ b", None),
        ("c @ b", None),
        ("a.sum(0)", None),
        ("np.linalg.norm(a)", None),
        ("a[:] @ b", None),
    ],
)
def test_flops_are_known_of_exactly_one_product(source: str, flops: float | None) -> None:
    assert cost(source, PRODUCTS).flops == flops


def test_arrays_that_do_not_fit_together_have_no_flops() -> None:
    assert footprint._flops(A, A, False) is None
    assert footprint._flops(np.zeros((2, 3, 4)), np.zeros((3, 4, 5)), False) is None


@pytest.mark.parametrize(("text", "value"), [("2 * x.nbytes", 8000), ("1e9", 1e9), ("np.float32(2)", 2)])
def test_a_cost_given_is_evaluated(text: str, value: float) -> None:
    namespace = dict(NAMES)
    assert evaluated(text, namespace) == value
    assert namespace.keys() == NAMES.keys()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0", "above 0, such as 2 * x.nbytes; '0' is 0"),
        ("-1", "is -1"),
        ("float('nan')", "is nan"),
        ("float('inf')", "is inf"),
        ("'12'", "is '12'"),
        ("True", "is True"),
        ("None", "is None"),
        ("1j", "is 1j"),
        ("10 ** 400", "above 0"),
        ("unknown", "raises NameError: name 'unknown' is not defined"),
        ("1 +", "raises SyntaxError"),
        ("", "raises SyntaxError"),
    ],
)
def test_a_cost_that_is_no_number_above_zero_is_answered_with_a_sentence(text: str, says: str) -> None:
    with pytest.raises(ValueError, match="expected a number above 0") as caught:
        evaluated(text, NAMES)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("x + y", "float32"),
        ("x.astype('float64') + 1", "float64"),
        ("x.astype('float16')", "float16"),
        ("x > 0", "float32"),
        ("x.astype(complex)", "float64"),
        ("z = x.sum()", "float32"),
        ("n", ""),
        ("np.arange(3)", ""),
    ],
)
def test_the_arithmetic_is_of_the_values_type_else_of_the_widest_named(source: str, name: str) -> None:
    code = from_source(source, namespace=NAMES)
    assert computed_in(code, code.value()) == name


def test_float32_reads_tf32_where_the_library_is_set_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footprint, "does_tf32", lambda library: library == "numpy")
    assert computed_in(from_source("x + y", namespace=NAMES), X) == "tf32"


@pytest.mark.torch
def test_tensors_are_measured_and_named_alike() -> None:
    torch = pytest.importorskip("torch")
    a, b = torch.zeros(3, 4, dtype=torch.bfloat16), torch.zeros(4, 5, dtype=torch.bfloat16)
    code = from_source("torch.mm(a, b)", namespace={"torch": torch, "a": a, "b": b})
    value = code.value()
    assert inferred(code, value) == Cost(2 * (12 + 20 + 15), 120, INFERRED)
    assert computed_in(code, value) == "bfloat16"
    expanded = torch.zeros(4).expand(100, 4)
    assert inferred(from_function(operator.neg, expanded), None).bytes == 16


@pytest.mark.gpu
def test_arrays_on_the_gpu_count_alone_where_there_are_any() -> None:
    import cupy

    x = cupy.zeros(1000, dtype=cupy.float32)
    code = from_source("x + x[0], y", namespace={"x": x, "y": Y})
    assert inferred(code, code.value()) == Cost(8000, None, INFERRED)
    assert computed_in(from_source("x @ x", namespace={"x": x}), x) == "float32"
