"""How layers are found, wrapped and unwrapped."""

import copy
import functools
import operator
import pickle
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import numpy as np
import pytest

from gpuprof.hooks.methods import NoLayersError, find_layers, timed
from gpuprof.record.log import CallLog
from gpuprof.record.tape import RAISED
from gpuprof.testing import FakeClock

from .models import FakeLayer, FakeModel

CLOCK = FakeClock()


def layer(name: str = "") -> FakeLayer:
    return FakeLayer(name, CLOCK)


def paths(*models: object) -> list[str]:
    return [path for path, _ in find_layers(*models)]


def test_layers_are_found_by_their_names_in_their_order() -> None:
    assert paths(FakeModel(CLOCK, "Conv1", "Pool1")) == ["Conv1", "Pool1"]


def test_a_layer_without_a_name_is_called_by_class_and_position() -> None:
    assert paths([layer(), layer()]) == ["FakeLayer0", "FakeLayer1"]


def test_a_dict_names_its_layers() -> None:
    assert paths({"encode": layer(), "decode": layer()}) == ["encode", "decode"]


def test_a_single_layer_is_a_model() -> None:
    assert paths(layer("Pool1")) == ["Pool1"]


def test_a_layers_own_layers_have_its_path_before_theirs() -> None:
    block = layer("block")
    block.layers = [layer("conv"), layer("relu")]
    assert paths(SimpleNamespace(layers=[block])) == ["block", "block/conv", "block/relu"]


def test_a_layer_used_twice_is_found_once() -> None:
    shared = layer("A")
    assert paths([shared, layer("B"), shared]) == ["A", "B"]


def test_two_layers_of_one_name_get_different_paths() -> None:
    assert paths([layer("A"), layer("A")]) == ["A", "A#2"]


def test_two_models_with_the_same_names_get_numbers() -> None:
    assert paths([layer("A")], [layer("A")]) == ["A", "A#2"]


def test_a_number_that_is_a_name_already_is_passed_over() -> None:
    assert paths([layer("A#2"), layer("A"), layer("A")]) == ["A#2", "A", "A#3"]


def test_a_layer_shared_by_two_parents_is_found_once() -> None:
    shared, one, two = layer("S"), layer("b1"), layer("b2")
    one.layers, two.layers = [shared], [shared]
    assert paths([one, two]) == ["b1", "b1/S", "b2"]


def test_the_same_model_twice_is_found_once() -> None:
    model = FakeModel(CLOCK, "A")
    assert paths(model, model) == ["A"]


def test_no_layer_is_called_what_lies_outside() -> None:
    assert paths([layer("(outside)")]) == ["(outside)#2"]


def test_a_model_that_contains_itself_ends() -> None:
    block = layer("block")
    block.layers = [block]
    assert paths([block]) == ["block"]


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ([], "this list has no layers yet; append some"),
        (SimpleNamespace(layers=[]), "this SimpleNamespace has no layers yet"),
        (SimpleNamespace(layers=[], forward=print), "this SimpleNamespace has no layers yet"),
        (3, "expected an object with `layers`.*got int: 3"),
        ([1, 2], "list has layers, but none of them has a forward, backward or update method"),
    ],
)
def test_a_model_without_layers_is_answered_with_a_sentence(model: object, says: str) -> None:
    with pytest.raises(NoLayersError, match=says):
        find_layers(model)


def test_an_instance_afterwards_has_the_very_attributes_it_had() -> None:
    model = FakeModel(CLOCK)
    mine = model.layers[0].forward
    model.layers[1].forward = mine  # somebody's own patch on the instance
    before = [dict(vars(each)) for each in model.layers]
    with timed(find_layers(model), CallLog(FakeClock())):
        assert "forward" in vars(model.layers[0])
    assert [dict(vars(each)) for each in model.layers] == before
    assert vars(model.layers[1])["forward"] is mine


def test_the_class_and_other_instances_stay_as_they_are() -> None:
    before = dict(vars(FakeLayer))
    other = layer("other")
    with timed(find_layers(layer("A")), CallLog(FakeClock())):
        assert dict(vars(FakeLayer)) == before
        assert "forward" not in vars(other)


def test_hooks_come_off_when_the_code_inside_raises() -> None:
    one = layer("A")
    with pytest.raises(ZeroDivisionError), timed(find_layers(one), CallLog(FakeClock())):
        raise ZeroDivisionError
    assert "forward" not in vars(one)


def test_what_another_put_over_our_hook_is_left_to_them() -> None:
    one = layer("A")
    with timed(find_layers(one), CallLog(FakeClock())):
        one.forward = theirs = lambda x: x
    assert vars(one)["forward"] is theirs


def test_two_profiles_at_once_come_off_in_turn() -> None:
    one = layer("A")
    outer, inner = CallLog(FakeClock()), CallLog(FakeClock())
    with outer, timed(find_layers(one), outer):
        with inner, timed(find_layers(one), inner):
            one.forward(0)
        one.forward(0)
    assert (len(outer.calls), len(inner.calls)) == (2, 1)
    assert "forward" not in vars(one)


def test_a_call_passes_arguments_value_and_error_through() -> None:
    class Picky:
        def forward(self, x: int, *, scale: int = 1) -> int:
            if x < 0:
                raise ValueError("negative")
            return x * scale

    picky = Picky()
    log = CallLog(FakeClock())
    with log, timed(find_layers(picky), log):
        assert picky.forward(3, scale=2) == 6
        with pytest.raises(ValueError, match="negative"):
            picky.forward(-1)
    assert log.calls["status"].tolist() == [0, RAISED]


@pytest.mark.parametrize(
    ("arguments", "keywords", "said"), [((0,), {}, 0), ((0, True), {}, 1), ((0,), {"train": True}, 1)]
)
def test_train_is_read_from_wherever_it_is_given(arguments: tuple, keywords: dict, said: int) -> None:
    one = layer("A")
    log = CallLog(FakeClock())
    with log, timed(find_layers(one), log):
        one.forward(*arguments, **keywords)
    assert log.calls["train"].tolist() == [said]


def test_a_layer_with_slots_is_refused_with_the_reason() -> None:
    class Slotted:
        __slots__ = ()

        def forward(self, x: object) -> object:
            return x

    with pytest.raises(TypeError, match="__slots__"):
        find_layers(Slotted())


def test_what_could_only_be_timed_wrongly_is_refused_with_the_reason() -> None:
    class Async:
        async def forward(self, x: object) -> object:
            return x

    class Lazy:
        def forward(self, x: object) -> Iterator[object]:
            yield x

    class Computed:
        @property
        def forward(self) -> Callable[[object], object]:
            return lambda x: x

    class Data:
        def __get__(self, layer: object, kind: type) -> Callable[[object], object]:
            return lambda x: x

        def __set__(self, layer: object, value: object) -> None:
            raise AttributeError

    class Described:
        forward = Data()

    kinds = ((Async(), "coroutine"), (Lazy(), "generator"), (Computed(), "is a property"))
    for model, says in (*kinds, (Described(), r"is a descriptor \(Data\)")):
        with pytest.raises(TypeError, match=says):
            find_layers(model)


class Weighted:
    """A layer with something to copy."""

    def __init__(self, w: int) -> None:
        self.w = w

    def forward(self, x: int) -> int:
        return x * self.w


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_made_while_profiling_is_its_own_and_not_profiled(copied: Callable[[list], list]) -> None:
    model = [Weighted(2)]
    log = CallLog(FakeClock())
    with log, timed(find_layers(model), log):
        other = copied(model)
        other[0].w = 5
        assert (model[0].forward(1), other[0].forward(1)) == (2, 5)
    assert len(log.calls) == 1


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_keeps_what_the_instance_had_of_its_own(copied: Callable[[list], list]) -> None:
    model = [Weighted(2)]
    model[0].forward = functools.partial(operator.add, 10)
    log = CallLog(FakeClock())
    with log, timed(find_layers(model), log):
        other = copied(model)
        assert other[0].forward(1) == 11
    assert len(log.calls) == 0


def test_a_static_method_can_be_copied() -> None:
    class Static:
        @staticmethod
        def forward(x: int) -> int:
            return x + 1

    log = CallLog(FakeClock())
    model = Static()
    with log, timed(find_layers(model), log):
        assert copy.deepcopy(model).forward(1) == 2


def test_profiles_that_overlap_leave_nothing_behind() -> None:
    one = layer("A")
    first, second = CallLog(FakeClock()), CallLog(FakeClock())
    outer, inner = timed(find_layers(one), first), timed(find_layers(one), second)
    first.__enter__()
    outer.__enter__()
    second.__enter__()
    inner.__enter__()
    outer.__exit__(None, None, None)
    first.__exit__()
    inner.__exit__(None, None, None)
    second.__exit__()
    assert not {"forward", "backward", "update"} & vars(one).keys()


@pytest.mark.parametrize("shape", [[1, 2], ("a",), lambda: (1,), 3])
def test_an_argument_with_an_odd_shape_passes_through(shape: object) -> None:
    one = layer("A")
    log = CallLog(FakeClock())
    with log, timed(find_layers(one), log):
        one.forward(SimpleNamespace(shape=shape))
    assert log.calls.shapes == ()


@pytest.mark.parametrize(("value", "said"), [(1, 1), (0, 0), (np.True_, 1), (None, -1), ("yes", -1)])
def test_train_is_read_from_whatever_is_a_truth_value(value: object, said: int) -> None:
    one = layer("A")
    log = CallLog(FakeClock())
    with log, timed(find_layers(one), log):
        one.forward(0, train=value)
    assert log.calls["train"].tolist() == [said]
