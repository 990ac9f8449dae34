"""Profile: its table, its sentences, its files."""

import dataclasses
import json
import math
import threading
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd
import pytest

import gpuprof
from gpuprof.judge import advice
from gpuprof.judge.cost import Ceilings, Cost
from gpuprof.profiling import LayerTime
from gpuprof.record.calls import Scope
from gpuprof.record.schedule import KERNELS, Mode
from gpuprof.record.waits import WaitLine
from gpuprof.results import smallprint
from gpuprof.results.profile import Profile
from gpuprof.results.seen import Work
from gpuprof.results.tables import COLUMNS
from gpuprof.testing import FakeClock

from .models import PHASES, FakeModel


def profiled(model: FakeModel, steps: int = 10, **keywords: float) -> Profile:
    with gpuprof.layertime(model, clock=model.clock) as run:
        model.train(steps, **keywords)
    return run.profile


@pytest.fixture
def profile() -> Profile:
    model = FakeModel(FakeClock())
    model.layers[1].host["backward"] = 4e-3
    return profiled(model, between=5e-4)


@pytest.fixture
def on_device() -> Profile:
    model = FakeModel(FakeClock(device=True, latency=3e-6), host=3e-4, device=1e-5)
    model.layers[1].device["backward"] = 1.5e-3
    return profiled(model, steps=40, between=1e-4)


@pytest.fixture
def recorded() -> Profile:
    clock = FakeClock(device=True, launch_cost=1e-5, latency=3e-6, record_cost=2e-6)
    model = FakeModel(clock, host=2e-5, device=1e-5)
    model.layers[1].device["backward"] = 1e-4
    with gpuprof.layertime(model, clock=clock, kernels=True) as run:
        model.train(60)
    return run.profile


def seen(profile: Profile, **changes: Any) -> Profile:
    return dataclasses.replace(profile, seen=dataclasses.replace(profile.seen, **changes))


def test_the_table_has_the_contracts_columns(profile: Profile) -> None:
    assert tuple(profile.table.columns) == COLUMNS


def test_a_row_has_its_exact_times(profile: Profile) -> None:
    row = profile["B", "backward"]
    assert (row.calls, row.first_ms, row.total_ms, row.median_us, row.mean_us) == (10, 4.0, 40.0, 4000.0, 4000.0)
    assert (row.low_us, row.high_us, row.host_us) == (4000.0, 4000.0, 4000.0)
    assert row.share == pytest.approx(9 * 4 / (9 * 12 + 8 * 0.5))  # without the first step, and what follows the last
    assert row.gain == pytest.approx(4 / 12.5)


def test_totals_add_up_to_the_cell(profile: Profile) -> None:
    assert profile.table["total_ms"].sum() == pytest.approx(10 * 12.5)
    assert profile.table["share"].sum() == pytest.approx(1)
    assert profile.closure < 1e-9


def test_the_first_call_is_kept_apart() -> None:
    model = FakeModel(FakeClock(), "A")
    model.layers[0].host["forward"] = 2.0
    with gpuprof.layertime(model, clock=model.clock) as run:
        model.train(1)
        model.layers[0].host["forward"] = 1e-3
        model.train(9)
    row = run.profile["A", "forward"]
    assert (row.first_ms, row.median_us, row.mean_us) == (2000.0, 1000.0, 1000.0)


def test_outside_the_layers_is_a_row_with_steps_for_calls(profile: Profile) -> None:
    row = profile["(outside)", ""]
    assert row.total_ms == pytest.approx(5.0)
    assert row.median_us == 500.0
    assert profile.table.iloc[-1].path == "(outside)"


def test_evaluations_have_rows_of_their_own_and_no_gain() -> None:
    model = FakeModel(FakeClock(), "A")
    with gpuprof.layertime(model, clock=model.clock) as run:
        model.train(3)
        model.evaluate()
        model.train(3)
    assert run.profile["A", "forward"].calls == 6
    assert run.profile["A", "evaluate"].calls == 1
    assert math.isnan(run.profile["A", "evaluate"].gain)


def test_what_was_not_measured_is_empty(profile: Profile) -> None:
    row = profile["B", "backward"]
    assert all(math.isnan(row[name]) for name in ("span_us", "busy_us", "idle_us", "launches", "gpu_gain"))
    assert profile.kernels.empty
    assert list(profile.kernels.columns)


def test_on_a_device_the_span_is_seen_and_what_it_hides_is_not_called_work(on_device: Profile) -> None:
    row = on_device["B", "backward"]
    assert row.span_us == pytest.approx(1800, rel=0.01)
    assert row.host_us == 300.0
    assert (row.gpu_gain, row.clock) == (0.0, "fake CUDA events")
    assert math.isnan(row.busy_us)


def test_each_column_names_the_pass_it_comes_from(profile: Profile, on_device: Profile) -> None:
    assert profile.table.attrs["passes"]["median_us"] == "host"
    assert on_device.table.attrs["passes"] | {"busy_us": ""} == on_device.table.attrs["passes"]
    assert on_device.table.attrs["passes"]["gain"] == "events"


def test_calls_are_a_frame_in_microseconds_from_the_beginning(profile: Profile) -> None:
    first = profile.calls.iloc[0]
    assert (first.path, first.phase, first.step, first.host_start_us, first.host_us) == ("A", "forward", 0, 0.0, 1000.0)
    assert len(profile.calls) == 90


def test_an_unknown_row_is_answered_with_the_known_ones(profile: Profile) -> None:
    with pytest.raises(KeyError, match=r"no row \('Z', 'forward'\).*\('A', 'forward'\)"):
        profile["Z", "forward"]


@pytest.mark.parametrize("name", ["A", "B", "C"])
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("device", [False, True])
def test_the_verdict_and_the_top_row_follow_a_planted_delay(name: str, phase: str, device: bool) -> None:
    clock = FakeClock(device=device, latency=3e-6)
    model = FakeModel(clock, host=1e-4, device=2e-5 if device else 0.0)
    layer = next(layer for layer in model.layers if layer.name == name)
    (layer.device if device else layer.host)[phase] = 5e-3
    profile = profiled(model, steps=30, between=1e-4)
    top = profile.table.iloc[0]
    assert (top.path, top.phase) == (name, phase)
    assert f"{name}.{phase}" in profile.verdict
    assert ("GPU-bound" in profile.verdict) == device


@pytest.mark.parametrize("name", ["A", "B", "C"])
@pytest.mark.parametrize("phase", PHASES)
def test_a_delay_hidden_behind_the_host_is_named_and_said_to_gain_nothing(name: str, phase: str) -> None:
    model = FakeModel(FakeClock(device=True, latency=3e-6), host=3e-4, device=1e-5)
    next(layer for layer in model.layers if layer.name == name).device[phase] = 1.6e-3
    verdict = profiled(model, steps=30, between=1e-4).verdict
    assert "launch-bound" in verdict
    assert f"{name}.{phase} holds the GPU longest" in verdict
    assert "gains next to nothing" in verdict


def test_the_verdict_says_when_the_time_is_outside_the_layers() -> None:
    profile = profiled(FakeModel(FakeClock(), host=1e-5), between=1e-2)
    assert "lies outside the layers" in profile.verdict


def test_the_verdict_says_what_evaluations_took() -> None:
    model = FakeModel(FakeClock(), "A")
    with gpuprof.layertime(model, clock=model.clock) as run:
        model.train(3)
        for _ in range(50):
            model.evaluate()
        model.train(3)
    assert "Evaluation took" in run.profile.verdict


def test_a_cell_that_calls_no_layer_is_answered_with_a_sentence() -> None:
    model = FakeModel(FakeClock())
    with gpuprof.layertime(model, clock=model.clock) as run:
        pass
    assert "No layer was called" in str(run.profile)
    assert "A, B, C" in str(run.profile)
    assert run.profile.table["calls"].sum() == 0
    assert run.profile._repr_html_()


def test_a_layer_that_raises_is_counted_and_what_was_measured_stays() -> None:
    model = FakeModel(FakeClock())

    def broken(dy: object) -> object:
        model.clock.spend(7e-3)
        raise ValueError("dy has the wrong shape")

    model.layers[0].backward = broken
    with pytest.raises(ValueError, match="wrong shape"), gpuprof.layertime(model, clock=model.clock) as run:
        model.train(1)
    assert run.profile["A", "backward"].median_us == 7000.0
    assert run.profile.ended_by == "ValueError: dy has the wrong shape"
    assert any("Calls that raised: 1" in warning for warning in run.profile.warnings)


class Moody:
    """A layer whose calls take 2 ms; two in three raise after 1 ms."""

    name = "A"

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.calls = 0

    def forward(self, x: object) -> object:
        self.calls += 1
        self.clock.spend(1e-3)
        if self.calls % 3:
            raise ValueError("not now")
        self.clock.spend(1e-3)
        return x


def test_how_long_a_call_takes_is_told_by_those_that_returned() -> None:
    layer = Moody(FakeClock())
    with gpuprof.layertime(layer, clock=layer.clock) as run:
        for _ in range(30):
            with suppress(ValueError):
                layer.forward(0)
    row = run.profile["A", "forward"]
    assert (row.calls, row.total_ms) == (30, pytest.approx(40))
    assert (row.mean_us, row.median_us, row.high_us, row.host_us) == (2000, 2000, 2000, 2000)
    assert run.profile.warnings == [
        "Calls that raised: 20. They are in the totals; medians are of those that returned."
    ]


def test_several_threads_are_told() -> None:
    model = FakeModel(FakeClock(), "A")
    with gpuprof.layertime(model, clock=model.clock) as run:
        model.train(1)
        other = threading.Thread(target=model.train, args=(1,))
        other.start()
        other.join()
    assert run.profile.warnings == [
        "Calls came from 2 threads; an instant is of the one begun last of those open then."
    ]


@pytest.mark.parametrize(("missed", "warns"), [(40_000, False), (60_000, True)])
def test_a_cell_of_microseconds_need_not_close(missed: int, warns: bool) -> None:
    found = profiled(FakeModel(FakeClock(), host=1e-6), steps=1)
    opened, issued, done = found.log.host_window
    late = dataclasses.replace(found, log=dataclasses.replace(found.log, host_window=(opened, issued, done + missed)))
    assert late.closure > 0.02
    assert bool(late.warnings) == warns


def test_what_was_asked_for_on_the_host_clock_and_cannot_be_is_told(profile: Profile) -> None:
    told = str(seen(profile, no_records="no array on a GPU was found in lm"))
    assert "Not measured: GPU busy and idle, launches and hot lines (no array on a GPU was found in lm)." in told


def test_where_no_step_was_marked_none_is_judged() -> None:
    model = FakeModel(FakeClock(device=True), "A")
    run = LayerTime((model,), model.clock, blocks=[])
    with run:
        model.train(1)
    assert run.profile.verdict == "No step was marked inside, so there is none to judge."
    assert run.profile._repr_html_()


def test_steps_without_any_time_are_said_to_be() -> None:
    assert profiled(FakeModel(FakeClock(), host=0.0)).verdict == "No step took any time."


def test_long_names_leave_the_charts_room() -> None:
    model = FakeModel(FakeClock(), "encoder/" + "block" * 50)
    found = profiled(model, steps=3)
    drawn = [text.get_text() for text in found.plot().get_yticklabels()]
    drawn += [text.get_text() for text in found.timeline().get_legend().get_texts()]
    assert {len(name) for name in drawn} == {32, len("(outside)")}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_step_broken_off_in_its_first_layer_is_shown(error: type[BaseException]) -> None:
    model = FakeModel(FakeClock(), "A", "B")

    def train() -> None:
        model.train(3)
        model.layers[0].host["forward"] = 1e-3
        raise_in(model.layers[0], error).forward(0, train=True)

    with pytest.raises(error), gpuprof.layertime(model, clock=model.clock) as run:
        train()
    assert run.profile["A", "forward"].calls == 4
    assert "(outside)" in str(run.profile)


def raise_in(layer: object, error: type[BaseException]) -> object:
    """The layer, whose fake host now raises."""

    def spend(seconds: float) -> None:
        raise error

    layer.clock = type("Broken", (), {"spend": staticmethod(spend)})()
    return layer


def test_one_layer_called_once_a_step_has_a_table() -> None:
    model = FakeModel(FakeClock(), "A")
    with gpuprof.layertime(model, clock=model.clock) as run:
        for _ in range(5):
            model.layers[0].forward(0)
    assert run.profile.pace.steps == 3
    assert run.profile["(outside)", ""].total_ms == 0


def test_a_call_that_keeps_the_host_is_said_to_work_or_to_wait() -> None:
    clock = FakeClock(device=True, latency=3e-6)
    model = FakeModel(clock, host=1e-4, device=1e-5)
    plain = model.layers[1].backward

    def synchronising(dy: object) -> object:
        plain(dy)
        clock.launch(1e-2)
        clock.wait()
        return dy

    model.layers[1].backward = synchronising
    verdict = profiled(model, steps=20).verdict
    assert "B.backward keeps the host" in verdict
    assert "waits for the GPU inside the call" in verdict
    assert "fewer launches" not in verdict


@pytest.mark.parametrize(("mark_cost", "blurred"), [(1e-7, False), (6e-6, True)])
def test_steps_too_short_for_the_profiler_are_not_judged_flatly(mark_cost: float, blurred: bool) -> None:
    clock = FakeClock(device=True, launch_cost=5e-6, latency=5e-6, mark_cost=mark_cost)
    model = FakeModel(clock, host=1.5e-5, device=1.6e-5)
    model.layers[0].device["forward"] = 8e-5
    verdict = profiled(model, steps=40).verdict
    assert ("this run cannot tell" in verdict) == blurred
    assert not (blurred and "next to nothing" in verdict)


def test_a_name_with_mathematics_in_it_is_drawn_as_it_is() -> None:
    profile = profiled(FakeModel(FakeClock(), "cost $\\q{$"))
    for ax in (profile.plot(), profile.timeline()):
        ax.figure.canvas.draw()


def test_the_grid_says_what_a_whole_layer_would_gain(on_device: Profile) -> None:
    line = next(line for line in str(on_device).splitlines() if line.startswith("B "))
    assert line.split()[-2:] == ["32", "%"]  # a third of the host's time, whatever B does on the device


def test_long_names_and_line_ends_do_not_break_the_table() -> None:
    profile = profiled(FakeModel(FakeClock(), "a\nb", "x" * 200))
    lines = str(profile).splitlines()
    assert lines[3].startswith("a b ")
    assert len(lines[4]) < 160


def test_a_profile_is_asked_for_after_the_with() -> None:
    with pytest.raises(RuntimeError, match="made when the `with` ends"):
        _ = gpuprof.layertime(FakeModel(FakeClock())).profile


def test_a_file_with_a_column_missing_is_refused(profile: Profile, tmp_path) -> None:
    content = json.loads(profile.save(tmp_path / "run.json").read_text())
    del content["columns"]["status"]
    (tmp_path / "run.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"run\.json.*status"):
        Profile.load(tmp_path / "run.json")


def test_the_text_shows_layers_in_their_order_and_marks_the_hottest(profile: Profile) -> None:
    lines = str(profile).splitlines()
    assert [line.split()[0] for line in lines[3:7]] == ["A", "B", "C", "(outside)"]
    assert next(line for line in lines if line.startswith("B ")).count("◀") == 1


def test_what_follows_plus_or_minus_is_the_wider_side_of_the_interval() -> None:
    model = FakeModel(FakeClock(), "A")
    with gpuprof.layertime(model, clock=model.clock) as run:
        for i in range(30):
            model.layers[0].host["forward"] = (1.0e-3, 1.001e-3, 1.9e-3)[i % 3]
            model.train(1)
    row = run.profile["A", "forward"]
    assert row.high_us - row.median_us > 10 * (row.median_us - row.low_us)
    cell = run.profile.grid.rows[0][1]
    assert (cell.text, cell.after) == ("1001", "±899 ◀")
    assert "± the wider side of its 95 % interval" in str(run.profile)


def test_host_times_are_never_called_gpu_time(profile: Profile) -> None:
    for text in (str(profile), profile._repr_html_(), profile.plot().get_title(loc="left")):
        assert "host clock" in text
    assert set(profile.table["clock"]) == {"fake host clock"}


def test_names_are_escaped_in_html() -> None:
    profile = profiled(FakeModel(FakeClock(), "<script>alert(1)</script>"))
    assert "<script>" not in profile._repr_html_()
    assert "&lt;script&gt;" in profile._repr_html_()


def test_html_is_static(profile: Profile) -> None:
    html = profile._repr_html_()
    assert "<script" not in html
    assert "http" not in html


def test_a_profile_is_equal_to_itself_alone_and_may_be_in_a_set(profile: Profile, tmp_path) -> None:
    other = Profile.load(profile.save(tmp_path / "run.json"))
    assert [other, profile].index(profile) == 1
    assert profile != other
    assert len({profile, other}) == 2


@pytest.mark.parametrize("name", ["run.json", "run.json.gz"])
def test_a_profile_comes_back_from_its_file(profile: Profile, tmp_path, name: str) -> None:
    loaded = Profile.load(profile.save(tmp_path / name))
    pd.testing.assert_frame_equal(loaded.table, profile.table)
    assert str(loaded) == str(profile)


@pytest.mark.parametrize("name", ["long.json", "long.json.gz"])
def test_a_long_profiles_columns_are_packed_and_come_back_the_same(recorded: Profile, tmp_path, name: str) -> None:
    odd = np.tile([np.iinfo(np.int64).min, np.iinfo(np.int64).max, -1, 0, 10**18], 300)
    kernels = dataclasses.replace(recorded.seen.kernels, columns=dict.fromkeys(recorded.seen.kernels.columns, odd))
    calls = {column: np.resize(values, 1001) for column, values in recorded.log.columns.items()}
    log = dataclasses.replace(recorded.log, columns=calls)
    long = dataclasses.replace(seen(recorded, kernels=kernels), log=log)
    loaded = Profile.load(long.save(tmp_path / name))
    assert all((loaded.log[column] == values).all() for column, values in calls.items())
    assert all((values == odd).all() for values in loaded.seen.kernels.columns.values())
    assert {values.dtype for values in loaded.log.columns.values()} == {np.dtype(np.int64)}


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ({"packed": "no base64"}, "damaged"),
        ({"packed": "bm8gemxpYg=="}, "cannot be unpacked"),
        ({"packed": "eJwzMTA0AgACPgDM"}, "damaged"),
        ({"zip": ""}, "packed"),
        ([1, 2], "some are longer"),
        ("text", "damaged"),
        (None, "damaged"),
    ],
)
def test_a_file_with_a_damaged_column_is_refused(profile: Profile, tmp_path, call: object, says: str) -> None:
    content = json.loads(profile.save(tmp_path / "run.json").read_text())
    content["columns"]["call"] = call
    (tmp_path / "run.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf"run\.json is a gpuprof profile with a part missing.*{says}"):
        Profile.load(tmp_path / "run.json")


@pytest.mark.parametrize("part", ["columns", "seen", "scopes"])
def test_a_file_with_a_part_of_another_kind_is_refused(profile: Profile, tmp_path, part: str) -> None:
    content = json.loads(profile.save(tmp_path / "run.json").read_text())
    content[part] = [1]
    (tmp_path / "run.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="part missing or damaged"):
        Profile.load(tmp_path / "run.json")


def test_a_file_from_before_columns_were_packed_is_read(profile: Profile, tmp_path) -> None:
    content = json.loads(profile.save(tmp_path / "run.json").read_text())
    assert isinstance(content["columns"]["call"], list)
    (tmp_path / "run.json").write_text(json.dumps(content | {"schema": 1}))
    pd.testing.assert_frame_equal(Profile.load(tmp_path / "run.json").table, profile.table)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not a gpuprof profile, or it is cut off"),
        (b"\x1f\x8b\x08", "cut off"),
        (b"[1]", "holds other JSON"),
        (b'{"gpuprof": "timing", "schema": 1}', "holds timing"),
        (b'{"gpuprof": "profile", "schema": 99}', "update gpuprof"),
        (b'{"gpuprof": "profile", "schema": 1}', "part missing"),
    ],
)
def test_a_file_that_is_no_profile_is_answered_with_a_sentence(tmp_path, content: bytes, says: str) -> None:
    file = tmp_path / "run.json"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=says):
        Profile.load(file)


def test_the_chart_has_a_bar_for_each_row_of_the_step(profile: Profile) -> None:
    ax = profile.plot()
    assert len(ax.patches) == 10
    assert "ms" in ax.get_xlabel()
    assert "logarithmic" in profile.plot(log=True).get_xlabel()


def test_the_timeline_has_a_lane_for_each_clock(profile: Profile, on_device: Profile) -> None:
    assert [label.get_text() for label in profile.timeline().get_yticklabels()] == ["host"]
    assert len(on_device.timeline(3).get_yticks()) == 2


def test_a_step_that_was_not_recorded_is_refused(profile: Profile) -> None:
    with pytest.raises(ValueError, match="from 0 to 9, the steps recorded; got 99"):
        profile.timeline(99)


def test_a_region_is_a_row_of_its_own() -> None:
    model = FakeModel(FakeClock(), "A")
    with gpuprof.layertime(model, clock=model.clock) as run:
        for _ in range(3):
            with gpuprof.region("augment"):
                model.clock.spend(2e-3)
            model.train(1)
    assert run.profile["augment", "region"].median_us == 2000.0


def test_a_region_outside_a_profile_does_nothing() -> None:
    with gpuprof.region("augment"):
        pass


@pytest.mark.parametrize(
    ("name", "error"), [(None, TypeError), (3, TypeError), (" \n", ValueError), ("(outside)", ValueError)]
)
def test_a_region_without_a_name_of_its_own_is_refused(name: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"region"), gpuprof.region(name):
        pass


def test_names_are_in_one_line_of_what_can_be_printed() -> None:
    model = FakeModel(FakeClock(), "\x1b[31mA")
    with gpuprof.layertime(model, clock=model.clock) as run:
        model.train(1)
        with gpuprof.region("two\nlines\t"):
            pass
    assert set(run.profile.table["path"]) >= {"[31mA", "two lines"}


def test_a_generator_left_half_done_has_not_raised() -> None:
    def batches() -> Any:
        with gpuprof.region("load"):
            yield 1

    model = FakeModel(FakeClock(), "A")
    with gpuprof.layertime(model, clock=model.clock) as run:
        model.train(1)
        source = batches()
        next(source)
        source.close()
    assert not run.profile.warnings


def test_a_layer_that_another_one_takes_the_place_of_is_told() -> None:
    clock = FakeClock()
    model, other = FakeModel(clock, "A", "B"), FakeModel(clock, "A")
    with gpuprof.layertime(model, clock=clock) as run:
        model.train(2)
        model.layers[0] = other.layers[0]
    assert run.profile.warnings == ["At the end A had gone, or another layer stood there: its calls are outside."]


def test_what_only_a_gpu_can_tell_is_missed_on_the_host_where_it_was_asked_for() -> None:
    model = FakeModel(FakeClock(), "A")
    with gpuprof.layertime(model, clock=model.clock, kernels=True) as run:
        model.train(1)
    assert any("--kernels and --hot ask a GPU" in note for note in run.profile.notes)


def test_the_newest_result_is_last(profile: Profile) -> None:
    assert gpuprof.last is profile


# What people see


def test_with_kernel_records_the_table_has_what_a_step_launches_and_how_long_the_gpu_works(recorded: Profile) -> None:
    head, *rows = recorded.grid.text().splitlines()
    assert head.split("of the cell")[1].split() == (
        ["host", "(µs)", "GPU", "busy", "(µs)", "GPU", "idle", "launches", "gain"]
    )
    layers = {row.split()[0]: row.split() for row in rows}
    assert layers["B"][-3] == "3"
    assert "120" in layers["B"]


def test_without_kernel_records_the_table_has_no_columns_for_them(on_device: Profile) -> None:
    assert "GPU busy" not in on_device.grid.text()
    assert "launches" not in on_device.grid.text()


def test_where_records_slowed_the_host_in_every_step_its_column_is_left_out() -> None:
    model = FakeModel(FakeClock(device=True), device=1e-5)
    with gpuprof.layertime(model, clock=model.clock, kernels=True) as run:
        model.train(4)
    assert "GPU busy" in run.profile.grid.text()
    assert "host (" not in run.profile.grid.text()


def test_a_layer_called_twice_a_step_has_both_calls_in_the_steps_figures() -> None:
    clock = FakeClock(device=True)
    model = FakeModel(clock, "A", device=1e-5)
    with gpuprof.layertime(model, clock=clock, kernels=True) as run:
        for _ in range(60):
            model.layers[0].forward(0, train=True)
            model.layers[0].update()
            model.layers[0].update()
    assert run.profile["A", "update"].launches == 1
    assert run.profile.grid.rows[0][-2].text == "3"


def test_the_details_are_folded_in_html_and_short_in_text(recorded: Profile) -> None:
    text, html = str(recorded), recorded._repr_html_()
    assert "Kernels of a step, the longest first (the first 3 of 9; all: .kernel_table)" in text
    assert "<summary" in html
    assert "Kernels of a step, the longest first</summary>" in html
    assert "Waits" not in text
    assert "<script" not in html


def test_waits_are_told_with_their_line_how_often_and_what_they_cost(recorded: Profile) -> None:
    waits = (
        WaitLine("/cnn/training.py", 88, "step", "float(loss)", "copy to the host", "cudaMemcpy", 10, 3e-3, 4e-4, 40),
        WaitLine("/tmp/ipykernel_7/2.py", 3, "<module>", "print(y)", "synchronise", "cudaDevice", 5, 1e-3, 3e-4, 0),
    )
    text = str(seen(recorded, waits=waits, inspected=10))
    assert text[text.index("Waits for the GPU") :].splitlines()[:4] == [
        "Waits for the GPU, the dearest first",
        "line            source       what              a step  cost (µs)  longest (µs)",
        "training.py:88  float(loss)  copy to the host     1 ×        300           400",
        "cell, line 3    print(y)     synchronise       0.50 ×        100           300",
    ]


def test_advice_stands_under_the_verdict_and_does_not_repeat_it(recorded: Profile) -> None:
    assert recorded.advice[0].rule == "launch-bound"
    first, _, second, *_ = str(recorded).splitlines()
    assert "launches" in first
    assert second == "• Launches: most come from forward (3 of 9), and from A (3)."


def test_what_could_not_be_had_is_told_with_the_reason(on_device: Profile) -> None:
    told = str(seen(on_device, no_records="Nsight Systems holds CUPTI", no_waits="no driver"))
    assert "Not measured: GPU busy and idle, launches (Nsight Systems holds CUPTI)." in told
    assert "Not measured: where the host waits for the GPU (no driver)." in told
    assert "--kernels takes them from the first step on" in str(seen(on_device, no_records="", no_waits=""))


def test_on_the_host_clock_nothing_of_a_gpu_is_missed(profile: Profile) -> None:
    assert "Not measured" not in str(profile)


def test_why_waits_were_not_watched_is_saved(on_device: Profile, tmp_path) -> None:
    profile = seen(on_device, no_waits="no driver")
    assert Profile.load(profile.save(tmp_path / "run.json")).seen.no_waits == "no driver"


def test_calls_that_were_not_marked_are_on_no_device(recorded: Profile) -> None:
    def told(devices: int) -> list[str]:
        device = np.arange(len(recorded.log)) % (devices + 1) - 1
        log = dataclasses.replace(recorded.log, columns={**recorded.log.columns, "device": device})
        return smallprint.warnings(log, recorded.seen, 0.0, "")

    assert told(devices=1) == []
    assert told(devices=2) == ["Calls ran on 2 devices; their times lie on one axis here, side by side."]


def test_dropped_records_are_told(recorded: Profile) -> None:
    kernels = dataclasses.replace(recorded.seen.kernels, dropped=12)
    assert seen(recorded, kernels=kernels).warnings == [
        "12 kernel records were dropped: busy and launches may be too low."
    ]


def test_one_record_or_call_is_spoken_of_as_one(recorded: Profile) -> None:
    kernels = dataclasses.replace(recorded.seen.kernels, dropped=1)
    log = dataclasses.replace(recorded.log, lost=1)
    assert smallprint.warnings(log, dataclasses.replace(recorded.seen, kernels=kernels), 0.0, "") == [
        "1 call is left out: events could not be read.",
        "1 kernel record was dropped: busy and launches may be too low.",
    ]
    model = FakeModel(FakeClock(), "A")
    with gpuprof.layertime(model, clock=model.clock) as run:
        model.layers[0].forward(0)
    assert repr(run.profile) == "<Profile: 1 call, 1 step, fake host clock>"


CEILINGS = Ceilings(1e9, {"float32": 1e9}, 0)


def costing(profile: Profile, ceilings: Ceilings | None, flops: float = 5_000.0) -> Profile:
    work = {Scope("B", "backward"): Work(Cost(1e4, flops, "the layer's own"), "float32", 1)}
    return seen(profile, work=work, ceilings=ceilings)


def test_costs_are_held_against_the_gpus_time(recorded: Profile) -> None:
    text = str(costing(recorded, CEILINGS))
    assert "Costs of a call\ncall        operations  bytes  from             GPU busy (µs)  of the roof" in text
    assert "B.backward       5.0 k  10 kB  the layer's own            100         10 %" in text
    html = costing(recorded, CEILINGS)._repr_html_()
    assert "Of the roof" in html
    assert "Above 100" not in html
    assert "Above 100" in costing(recorded, CEILINGS, flops=2e5)._repr_html_()


def test_without_ceilings_nothing_is_said_of_a_roof(recorded: Profile) -> None:
    found = costing(recorded, None)
    assert "Costs of a call" in str(found)
    assert "roof" not in found._repr_html_()


def test_costs_without_the_gpus_time_are_in_their_table_alone(profile: Profile, on_device: Profile) -> None:
    for found in (costing(profile, None), costing(on_device, CEILINGS)):
        assert len(found.costs) == 1
        assert "Costs" not in str(found)
        assert "Costs" not in found._repr_html_()


def test_the_gpu_is_never_said_to_work_longer_than_the_step(recorded: Profile) -> None:
    work = np.full(len(recorded.account.rows), 1e-3)
    said = advice.verdict(recorded.account.rows, dataclasses.replace(recorded.pace, work=work, step=9.5e-3))
    assert "the GPU works 9.50 ms of its 9.50 ms" in said
    assert "with 950 µs of GPU work, 10 % of it all" in said


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ({Mode.EVENTS: 40}, ["CUDA events", "40 steps"]),
        ({Mode.EVENTS: 1}, ["CUDA events", "1 step"]),
        ({Mode.EVENTS: 500, Mode.PLAIN: 1000}, ["CUDA events (1 step in 3)", "1 500 steps"]),
        (
            {Mode.EVENTS: 750, KERNELS: 20, Mode.PLAIN: 730},
            ["CUDA events (1 step in 2) + CUPTI kernels (1 step in 75)", "1 500 steps"],
        ),
        ({KERNELS: 8}, ["CUPTI kernels", "8 steps"]),
        ({Mode.EVENTS: 2, KERNELS: 8}, ["CUDA events (1 step in 5) + CUPTI kernels (8 of 10 steps)", "10 steps"]),
    ],
)
def test_the_small_print_says_in_how_many_steps_each_pass_was_made(steps: dict[Mode, int], says: list[str]) -> None:
    modes = np.repeat([int(mode) for mode in steps], list(steps.values()))
    assert smallprint.passes("CUDA events", modes, True) == says


def test_a_recorded_step_has_a_lane_of_kernels_and_is_drawn_by_itself(recorded: Profile) -> None:
    ax = recorded.timeline()
    host, events, kernels = [label.get_text() for label in ax.get_yticklabels()]
    assert (host, events) == ("host", "fake CUDA events")
    assert kernels.startswith("kernels\n")
    assert kernels.endswith(" % busy")
    assert "GPU idle" in [text.get_text() for text in ax.get_legend().get_texts()]
    step = int(ax.get_xlabel().split()[3])
    assert (recorded.kernels["step"] == step).sum() == 9
    assert {"forward", "backward", "update"} <= {text.get_text() for text in ax.texts}
    assert [text.get_text() for text in ax.get_legend().get_texts()][:3] == ["A", "B", "C"]


def test_a_step_without_records_has_no_lane_of_kernels(recorded: Profile) -> None:
    step = int(np.flatnonzero(recorded.account.step_mode == int(Mode.EVENTS))[0])
    assert len(recorded.timeline(step).get_yticks()) == 2


def test_the_chart_has_the_gpus_work_as_the_solid_part_of_each_bar(recorded: Profile) -> None:
    ax = recorded.plot()
    assert len(ax.patches) == 20
    assert "solid: the GPU works" in ax.get_title(loc="left")


class Pool:
    """A layer whose backward is written in a helper."""

    name = "Pool1"

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock

    def forward(self, x: object) -> object:
        self.clock.launch(1e-5)
        return x

    def backward(self, dy: object) -> object:
        dy = self.check(dy)
        return self.routed(dy)

    def check(self, dy: object) -> object:
        self.clock.launch(1e-6)
        return dy

    def routed(self, dy: object) -> object:
        self.clock.launch(1e-4)
        return dy


def test_the_lines_that_were_asked_for_are_shown_with_those_of_the_helpers_that_count() -> None:
    clock = FakeClock(device=True)
    layer = Pool(clock)
    with gpuprof.layertime(layer, clock=clock, lines=["Pool1.backward"]) as run:
        for _ in range(30):
            layer.forward(0)
            layer.backward(0)
            clock.spend(1e-3)
    for shown in (str(run.profile), run.profile._repr_html_().replace("\N{NO-BREAK SPACE}", " ")):
        assert "Pool1.routed, called in it: 99 % of its GPU time" in shown
        assert shown.count("def backward") == 1
        assert shown.count("def routed") == 1
        assert "def check" not in shown
    assert "in it line" in run.profile.lines["Pool1.backward"].verdict
