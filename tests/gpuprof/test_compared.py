"""Profiles held against each other: by control rows, by repeats, or not at all; machine, versions, shapes."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import pytest

import gpuprof
from gpuprof.judge.cost import Cost
from gpuprof.record.calls import Scope
from gpuprof.results.profile import Profile
from gpuprof.results.profilecomparison import ProfileComparison
from gpuprof.results.seen import Work
from gpuprof.testing import FakeClock

from .models import PHASES, FakeLayer, FakeModel

MACHINE = {"gpu": "H200", "processor": "Xeon", "numpy": "2.0"}


class Launching(FakeLayer):
    """A layer whose backward launches more besides."""

    extra = 0

    def _work(self, phase: str) -> None:
        super()._work(phase)
        for _ in range(self.extra if phase == "backward" else 0):
            self.clock.launch(1e-6)


def taken(
    seed: int,
    names: Sequence[str] = "ABCD",
    *,
    device: bool = True,
    steps: int = 160,
    pace: float = 1.0,
    fast: float = 1.0,
    apart: float = 0.0,
    extra: int = 0,
    host: float = 2e-5,
    jitter: float = 0.0,
    idle: float = 0.0,
    kernels: bool | None = True,
    **about: str,
) -> Profile:
    """Steps of layers whose phases take 100 µs each, with a little noise, so many times as fast: all, and B.backward.

    `apart` is how far rows lie apart between runs; B.backward launches `extra` kernels more. `host`: what each call
    takes it, `jitter`: how that scatters, `idle`: what lies between two steps.
    """
    rng, late = np.random.default_rng(seed), np.random.default_rng(seed)
    model = FakeModel(FakeClock(device=device, launch_cost=1e-5, latency=3e-6))
    model.layers = [Launching(name, model.clock, host=host) for name in names]
    row = np.exp(rng.normal(0, apart, (len(names), 3)))
    with gpuprof.layertime(model, clock=model.clock, kernels=kernels) as run:
        for _ in range(steps):
            for i, layer in enumerate(model.layers):
                layer.extra = extra if layer.name == "B" else 0
                for j, phase in enumerate(PHASES):
                    quick = fast * pace if (layer.name, phase) == ("B", "backward") else pace
                    layer.host[phase] = host * np.exp(late.normal(0, jitter))
                    layer.device[phase] = 1e-4 * row[i, j] / quick * np.exp(rng.normal(0, 0.01))
            model.train(1)
            model.clock.spend(idle)
    return dataclasses.replace(run.profile, about=MACHINE | about)


def verdicts(found: ProfileComparison) -> dict[str, str]:
    return {row.name: row.verdict for row in found.rows}


# By control rows


def test_a_changed_row_is_held_against_those_that_launch_the_same() -> None:
    found = taken(2, fast=2.0, extra=2).compare(taken(1))
    row = found["B", "backward"]
    assert (found.how, row.verdict, row.changed) == ("controls", "real", ("launches 1 → 3",))
    assert row.low < 100 / 52 < row.high
    assert (row.old_launches, row.new_launches) == (1, 3)
    assert set(verdicts(found).values()) == {"real", "noise"}


def test_what_the_control_rows_have_in_common_is_divided_out() -> None:
    found = taken(2, extra=1, pace=0.8).compare(taken(1))
    assert found["A", "forward"].ratio == pytest.approx(1, abs=0.01)
    assert found["A", "forward"].new_us == pytest.approx(125, rel=0.01)
    assert "11 rows that launch the same kernels, which are 0.79" in found.notes[1]


def test_the_same_code_twice_is_noise() -> None:
    found = taken(2).compare(taken(1))
    assert set(verdicts(found).values()) == {"noise"}
    assert found.verdict.startswith("The step: noise")
    assert found.word == "noise"


def test_rows_that_lie_apart_between_runs_hide_a_small_difference() -> None:
    found = taken(4, fast=1.05, extra=1, apart=0.03).compare(taken(3, apart=0.03))
    assert found["B", "backward"].floor > 0.05
    assert found["B", "backward"].verdict != "real"


def test_where_a_row_is_faster_the_step_is_as_much_faster_as_its_share() -> None:
    found = taken(2, fast=4.0, extra=1).compare(taken(1))
    assert found.step.old_us == pytest.approx(1200, rel=0.01)
    assert found.ratio == pytest.approx(1200 / 1126, rel=0.01)
    assert found.word == "real"


# What kernels run


def test_where_the_host_sets_the_pace_what_kernels_run_tells_a_change() -> None:
    found = taken(2, host=3e-4, jitter=0.3, fast=0.97).compare(taken(1, host=3e-4, jitter=0.3))
    row = found["B", "backward"]
    assert (row.verdict, row.busy_verdict) == ("no verdict", "real")
    assert "the host sets the pace (the GPU is busy for 3" in found.why
    assert found.next.startswith("with both models at hand")
    assert row.busy_low < 0.97 < row.busy_high
    assert "The kernels of B.backward take 1.0" in found.verdict
    assert found.rows[0] is row
    others = {each.busy_verdict for each in found.rows if each is not row and each.path != "(outside)"}
    assert others == {"noise"}
    assert "busy × as fast" in str(found)


def test_what_kernels_run_is_told_of_repeats() -> None:
    old, new = (
        [taken(seed, host=3e-4, jitter=0.3, fast=f) for seed in seeds]
        for seeds, f in (((1, 2, 3), 1.0), ((4, 5, 6), 0.9))
    )
    row = gpuprof.compare(old, new)["B", "backward"]
    assert (row.verdict, row.busy_verdict) == ("unclear", "real")


def test_where_what_sets_the_pace_has_changed_times_of_layers_are_no_verdict_on_them() -> None:
    old, new = ([taken(s, host=host) for s in seeds] for seeds, host in (((1, 2, 3), 2e-5), ((4, 5, 6), 3e-4)))
    found = gpuprof.compare(old, new)
    assert {row.verdict for row in found.rows[:-1]} == {"pace"}
    assert {row.busy_verdict for row in found.rows[:-2]} == {"noise"}
    assert found.word == "real"
    assert "What sets the pace has changed" in found.verdict
    assert found.notes[-1].startswith("the GPU busy for 100 % of a step of old and 3")
    assert "pace: the host sets it more" in str(found)


def test_without_records_nothing_is_said_of_kernels() -> None:
    found = taken(2, kernels=False, extra=1).compare(taken(1, kernels=False))
    assert {row.busy_verdict for row in found.rows} == {"no verdict"}
    assert "busy" not in str(found).splitlines()[2]


def test_with_few_rows_to_hold_them_against_nothing_is_said_of_kernels() -> None:
    found = taken(2, "A", host=3e-4).compare(taken(1, "A", host=3e-4))
    assert {row.busy_verdict for row in found.rows} == {"no verdict"}


# By repeats


@pytest.mark.parametrize(("idle", "verdict"), [(1.5e-5, "noise"), (8e-5, "real")])
def test_what_is_between_steps_is_real_where_it_is_much_of_a_step(idle: float, verdict: str) -> None:
    runs = [[taken(s, "AB", device=False, kernels=None, idle=t) for s in seeds]
            for seeds, t in (((1, 2, 3), 1e-5), ((4, 5, 6), idle))]  # fmt: skip
    assert gpuprof.compare(*runs)["(outside)", ""].verdict == verdict


def test_three_runs_a_side_need_no_control_rows() -> None:
    old = [taken(seed, "AB", device=False, kernels=None) for seed in (1, 2, 3)]
    new = [taken(seed, "AB", device=False, kernels=None, fast=2.0) for seed in (4, 5, 6)]
    found = gpuprof.compare(old, new)
    assert (found.how, found["B", "backward"].verdict) == ("repeats", "real")
    assert found["A", "forward"].verdict == "noise"
    assert found.notes == ("3 and 3 runs of 158 steps",)
    assert gpuprof.last is found


def test_repeats_are_told_beside_the_rows_that_launch_the_same() -> None:
    found = gpuprof.compare([taken(s) for s in (1, 2, 3)], [taken(s, extra=1, fast=2.0) for s in (4, 5, 6)])
    assert found.notes == ("3 and 3 runs of 50 steps, each beside its 11 rows that launch the same kernels",)
    assert found["B", "backward"].verdict == "real"


def test_the_times_of_several_runs_are_so_far_apart_as_the_ratio_says() -> None:
    paces = (1.0, 2.0, 4.0)
    old = [taken(s, "AB", device=False, kernels=None, pace=pace) for s, pace in enumerate(paces)]
    new = [taken(s + 3, "AB", device=False, kernels=None, fast=2.0, pace=pace) for s, pace in enumerate(paces)]
    row = gpuprof.compare(old, new)["B", "backward"]
    assert row.old_us / row.new_us == pytest.approx(row.ratio)
    assert row.old_us == pytest.approx(math.prod(20 + 100 / pace for pace in paces) ** (1 / 3), rel=0.01)


def test_runs_of_a_side_that_are_not_alike_are_told() -> None:
    old = [taken(s, "AB", device=False, kernels=None, steps=20) for s in (1, 2, 3)]
    new = [taken(s, "AB", device=False, kernels=None, steps=20, **about) for s, about in ((4, {}), (5, {"numpy": "9"}))]
    found = gpuprof.compare(old, [*new, taken(6, "AB", device=False, kernels=None, steps=20)])
    assert found.warnings == ("The new runs are not alike: numpy was 2.0 and is 9.",)


def test_runs_of_unlike_length_are_told() -> None:
    old = [taken(s, "AB", device=False, kernels=None, steps=n) for s, n in ((1, 30), (2, 40), (3, 50))]
    new = [taken(s, "AB", device=False, kernels=None, steps=20) for s in (4, 5, 6)]
    assert gpuprof.compare(old, new).notes == ("3 and 3 runs of 18 to 48 steps",)


def test_a_row_without_a_time_has_no_verdict() -> None:
    """Evaluations after the last step."""

    def run(seed: int) -> Profile:
        model = FakeModel(FakeClock())
        with gpuprof.layertime(model, clock=model.clock) as found:
            model.train(20)
            model.clock.spend(seed * 1e-3)
            for layer in model.layers:
                layer.forward(0, train=False)
        return found.profile

    rows = verdicts(gpuprof.compare([run(s) for s in (1, 2, 3)], [run(s) for s in (4, 5, 6)]))
    evaluated = {verdict for name, verdict in rows.items() if name.endswith("evaluate")}
    assert evaluated == {"no verdict"}


def test_what_differs_between_runs_is_in_the_interval() -> None:
    runs = [[taken(s, "AB", device=False, kernels=None, apart=0.05) for s in seeds] for seeds in ((1, 2, 3), (4, 5, 6))]
    found = gpuprof.compare(*runs)
    assert "real" not in verdicts(found).values()
    assert found["A", "forward"].high / found["A", "forward"].low > 1.2


def test_a_row_that_one_run_lacks_is_unclear() -> None:
    old = [taken(seed, "AB", device=False, kernels=None) for seed in (1, 2, 3)]
    new = [taken(seed, names, device=False, kernels=None) for seed, names in ((4, "AB"), (5, "AB"), (6, "A"))]
    assert gpuprof.compare(old, new)["B", "backward"].verdict == "unclear"


# No verdict


def test_a_run_given_twice_is_one_run(tmp_path) -> None:
    one, other = taken(1, device=False, kernels=None), taken(2, device=False, kernels=None)
    again = Profile.load(one.save(tmp_path / "one.json"))
    assert gpuprof.compare([one, one, again], [other, other, other]).why.startswith("one run a side")
    assert one.compare(again).why == "the same profile is on both sides"


def test_a_few_steps_are_enough_for_repeats() -> None:
    runs = [[taken(s, "AB", device=False, kernels=None, steps=7) for s in seeds] for seeds in ((1, 2, 3), (4, 5, 6))]
    assert gpuprof.compare(*runs).how == "repeats"


def test_on_the_host_clock_one_run_a_side_has_figures_and_what_to_type() -> None:
    found = taken(2, device=False, kernels=None, fast=2.0).compare(taken(1, device=False, kernels=None))
    assert found.why == "one run a side, and on the host clock nothing tells which layers did not change"
    assert found["B", "backward"].ratio == pytest.approx(120 / 70, rel=0.05)
    assert math.isnan(found["B", "backward"].low)
    assert set(verdicts(found).values()) == {"no verdict"}
    assert "gpuprof.compare(model_a, model_b, step)" in found.next
    assert found.verdict.startswith("No verdict: one run a side")


def test_without_records_they_are_asked_for() -> None:
    found = taken(2, kernels=False).compare(taken(1))
    assert "without kernel records of both" in found.why
    assert found.next.startswith("both with %%layertime --kernels; ")


def test_too_few_rows_with_the_same_kernels_are_counted() -> None:
    found = taken(2, "AB", extra=1).compare(taken(1, "AB"))
    assert found.why.endswith("5 rows with the same kernels to hold them against, where it takes 6")
    assert "B.backward for certain: launches 1 → 2." in found.verdict


@pytest.mark.parametrize(("steps", "told"), [(0, "0 steps"), (1, "0 steps"), (3, "1 step"), (12, "10 steps")])
def test_too_few_steps_are_counted(steps: int, told: str) -> None:
    found = taken(2, device=False, kernels=None, steps=steps).compare(taken(1, device=False, kernels=None))
    assert found.why == f"only {told} could be compared, and it takes 16"
    assert found.next.startswith("more steps in the cell; or ")
    str(found), found._repr_html_(), found.plot()


def test_two_runs_a_side_are_one_too_few() -> None:
    runs = [taken(seed, "AB", device=False, kernels=None) for seed in range(4)]
    assert gpuprof.compare(runs[:2], runs[2:]).why.startswith("2 and 2 runs, and on the host clock")


def test_one_profile_on_both_sides_is_no_comparison() -> None:
    one = taken(1)
    found = one.compare(one)
    assert found.verdict.startswith("No verdict: the same profile is on both sides.")
    assert found.next == ""


@pytest.mark.parametrize(
    ("about", "told"),
    [
        ({"gpu": "A100"}, "GPU was H200 and is A100"),
        ({"processor": ""}, "processor was Xeon and is none"),
    ],
)
def test_on_another_machine_nothing_is_real(about: dict[str, str], told: str) -> None:
    found = taken(2, fast=5.0, extra=1, **about).compare(taken(1))
    assert found.why == f"the difference may be the machine's: {told}"
    assert set(verdicts(found).values()) == {"no verdict"}
    assert "launches 1 → 2" in found["B", "backward"].changed


def test_times_of_two_clocks_are_not_compared() -> None:
    found = taken(2, device=False, kernels=None).compare(taken(1))
    assert "the one was timed by fake CUDA events, the other by fake host clock" in found.why


def test_a_run_in_which_cuda_failed_is_not_trusted() -> None:
    bad = taken(2)
    bad = dataclasses.replace(bad, log=dataclasses.replace(bad.log, failure="illegal address"))
    assert "(illegal address)" in bad.compare(taken(1)).why


def test_an_error_of_the_cell_is_told_and_the_rest_compared() -> None:
    found = dataclasses.replace(taken(2), ended_by="KeyboardInterrupt").compare(taken(1))
    assert found.how == "controls"
    assert found.warnings == (
        "One of the new runs ended early (KeyboardInterrupt); what was measured until then is compared.",
    )


def test_a_side_without_profiles_is_refused() -> None:
    with pytest.raises(ValueError, match="a profile or more on each side; got 0 and 1"):
        taken(1, steps=3).compare([])


def test_profiles_are_not_compared_with_anything_else() -> None:
    one = taken(1, steps=3)
    with pytest.raises(TypeError, match=r"compared with profiles, .* and no option but names; got Profile and str"):
        gpuprof.compare(one, "x + 1")
    with pytest.raises(TypeError, match="got Profile and Profile, step"):
        gpuprof.compare(one, one, lambda model: None)
    with pytest.raises(TypeError, match="got none and Profile"):
        gpuprof.compare([], [one])
    with pytest.raises(TypeError, match="got Profile, int and Profile"):
        gpuprof.compare([one, 3], one)
    with pytest.raises(TypeError, match="expected a Profile, or a list of them; got int"):
        one.compare(3)


@pytest.mark.parametrize("names", [("a",), (1, 2), "ab", 5])
def test_names_are_two(names: tuple[str, str]) -> None:
    one = taken(1, steps=3)
    with pytest.raises(ValueError, match="names must be two"):
        gpuprof.compare(one, one, names=names)


# Told first


def test_versions_and_clocks_are_told_before_any_figure() -> None:
    new = taken(2, numpy="2.1", clock_sm="1700 MHz", temperature="50 °C")
    found = new.compare(taken(1, clock_sm="1980 MHz"))
    assert found.unlike == ("numpy was 2.0 and is 2.1", "the SM clock was 1980 MHz and is 1700 MHz")
    assert found.verdict.startswith("Not alike: numpy was 2.0 and is 2.1; the SM clock")
    assert found.how == "controls"


def test_records_on_one_side_alone_are_told() -> None:
    old, new = taken(1, steps=3), taken(2, kernels=False, steps=20)
    assert any("the old times are of steps with kernel records" in each for each in new.compare(old).unlike)


def test_other_shapes_are_told_and_their_rows_are_no_controls() -> None:
    old, new = taken(1), taken(2)
    columns = new.log.columns | {"shape": np.where(new.log["scope"] == 0, 0, -1)}
    old = dataclasses.replace(old, log=dataclasses.replace(old.log, columns=columns, shapes=((8, 28),)))
    new = dataclasses.replace(new, log=dataclasses.replace(new.log, columns=columns, shapes=((16, 28),)))
    found = new.compare(old)
    assert found.unlike == ("other shapes: A.forward was given (8, 28) and is given (16, 28)",)
    assert found["A", "forward"].changed == ("of 8×28 → 16×28",)
    assert "11 rows that launch the same" in found.notes[1]


def test_other_types_are_told() -> None:
    def computing(profile: Profile, dtype: str) -> Profile:
        work = {Scope("A", "forward"): Work(Cost(None, None, ""), dtype, 0)}
        return dataclasses.replace(profile, seen=dataclasses.replace(profile.seen, work=work))

    found = computing(taken(2), "float32").compare(computing(taken(1), "float64"))
    assert found.unlike == ("layers computed in float64 and compute in float32",)


# Rows


def test_layers_of_one_side_alone_are_added_or_removed() -> None:
    found = taken(2, "ABCE").compare(taken(1))
    assert verdicts(found) | {"D.update": "removed", "E.update": "added"} == verdicts(found)
    added, removed = found["E", "update"], found["D", "update"]
    assert (math.isnan(added.old_us), math.isnan(removed.new_us)) == (True, True)
    assert added.new_us == pytest.approx(100, rel=0.01)
    assert found["A", "forward"].verdict == "noise"
    assert "Added: E.forward, E.backward, E.update." in found.verdict


def test_profiles_without_a_common_layer_are_rows_added_and_removed() -> None:
    found = taken(2, "XY", device=False, kernels=None).compare(taken(1, "AB", device=False, kernels=None))
    assert {row.verdict for row in found.rows} == {"added", "removed", "no verdict"}
    str(found), found.plot()


def test_the_bottleneck_now_and_before_is_named() -> None:
    old, new = (taken(seed, "AB", device=False, kernels=None, fast=fast) for seed, fast in ((1, 0.1), (2, 5.0)))
    assert "Now most is to be gained at " in new.compare(old).bottleneck
    assert new.compare(old).bottleneck.endswith("% of a step (before: B.backward, 63 %).")


def test_what_only_some_steps_have_is_compared_over_those() -> None:
    def gan(seed: int) -> Profile:
        clock = FakeClock()
        d, g = (FakeModel(clock, name).layers[0] for name in "DG")
        rng = np.random.default_rng(seed)
        with gpuprof.layertime([d, g], clock=clock) as run:
            for step in range(200):
                for layer in (d, g):
                    layer.host = {phase: 1e-3 * np.exp(rng.normal(0, 0.01)) for phase in PHASES}
                g.forward(0), d.forward(0), d.backward(0), d.update()
                if step % 5 == 0:
                    d.forward(0), d.backward(0), g.backward(0), g.update()
        return run.profile

    found = gpuprof.compare([gan(s) for s in (1, 2, 3)], [gan(s) for s in (4, 5, 6)])
    assert found["G", "update"].verdict == "noise"
    assert found["G", "update"].old_steps == 39
    assert found.step.verdict == "noise"
    assert found.step.old_us == pytest.approx(1000 * (4 + 4 / 5), rel=0.02)


def test_times_of_nothing_have_no_ratio() -> None:
    found = taken(2).compare(taken(1))
    assert (found["(outside)", ""].verdict, math.isnan(found["(outside)", ""].ratio)) == ("noise", True)
