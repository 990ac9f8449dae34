"""benchmarks/layers, as far as it runs without a GPU: on the host's clock and on a fake one, so no typo survives."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell

import benchmarks.__main__ as front
from benchmarks import layers
from benchmarks.layers import (
    busy,
    compare,
    drawn,
    graphs,
    kept,
    launches,
    line,
    many,
    overhead,
    peers,
    spins,
    torchnets,
    turns,
    waits,
)
from benchmarks.layers.lab import FakeLab, in_threads
from benchmarks.parts import Parts
from gpuprof import modelpair
from gpuprof.hooks.methods import find_layers
from gpuprof.profiling import LayerTime
from gpuprof.record.schedule import Block, Mode
from gpuprof.record.waits import WaitLine
from gpuprof.results.profile import Profile
from gpuprof.results.profilecomparison import ProfileComparison
from gpuprof.testing import FakeClock
from tests.gpuprof.fakecapturer import LAUNCH, FakeCapturer
from tests.gpuprof.fakecapturer import Net as CapturedNet
from tests.gpuprof.models import FakeModel


@pytest.fixture
def folder(monkeypatch, tmp_path) -> Path:
    """Results are kept here, and none are there yet."""
    monkeypatch.setattr("benchmarks.results.FOLDER", tmp_path)
    monkeypatch.setattr("benchmarks.results.HERE", tmp_path / "none")
    return tmp_path


def reached(found: dict[str, Any]) -> dict[str, str]:
    kept._short(found)  # JSON can hold it
    return {what: word for what, _, _, word in found["claims"]}


# The parts


def test_overhead_runs() -> None:
    found = overhead.measure("cpu", rounds=2, steps=3, batches=(2, 1), peer=None)
    for net in found["nets"].values():
        assert set(net["step_s"]) == {"plain", *overhead.WAYS, *overhead.LEAST}
        assert net["boundaries"] == net["boundaries"] // 1 > 0
        assert net["told_steps"][str(int(Mode.EVENTS))] > 0
    assert len(reached(found)) >= 6


@pytest.mark.torch
def test_the_peers_run() -> None:
    pytest.importorskip("torch")
    found = peers.peers("cpu", rounds=2, steps=2, n_batch=2)
    assert found["boundaries"] == 7 * 4
    assert len(peers.peer_claims(found)) == 5


@pytest.mark.torch
def test_pytorchs_modules_are_held_against_torch_profiler() -> None:
    """It tells whose an operation is by another way than ours, and comes to the same rows."""
    pytest.importorskip("torch")
    found = torchnets.measure("cpu", rounds=1, seconds=0, small=True)
    assert len(reached(found)) == 3 * 5 + 1
    for name, net in found["nets"].items():
        rows = net["busy"]["rows"]
        root, *inside = [path for path, _ in find_layers(torchnets.NETS[name]("cpu", True).net)]
        containers = {path for path in inside if any(other.startswith(f"{path}.") for other in inside)}
        alone = {row.rpartition(".")[0] for row, us in rows.items() if bool(us["ours"]) != bool(us["theirs"])}
        assert alone <= {"", root, *containers}  # between operations ours have time, too
        assert sum(bool(us["ours"]) and bool(us["theirs"]) for us in rows.values()) >= 15


def test_the_kernel_pass_runs() -> None:
    found = launches.measure("cpu", rounds=2, steps=4, loops=3)
    assert reached(found)["vars(layer) afterwards"] == "yes"
    assert found["host_columns"]["with"] > 0


def test_recorders_are_timed_by_their_launches() -> None:
    sessions = {"records": [{"launches": 400, "dropped": 0, "buffers": 2}] * 2}
    found = {
        "steps": 4,
        "step_s": {"plain": [1e-3, 1e-3], "records": [1.2e-3, 1.2e-3], "the profile's kernel pass": [2e-3, 2e-3]},
        "sessions": sessions,
        "launch_us": {"before": {"empty": [1.0, 1.0]}, "after": {"empty": [1.2, 1.2]}},
        "host_columns": {"with": 1.0, "without": 1.0, "with_pass": "plain"},
        "vars_same": True,
        "cupti_python": {"step_s": {"plain": [1e-3], "cupti-python": [1.3e-3]}},
    }
    told = {each.what: each for each in launches.claims(found)}
    assert told["records: added a launch"].found.startswith("2.00 µs")
    assert told["peer: cupti-python, added a launch"].found == "3.00 µs"
    assert told["launching, empty"].reached == "no"


def test_a_recorder_on_a_fake_clock_is_a_session() -> None:
    clock = FakeClock(device=True, launch_cost=1e-5, record_cost=2e-6)
    sessions: list[dict[str, float]] = []
    assert launches.recorded(Net(clock), clock, 4, False, sessions) > 0
    assert (sessions[0]["launches"], sessions[0]["dropped"]) == (4 * 9, 0)


def test_synthetic_layers_are_told_apart() -> None:
    found = spins.measure(FakeLab(), steps=4, lengths=(2, 20, 500))
    assert set(reached(found).values()) == {"yes"}
    assert found["scenes"]["recursive"]["rows"]["Again"]["launched"] == 16


def test_a_record_given_to_the_wrong_layer_is_seen() -> None:
    lab = FakeLab()
    scene = spins._shared(lab)
    scene.models[0].spin, scene.models[1].spin = lab.spin(150), lab.spin(40)
    with LayerTime((scene.models,), lab.clock, blocks=spins._BLOCKS) as profiling:
        scene.models[0].spin, scene.models[1].spin = scene.models[1].spin, scene.models[0].spin
        scene.step()
        scene.models[0].spin, scene.models[1].spin = scene.models[1].spin, scene.models[0].spin
    assert spins.checked(profiling.profile, scene, 1)["right"] == 0


def test_what_a_thread_raises_rises() -> None:
    def fails() -> None:
        raise ValueError("there")

    with pytest.raises(ValueError, match="there"):
        in_threads(FakeLab(), fails)


def test_many_calls_are_counted() -> None:
    found = many.measure(FakeLab(), steps=5)
    assert found["runs"][1]["calls"] == 5 * 12
    assert found["runs"][1]["kernels"] == 5 * 12 * 13
    assert reached(found)["second profile: kernels given to a call"] == "yes"


@pytest.fixture
def shell() -> Iterator[Any]:
    yield line._shell()
    InteractiveShell.instance().run_line_magic("unload_ext", "gpuprof")
    InteractiveShell.clear_instance()


def test_the_pooling_line_is_found(shell) -> None:
    found = line.measure("cpu", {4: 12}, shell)
    assert 0.3 < found["runs"][0]["share"] <= 1  # how much of it, the machine decides: here it may be shared
    assert reached(found)["n_batch 4: closure, the worst"] == "yes"


# Torch's records against ours


class Net(FakeModel):
    """Three layers that launch in each phase, with data to train on."""

    mode = "cpu"

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock, host=1e-5, device=3e-6)
        self.x_train = self.y_train = np.zeros((64, 1))

    def forward(self, x: object, train: bool = False) -> None:
        for layer in self.layers:
            layer.forward(x, train=train)

    def backward(self, t: object) -> None:
        for layer in reversed(self.layers):
            layer.backward(t)

    def update(self) -> None:
        for layer in self.layers:
            layer.update()


def test_busy_is_compared_row_by_row() -> None:
    clock = FakeClock(device=True)

    def theirs(net: object, n_batch: int, steps: int) -> list[busy.Record]:
        return [busy.Record("fake kernel", 3.03)] * (9 * steps)

    found = busy.compared(Net(clock), 4, 2, 5, clock, theirs)
    assert found["trouble"] == []
    assert found["names_alike"] == [1.0, 1.0]
    assert found["medians"]["A.forward"] == {"ours": 3.0, "theirs": 3.03}
    assert [each.reached for each in busy.claims("net", found)] == ["yes", "yes"]


def test_another_number_of_kernels_is_said_and_not_compared() -> None:
    clock = FakeClock(device=True)
    found = busy.compared(Net(clock), 4, 1, 5, clock, lambda *_: [busy.Record("fake kernel", 3.0)] * 7)
    assert "expected 9 records in each of 5 steps; got 7" in found["trouble"][0]
    assert [each.reached for each in busy.claims("net", found)] == ["?"]


def test_steps_that_differ_have_no_owners() -> None:
    with pytest.raises(ValueError, match="same order"):
        busy.owners(["A", "B", "B", "A"], 2)
    with pytest.raises(ValueError, match="no whole number"):
        busy.owners(["A", "B", "A"], 2)


@pytest.mark.parametrize(
    ("ours", "theirs", "same"),
    [
        ("cupy_copy", "cupy_copy", True),
        ("copy to the host", "Memcpy DtoH (Device -> Pageable)", True),
        ("fill", "Memset (Device)", True),
        ("_ZN7cutlass6KernelI4gemmEE", "void cutlass::Kernel<gemm>(int)", True),
        ("cupy_copy", "cupy_add", False),
    ],
)
def test_names_are_compared_as_each_writes_them(ours: str, theirs: str, same: bool) -> None:
    assert busy.same_name(ours, theirs) is same


# Waits


class Array:
    """What the layers' statements ask of an array."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def get(self) -> None:
        self.asked.append("get")

    def set(self, host: object) -> None:
        self.asked.append("set")

    def any(self) -> bool:
        return True

    def __gt__(self, other: object) -> str:
        return "mask"

    def __getitem__(self, key: object) -> float:
        self.asked.append(str(key))
        return 1.0


def test_waits_are_held_against_a_stopwatch() -> None:
    x = Array()
    made = [kind(kind.__name__, lambda: None, x, lambda: None) for kind in waits.KINDS]
    alone = waits.stopwatch(made, 2)
    assert [len(times) for times in alone.values()] == [2] * len(waits.KINDS)
    assert x.asked == ["get", "0", "mask", "set"] * 2
    alone |= {"Get": [1e-3, 1e-3], "Float": [1e-3, 1e-3]}
    rows = [WaitLine("f.py", 3, "wait", "return x.get()", "copy to the host", "cudaMemcpy", 2, 2.2e-3, 1.2e-3, 8)]
    found = waits.compared([row._asdict() for row in rows], made, alone, alone, 2)
    told = {each.what: each for each in waits.claims(found)}
    assert told["Get: its cost against a stopwatch"].found == "1100 µs against 1000 (+10%)"
    assert told["Float: `return float(x[0])` is found"].reached == "no"
    assert told["ToDevice: `x.set(self.host)` does not wait"].reached == "yes"


def test_each_kinds_line_is_in_its_code() -> None:
    source = Path(waits.__file__).read_text(encoding="utf-8").splitlines()
    assert all(kind.line in (text.strip() for text in source) for kind in waits.KINDS)


# Graphs


class Hand:
    """A step captured by hand, for which there is no GPU."""

    launches = 6

    def __init__(self, net: Any, n_batch: int) -> None:
        assert len(net.layers) == 4
        self.n_batch = n_batch

    def replay(self, times: int) -> list[float]:
        return [0.5] * times


def test_on_the_host_no_step_is_captured_and_nothing_has_changed() -> None:
    found = graphs.measure("cpu", rounds=2, steps=4, n_batch=2, by_hand=Hand)
    told = {each.what: each for each in graphs.claims(found["rounds"], 6)}
    assert told["article's net: a step is captured"].found.startswith("a graph is CUDA's")
    assert reached(found)["arrays of the layers, after against before"] == "yes"
    assert [len(each["hand_ms"]) for each in found["rounds"]] == [graphs.REPLAYS] * 2


def test_a_step_as_a_graph_is_held_against_one_by_hand() -> None:
    clock: Any = FakeClock(device=True, launch_cost=LAUNCH)
    clock.capturer = lambda: FakeCapturer(clock)
    net = CapturedNet(clock)
    with LayerTime((net,), clock, graph=True) as profiling:
        net.train()
    rounds = [graphs.told(profiling.profile) | {"same": True, "hand_ms": [0.0235]}]
    told = {each.what: each for each in graphs.claims(rounds, 6)}
    assert told["a step as a graph, told against captured by hand"].found == "+2.1% (24.0 µs against 23.5)"
    assert told["its launches"] == ("its launches", "the same", "6 and 6", "yes")
    assert told["what a graph would gain"].found == "0.276 of 0.300 ms (the copies' plain steps: 0.304 ms)"
    rounds[0]["hand_ms"] = [0.030]
    assert reached({"claims": graphs.claims(rounds, 7)}) == {
        "article's net: a step is captured": "yes",
        "its calls are captured, but those that launch nothing": "yes",
        "arrays of the layers, after against before": "yes",
        "a step as a graph, told against captured by hand": "no",
        "its launches": "no",
        "what a graph would gain": "?",
    }


# Comparisons


@pytest.fixture
def here(folder, monkeypatch) -> Path:
    """Processes are calls, and results are kept in this folder."""

    def taken(what: str, mode: str, changed: bool, steps: int) -> Any:
        if what == "profile":
            return compare.profiled(mode, changed, steps)
        xp = compare.module(mode)
        return compare.compare(compare.net(False, xp, 3), compare.net(changed, xp, 3), compare.step, steps=steps)

    monkeypatch.setattr(compare, "FOLDER", folder)
    monkeypatch.setattr(compare, "_taken", taken)
    monkeypatch.setattr(modelpair, "ROUNDS", 16)
    monkeypatch.setattr(compare, "BY", 3.0)
    return folder


def test_the_same_net_is_compared_with_itself_and_with_a_slower_one(here) -> None:
    found = compare.measure("cpu", 2, 1, (1, 1), (6, 3), steps=20, draw=(0, 0))
    profiles, turned = found["counted"]["profiles"], found["counted"]["turns"]
    assert (profiles["same"], profiles["changed"], profiles["how"]) == (2, 1, ["repeats"])
    assert (turned["same"], turned["changed"], turned["how"]) == (1, 1, ["turns"])
    assert turned["found"] == 1
    assert len(reached(found)) == 4


def test_what_there_is_no_time_for_is_done_the_next_time(here) -> None:
    first = compare.measure("cpu", 1, 0, (0, 0), (6, 0), steps=20, limit=0, draw=(0, 0))
    assert reached(first)["pairs of profiles of 0 processes, cpu: the same net, called different"] == "?"
    compare.measure("cpu", 1, 0, (0, 0), (6, 0), steps=20, draw=(0, 0))
    again = compare.measure("cpu", 1, 0, (0, 0), (6, 0), steps=20, limit=0, draw=(0, 0))
    assert again["counted"]["profiles"]["same"] == 1
    assert len((here / "compare.jsonl").read_text().splitlines()) == 1


def test_a_process_saves_a_profile_or_a_comparison(here, tmp_path, monkeypatch) -> None:
    compare.child("profile", "cpu", False, 20, str(tmp_path / "p.json"))
    assert len(Profile.load(tmp_path / "p.json").account.step_mode) == 22
    compare.child("turns", "cpu", True, 20, str(tmp_path / "c.json"))
    assert ProfileComparison.load(tmp_path / "c.json").how == "turns"


def test_drawn_runs_are_counted() -> None:
    found = drawn.simulated(2, 2, (8,))
    assert {each["way"]: each["same"] for each in found} == {"controls": 2, "repeats": 2, "turns": 2}
    assert all(each["called different"] == 0 for each in found)
    assert len(drawn.claims(found)) == 6
    steady = drawn.Noise((0.001, 0.001), 0, 0, 0, 0, 0)
    assert drawn.counted("controls", drawn.by_controls, 8, 0, 3, steady)["found"] == 3


# Turns


def test_every_way_has_its_turn_in_every_round() -> None:
    order: list[str] = []
    found = turns.in_turns({name: lambda name=name: order.append(name) or 1.0 for name in "ab"}, 3)
    assert {name: len(times) for name, times in found.items()} == {"a": 3, "b": 3}
    assert all(set(order[i : i + 2]) == {"a", "b"} for i in (0, 2, 4))


def test_ways_are_compared_round_by_round() -> None:
    times = {"plain": [1.0, 2.0, 4.0], "other": [2.0, 3.0, 4.0]}
    assert turns.ratio(times, "other") == 1.5
    assert turns.added(times, "other") == 1.0


def test_a_profiles_steps_have_lengths_by_their_mode() -> None:
    clock = FakeClock(device=True)
    model = FakeModel(clock, "A", host=1e-3)
    blocks = [Block(Mode.EVENTS, 3), Block(Mode.PLAIN, 1 << 62, math.inf)]
    with LayerTime((model,), clock, blocks=blocks) as profiling:
        model.train(6)
    found = turns.step_lengths(profiling.profile)
    assert {mode: len(lengths) for mode, lengths in found.items()} == {"1": 2, "0": 2}
    assert found["0"] == pytest.approx([3e-3, 3e-3])


# What is kept


def test_a_part_is_put_beside_those_that_are_there(folder) -> None:
    kept.keep_part("spins", {"claims": [], "n": np.int64(3), "x": [1.23456789e-5, math.nan]})
    kept.keep_part("many", {"claims": [kept.claim("what", "≤ 1", "2", False)]})
    parts = kept.kept_parts()
    assert set(parts) == {"spins", "many"}
    assert (parts["spins"]["n"], parts["spins"]["x"]) == (3, [1.234568e-5, None])
    assert kept.report(parts).splitlines()[1].split() == ["many:", "what", "≤", "1", "2", "no"]


def test_a_part_that_is_none_is_refused(capsys) -> None:
    assert layers.main(["nothing"]) == 2
    assert front.main(["layers", "nothing"]) == 2
    assert "there are overhead, launches" in capsys.readouterr().err


def test_one_part_runs_here_and_is_reported(folder, monkeypatch, capsys) -> None:
    monkeypatch.setattr(spins, "measure", lambda: {"claims": [kept.claim("it", "", "1", True)]})
    assert layers.main(["spins"]) == 0
    assert "spins: it" in capsys.readouterr().out


def test_parts_that_fail_are_told_and_cost_only_themselves(folder, monkeypatch, capsys) -> None:
    kept.keep_part("many", {"claims": [kept.claim("it", "", "1", True)]})
    monkeypatch.setattr(Parts, "apart", lambda _, part: part == "many")
    assert layers.main(["spins", "many"]) == 1
    out = capsys.readouterr().out
    assert "many: it" in out
    assert "failed: spins" in out


def test_the_rest_are_the_parts_that_this_commit_has_not_measured(folder, monkeypatch, capsys) -> None:
    for part in layers.PARTS:
        if part not in ("many", "line"):
            kept.keep_part(part, {"claims": []})
    run: list[str] = []
    monkeypatch.setattr(Parts, "apart", lambda _, part: run.append(part) or True)
    assert layers.main(["rest"]) == 0
    assert run == ["many", "line"]


def test_a_part_apart_that_fails_or_hangs_is_said(monkeypatch, capsys) -> None:
    monkeypatch.setitem(layers.PARTS, "waits", 0.01)
    assert not layers.ALL.apart("waits")
    assert "not done after" in capsys.readouterr().out


def test_every_part_is_a_module_that_measures() -> None:
    modules = {"overhead": overhead, "launches": launches, "spins": spins, "busy": busy, "many": many, "line": line}
    modules |= {"compare": compare, "waits": waits, "graphs": graphs, "torchnets": torchnets}
    assert set(modules) == set(layers.PARTS)
    assert all(callable(module.measure) for module in modules.values())
