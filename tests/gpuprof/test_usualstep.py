"""The order of a typical step's outermost calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpuprof
from gpuprof.judge.usualstep import outermost, usual_step
from gpuprof.testing import FakeClock


class Layer:
    def __init__(self, name: str, *layers: Layer) -> None:
        self.name, self.layers = name, list(layers)

    def forward(self, x: Any, train: bool = False) -> Any:
        for layer in self.layers:
            layer.forward(x, train)
        return x

    def backward(self, dy: Any) -> Any:
        if dy is None:
            raise ValueError("no dy")
        return dy

    def update(self) -> None:
        pass


@pytest.fixture
def layers() -> list[Layer]:
    return [Layer("A"), Layer("B")]


def train(layers: list[Layer], n: int = 8, update: bool = True) -> None:
    x = np.zeros((n, 3))
    for layer in layers:
        layer.forward(x, train=True)
    for layer in reversed(layers):
        layer.backward(x)
    for layer in layers if update else []:
        layer.update()


def step_of(layers: Any, run: Callable[[], object]) -> list[tuple[str, str, Any, int]]:
    with gpuprof.layertime(layers, clock=FakeClock()) as profiling:
        run()
    profile = profiling.profile
    return [(*call.scope, call.shape, call.train) for call in usual_step(profile.log, profile.account)]


def test_it_has_the_calls_in_the_order_they_began_with_their_shapes(layers: list[Layer]) -> None:
    assert step_of(layers, lambda: [train(layers) for _ in range(4)]) == [
        ("A", "forward", (8, 3), 1),
        ("B", "forward", (8, 3), 1),
        ("B", "backward", (8, 3), -1),
        ("A", "backward", (8, 3), -1),
        ("A", "update", None, -1),
        ("B", "update", None, -1),
    ]


def test_steps_that_are_most_alike_decide(layers: list[Layer]) -> None:
    def run() -> None:
        for n in (5, 8, 5, 8, 8):
            train(layers, n)

    assert step_of(layers, run)[0] == ("A", "forward", (8, 3), 1)


def test_the_first_step_counts_only_where_there_is_no_other(layers: list[Layer]) -> None:
    def run() -> None:
        train(layers, 5)
        train(layers, 8)

    assert step_of(layers, run)[0][2] == (8, 3)
    assert step_of(layers, lambda: train(layers, 5))[0][2] == (5, 3)


def test_an_update_in_every_fourth_step_is_in_no_typical_one(layers: list[Layer]) -> None:
    def run() -> None:
        for i in range(9):
            train(layers, update=i % 4 == 0)

    assert [phase for _, phase, *_ in step_of(layers, run)] == ["forward", "forward", "backward", "backward"]


def test_evaluations_are_no_part_of_it(layers: list[Layer]) -> None:
    def run() -> None:
        for _ in range(3):
            train(layers)
            layers[0].forward(np.zeros((100, 3)), train=False)

    assert len(step_of(layers, run)) == 6


def test_a_step_in_which_a_call_raised_is_left_out(layers: list[Layer]) -> None:
    def fail() -> None:
        layers[0].forward(np.zeros(1), train=True)
        with pytest.raises(ValueError, match="no dy"):
            layers[0].backward(None)

    assert step_of(layers, fail) == []
    assert len(step_of(layers, lambda: (fail(), train(layers), fail()))) == 6


def test_calls_inside_others_come_with_them_and_regions_are_seen_through(layers: list[Layer]) -> None:
    block = Layer("Block", *layers)

    def run() -> None:
        for _ in range(3):
            with gpuprof.region("step"):
                block.forward(np.zeros(2))

    assert step_of([block], run) == [("Block", "forward", (2,), 0)]


def test_without_calls_there_is_no_step(layers: list[Layer]) -> None:
    assert step_of(layers, lambda: None) == []


def test_regions_are_not_outermost_calls(layers: list[Layer]) -> None:
    with gpuprof.layertime(layers, clock=FakeClock()) as profiling, gpuprof.region("all"):
        layers[0].forward(1)
    assert outermost(profiling.profile.log).tolist() == [False, True]
