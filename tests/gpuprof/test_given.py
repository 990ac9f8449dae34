"""What first calls are given, noted without their arrays, and arguments made up from that."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gpuprof.hooks.given import FirstCalls, Given, Shaped, given
from gpuprof.hooks.methods import timed
from gpuprof.record.clocks import HostClock
from gpuprof.record.log import CallLog

FLOATS = np.dtype("float32")


def put(values: Any) -> Any:
    return values


def test_an_array_is_noted_by_its_shape_its_type_and_how_it_lies_in_memory() -> None:
    x = np.zeros((2, 3, 4), dtype="float32").transpose(1, 2, 0)
    assert given((x,), {}).args == (Shaped("numpy", (3, 4, 2), FLOATS, (2, 0, 1)),)


def test_an_array_with_gaps_or_repeats_is_noted_in_the_order_of_its_axes() -> None:
    gaps, repeats = np.zeros((4, 6))[:, ::2], np.broadcast_to(np.zeros(3), (2, 3))
    assert [each.axes for each in given((gaps, repeats, np.zeros(())), {}).args] == [(0, 1), (0, 1), ()]


def test_plain_values_are_kept_also_in_lists_tuples_and_dicts() -> None:
    found = given((1, None, [np.float32(2), "x"]), {"train": True, "pad": {"same": (1, 2)}})
    assert found == Given((1, None, [np.float32(2), "x"]), {"train": True, "pad": {"same": (1, 2)}})


@pytest.mark.parametrize("value", [object(), [object()], {"a": {1, 2}}, len])
def test_anything_else_cannot_be_given_again(value: Any) -> None:
    assert "only arrays and plain values" in given((np.zeros(2), value), {}).why
    assert given((), {"hook": value}).why.startswith("hook= is a ")


def test_an_odd_object_costs_only_the_repetition() -> None:
    class Odd:
        __dlpack__ = None

        @property
        def __class__(self) -> Any:  # type: ignore[override]
            raise ValueError("odd")

    assert given((Odd(),), {}).why == "its arguments could not be looked at: ValueError: odd"


def test_stand_ins_lie_in_memory_as_the_arrays_did() -> None:
    x = np.ones((2, 5), dtype="float64", order="F")
    (made,), _ = given((x,), {}).stand_ins(put)
    assert (made.shape, made.dtype, made.strides) == (x.shape, x.dtype, x.strides)


def test_stand_ins_are_random_between_0_and_1_and_zeros_for_whole_numbers() -> None:
    args, kwargs = given((np.ones(100), np.ones(9, dtype=int)), {"mask": np.ones(4, dtype=bool)}).stand_ins(put)
    assert 0 <= args[0].min() < args[0].max() < 1
    assert not args[1].any()
    assert not kwargs["mask"].any()


def test_stand_ins_draw_nothing_from_global_random_numbers_and_are_the_same_each_time() -> None:
    before = np.random.get_state()[2]
    found = given((np.ones(3),), {})
    assert (found.stand_ins(put)[0][0] == found.stand_ins(put)[0][0]).all()
    assert np.random.get_state()[2] == before


def test_only_what_was_on_the_gpu_is_put_there() -> None:
    specs = Given((Shaped("cupy", (2,), FLOATS, (0,)), Shaped("numpy", (2,), FLOATS, (0,))))
    args, _ = specs.stand_ins(lambda values: values + 10)
    assert [bool(array.min() >= 10) for array in args] == [True, False]


def test_a_first_argument_takes_the_shape_of_the_steps_call() -> None:
    found = given((np.zeros((1000, 4)), np.zeros(3)), {})
    assert [each.shape for each in found.reshaped((8, 4)).args] == [(8, 4), (3,)]
    assert found.reshaped((8,)) == found.reshaped(None) == found
    assert Given((1,)).reshaped((8,)) == Given((1,))


def test_an_argument_is_said_otherwise_where_the_call_gave_it() -> None:
    assert Given((1, False)).saying("train", 1, True) == Given((1, True))
    assert Given((1,), {"train": False}).saying("train", 1, True) == Given((1,), {"train": True})


class Layer:
    name = "A"

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def forward(self, x: Any, train: bool = False) -> Any:
        self.seen.append((x, train))
        if x is None:
            raise ValueError("no x")
        return x


def test_the_first_call_alone_is_noted_and_all_reach_the_layer() -> None:
    layer, log, first = Layer(), CallLog(HostClock()), FirstCalls()
    with timed([("A", layer)], log) as methods, log:
        first.watch(methods)
        layer.forward(np.zeros(4, dtype="float32"), train=True)
        layer.forward(np.zeros(9))
    assert first.given == {0: Given((Shaped("numpy", (4,), FLOATS, (0,)),), {"train": True})}
    assert len(layer.seen) == 2
    assert methods[0].method == layer.forward


def test_what_the_first_call_raises_rises_and_it_was_noted() -> None:
    layer, log, first = Layer(), CallLog(HostClock()), FirstCalls()
    with timed([("A", layer)], log) as methods, log:
        first.watch(methods)
        with pytest.raises(ValueError, match="no x"):
            layer.forward(None)
        layer.forward(1)
    assert first.given[0].args == (None,)
