"""Profile: its table, its sentences, its files."""

import json
import math

import pandas as pd
import pytest

import gpuprof
from gpuprof.results.profile import Profile
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


@pytest.mark.parametrize("name", ["run.json", "run.json.gz"])
def test_a_profile_comes_back_from_its_file(profile: Profile, tmp_path, name: str) -> None:
    loaded = Profile.load(profile.save(tmp_path / name))
    pd.testing.assert_frame_equal(loaded.table, profile.table)
    assert str(loaded) == str(profile)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not a gpuprof profile, or it is cut off"),
        (b"\x1f\x8b\x08", "cut off"),
        (b"[1]", "holds 'list'"),
        (b'{"gpuprof": "timing", "schema": 1}', "holds 'timing'"),
        (b'{"gpuprof": "profile", "schema": 99}', "update gpuprof"),
        (b'{"gpuprof": "profile", "schema": 1}', "part missing"),
    ],
)
def test_a_file_that_is_no_profile_is_answered_with_a_sentence(tmp_path, content: bytes, says: str) -> None:
    file = tmp_path / "run.json"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=says):
        Profile.load(file)


def test_a_trace_has_a_complete_event_for_each_call(on_device: Profile, tmp_path) -> None:
    trace = json.loads(on_device.to_trace(tmp_path / "trace.json").read_text())
    events = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    assert len(events) == len(on_device.calls) + on_device.calls["span_us"].notna().sum()
    assert {event["pid"] for event in events} == {0, 1}
    assert {event["args"]["name"] for event in trace["traceEvents"] if event["ph"] == "M"} >= {"host", "stream 0x0"}
    assert {"name", "ph", "pid", "tid", "ts", "dur"} <= events[0].keys()


def test_the_chart_has_a_bar_for_each_row_of_the_step(profile: Profile) -> None:
    ax = profile.plot()
    assert len(ax.patches) == 10
    assert "ms" in ax.get_xlabel()
    assert profile.plot(ax, log=True).get_xscale() == "log"


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


def test_the_newest_result_is_last(profile: Profile) -> None:
    assert gpuprof.last is profile
