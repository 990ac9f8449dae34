"""What a statement moves and computes, as far as its arrays show, or as its user says."""

from __future__ import annotations

import ast
import builtins
import math
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from gpuprof.arrays import address, array_library, arrays_in, on_gpu, size_in_memory, type_name
from gpuprof.judge.cost import Cost
from gpuprof.statement import Timed
from gpuprof.workloads import does_tf32

INFERRED = "inferred from the arrays named, each moved once: a lower bound"
_PRODUCTS = ("matmul", "dot", "mm", "bmm")
_ABOUT = ("shape", "dtype", "ndim", "size", "nbytes", "itemsize", "strides", "device", "flags")
_REAL = ("bfloat16", "float16", "float32", "float64")
_TYPES = {"complex64": "float32", "complex128": "float64"} | dict(zip(_REAL, _REAL, strict=True))


def inferred(code: Timed, value: object) -> Cost:
    """What a call must at least move, and the FLOPs where it is one matrix product; `value` is what it comes to.

    Bytes are those of the arrays it names, where not only a part or the shape is asked for, and of the arrays in its
    value, each place in memory once; where any is on a GPU, those on GPUs alone. A function is only known by its
    arguments: where none is an array, so is its cost not known.
    """
    names = code.named()
    whole = _used_whole(code.tree) if code.tree else names.keys()
    named = [array for name, array in names.items() if name in whole and array_library(array)]
    product = _product(code.tree, names)
    if not code.tree and not named:
        return Cost(None, None, "")
    moved = _bytes([*named, *arrays_in(value)])
    flops = _flops(*product) if product else None
    return Cost(moved, flops, "" if moved is None and flops is None else INFERRED)


def evaluated(text: str, namespace: Mapping[str, Any]) -> float:
    """The number that `text`, an expression over `namespace`, comes to. Raises ValueError unless it is above 0."""
    try:
        value = eval(text, {"__builtins__": builtins, **namespace})  # noqa: S307 - the user's own expression
    except Exception as error:
        raise ValueError(f"expected a number above 0; {text!r} raises {type(error).__name__}: {error}") from error
    try:
        number = math.nan if isinstance(value, (str, bytes, bool)) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not 0 < number < math.inf:
        raise ValueError(f"expected a number above 0, such as 2 * x.nbytes; {text!r} is {value!r}")
    return number


def computed_in(code: Timed, value: object) -> str:
    """The type of its arithmetic: "float16", "bfloat16", "tf32", "float32", "float64"; "" where there is none of them.

    That of the value's arrays; where they are not of such a type (a comparison, an index), the widest of those it
    names. float32 reads "tf32" where its library is set to do matrix products so.
    """
    named: list[Any] = [array for array in code.named().values() if array_library(array)]
    for arrays in (list(arrays_in(value)), named):
        typed = [array for array in arrays if type_name(array) in _TYPES]
        if typed:
            widest = max(typed, key=lambda array: int(array.dtype.itemsize))
            name = _TYPES[type_name(widest)]
            return "tf32" if name == "float32" and does_tf32(array_library(widest)) else name
    return ""


def _bytes(arrays: Iterable[Any]) -> float | None:
    """The bytes of these arrays, each address counted once, by the largest there; None without any."""
    arrays = list(arrays)
    sizes: dict[int, int] = {}
    for array in [array for array in arrays if on_gpu(array)] or arrays:
        place = address(array)
        sizes[place] = max(sizes.get(place, 0), size_in_memory(array))
    return float(sum(sizes.values())) if sizes else None


def _used_whole(tree: list[ast.stmt]) -> set[str]:
    """The names of which more is used than a part (`x[0]`), a fact (`x.shape`) or the length."""
    nodes = [node for statement in tree for node in ast.walk(statement)]
    partly: set[ast.expr] = set()
    for node in nodes:
        match node:
            case ast.Subscript() if not _everything(node.slice):
                partly.add(node.value)
            case ast.Attribute() if node.attr in _ABOUT:
                partly.add(node.value)
            case ast.Call(func=ast.Name(id="len" | "type" | "isinstance" | "id")):
                partly.update(node.args)
    return {node.id for node in nodes if isinstance(node, ast.Name) and node not in partly}


def _everything(index: ast.expr) -> bool:
    """Whether an index takes the whole array: `[:]`, `[...]`, `[:, :]`."""
    if isinstance(index, ast.Tuple):
        return all(map(_everything, index.elts))
    if isinstance(index, ast.Slice):
        return index.lower is index.upper is index.step is None
    return isinstance(index, ast.Constant) and index.value in (..., None)


def _product(tree: list[ast.stmt], names: Mapping[str, object]) -> tuple[Any, Any, bool] | None:
    """The two arrays that the statement multiplies, and whether by `dot`'s rules; None if it does anything else."""
    if len(tree) != 1 or not isinstance(tree[0], (ast.Expr, ast.Assign, ast.AnnAssign)):
        return None
    match tree[0].value:
        case ast.BinOp(left, ast.MatMult(), right):
            pair, rule = (left, right), "matmul"
        case ast.Call(ast.Attribute(ast.Name(owner), rule), [left, right]) if _is_library(names.get(owner)):
            pair = (left, right)
        case ast.Call(ast.Attribute(left, rule), [right]):
            pair = (left, right)
        case _:
            return None
    a, b = (_operand(node, names) for node in pair)
    return (a, b, rule == "dot") if rule in _PRODUCTS and array_library(a) and array_library(b) else None


def _is_library(value: object) -> bool:
    return isinstance(value, ModuleType) and value.__name__ in ("numpy", "cupy", "torch")


def _operand(node: ast.expr, names: Mapping[str, object]) -> Any:
    """The array that a name, or a name with `.T` or `.mT`, stands for; else None."""
    match node:
        case ast.Name(name):
            return names.get(name)
        case ast.Attribute(inner, "T" | "mT") if array_library(found := _operand(inner, names)):
            return getattr(found, node.attr)
    return None


def _flops(a: Any, b: Any, dot: bool) -> float | None:
    """2 m n k of a product, times its batch; None unless both are real floating-point arrays that fit together."""
    if not a.shape or not b.shape or not {type_name(a), type_name(b)} <= set(_REAL):
        return None
    m, k = (1, *a.shape)[-2:]
    inner, n = (*b.shape, 1)[:2] if len(b.shape) == 1 else b.shape[-2:]
    if k != inner:
        return None
    if dot:
        return float(2 * math.prod(a.shape) * math.prod(b.shape) / max(k, 1))
    try:
        batch = np.broadcast_shapes(tuple(a.shape[:-2]), tuple(b.shape[:-2]))
    except ValueError:
        return None
    return float(2 * math.prod(batch) * m * n * k)
