"""benchmarks/layerwise: every part of a step with and without kernels, and what the page shows of it."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import layerwise
from benchmarks.epoch import ours


@pytest.fixture
def few(monkeypatch) -> None:
    """A few images, on the CPU."""
    monkeypatch.setattr(ours, "IMAGES", 32)
    monkeypatch.setattr(layerwise, "made", lambda name: ours.made(name, "cpu"))


def test_every_part_of_a_step_has_a_sample_a_round_with_and_without(few) -> None:
    found = layerwise.layers("article", 4, rounds=2, calls=1)
    parts = [(row["layer"], row["phase"]) for row in found["rows"]]
    assert parts[:3] == [("(batch)", "gather"), ("Conv1", "forward"), ("Pool1", "forward")]
    assert parts[-4:] == [("Conv1", "backward"), ("Conv1", "update"), ("Middle1", "update"), ("Output1", "update")]
    assert {len(samples) for row in found["rows"] for samples in row["host_us"].values()} == {2}
    assert (found["net"], found["n_batch"]) == ("article", 4)


def test_whole_steps_are_timed_in_turns(few) -> None:
    found = layerwise.whole("article", 4, rounds=2, steps=3)
    assert {way: len(samples) for way, samples in found["us_a_step"].items()} == {"without": 2, "with": 2}


def test_nobody_is_asked_for_the_gradient_by_the_images(few) -> None:
    net = ours.made("article", "cpu")
    layerwise.parts(net, net.x_train[:4], net.y_train[:4])["Conv1", "backward"]()
    assert net[0].wants_dx
    assert not net[0].gave_dx


def test_the_tables_say_without_and_with() -> None:
    row: dict[str, Any] = {"layer": "Conv1", "phase": "forward", "host_us": {"without": [9.0, 10, 30], "with": [2.0]}}
    row |= {"launches": {"without": 6.0, "with": 1.0}, "busy_us": {"without": None, "with": None}}
    about = {"net": "article", "n_batch": 8}
    steps = [about | {"us_a_step": {"without": [1400.0, 1500, 1600], "with": [500.4]}}]
    text = layerwise.report({"steps": steps, "layers": [about | {"rows": [row]}]})
    assert "| article, n_batch 8 | 1500 | 500 |" in text
    assert "| Conv1 | forward | 6 → 1 |  | 10 → 2 |" in text
