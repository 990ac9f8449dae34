"""Long names made short: each is still told from the others."""

from __future__ import annotations

import pytest

from gpuprof.views.names import distinct, shortened

DEEP = [f"model.transformer.encoder.layers.{i}.self_attention.output.dense.projection" for i in range(12)]


def test_a_long_name_goes_without_its_middle() -> None:
    assert shortened("a" * 40 + "b" * 40, 20) == "a" * 10 + "…" + "b" * 9
    assert shortened("Conv1", 20) == "Conv1"


def test_names_that_differ_at_their_ends_are_shortened_as_any() -> None:
    names = ["first." + "block." * 20 + "a", "second." + "block." * 20 + "b"]
    assert distinct(names, 32) == [shortened(name, 32) for name in names]


@pytest.mark.parametrize("most", [32, 48])
def test_long_names_that_differ_in_the_middle_are_told_apart_within_the_room(most: int) -> None:
    found = distinct(DEEP, most)
    assert len(set(found)) == len(DEEP)
    assert all(len(name) <= most for name in found)
    assert all(f"layers.{i}…" in name or f"layers.{i}." in name for i, name in enumerate(found))


def test_the_same_name_twice_is_the_same_twice() -> None:
    first, again, other = distinct([DEEP[0], DEEP[0], "Conv1"], 32)
    assert first == again == shortened(DEEP[0], 32)
    assert other == "Conv1"


def test_names_that_no_short_form_tells_apart_stay_whole() -> None:
    names = [f"{'a' * 20}{middle}{'z' * 20}" for middle in ("x" * 60, "y" * 60)]
    assert distinct(names, 32) == names
