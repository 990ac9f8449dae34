"""Lines of functions in which steps begin: passes take turns inside their calls, and what is cut is in no figures."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import gpuprof
from gpuprof.hooks import lines as hook
from gpuprof.profiling import LayerTime
from gpuprof.record.calls import LINE
from gpuprof.record.schedule import KERNELS, Block, Mode
from gpuprof.results.lines import LineProfile
from gpuprof.results.profile import Profile
from gpuprof.testing import FakeClock

from .models import FakeModel

UNLESS: Any = () if hasattr(sys, "monitoring") else pytest.mark.skip(reason="sys.monitoring came with Python 3.12")
LINES = [Block(Mode.EVENTS, 1), Block(KERNELS | Mode.LINES, 4), Block(Mode.EVENTS | Mode.LINES, 2)]


@pytest.fixture(
    params=[pytest.param(way, marks=UNLESS if way == "sys.monitoring" else ()) for way in hook.WAYS], autouse=True
)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Each way that this Python has of following lines."""
    if request.param == "trace function":
        monkeypatch.setattr(hook, "free_tool", lambda: None)
    before = sys.gettrace()
    yield request.param
    assert sys.gettrace() is before


def train_step(model: FakeModel) -> None:
    model.clock.launch(2e-4)
    model.layers[0].forward(0, train=True)
    model.layers[0].backward(0)
    model.layers[0].update()
    model.clock.spend(2e-3)


def epoch(model: FakeModel, steps: int) -> None:
    for _ in range(steps):
        train_step(model)
    model.clock.spend(5e-3)


def model_of(device: bool = True) -> FakeModel:
    return FakeModel(FakeClock(device=device), "A", host=1e-3, device=3e-4 if device else 0)


def followed(model: FakeModel, function: Any, call: Callable[[], Any], blocks: Any = None) -> Profile:
    with LayerTime((model,), model.clock, lines=[(function.__name__, function)], blocks=blocks) as run:
        call()
    return run.profile


def figures(lines: LineProfile, *names: str) -> list[list[float]]:
    """Of each line with figures, those named."""
    table = lines.table[lines.table["hits"].notna()]
    return [[pytest.approx(row[name]) for name in names] for _, row in table.iterrows()]


@pytest.mark.parametrize("steps", [3, 7, 8, 12])
def test_of_a_function_that_holds_a_step_those_calls_count_that_lie_between_two_turns(steps: int) -> None:
    model = model_of(device=False)
    found = followed(model, train_step, lambda: [train_step(model) for _ in range(steps)]).lines["train_step"]
    assert found.calls == (2 if steps == 12 else 1)  # of two steps that a block has, a call lies in one
    assert figures(found, "hits", "host_us") == [[1, 200], *[[1, 1000]] * 3, [1, 2000]]


def test_with_kernel_records_the_calls_between_two_turns_have_all_their_kernels() -> None:
    model = model_of()
    found = followed(model, train_step, lambda: [train_step(model) for _ in range(10)], LINES).lines["train_step"]
    assert found.calls == 3
    assert figures(found, "hits", "launches", "busy_us") == [[1, 1, 200], *[[1, 1, 300]] * 3, [1, 0, 0]]
    assert found.method_busy_s == pytest.approx(3 * 11e-4)
    assert sum(found.shares.values()) == pytest.approx(1)
    assert "3 calls followed, figures a call · calls in which passes took turns are left out" in str(found).replace(
        " · kernels: CUPTI", ""
    )


def test_host_and_span_are_of_whole_calls_too() -> None:
    model = model_of()
    found = followed(model, train_step, lambda: [train_step(model) for _ in range(10)], LINES).lines["train_step"]
    assert figures(found, "host_us", "span_us") == [[0, 200], [1000, 1100], [1000, 1000], [1000, 1000], [2000, 1700]]


def test_by_the_usual_schedule_as_well() -> None:
    model = model_of()
    profile = followed(model, train_step, lambda: [train_step(model) for _ in range(60)])
    found = profile.lines["train_step"]
    assert found.calls > 5
    assert figures(found, "hits", "launches", "busy_us") == [[1, 1, 200], *[[1, 1, 300]] * 3, [1, 0, 0]]


def test_where_the_device_is_far_behind_lines_are_followed_in_a_dozen_steps_all_the_same() -> None:
    model = FakeModel(FakeClock(device=True, queue=1024), "A", "B", host=1e-4, device=1e-2)
    with LayerTime((model,), model.clock, lines=["A.backward"]) as run:
        model.train(12)
    assert run.profile.lines["A.backward"].calls > 0


def test_the_layers_rows_are_those_without_lines() -> None:
    rows = []
    for lines in ([], [("train_step", train_step)]):
        model = model_of()
        with LayerTime((model,), model.clock, lines=lines, blocks=LINES) as run:
            for _ in range(12):
                train_step(model)
        table = run.profile.table
        rows.append(table[["path", "phase", "calls", "total_ms", "launches", "busy_us"]].fillna(-1).values.tolist())
    assert [row[:4] for row in rows[0]] == [row[:4] for row in rows[1]]
    assert rows[1][0][4:] == [1, pytest.approx(300)]


def test_a_call_that_holds_all_steps_is_never_whole_and_that_is_said_with_what_to_type() -> None:
    for device in (False, True):
        model = model_of(device)
        profile = followed(model, epoch, lambda model=model: epoch(model, 40))
        assert profile.lines["epoch"].verdict == (
            "Passes take turns at the beginnings of steps, and each call of epoch held one, so none was followed from "
            "beginning to end. Next: %layertime --lines epoch(...), which makes the call itself."
        )
        assert profile.lines["epoch"].calls == 0
        assert profile.lines["epoch"].verdict in str(profile)
        assert not [scope for scope in profile.log["scope"] if profile.log.scopes[scope].phase == LINE]


def test_what_is_said_to_type_gives_the_lines_of_all_steps() -> None:
    model = model_of(device=False)
    found = gpuprof.linetime(epoch, model, 3, clock=model.clock)
    assert found.calls == 4
    assert figures(found, "hits", "host_us") == [[4, 0], [3, 3 * 5200], [1, 5000]]


def test_of_calls_that_hold_fewer_steps_than_a_block_some_are_whole() -> None:
    model = model_of()
    found = followed(model, epoch, lambda: [epoch(model, 2) for _ in range(5)], LINES).lines["epoch"]
    # steps 1..4 of the block are the last of the first call, both of the second, the first of the third
    assert found.calls == 1
    assert figures(found, "hits", "launches") == [[3, 0], [2, 8], [1, 0]]


def test_a_function_between_steps_is_whole() -> None:
    def prepare(model: FakeModel) -> None:
        model.clock.spend(1e-3)

    model = model_of()
    found = followed(model, prepare, lambda: [(prepare(model), train_step(model)) for _ in range(12)], LINES)
    assert found.lines["prepare"].calls == 4
    assert "left out" not in str(found.lines["prepare"])


def recurring(model: FakeModel, depth: int) -> None:
    if depth:
        recurring(model, depth - 1)
    else:
        train_step(model)


def test_under_recursion_all_calls_around_the_turn_are_cut() -> None:
    model = model_of()
    found = followed(model, recurring, lambda: [recurring(model, 2) for _ in range(12)], LINES).lines["recurring"]
    assert found.calls == 3 * 3
    hits = found.table["hits"].dropna().tolist()
    assert [hit * found.calls for hit in hits] == pytest.approx([9, 6, 3])


def test_a_region_begun_inside_a_line_that_is_cut_goes_on() -> None:
    def step(model: FakeModel) -> None:
        with gpuprof.region("all"):
            train_step(model)

    model = model_of()
    profile = followed(model, step, lambda: [step(model) for _ in range(12)], LINES)
    assert profile["all", "region"].calls == 12
    assert profile.lines["step"].calls == 3


def test_an_error_in_the_cell_leaves_what_was_whole_until_then() -> None:
    model = model_of()

    def broken() -> None:
        for step in range(12):
            model.layers[0].host["update"] = 1e-3 if step < 4 else float("nan")
            train_step(model)

    run = LayerTime((model,), model.clock, lines=[("train_step", train_step)], blocks=LINES)
    with pytest.raises(ValueError, match="NaN"), run:
        broken()
    found = run.profile.lines["train_step"]
    assert found.calls == 3  # the one that raised, too
    assert [row[0] for row in figures(found, "hits")] == pytest.approx([1, 1, 1, 1, 2 / 3])


def batches(model: FakeModel, number: int) -> Iterator[int]:
    for batch in range(number):
        model.clock.spend(1e-3)
        yield batch


def test_a_generators_figures_are_of_a_resumption_wherever_it_had_begun() -> None:
    model = model_of(device=False)

    def cell() -> None:
        for _ in batches(model, 12):
            train_step(model)

    found = followed(model, batches, cell).lines["batches"]
    assert (found.calls, found.unit) == (4, "resumption")  # two blocks of two steps
    assert figures(found, "hits", "host_us") == [[1, 0], [1, 1000], [2, 0]]
    assert "4 resumptions followed, figures a resumption" in str(found)


def test_a_generator_that_makes_the_steps_is_cut_in_the_resumption_that_holds_the_turn() -> None:
    def training(model: FakeModel) -> Iterator[None]:
        while True:
            model.clock.spend(1e-3)
            train_step(model)
            yield

    model = model_of(device=False)
    steps = training(model)
    found = followed(model, training, lambda: [next(steps) for _ in range(12)]).lines["training"]
    assert found.calls == 2
    assert figures(found, "hits", "host_us") == [[1, 0], [1, 1000], [1, 5200], [2, 0]]


def test_what_was_cut_comes_back_from_the_file(tmp_path: Path) -> None:
    model = model_of()
    profile = followed(model, epoch, lambda: epoch(model, 40))
    back = Profile.load(profile.save(tmp_path / "profile.json"))
    assert back.lines["epoch"].verdict == profile.lines["epoch"].verdict
    lines = profile.lines["epoch"]
    assert LineProfile.load(lines.save(tmp_path / "lines.json")).verdict == lines.verdict
