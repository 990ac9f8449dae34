"""Steps that were not marked inside: their time falls to the rows by what calls take where they are marked."""

import numpy as np
import pytest

import gpuprof
from gpuprof.profiling import LayerTime
from gpuprof.record.schedule import Block, Mode
from gpuprof.results.profile import Profile
from gpuprof.testing import FakeClock

from .models import PHASES, FakeModel

EVENTS, PLAIN = Mode.EVENTS, Mode.PLAIN


class Unequal(FakeModel):
    """D works 1, 2 and 1 ms every step, G 3, 4 and 5 ms every fourth, and 0.5 ms are spent between steps."""

    def __init__(self, **clock: float) -> None:
        super().__init__(FakeClock(device=True, **clock), "D", "G")
        d, g = self.layers
        d.host.update(forward=1e-3, backward=2e-3, update=1e-3)
        g.host.update(forward=3e-3, backward=4e-3, update=5e-3)

    def step(self, rare: bool) -> None:
        for layer in self.layers if rare else self.layers[:1]:
            layer.forward(0, train=True)
            layer.backward(0)
            layer.update()
        self.clock.spend(5e-4)

    def train(self, steps: int, between: float = 0.0) -> None:
        for i in range(steps):
            self.step(rare=i % 4 == 3)
            self.clock.spend(between)


def totals(profile: Profile) -> dict[str, float]:
    return {f"{row.path}.{row.phase}": row.total_ms for row in profile.table.itertuples()}


def marked_and_plain(model: FakeModel, *rare: bool, marked: int = 4) -> Profile:
    """So many steps are marked, the others plain."""
    run = LayerTime((model,), model.clock, blocks=[Block(EVENTS, marked)])
    with run:
        for each in rare:
            model.step(each)
    return run.profile


@pytest.mark.parametrize("steps", [40, 101, 402, 1003])
def test_what_comes_every_fourth_step_has_the_time_of_its_calls(steps: int) -> None:
    model = Unequal()
    with gpuprof.layertime(model, clock=model.clock) as run:
        model.train(steps)
    assert (run.profile.account.step_mode == int(PLAIN)).any()
    assert totals(run.profile) == pytest.approx(
        {
            "D.forward": steps * 1,
            "D.backward": steps * 2,
            "D.update": steps * 1,
            "G.forward": steps // 4 * 3,
            "G.backward": steps // 4 * 4,
            "G.update": steps // 4 * 5,
            "(outside).": steps * 0.5,
        },
        rel=1e-12,
    )
    assert run.profile.table["share"].sum() == pytest.approx(1, rel=1e-12)


def test_shares_count_the_rare_calls_of_the_steps_they_are_of() -> None:
    """The first step is left out, and the last: it is plain, so that no mark ends it."""
    found = marked_and_plain(Unequal(), False, True, True, False, True, True, True, False, True)
    assert found["G", "update"].share == pytest.approx(5 * 5 / (7 * 4.5 + 5 * 12))
    assert found["D", "update"].share == pytest.approx(7 * 1 / (7 * 4.5 + 5 * 12))


def test_where_steps_are_longer_with_marks_in_them_all_rows_are_made_shorter_alike() -> None:
    model = Unequal(mark_cost=1e-3)
    found = marked_and_plain(model, *[False] * 104)
    of_marked = {"D.forward": 2, "D.backward": 3, "D.update": 2, "(outside).": 1.5}  # ms of a step of 8.5, plain 5.5
    expected = {name: (4 + 100 * 5.5 / 8.5) * ms for name, ms in of_marked.items()}
    expected["(outside)."] += 1  # the cell's last mark
    assert totals(found) == pytest.approx(expected, rel=1e-3)
    assert found.table["total_ms"].sum() == pytest.approx((found.log.window[1] - found.log.window[0]) * 1e-6)


def test_what_is_rare_outside_is_outside_and_in_no_row() -> None:
    model = Unequal()
    run = LayerTime((model,), model.clock, blocks=[Block(EVENTS, 5)])
    with run:
        for i in range(50):
            model.step(rare=False)
            model.clock.spend(1.0 if i in (2, 20) else 0.0)
    assert totals(run.profile) == pytest.approx(
        {"D.forward": 50, "D.backward": 100, "D.update": 50, "(outside).": 25 + 2000}
    )


def test_of_calls_of_which_none_was_marked_nothing_is_guessed() -> None:
    found = marked_and_plain(Unequal(), False, False, False, False, False, True)
    g = found.table[found.table["path"] == "G"]
    assert g["calls"].tolist() == [1, 1, 1]
    assert g[["total_ms", "mean_us", "share"]].isna().all(axis=None)
    assert totals(found)["(outside)."] == pytest.approx(6 * 0.5 + 12)
    assert "◀" in found.grid.text()


def test_calls_of_which_only_the_first_was_marked_take_no_longer_as_far_as_there_is_room() -> None:
    def found(first: float) -> dict[str, float]:
        model = Unequal()
        run = LayerTime((model,), model.clock, blocks=[Block(EVENTS, 4)])
        with run:
            for i in range(20):
                model.layers[1].host["forward"] = first if i < 4 else 3e-3
                model.step(rare=i % 4 == 3)
        return totals(run.profile)

    assert found(3e-3) == pytest.approx(
        {"D.forward": 20, "D.backward": 40, "D.update": 20, "(outside).": 10, "G.forward": 15, "G.backward": 20}
        | {"G.update": 25}
    )
    compiled = found(2.0)
    assert [compiled[f"D.{phase}"] for phase in PHASES] == pytest.approx([20, 40, 20])
    assert compiled["(outside)."] == pytest.approx(10)
    assert compiled["G.forward"] + compiled["G.backward"] + compiled["G.update"] == pytest.approx(2000 + 9 + 4 * 12)


def test_an_unusually_long_call_in_a_plain_step_is_outside() -> None:
    model = Unequal()
    run = LayerTime((model,), model.clock, blocks=[Block(EVENTS, 4)])
    with run:
        for i in range(20):
            model.layers[0].host["update"] = 1e-3 if i != 10 else 1.0
            model.step(rare=False)
    assert totals(run.profile)["D.update"] == pytest.approx(20)
    assert totals(run.profile)["(outside)."] == pytest.approx(10 + 999)


def test_a_region_around_the_loop_has_what_is_left_of_its_plain_steps() -> None:
    model = Unequal()
    run = LayerTime((model,), model.clock, blocks=[Block(EVENTS, 8)])
    with run:
        with gpuprof.region("epoch"):
            model.train(40)
        model.clock.spend(7e-3)
    assert totals(run.profile)["epoch.region"] == pytest.approx(20)
    assert totals(run.profile)["(outside)."] == pytest.approx(7)
    assert totals(run.profile)["G.update"] == pytest.approx(50)
    assert np.isnan(run.profile["epoch", "region"].mean_us)


def test_steps_outside_are_all_counted() -> None:
    assert marked_and_plain(Unequal(), *[False] * 9)["(outside)", ""].calls == 9


def test_without_any_marked_step_all_is_outside() -> None:
    model = Unequal()
    run = LayerTime((model,), model.clock, blocks=[])
    with run:
        model.train(3)
    assert totals(run.profile)["(outside)."] == pytest.approx(3 * 4.5)
    assert run.profile.table["total_ms"].count() == 1
