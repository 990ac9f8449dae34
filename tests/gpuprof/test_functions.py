"""Methods and plain functions as models: found, replaced where they are looked up, and put back."""

from __future__ import annotations

import copy
import functools
import pickle
import sys
from collections.abc import Callable, Iterator
from types import FunctionType, MethodType, ModuleType
from typing import Any

import pytest

import gpuprof
from gpuprof.hooks import functions
from gpuprof.hooks.functions import split, timed_target
from gpuprof.hooks.methods import NoLayersError, TimedMethod
from gpuprof.record.log import CallLog
from gpuprof.results.profile import Profile
from gpuprof.testing import FakeClock

from .models import FakeLayer, FakeModel

CLOCK = FakeClock()
HERE = sys.modules[__name__]


def work(x: int = 1) -> int:
    return x + 1


def factorial(n: int) -> int:
    return 1 if n == 0 else n * factorial(n - 1)


def fails() -> None:
    raise ZeroDivisionError


def counted() -> int:
    counted.calls += 1  # type: ignore[attr-defined]
    return int(counted.calls)  # type: ignore[attr-defined]


counted.calls = 0  # type: ignore[attr-defined]


async def asleep() -> None: ...


def lazily() -> Iterator[int]:
    yield 1


@functools.cache
def cached(x: int) -> int:
    return x + 1


@functools.wraps(work)
def decorated(x: int) -> int:
    return x


another_name = work
doubled = lambda x: 2 * x  # noqa: E731
plus_ten = functools.partial(work, 10)


class Coder:
    """Two methods, neither a layer's; others that cannot be timed."""

    def __init__(self, name: str = "") -> None:
        if name:
            self.name = name

    def encode(self, x: int) -> int:
        return self.decode(x) + 1

    def decode(self, x: int) -> int:
        return x

    def depth(self, n: int) -> int:
        return 0 if n == 0 else 1 + self.depth(n - 1)

    read = decode

    def __call__(self, x: int) -> int:
        return x

    @staticmethod
    def static(x: int) -> int:
        return x

    @classmethod
    def made(cls) -> Coder:
        return cls()

    async def later(self) -> None: ...


class Slotted:
    """It takes no attribute."""

    __slots__ = ()

    def encode(self) -> None: ...


def profiled(*models: object, run: Callable[[], object]) -> Profile:
    with gpuprof.layertime(*models, clock=FakeClock()) as profiling:
        run()
    return profiling.profile


def rows(profile: Profile) -> dict[tuple[str, str], int]:
    table = profile.table[profile.table["path"] != "(outside)"]
    return {(row.path, row.phase): row.calls for row in table.itertuples()}


def paths(*models: object) -> list[tuple[str, str]]:
    return [(target.path, target.phase) for target in split(models)[1]]


# What is found


def test_methods_of_one_object_are_rows_of_its_class_name() -> None:
    coder = Coder()
    assert rows(profiled(coder.encode, coder.decode, run=lambda: coder.encode(1))) == {
        ("Coder", "encode"): 1,
        ("Coder", "decode"): 1,
    }


def test_an_objects_name_is_its_path() -> None:
    assert paths(Coder("first").encode) == [("first", "encode")]


def test_two_objects_of_one_name_get_different_paths() -> None:
    one, two = Coder(), Coder()
    assert paths(one.encode, two.encode, one.decode) == [
        ("Coder", "encode"),
        ("Coder#2", "encode"),
        ("Coder", "decode"),
    ]


def test_a_function_is_a_row_of_its_own_name() -> None:
    assert rows(profiled(work, run=lambda: [work(), work()])) == {("work", "call"): 2}


def test_functions_and_methods_may_stand_in_lists_and_dicts_with_layers() -> None:
    model, coder = FakeModel(FakeClock(), "A"), Coder()

    def run() -> None:
        model.train(1)
        coder.encode(work())

    profile = profiled([model, coder.encode, [work]], {"x": factorial}, run=run)
    assert rows(profile) == {
        ("FakeModel0/A", "forward"): 1,
        ("FakeModel0/A", "backward"): 1,
        ("FakeModel0/A", "update"): 1,
        ("Coder", "encode"): 1,
        ("work", "call"): 1,
    }


def test_a_list_of_functions_alone_has_no_layers_to_look_for() -> None:
    assert split([[work, factorial]])[0] == []


def test_a_layer_in_a_list_keeps_the_number_of_its_place() -> None:
    others, _ = split([[work, FakeLayer("", CLOCK)]])
    assert gpuprof.layertime(*others, clock=FakeClock())._layers[0][0] == "FakeLayer1"


def test_an_empty_list_beside_a_function_is_answered() -> None:
    with pytest.raises(NoLayersError, match="this list has no layers yet"):
        split([work, []])


def test_a_method_that_its_layer_has_timed_already_is_not_timed_twice() -> None:
    layer = FakeLayer("A", FakeClock())
    profile = profiled([layer], layer.forward, layer._work, run=lambda: layer.forward(0))
    assert rows(profile) == {("A", "forward"): 1, ("A", "_work"): 1}


def test_what_is_given_twice_is_timed_once() -> None:
    coder = Coder()
    assert rows(profiled(coder.decode, coder.decode, work, work, run=lambda: work(coder.decode(1)))) == {
        ("Coder", "decode"): 1,
        ("work", "call"): 1,
    }


def test_two_functions_of_one_name_get_different_paths() -> None:
    other = ModuleType("other_module")
    exec("def work():\n    return 0", vars(other))
    sys.modules["other_module"] = other
    try:
        assert rows(profiled(work, other.work, run=lambda: (work(), other.work(), work()))) == {
            ("work", "call"): 2,
            ("work#2", "call"): 1,
        }
    finally:
        del sys.modules["other_module"]


def test_recursion_counts_each_call() -> None:
    coder = Coder()
    profile = profiled(factorial, coder.depth, run=lambda: (factorial(4), coder.depth(2)))
    assert rows(profile) == {("factorial", "call"): 5, ("Coder", "depth"): 3}


def test_a_function_under_another_name_is_seen_too() -> None:
    assert rows(profiled(work, run=lambda: another_name())) == {("work", "call"): 1}


def test_a_function_called_through_a_reference_kept_elsewhere_goes_unseen() -> None:
    kept = [work]
    assert len(profiled(work, run=lambda: kept[0]()).log) == 0


def test_a_method_under_another_name_is_timed_under_that_which_is_called() -> None:
    coder = Coder()
    assert rows(profiled(coder.read, run=lambda: coder.decode(1))) == {("Coder", "decode"): 1}


def test_a_method_whose_function_has_another_name_is_found_by_what_it_is() -> None:
    class Odd:
        run = doubled

    odd = Odd()
    odd.own = MethodType(lambda self: 3, odd)
    assert paths(odd.run, odd.own) == [("Odd", "run"), ("Odd", "own")]


def test_lambdas_partials_and_wrapped_functions_are_called_by_the_variable() -> None:
    profile = profiled(doubled, plus_ten, cached, run=lambda: (doubled(1), plus_ten(), cached(1), cached(1)))
    assert rows(profile) == {("doubled", "call"): 1, ("plus_ten", "call"): 1, ("cached", "call"): 2}


def test_a_decorated_function_is_seen_though_it_has_anothers_name() -> None:
    assert rows(profiled(decorated, run=lambda: decorated(1))) == {("work", "call"): 1}


# What is refused


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (Slotted().encode, "a Slotted has no __dict__ .*__slots__"),
        (Coder, "expected an object with layers; got the class Coder: give an object of it"),
        (len, r"expected an object with layers, one of its methods, or a function .*got <built-in function len>"),
        ([].append, "expected an object with layers, one of its methods"),
        ("".__len__, "expected an object with layers, one of its methods"),
        (Coder.made, "expected an object with layers, one of its methods"),
        (Coder.static, "Coder.static is a function of the class Coder, where its calls are looked up"),
        (Coder.encode, "Coder.encode is a function of the class Coder.* a method of one object"),
        (Coder().__call__, "Python looks __call__ up on the class Coder"),
        (asleep, "asleep is a coroutine or a generator"),
        (lazily, "lazily is a coroutine or a generator"),
        (functools.partial(lazily), "lazily is a coroutine or a generator"),
        (Coder().later, "later of Coder is a coroutine"),
        (MethodType(doubled, Coder()), "Coder has no method under the name of"),
    ],
)
def test_what_cannot_be_wrapped_is_refused_with_the_reason(model: object, says: str) -> None:
    with pytest.raises(TypeError, match=says):
        gpuprof.layertime([model], clock=FakeClock())


def test_a_function_that_no_name_stands_for_is_refused_and_nothing_stays_wrapped() -> None:
    coder, log = Coder(), None

    def local() -> None: ...

    with pytest.raises(TypeError, match="the function local stands under no name of a module or of the notebook"):
        profiled(coder.encode, work, local, run=lambda: log)
    assert "encode" not in vars(coder)
    assert not isinstance(work, TimedMethod)


# Afterwards


@pytest.fixture
def names() -> Iterator[dict[str, Any]]:
    """What this module has, which must be the very same afterwards."""
    before = dict(vars(HERE))
    yield before
    after = vars(HERE)
    assert after.keys() == before.keys()
    assert [name for name in before if after[name] is not before[name]] == []


def test_afterwards_the_names_stand_for_the_very_same_objects(names: dict[str, Any]) -> None:
    profiled(work, factorial, doubled, plus_ten, cached, run=lambda: factorial(3))


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_they_do_also_after_an_error(names: dict[str, Any], error: type[BaseException]) -> None:
    coder = Coder()

    def run() -> None:
        work()
        raise error

    with pytest.raises(error):
        profiled(work, coder.encode, run=run)
    assert vars(coder) == {}


def test_an_error_inside_a_function_rises_and_is_counted(names: dict[str, Any]) -> None:
    with pytest.raises(ZeroDivisionError):
        profiled(fails, run=lambda: fails())
    assert gpuprof.last.ended_by.startswith("ZeroDivisionError")
    assert gpuprof.last["fails", "call"].calls == 1


def test_an_objects_attributes_are_the_very_same_in_the_same_order() -> None:
    coder = Coder("c")
    coder.decode = mine = lambda x: x  # type: ignore[method-assign,assignment]
    coder.last = 1  # type: ignore[attr-defined]
    before = list(vars(coder).items())
    profiled(coder.encode, run=lambda: coder.encode(1))
    assert list(vars(coder).items()) == before
    assert vars(coder)["decode"] is mine


def test_looking_through_all_modules_is_no_part_of_the_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, look = FakeClock(), functions._places

    def slowly(*given: Any) -> Any:
        clock.spend(5e-3)
        return look(*given)

    monkeypatch.setattr(functions, "_places", slowly)
    with gpuprof.layertime(work, clock=clock) as run:
        clock.spend(1e-3)
        HERE.work()
    assert run.profile["(outside)", ""].total_ms == pytest.approx(1.0)
    assert isinstance(work, FunctionType)


def test_a_name_given_inside_stands_for_the_function_afterwards() -> None:
    space: dict[str, Any] = {"work": work}

    def run() -> None:
        exec("mine = work; from tests.gpuprof.test_functions import work as imported; mine()", space)

    target = split([work])[1][0]
    log = CallLog(FakeClock())
    with log, timed_target(target, log, space):
        run()
    assert len(log.calls) == 1
    assert space["mine"] is space["imported"] is space["work"] is work


def test_what_was_kept_elsewhere_is_a_way_to_the_function_and_logs_no_more() -> None:
    kept, coder = [], Coder()
    profile = profiled(work, coder.decode, run=lambda: kept.extend([work, coder.decode]))
    assert (kept[0](2), kept[1](2)) == (3, 2)
    assert len(profile.log) == 0
    assert kept[0].log.taped == []


def test_what_another_put_in_its_place_is_left_to_them(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = lambda: 0  # noqa: E731
    original = work

    def run() -> None:
        monkeypatch.setattr(HERE, "work", theirs)

    profiled(work, run=run)
    assert vars(HERE)["work"] is theirs
    monkeypatch.undo()
    vars(HERE)["work"] = original


def test_anothers_patch_above_that_calls_ours_goes_on_working() -> None:
    coder = Coder()

    def run() -> None:
        below = coder.decode
        coder.decode = lambda x: below(x) + 100  # type: ignore[method-assign,assignment]

    profiled(coder.decode, run=run)
    assert coder.decode(1) == 101


def test_profiles_one_inside_the_other_both_see_the_calls(names: dict[str, Any]) -> None:
    coder, inner = Coder(), []
    outer = profiled(
        work,
        coder.decode,
        run=lambda: inner.append(profiled(work, coder.decode, run=lambda: (work(), coder.decode(1)))),
    )
    assert rows(outer) == rows(inner[0]) == {("work", "call"): 1, ("Coder", "decode"): 1}
    assert vars(coder) == {}


def test_profiles_that_overlap_leave_nothing_behind(names: dict[str, Any]) -> None:
    coder = Coder()
    coder.decode = mine = lambda x: x  # type: ignore[method-assign,assignment]
    vars(coder).pop("decode")
    coder.encode = mine  # type: ignore[method-assign]
    layer = FakeLayer("A", CLOCK)
    layer.forward = mine  # type: ignore[method-assign]
    first = gpuprof.layertime(work, coder.decode, [layer], clock=FakeClock())
    first.__enter__()
    second = gpuprof.layertime(work, coder.decode, [layer], clock=FakeClock())
    second.__enter__()
    first.__exit__(None, None, None)
    work()
    second.__exit__(None, None, None)
    assert (len(first.profile.log), len(second.profile.log)) == (0, 1)
    assert vars(coder) == {"encode": mine}
    assert vars(layer)["forward"] is mine


# While it is profiled


def test_what_else_a_function_has_is_there_while_it_is_profiled() -> None:
    profile = profiled(counted, run=lambda: [counted(), counted()])
    assert counted.calls == 2  # type: ignore[attr-defined]
    assert rows(profile) == {("counted", "call"): 2}


def test_what_else_a_method_has_is_there_while_it_is_profiled() -> None:
    coder, seen = Coder(), []
    profiled(coder.decode, run=lambda: seen.append((coder.decode.__self__, coder.decode.__func__)))
    assert seen == [(coder, Coder.decode)]


def test_a_profiled_functions_copy_is_the_function_itself() -> None:
    original, seen = work, []
    profiled(work, run=lambda: seen.extend([copy.deepcopy(HERE.work), copy.deepcopy({"f": HERE.work})["f"]]))
    assert seen == [original, original]


@pytest.mark.parametrize("name", ["work", "cached"])
def test_a_profiled_functions_pickle_is_its_name(name: str) -> None:
    original, seen = getattr(HERE, name), []
    profiled(original, run=lambda: seen.append(pickle.dumps(getattr(HERE, name))))
    assert pickle.loads(seen[0]) is original
    assert b"gpuprof.hooks" not in seen[0]


def test_a_profiled_partials_pickle_is_one_of_its_own() -> None:
    seen: list[bytes] = []
    profiled(plus_ten, run=lambda: seen.append(pickle.dumps(plus_ten)))
    assert pickle.loads(seen[0])() == 11
    assert b"gpuprof.hooks" not in seen[0]


def test_an_object_copied_while_its_method_is_profiled_is_its_own() -> None:
    coder, copies = Coder(), []
    profile = profiled(
        coder.decode, run=lambda: copies.extend([copy.deepcopy(coder), pickle.loads(pickle.dumps(coder))])
    )
    assert [each.decode(1) for each in copies] == [1, 1]
    assert all(each.decode.__self__ is each for each in copies)
    assert len(profile.log) == 0


def test_a_modules_lazy_attributes_are_not_loaded_to_look_for_a_function(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lazy(ModuleType):
        def __getattribute__(self, name: str) -> Any:
            raise AssertionError(f"asked for {name}")

    monkeypatch.setitem(sys.modules, "lazy_module", Lazy("lazy_module"))
    assert rows(profiled(work, run=lambda: work())) == {("work", "call"): 1}
