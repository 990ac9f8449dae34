"""benchmarks/ladder: rungs in turns, what the profiler says of each is kept, the page is made of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks import epoch, ladder
from benchmarks.epoch import ours
from benchmarks.ladder import findings, page
from benchmarks.ladder.rungs import RUNGS, Rung
from cnn import captured
from gpuprof.profiling import LayerTime
from gpuprof.testing import FakeClock
from tests.cnn.emulated.device import COMPILER, Emulated
from tests.cnn.kernel_nets import CASES, net
from tests.gpuprof.models import FakeModel

FIRST, SECOND, *_ = RUNGS


@pytest.fixture
def few(monkeypatch) -> Any:
    """A few images and short rounds."""
    monkeypatch.setattr(epoch, "CHUNK_S", 0.001)
    monkeypatch.setattr(ours, "IMAGES", 32)
    monkeypatch.setattr(findings, "STEPS", 24)
    x = np.random.default_rng(0).random((40, 1, 28, 28), dtype=np.float32)
    t = np.eye(10, dtype=np.float32)[np.arange(40) % 10]
    return (x[:32], t[:32]), (x[32:], t[32:])


def test_each_rung_that_can_be_run_has_a_sample_a_round(few) -> None:
    found = ladder.timed(few, 4, rounds=2, mode="cpu")
    assert {name: len(samples) for name, samples in found["us_a_step"].items()} == dict.fromkeys(list(RUNGS)[:3], 2)
    assert set(found["left_out"].values()) == {"there are no graphs on a CPU"}


def test_each_rung_is_profiled(few) -> None:
    found = ladder.profiled(few, 4, [FIRST], "cpu")[FIRST]
    assert {(row["layer"], row["phase"]) for row in found["rows"]} > {("Pool1", "backward"), ("Conv1", "forward")}
    assert found["verdict"].startswith("Pool1.backward is")
    assert "as_a_graph" not in found


def test_of_a_rung_that_is_so_marked_a_layer_s_call_is_timed(few, monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(findings.gpuprof, "timeit", lambda text, **given: asked.append((text, given["globals"]["h"])))
    found = ladder.profiled(few, 4, [SECOND], "cpu")[SECOND]
    assert found["call"] == "None"
    (statement, h) = asked[0]
    assert (statement, h.shape) == ('lm["Output1"].forward(h)', (4, 100))


def test_a_rung_that_was_recorded_by_hand_has_no_profile() -> None:
    assert findings.told(Rung(graph="by hand"), None, 8) == {"why": "recorded by hand, which calls no layer"}


def test_the_number_of_steps_in_a_graph_is_a_rung_s_own_and_then_as_before() -> None:
    before = captured.STEPS
    with findings.steps_in_a_graph(1):
        assert captured.STEPS == 1
    with findings.steps_in_a_graph(None):
        assert before == captured.STEPS
    assert before == captured.STEPS


def test_what_a_rung_raises_is_kept_in_its_place(few, monkeypatch) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError("no memory\nat all")

    monkeypatch.setattr(ladder, "way", fails)
    monkeypatch.setattr(ladder, "told", fails)
    assert ladder.timed(few, 4, 2, "cpu")["left_out"][FIRST] == "RuntimeError: no memory"
    assert ladder.profiled(few, 4, [FIRST], "cpu") == {FIRST: {"why": "RuntimeError: no memory"}}


def test_the_articles_pooling_is_not_run_on_many_images() -> None:
    assert RUNGS[FIRST].misfit(32, "gpu") == ""
    assert RUNGS[FIRST].misfit(33, "gpu") == "with more than 32 images a step it takes seconds"
    assert Rung(graph="fused").misfit(8, "cpu") == "there are no graphs on a CPU"


def test_the_rows_of_a_profile_are_kept_with_their_figures() -> None:
    clock = FakeClock()
    model = FakeModel(clock, "A", "B", host=1e-3)
    with LayerTime((model,), clock) as profiling:
        model.train(5)
    found = findings.said(profiling.profile)
    rows = {(row["layer"], row["phase"]): row for row in found["rows"]}
    assert rows["A", "forward"]["median_us"] == pytest.approx(1000)
    assert rows["A", "forward"]["calls"] == 5
    assert rows["A", "forward"]["busy_us"] is None
    assert found["verdict"] == profiling.profile.verdict


def test_a_captured_rung_is_profiled_as_it_runs(monkeypatch, tmp_path) -> None:
    if COMPILER is None:
        pytest.skip("needs g++ to compile the kernels for the CPU")
    monkeypatch.setattr(captured, "Gpu", lambda: Emulated(tmp_path))
    monkeypatch.setattr(captured, "on_gpu", lambda model: True)
    lm = net(CASES[0])
    found = findings.told(Rung(graph="fused", in_a_graph=2), lm, 8, steps=12)
    assert lm.history.graph == "steps captured in CUDA graphs, 3 kernels a step"
    rows = {(row["layer"], row["phase"]): row for row in found["rows"]}
    assert rows["(graphs)", "captured steps"]["calls"] > 0
    assert ("Conv1", "forward") not in rows


# The page


def row(layer: str, busy: float | None, total: float = 1.0) -> dict[str, Any]:
    figures = {"calls": 5, "total_ms": total, "median_us": 12.34, "host_us": 56.78, "busy_us": busy}
    return {"layer": layer, "phase": "forward", **figures, "launches": 3.0, "share": 0.5, "gain": 0.25}


@pytest.fixture
def measured(monkeypatch, tmp_path) -> dict[str, Any]:
    """Results of three rungs at 8 and two at 128; the third was not profiled."""
    third = list(RUNGS)[2]
    graph = {"launches": 40, "now_ms": 2.0, "graph_ms": 0.25, "why": ""}
    said = {
        FIRST: {"verdict": "It is slow.", "rows": [row("A", 1.5), row("B", 20.0)], "notes": []},
        SECOND: {
            "verdict": "Launches.",
            "call": "host 9 µs",
            "rows": [row("A", None, 2.0), row("B", None)],
            "as_a_graph": graph,
        },
        third: {"why": "no layer is called"},
    }
    rest = dict.fromkeys(list(RUNGS)[3:], "no graphs")
    small = {"us_a_step": {FIRST: [2000.0, 2100, 1900], SECOND: [500.0] * 3, third: [250.0] * 3}}
    large = {"us_a_step": {SECOND: [600.0] * 3, third: [400.0] * 3}, "left_out": {FIRST: "too many", **rest}}
    found = {"batches": {"8": small | {"told": said, "left_out": rest}, "128": large | {"told": {}}}}
    monkeypatch.setattr(page, "load", lambda _: found)
    monkeypatch.setattr(page, "about", lambda name: f"{name}.json")
    monkeypatch.setattr(page, "HERE", tmp_path)
    (tmp_path / "ladder.json").touch()
    return found


def test_the_table_has_each_rung_s_median_and_how_much_faster_it_is(measured) -> None:
    rows = page.ladder().splitlines()
    assert rows[2] == f"| 1. {FIRST} | 2000.0 |  | – |  |"
    assert rows[3] == f"| 2. {SECOND} | 500.0 | 4 × | 600.0 |  |"
    assert rows[4].endswith("| 250.0 | 2 × | 400.0 | 1.5 × |")
    assert rows[5].endswith("| – |  | – |  |")
    assert f"{FIRST} at 128: too many" in rows[9]
    assert rows[-1] == "Medians of 3 rounds in which the rungs took turns. ladder.json"


def test_a_rung_shows_what_was_typed_the_verdict_and_the_rows_that_keep_the_gpu_busiest(measured) -> None:
    text = page.rung(1)
    assert text.startswith(
        "```text\n%%layertime --kernels lm\nlm.training(1, n_batch=8, graph=False)\n\nIt is slow.\n```"
    )
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert rows[2:] == [
        "| B | forward | 12.3 | 56.8 | 20.0 | 3 | 25 % |",
        "| A | forward | 12.3 | 56.8 | 1.5 | 3 | 25 % |",
    ]
    assert text.endswith("2000.0 µs a step at n_batch 8.")


def test_a_rung_says_what_a_graph_of_it_would_take(measured) -> None:
    text = page.rung(2)
    assert "\n500.0 µs a step at n_batch 8. `--graph` foretells 250.0 µs for its 40 launches as one graph.\n" in text
    assert text.endswith('```text\n%gpu_timeit lm["Output1"].forward(h)\n\nhost 9 µs\n```')
    assert [line[:3] for line in text.splitlines() if line.startswith("|")][2:] == ["| A", "| B"]


def test_a_rung_without_a_profile_says_why(measured) -> None:
    assert page.rung(3) == "250.0 µs a step at n_batch 8. Not profiled: no layer is called."
    assert page.rung(4) == "Left out: no graphs."


def test_before_the_first_run_nothing_is_claimed(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(page, "HERE", tmp_path)
    assert (page.ladder(), page.rung(1)) == ("Not measured yet.",) * 2
