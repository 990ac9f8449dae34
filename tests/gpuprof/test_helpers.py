"""The methods that a method calls on its own object, and what a function's statements assign to."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gpuprof.hooks.assigned import assigned, result_in
from gpuprof.hooks.helpers import with_helpers
from gpuprof.hooks.methods import timed
from gpuprof.hooks.source import code_of
from gpuprof.record.log import CallLog
from gpuprof.testing import FakeClock

from .models import plainly


class Base:
    def base(self) -> None: ...


class Layer(Base):
    """`forward` calls some of the rest."""

    def __init__(self) -> None:
        self.given = lambda: None

    def forward(self, x: object) -> object:
        self.first()
        self.base()
        self.first()
        self.number.bit_length()
        self.given()
        self.made()
        self.forward(x) if x else None
        other = Layer()
        other.unseen()
        return x

    def backward(self, dy: object) -> object:
        return self.round()

    @plainly
    def first(self) -> None:
        self.second()

    def second(self) -> None:
        self.first()

    def round(self) -> object:
        return self.backward(0)

    def unseen(self) -> None: ...

    def wide(self) -> None:
        (self.a(), self.b(), self.c(), self.d(), self.e(), self.f(), self.g(), self.h(), self.i())

    a = b = c = d = e = f = g = h = i = lambda self: None

    @property
    def number(self) -> int:
        return 1

    @classmethod
    def made(cls) -> None: ...


def names(name: str, function: Callable[..., Any]) -> list[str]:
    return [each for each, _ in with_helpers(name, function)]


def test_helpers_are_the_methods_called_on_self_and_theirs() -> None:
    found = ["A.forward", "A.first", "A.base", "A.second"]
    assert names("A.forward", Layer().forward) == found


def test_a_helper_that_calls_back_is_there_once() -> None:
    assert names("backward", Layer().backward) == ["backward", "round"]


def test_the_same_code_is_there_once() -> None:
    assert names("wide", Layer().wide) == ["wide", "a"]


def test_a_method_that_is_being_timed_has_the_helpers_of_its_own() -> None:
    layer, log = Layer(), CallLog(FakeClock())
    with log, timed([("A", layer)], log):
        assert names("A.backward", layer.backward) == ["A.backward", "A.round"]


@pytest.mark.parametrize("function", [plainly, Layer.forward, Layer.made])
def test_a_function_without_an_object_has_none(function: Callable[..., Any]) -> None:
    assert names("f", function) == ["f"]


def test_methods_of_another_package_are_no_helpers() -> None:
    class Encoder(json.JSONEncoder):
        def run(self) -> object:
            return self.encode([])

    assert names("run", Encoder().run) == ["run"]


def test_a_method_of_no_module_is_no_helper() -> None:
    class Odd:
        def run(self) -> None:
            self.homeless()  # type: ignore[attr-defined]

    def homeless(self: object) -> None: ...

    homeless.__module__ = None  # type: ignore[assignment]
    Odd.homeless = homeless  # type: ignore[attr-defined]
    assert names("run", Odd().run) == ["run"]


def several(x: Any, y: int = 1) -> Any:
    a = x + 0
    a[0] += y
    b: int = 3
    c, d = 1, 2
    x.real[...] = a[b + c + d]
    return a


def test_a_statement_that_assigns_to_one_name_or_a_part_of_it_has_that_name() -> None:
    first = several.__code__.co_firstlineno
    found = {line - first: name for line, name in assigned(several.__code__).items()}
    assert found == {1: "a", 2: "a", 3: "b", 6: "a"}


def test_built_in_code_without_source_assigns_to_nothing() -> None:
    assert assigned(compile("x = 1", "<nowhere>", "exec")) == {}


def test_a_result_is_told_by_its_type_and_shape_in_the_innermost_frame() -> None:
    def inner(name: str, n: int) -> str:
        kept = np.zeros((n, 2), dtype=np.float32)
        return inner(name, n - 1) if n > 3 else result_in(inner.__code__, name) + "" * len(kept)

    assert inner("kept", 5) == "float32 (3, 2)"
    assert inner("n", 3) == inner("nothing", 3) == ""
    assert result_in(code_of(several), "a") == ""
