"""What changed between two runs without any noise, and what each row of a profile does."""

import math

import pytest

from gpuprof.judge.account import OUTSIDE
from gpuprof.judge.changes import Launched, Traits, changes, unchanged
from gpuprof.profiling import LayerTime
from gpuprof.record.calls import Scope
from gpuprof.results.profile import Profile
from gpuprof.results.sides import Sides
from gpuprof.testing import FakeClock

from .models import FakeModel


def launched(*names: str, threads: int = 32) -> tuple[Launched, ...]:
    return tuple(Launched(name, threads, names.count(name)) for name in dict.fromkeys(names))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (Traits(), Traits(), ()),
        (Traits(launched("gemm")), Traits(), ()),
        (Traits(launched("gemm")), Traits(launched("gemm")), ()),
        (Traits(launched("scatter", "add")), Traits(launched("add")), ("−scatter", "launches 2 → 1")),
        (Traits(launched("add")), Traits(launched("gather")), ("−add", "+gather")),
        (Traits(launched("add")), Traits(launched("add", "add")), ("launches 1 → 2",)),
        (Traits(launched("add")), Traits(launched("add", threads=64)), ("threads 32 → 64",)),
        (Traits(launched(*"abcde")), Traits(launched("f")), ("−a, b, c and 2 more", "+f", "launches 5 → 1")),
        (Traits(launched("a")), Traits(()), ("−a", "launches 1 → 0", "threads 32 → 0")),
        (
            Traits((Launched("a", 32, 1), Launched("a", 64, 2))),
            Traits((Launched("a", 32, 2), Launched("a", 64, 1))),
            ("the same kernels, of other sizes or in other numbers",),
        ),
        (Traits(shape=(8, 28)), Traits(shape=(16, 28)), ("of 8×28 → 16×28",)),
        (Traits(shape=()), Traits(shape=(1,)), ("of one number → 1",)),
        (Traits(shape=None), Traits(shape=(1,)), ()),
        (Traits(calls=1), Traits(calls=2), ("calls a step 1 → 2",)),
        (Traits(calls=1), Traits(calls=0.99), ()),
        (
            Traits(allocations=2, allocated=1e6),
            Traits(allocations=1, allocated=5e5),
            ("allocations 2 → 1", "allocated 1.0 MB → 500 kB"),
        ),
        (Traits(allocations=2, allocated=1e6), Traits(allocations=2, allocated=1.001e6), ()),
        (Traits(allocations=math.nan, allocated=math.nan), Traits(allocations=1, allocated=1), ()),
    ],
)
def test_what_changed_is_told_in_a_few_words(old: Traits, new: Traits, told: tuple[str, ...]) -> None:
    assert changes(old, new) == told


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        (Traits(launched("a")), Traits(launched("a")), True),
        (Traits(launched("a")), Traits(launched("b")), False),
        (Traits(), Traits(), False),
        (Traits(()), Traits(()), False),  # what launches nothing may have changed all the same
        (Traits(launched("a"), shape=(1,)), Traits(launched("a"), shape=(2,)), False),
        (Traits(launched("a"), calls=1), Traits(launched("a"), calls=2), False),
        (Traits(launched("a"), allocated=1), Traits(launched("a"), allocated=9), True),
    ],
)
def test_a_row_is_unchanged_only_where_its_kernels_are_known_to_be(old: Traits, new: Traits, same: bool) -> None:
    assert unchanged(old, new) is same


def test_a_long_name_is_cut() -> None:
    (told, _) = changes(Traits(launched("x" * 80)), Traits(launched("y")))
    assert len(told) < 60
    assert "…" in told


# Of a profile


def recorded(extra: int = 0) -> Profile:
    """40 steps; in every so manieth A.forward launches once more."""
    model = FakeModel(FakeClock(device=True, launch_cost=1e-5, latency=3e-6), "A", "B", host=2e-5, device=1e-5)
    forward = model.layers[0].forward

    def rarely(x: object, train: bool = False) -> object:
        rarely.calls += 1
        if extra and rarely.calls % extra == 0:
            model.clock.launch(1e-5)
        return forward(x, train)

    rarely.calls = 0
    model.layers[0].forward = rarely
    with LayerTime((model,), model.clock, kernels=True) as run:
        model.train(40)
    return run.profile


def of(profile: Profile) -> dict[Scope, Traits]:
    return Sides.of(profile, profile).new.traits


def test_a_row_does_what_its_usual_call_does() -> None:
    found = of(recorded())
    assert found[Scope("A", "forward")].kernels == (Launched("fake kernel", 1, 1),)
    assert found[Scope("A", "forward")].launches == 1
    assert found[Scope("A", "forward")].calls == 1
    assert found[OUTSIDE].kernels == ()


def test_what_a_call_does_now_and_then_is_not_what_it_does() -> None:
    assert recorded(4)["A", "forward"].launches > 1
    assert of(recorded(4))[Scope("A", "forward")].launches == 1


def test_without_records_nothing_is_known_of_kernels() -> None:
    model = FakeModel(FakeClock(), "A")
    with LayerTime((model,), model.clock) as run:
        model.train(5)
    found = of(run.profile)[Scope("A", "forward")]
    assert found.kernels is None
    assert math.isnan(found.launches)
    assert math.isnan(found.allocations)


def test_an_evaluation_has_no_calls_a_step() -> None:
    model = FakeModel(FakeClock(), "A")
    with LayerTime((model,), model.clock) as run:
        model.train(5)
        model.evaluate()
        model.train(5)
    assert math.isnan(of(run.profile)[Scope("A", "evaluate")].calls)
