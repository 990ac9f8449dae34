"""Training steps that run as captured graphs: a row a kernel, which names all that it does, and never a guess."""

import itertools
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest

import gpuprof
from gpuprof.record.schedule import KERNELS, Mode
from gpuprof.results.profile import Profile
from gpuprof.testing import FakeClock

US = 1e-6
KERNEL_TIMES = {"ahead": 5 * US, "head": 2 * US, "back": 8 * US, "on": 1 * US}


class Layer:
    def __init__(self, name: str, clock: FakeClock) -> None:
        self.name, self.clock = name, clock

    def forward(self, x: object, train: bool = False) -> object:
        self.clock.spend(1e-5)
        self.clock.launch(20 * US)
        return x

    def backward(self, dy: object) -> object:
        self.clock.spend(1e-5)
        self.clock.launch(20 * US)
        return dy


class Work(NamedTuple):
    steps: int
    kernels: tuple[str, ...]
    does: dict[str, Any]
    graph: bool


class Model:
    """Two layers, trained through graphs: three kernels a step, and one behind the steps."""

    def __init__(self, clock: FakeClock, slower: float = 0.0, runs: dict[str, str] | None = None) -> None:
        self.clock, self.slower, self.runs = clock, slower, runs or {}
        self.layers = first, second = Layer("A", clock), Layer("B", clock)

        def does(phases: str, *layers: Layer) -> Any:
            return SimpleNamespace(layers=layers, phases=tuple(phases.split()))

        self.does = {
            "ahead": does("forward", first, second),
            "head": does("forward backward", second),
            "back": does("backward update", first, second),
            "on": does(""),
        }
        self.work: dict[tuple[int, bool], Work] = {}
        self.graphs: set[int] = set()

    def launch(self, steps: int, graph: bool = True, pause: float = 1e-5) -> None:
        """`pause`: what the host does before."""
        names = ("ahead", "head", "back") * steps + ("on",)
        work = self.work.setdefault((steps, graph), Work(steps, names, self.does, graph))
        over = vars(self.layers[0]).get("forward")
        watch = over.graphs if over is not None else None
        self.clock.spend(pause)
        with watch.launching(work) if watch else nullcontext():
            if graph and steps not in self.graphs:
                with watch.making() if watch else nullcontext():
                    self.clock.spend(1e-3)
                    self.graphs.add(steps)
            self.clock.spend(4e-6)
            recorded = self.clock._recording is not None and not self.clock._recording.stopped
            for name in names:
                took = KERNEL_TIMES[name] + (self.slower if recorded else 0.0)
                self.clock.launch(took, self.runs.get(name, name))

    def evaluate(self) -> None:
        for layer in self.layers:
            layer.forward(None, train=False)


def profiled(graphs: int = 24, steps: int = 10, clock: FakeClock | None = None, **keywords: Any) -> Profile:
    clock = clock or FakeClock(device=True)
    model = Model(clock, **keywords)
    with gpuprof.layertime(model, clock=clock) as run:
        for _ in range(graphs):
            model.launch(steps)
    return run.profile


def rows(profile: Profile) -> dict[tuple[str, str], Any]:
    return {(row.path, row.phase): row for row in profile.table.itertuples()}


def test_each_kernel_is_a_row_that_names_all_layers_and_phases_it_does() -> None:
    found = rows(profiled())
    assert found["A + B", "forward"].median_us == pytest.approx(5)
    assert found["B", "forward + backward"].median_us == pytest.approx(2)
    assert found["A + B", "backward + update"].median_us == pytest.approx(8)
    assert found["(graphs)", "on"].median_us == pytest.approx(0.1)
    assert found["A + B", "forward"].calls == 240
    assert found["A + B", "forward"].launches == 1
    assert found["(graphs)", "on"].launches == pytest.approx(0.1)


def test_the_rows_of_a_step_add_up_to_it_and_all_rows_to_the_cell() -> None:
    profile = profiled()
    figures = profile.replays
    assert figures
    of_a_step = [row for row in rows(profile).values() if row.calls == 240]
    assert sum(row.median_us for row in of_a_step) * 1e-6 == pytest.approx(figures.step.median)
    assert profile.table["share"].sum() == pytest.approx(1)
    assert profile.table["total_ms"].sum() == pytest.approx((profile.log.window[1] - profile.log.window[0]) * 1e-6)
    assert profile.closure < 1e-6


def test_a_steps_time_is_of_graphs_that_were_not_recorded() -> None:
    figures = profiled(slower=3 * US).replays
    assert figures
    assert figures.step.median == pytest.approx(15.1 * US)
    assert figures.traced == pytest.approx(24.4 * US)
    assert not figures.recorded_only


def test_kernels_that_ran_longer_while_recorded_are_shortened_alike() -> None:
    profile = profiled(slower=3 * US)
    found, figures = rows(profile), profile.replays
    assert figures
    assert found["A + B", "backward + update"].busy_us == pytest.approx(11)
    assert found["A + B", "backward + update"].median_us == pytest.approx(11 * 15.1 / 24.4)
    assert found["(between kernels)", ""].median_us == 0
    assert any("all shortened alike" in note for note in profile.notes)


def test_few_graphs_are_recorded_and_all_are_marked() -> None:
    modes = profiled(graphs=60).account.step_mode.tolist()
    assert [(Mode(m), len(list(g))) for m, g in itertools.groupby(modes)] == [
        (Mode.EVENTS, 2),
        (KERNELS, 2),
        (Mode.EVENTS, 56),
    ]


def test_the_making_of_a_graph_is_a_row_of_its_own() -> None:
    profile = profiled()
    made = rows(profile)["(graphs)", "recording"]
    assert made.calls == 1
    assert made.total_ms == pytest.approx(1)


def test_without_records_there_is_one_row_and_a_sentence() -> None:
    clock = FakeClock(device=True)
    clock.no_records = "libcupti was not found"
    profile = profiled(clock=clock)
    found = rows(profile)
    assert found["(graphs)", "captured steps"].median_us == pytest.approx(15.1)
    assert ("A + B", "forward") not in found
    assert [note for note in profile.notes if note.startswith("not measured")] == [
        "not measured: the kernels of captured steps (libcupti was not found); graph=False shows the layers one by one."
    ]


def test_a_graph_whose_kernels_are_others_is_told_and_nothing_of_it_is_attributed() -> None:
    profile = profiled(runs={"head": "something else"})
    assert ("A + B", "forward") not in rows(profile)
    assert rows(profile)["(graphs)", "captured steps"].median_us == pytest.approx(15.1)
    assert profile.warnings == [
        "2 graphs ran other kernels than the model says it launches, and of these none is given to a layer: kernel 2 "
        "was something else and was to be head."
    ]


def test_kernels_that_overlap_are_told_apart_by_the_nodes_they_are() -> None:
    profile = profiled()
    columns = profile.seen.kernels.columns
    moved = {name: columns[name].copy() for name in ("start", "end")}
    launched = np.arange(len(columns["start"]))
    moved["start"][1], moved["start"][2] = moved["start"][2] + 1, moved["start"][1]
    order = np.argsort(moved["start"], kind="stable")
    shuffled = {name: column[order] for name, column in {**columns, **moved, "node": launched}.items()}
    shuffled["correlation"] = np.zeros_like(launched)
    seen = replace(profile.seen, kernels=replace(profile.seen.kernels, columns=shuffled))
    figures = replace(profile, seen=seen).replays
    assert figures
    assert (figures.verified, figures.refused) == (2, 0)


def test_a_short_batch_launched_by_itself_is_counted_and_is_no_step_to_go_by() -> None:
    clock = FakeClock(device=True)
    model = Model(clock)
    with gpuprof.layertime(model, clock=clock) as run:
        for _ in range(8):
            model.launch(10)
        model.launch(1, graph=False)
    figures = run.profile.replays
    assert figures
    assert (figures.steps, figures.launches, figures.samples) == (81, 9, 5)
    assert figures.step.median == pytest.approx(15.1 * US)


def test_a_forward_that_does_not_train_is_an_evaluation_beside_graphs() -> None:
    clock = FakeClock(device=True)
    model = Model(clock)
    with gpuprof.layertime(model, clock=clock) as run:
        for _ in range(3):
            for _ in range(8):
                model.launch(10)
            model.evaluate()
    found = rows(run.profile)
    assert found["A", "evaluate"].calls == 3
    assert run.profile.replays
    assert run.profile.replays.step.median == pytest.approx(15.1 * US)


def test_steps_layer_by_layer_and_steps_in_graphs_each_have_their_rows() -> None:
    clock = FakeClock(device=True)
    model = Model(clock)
    with gpuprof.layertime(model, clock=clock) as run:
        for _ in range(12):
            for layer in model.layers:
                layer.forward(None, train=True)
            for layer in reversed(model.layers):
                layer.backward(None)
        for _ in range(12):
            model.launch(10)
    found = rows(run.profile)
    assert found["A", "forward"].calls == 12
    assert found["A + B", "forward"].median_us == pytest.approx(5)
    assert run.profile.steps == 12 + 120
    assert run.profile.verdict.endswith("Besides, 12 steps went layer by layer, whose rows are of a call.")


def test_the_verdict_says_what_sets_the_pace_and_which_kernel_is_longest() -> None:
    text = profiled().verdict
    assert text.startswith("The step is GPU-bound: it runs as part of a captured graph and takes 15.1 µs;")
    assert "Longest is back (A + B: backward + update), 8.00 µs or 53 % of a step." in text


def test_a_host_that_cannot_keep_up_is_told() -> None:
    clock = FakeClock(device=True)
    model = Model(clock)
    with gpuprof.layertime(model, clock=clock) as run:
        for _ in range(24):
            model.launch(1, pause=1e-4)
    assert "the host sets the pace: for 8" in run.profile.verdict


def test_the_small_print_says_how_to_see_layers() -> None:
    notes = profiled().notes
    assert (
        notes[0] == "240 steps ran as captured graphs of 3 fused kernels a step; graph=False shows them layer by layer"
    )


def test_a_profile_of_graphs_is_the_same_from_a_file(tmp_path: Any) -> None:
    profile = profiled()
    assert str(Profile.load(profile.save(tmp_path / "graphs.json"))) == str(profile)


def test_each_recorded_kernel_says_what_it_does() -> None:
    kernels = profiled().kernels
    assert set(zip(kernels["name"], kernels["path"], kernels["phase"], strict=True)) == {
        ("ahead", "A + B", "forward"),
        ("head", "B", "forward + backward"),
        ("back", "A + B", "backward + update"),
        ("on", "(graphs)", "on"),
    }


def test_the_chart_the_timeline_and_html_are_drawn() -> None:
    profile = profiled()
    ax = profile.plot()
    assert ax.get_title(loc="left").startswith("A captured step, kernel by kernel, fake CUDA events")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["A + B", "B", "(graphs)", "(between kernels)"]
    assert profile.timeline().get_xlabel() == "time in graph 3 (µs)"
    assert "A + B" in profile._repr_html_()


def test_a_host_clock_times_whole_graphs() -> None:
    clock = FakeClock()
    profile = profiled(clock=clock)
    assert rows(profile)["(graphs)", "captured steps"].median_us == pytest.approx(15.5)
    assert profile.verdict == "A step, run as part of a captured graph, takes 15.5 µs on the host clock."


# Held against each other


def plain(clock: FakeClock) -> Profile:
    model = Model(clock)
    with gpuprof.layertime(model, clock=clock) as run:
        for _ in range(40):
            for layer in model.layers:
                layer.forward(None, train=True)
            for layer in reversed(model.layers):
                layer.backward(None)
    return run.profile


def test_graphs_against_layers_are_compared_by_the_step_alone() -> None:
    old, new = plain(FakeClock(device=True)), profiled()
    found = new.compare(old)
    assert [row.path for row in found.rows] == ["(step)"]
    assert found.step.new_us == pytest.approx(15.1)
    assert found.step.ratio == pytest.approx(found.step.old_us / 15.1)
    assert "the old one trained layer by layer and the new one through captured graphs" in found.verdict


def test_three_profiles_of_graphs_a_side_have_a_verdict_on_the_step() -> None:
    def runs(slower: float) -> list[Profile]:
        clock = FakeClock(device=True)
        times = [KERNEL_TIMES["back"] + slower + i * 0.01 * US for i in range(3)]
        found = []
        for took in times:
            with pytest.MonkeyPatch.context() as patch:
                patch.setitem(KERNEL_TIMES, "back", took)
                found.append(profiled(clock=clock))
        return found

    found = gpuprof.compare(runs(8 * US), runs(0))
    assert found.word == "real"
    assert found.ratio == pytest.approx(23.11 / 15.11, rel=1e-3)
    assert found["A + B", "backward + update"].ratio == pytest.approx(16.01 / 8.01, rel=0.01)


def test_a_sweep_over_batches_knows_the_steps_in_graphs() -> None:
    clock = FakeClock(device=True)
    model = Model(clock)
    found = gpuprof.sweep(
        lambda n: [model.launch(n) for _ in range(4)], {"n": [5, 10]}, model=model, clock=clock, number=6
    )
    assert [point.busy for point in found.points] == pytest.approx([15.2 * US, 15.1 * US])
    assert [point.decides for point in found.points] == ["A + B: backward + update"] * 2
    assert found.points[1].step.median == pytest.approx(15.16 * US, rel=1e-3)


def test_a_sweep_calls_graphs_with_long_waits_between_them_launch_bound() -> None:
    clock = FakeClock(device=True)
    model = Model(clock)
    found = gpuprof.sweep(
        lambda n: [model.launch(n, pause=1e-3) for _ in range(4)], {"n": [5, 10]}, model=model, clock=clock, number=6
    )
    step = found.points[1].step.median
    assert found.points[1].gain == pytest.approx(8 * US / step)
    assert step > 100 * US
    assert found.verdict.startswith("Launch-bound up to n = 10: the host takes longer than the GPU all along.")


def test_what_cannot_be_seen_in_a_graph_is_told() -> None:
    clock = FakeClock(device=True)
    model = Model(clock)
    with gpuprof.layertime(model, clock=clock, lines=["A.forward"], graph=True) as run:
        for _ in range(12):
            model.launch(10)
    assert run.profile.lines["A.forward"].verdict == (
        "No line of A.forward was followed: steps ran as captured graphs, in which no layer is called; graph=False "
        "trains layer by layer."
    )
    assert "not measured: what a captured graph would gain (steps ran as captured graphs already)." in run.profile.notes


def test_what_beginning_and_ending_records_takes_is_no_graphs_time() -> None:
    class Slow(FakeClock):
        def recorder(self, launches: bool) -> Any:
            self.spend(10e-3)
            found = super().recorder(launches)
            collect = found.collect
            found.collect = lambda: (self.spend(5e-3), collect())[1]
            return found

    profile = profiled(graphs=6, clock=Slow(device=True))
    figures = profile.replays
    assert figures
    assert figures.traced == pytest.approx(15.1 * US)
    assert (figures.step.median, figures.held) == (pytest.approx(15.1 * US, rel=0.05), pytest.approx(15e-3, rel=0.05))
    assert (
        profile.account.spans[profile.account.row == profile.account.rows.index(("(graphs)", "captured steps"))].sum()
        < 1e6
    )
    assert rows(profile)["(profiler)", ""].total_ms == pytest.approx(15, rel=0.05)
    assert rows(profile)["(outside)", ""].total_ms < 0.2
    assert profile.table["share"].sum() == pytest.approx(1)


def test_a_kernel_of_which_nothing_is_said_is_no_layers() -> None:
    clock = FakeClock(device=True)
    model = Model(clock)
    del model.does["head"]
    with gpuprof.layertime(model, clock=clock) as run:
        for _ in range(12):
            model.launch(10)
    assert rows(run.profile)["(graphs)", "head"].median_us == pytest.approx(2)


def test_with_kernels_asked_for_the_first_graphs_are_recorded_and_a_cell_of_them_alone_is_as_long_as_recorded() -> None:
    clock = FakeClock(device=True)
    model = Model(clock, slower=3 * US)
    with gpuprof.layertime(model, clock=clock, kernels=True) as run:
        model.launch(10)
    figures = run.profile.replays
    assert figures
    assert run.profile.verdict.startswith("A step, run as part of a captured graph, takes 24.4 µs.")
    assert figures.recorded_only
    assert figures.step.median == pytest.approx(24.4 * US)
    assert any("(recorded ones, for there are no others)" in note for note in run.profile.notes)


def test_graphs_of_which_nothing_was_recorded_are_told() -> None:
    class Blind(FakeClock):
        def recorder(self, launches: bool) -> Any:
            found = super().recorder(launches)
            found.add = lambda *_: None
            return found

    assert any(
        note.startswith("not measured: the kernels of captured steps (CUPTI gave no records of them)")
        for note in profiled(clock=Blind(device=True)).notes
    )


def test_graphs_that_a_long_run_leaves_out_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpuprof.record.longrun.MOST", 60)
    monkeypatch.setattr("gpuprof.record.longrun.UNIT", 16)
    profile = profiled(graphs=400, clock=FakeClock(device=True, queue=60))
    figures = profile.replays
    assert figures
    assert profile.log.left_out.steps > 0
    assert (figures.launches, figures.steps, figures.verified) == (400, 4000, 2)
    assert figures.step.median == pytest.approx(15.1 * US)
    assert profile.table["total_ms"].sum() == pytest.approx((profile.log.window[1] - profile.log.window[0]) * 1e-6)


def test_graphs_launched_within_a_region_are_profiled() -> None:
    clock = FakeClock(device=True)
    model = Model(clock)
    with gpuprof.layertime(model, clock=clock) as run, gpuprof.region("train"):
        for _ in range(12):
            model.launch(10)
    assert run.profile.replays.step.median == pytest.approx(15.1 * US, rel=0.01)


def test_an_evaluation_between_graphs_does_not_hide_why_no_line_was_followed() -> None:
    clock = FakeClock(device=True)
    model = Model(clock)
    with gpuprof.layertime(model, clock=clock, lines=["A.backward"]) as run:
        for _ in range(12):
            model.launch(10)
            model.evaluate()
    assert run.profile.lines["A.backward"].verdict.startswith(
        "No line of A.backward was followed: steps ran as captured graphs"
    )
