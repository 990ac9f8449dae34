"""Whose runs are followed, under which name, and what is said where none was."""

from __future__ import annotations

import asyncio
import functools
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

import gpuprof
from gpuprof.profiling import LayerTime
from gpuprof.record.schedule import Block, Mode
from gpuprof.results.lines import LineProfile
from gpuprof.results.profile import Profile
from gpuprof.testing import FakeClock

from .models import FakeLayer, FakeModel, plainly
from .shell import shown

ALL = [Block(Mode.EVENTS | Mode.LINES, 1 << 30, 1e9)]


class Layer(FakeLayer):
    """A layer with methods besides its phases."""

    def forward(self, x: object, train: bool = False) -> object:
        self.helper(x)
        self.fixed(self.clock)
        return super().forward(x, train)

    def backward(self, dy: object) -> object:
        self.helper(dy)
        return super().backward(dy)

    def helper(self, x: object) -> object:
        self.clock.spend(1e-3)
        return x

    @staticmethod
    def fixed(clock: FakeClock) -> None:
        clock.spend(2e-3)

    @classmethod
    def of_class(cls, clock: FakeClock) -> None:
        clock.spend(3e-3)

    def prepare(self) -> None:
        self.helper(0)

    @plainly
    def wrapped(self) -> None:
        self.clock.spend(1e-3)

    def __call__(self) -> None:
        self.clock.spend(1e-3)


class Model(FakeModel):
    """Two layers of one class."""

    def __init__(self) -> None:
        super().__init__(FakeClock(), "A")
        self.layers = [Layer("A", self.clock), Layer("B", self.clock)]


def followed(
    lines: Any, call: Callable[[Model], Any], steps: int = 4, blocks: Any = ALL, namespace: dict[str, Any] | None = None
) -> dict[str, LineProfile]:
    """The lines of a cell of so many steps, before each of which `call` is made."""
    return profiled(lines, call, steps, blocks, namespace).lines


def profiled(lines: Any, call: Callable[[Model], Any], steps: int, blocks: Any, namespace: Any = None) -> Profile:
    model = Model()
    names = {**(namespace or {}), "lm": model}
    asked = [lines] if isinstance(lines, str) or callable(lines) else lines
    asked = [each(model) if getattr(each, "__name__", "") == "<lambda>" else each for each in asked]
    with LayerTime((model,), model.clock, lines=asked, blocks=blocks, namespace=names) as run:
        for _ in range(steps):
            call(model)
            model.train(1)
    return run.profile


def nothing(_: Model) -> None: ...


def of_a(model: Model) -> Layer:
    return model.layers[0]


def both(method: str) -> Callable[[Model], None]:
    """Calls a method of both layers, B's twice."""

    def call(model: Model) -> None:
        getattr(model.layers[0], method)()
        getattr(model.layers[1], method)()
        getattr(model.layers[1], method)()

    return call


# Whose runs


def test_a_layers_method_that_is_no_phase_is_followed_in_all_of_the_layers_phases() -> None:
    found = followed("A.helper", nothing)
    assert found["A.helper"].calls == 4 * 2  # by forward and by backward
    assert found["A.helper"].rows[next(iter(found["A.helper"].rows))].host_s == pytest.approx(8e-3)


def test_it_is_followed_where_the_cell_calls_it_itself_too() -> None:
    found = followed(["A.helper", "A.prepare"], both("prepare"))
    assert found["A.helper"].calls == 4 * 3
    assert found["A.prepare"].calls == 4


@pytest.mark.parametrize("name", ["A.wrapped", "lm.layers[0].wrapped"])
def test_a_decorated_method_is_its_objects_own(name: str) -> None:
    assert followed(name, both("wrapped"))[name].calls == 4


@pytest.mark.parametrize("make", [lambda m: functools.partial(of_a(m).prepare), lambda m: of_a(m).prepare])
def test_a_bound_method_under_a_partial_is_its_objects_own(make: Any) -> None:
    found = followed([make], both("prepare"))
    assert found["A.prepare"].calls == 4


def test_an_object_that_is_called_itself_is_followed_alone() -> None:
    call: Callable[[Model], None] = lambda model: [layer() for layer in model.layers]  # noqa: E731
    assert followed("lm.layers[0]", call)["lm.layers[0]"].calls == 4


def test_a_method_called_through_its_class_is_followed_by_its_object() -> None:
    call: Callable[[Model], None] = lambda model: [Layer.prepare(layer) for layer in model.layers]  # noqa: E731
    assert followed("A.prepare", call)["A.prepare"].calls == 4


def test_a_function_of_the_class_is_followed_for_all_its_objects() -> None:
    assert followed(Layer.prepare, both("prepare"))["Layer.prepare"].calls == 4 * 3


def test_a_class_or_static_method_is_everybodys() -> None:
    call: Callable[[Model], None] = lambda model: [layer.of_class(model.clock) for layer in model.layers]  # noqa: E731
    found = followed(["A.of_class", "A.fixed"], call)
    assert found["A.of_class"].calls == 4 * 2
    assert found["A.fixed"].calls == 4 * 2  # by each layer's forward


def test_two_layers_of_one_class_are_followed_side_by_side() -> None:
    found = followed(["A.prepare", "B.prepare", "A.backward", "B.backward"], both("prepare"))
    assert [found[name].calls for name in ("A.prepare", "B.prepare", "A.backward", "B.backward")] == [4, 8, 4, 4]


def test_a_function_that_stands_in_for_a_layers_phase_is_followed_in_that_layers_calls_alone() -> None:
    model = Model()

    def update() -> None:
        model.clock.spend(7e-3)

    for layer in model.layers:
        layer.update = update
    with LayerTime((model,), model.clock, lines=["A.update"], blocks=ALL) as run:
        model.train(4)
    assert run.profile.lines["A.update"].calls == 4


# Helpers


def test_a_helpers_runs_are_those_in_the_function_that_was_asked_for() -> None:
    found = followed("A.forward", both("prepare"))
    assert found["A.helper"].calls == 4  # not those of backward, nor of prepare, nor B's
    assert found["A.fixed"].calls == 4
    assert [each.name for each in found["A.forward"].inside] == ["A.helper", "A.fixed"]


def test_a_helper_that_was_asked_for_as_well_is_followed_for_itself() -> None:
    found = followed(["A.forward", "A.helper"], nothing)
    assert found["A.helper"].calls == 4 * 2
    assert [each.name for each in found["A.forward"].inside] == ["A.fixed"]


def test_a_helper_of_a_method_that_runs_outside_the_layers_calls_is_followed() -> None:
    found = followed("A.prepare", both("prepare"))
    assert (found["A.prepare"].calls, found["A.helper"].calls) == (4, 4)


# Names


def test_functions_of_one_name_are_told_apart_by_a_number() -> None:
    def one() -> Any:
        def same(model: Model) -> None:
            model.clock.spend(1e-3)

        return same

    def other() -> Any:
        def same(model: Model) -> None:
            model.clock.spend(2e-3)

        return same

    first, second = one(), other()
    first.__qualname__ = second.__qualname__ = "same"
    found = followed([first, second, first], lambda model: (first(model), second(model)))
    assert list(found) == ["same", "same#2"]
    assert [each.calls for each in found.values()] == [4, 4]


def test_a_partial_goes_by_the_name_of_its_function() -> None:
    clock = FakeClock()
    part = functools.partial(cell_function, clock)
    assert list(followed(part, lambda _: part())) == ["cell_function"]
    assert gpuprof.linetime(part, clock=clock).name == "cell_function"
    assert gpuprof.linetime(Layer("A", clock), clock=clock).name == "A.__call__"


def cell_function(clock: FakeClock) -> None:
    clock.spend(1e-3)


# Threads


def test_a_thread_that_runs_across_the_turns_has_its_whole_runs_counted() -> None:
    work, done = threading.Semaphore(0), threading.Semaphore(0)

    def loading(clock: FakeClock) -> None:
        clock.spend(1e-3)

    def loader(model: Model) -> None:
        for _ in range(12):
            work.acquire()
            loading(model.clock)
            done.release()

    def call(model: Model) -> None:
        work.release()
        done.acquire()

    blocks = [Block(Mode.EVENTS, 2), Block(Mode.EVENTS | Mode.LINES, 4), Block(Mode.EVENTS, 1 << 30, 1e9)]
    model = Model()
    with LayerTime((model,), model.clock, lines=[loading], blocks=blocks) as run:
        thread = threading.Thread(target=loader, args=(model,))
        thread.start()
        for _ in range(12):
            call(model)
            model.train(1)
        thread.join()
    (found,) = run.profile.lines.values()
    calls = 4 if hasattr(sys, "monitoring") else 0  # a trace function is not put on a thread that runs already
    assert [row.hits for row in found.rows.values()] == [4] * bool(calls)
    assert found.calls == calls


# What is said where nothing was followed


def test_what_was_called_instead_is_said() -> None:
    found = followed("A.prepare", nothing)["A.prepare"]
    assert found.verdict == (
        "A.prepare was not called in the steps in which lines were followed: of A they called forward, backward and "
        "update."
    )
    assert str(found).startswith(found.verdict)


def test_of_a_function_the_first_layers_called_are_said() -> None:
    assert followed(cell_function, nothing)["cell_function"].verdict == (
        "cell_function was not called in the steps in which lines were followed: they called A.forward, B.forward, "
        "B.backward and 3 more."
    )


def test_a_phase_that_only_other_steps_called_is_told_from_one_that_none_did() -> None:
    model = Model()
    blocks = [Block(Mode.EVENTS, 2), Block(Mode.EVENTS | Mode.LINES, 4)]
    with LayerTime((model,), model.clock, lines=["A.update"], blocks=blocks) as run:
        for step in range(6):
            model.layers[0].forward(0)
            model.layers[0].backward(0)
            if step == 1:
                model.layers[0].update()
    assert run.profile.lines["A.update"].verdict.endswith(
        "of A they called forward and backward. Others called it once: let the cell run more of them."
    )


@pytest.mark.parametrize(
    ("name", "typed"), [("cell_function", "cell_function(...)"), ("A.forward", 'lm["A"].forward(...)')]
)
def test_a_cell_of_too_few_steps_says_so(name: str, typed: str) -> None:
    blocks = [Block(Mode.EVENTS, 9), *ALL]
    found = followed(name, nothing, blocks=blocks, namespace={"cell_function": cell_function})
    assert found[name].verdict == (
        f"The cell had ended before it came to the steps in which lines of {name} are followed: let it run a dozen. "
        f"Or: %layertime --lines {typed}, which makes the call itself."
    )


def test_a_cell_that_calls_no_layer_says_how_else() -> None:
    model = Model()
    with LayerTime((model,), model.clock, lines=[cell_function]) as run:
        cell_function(model.clock)
    assert run.profile.lines["cell_function"].verdict == (
        "No line of cell_function was followed, for that is done from step to step, and the cell called no layer. "
        "Next: %layertime --lines cell_function(...), which makes the call itself."
    )


def test_a_function_that_the_cell_defines_anew_is_told() -> None:
    space: dict[str, Any] = {"f": cell_function}
    model = Model()
    with LayerTime((model,), model.clock, lines=["f"], blocks=ALL, namespace=space) as run:
        space["f"] = lambda clock: clock.spend(1)
        for _ in range(4):
            space["f"](model.clock)
            model.train(1)
    assert run.profile.lines["f"].verdict == (
        "The cell defines f anew, and what was followed is the function of before, which was not called: put the "
        "definition into a cell before this one."
    )


# In a notebook

CELL = """
import functools, itertools
lam = lambda m: m.clock.spend(1e-3)
async def co(m):
    m.clock.spend(1e-3)
def numbers(m):
    while True:
        m.clock.spend(1e-3)
        yield 1
def f(m):
    m.clock.spend(1e-3)
exec("def made(m): m.clock.spend(1e-3)")
part = functools.partial(f)
endless = numbers(lm)
"""


@pytest.mark.parametrize(
    ("name", "call", "calls"),
    [
        ("lam", "lam(lm)", "4 calls"),
        ("part", "f(lm)", "4 calls"),
        ("numbers", "next(endless)", "4 resumptions"),
        ("co", "asyncio.run(co(lm))", "4 resumptions"),
        ("f", "asyncio.run(asyncio.to_thread(f, lm))", "4 calls"),
    ],
)
def test_functions_of_all_kinds_in_a_cell(ip: InteractiveShell, name: str, call: str, calls: str) -> None:
    ip.run_cell(CELL, store_history=True)
    ip.user_ns["asyncio"] = asyncio
    ip.run_cell(f"%%layertime -q -v p lm --lines {name}\nfor _ in range(12): {call}; lm.train(1)")
    assert f"{calls} followed" in str(ip.user_ns["p"].lines[name])


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("g", "got 'g' .*and functions defined before the cell runs"),
        ("made", "made has no source here"),
        ("f(lm)", r"as in --lines f; or, to make that call and follow all of it: %layertime --lines f\(lm\)"),
        ("lm", "an object, of the class FakeModel: name one of its methods"),
    ],
)
def test_what_cannot_be_followed_is_a_sentence_and_the_cell_does_not_run(
    ip: InteractiveShell, name: str, says: str
) -> None:
    ip.run_cell(CELL, store_history=True)
    with pytest.raises(UsageError, match=says):
        ip.run_cell_magic("layertime", f"lm --lines {name}", "def g(): ...\nran = True")
    assert "ran" not in ip.user_ns


def test_a_function_that_its_very_cell_defines_anew_is_told_in_what_is_shown(ip: InteractiveShell) -> None:
    ip.run_cell(CELL, store_history=True)
    ip.run_cell(
        "%%layertime -v p lm --lines f\ndef f(m):\n    m.clock.spend(2)\nfor _ in range(12): f(lm); lm.train(1)"
    )
    assert "The cell defines f anew" in shown(ip)
