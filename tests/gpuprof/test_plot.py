"""The mirrored bars: what goes which way, how long it is, what is said of it; odd data, light and dark."""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from gpuprof.views.colours import BLUE, GREEN, PURPLE, VERMILION, contrast
from gpuprof.views.plot import bars

from .drawn import cut_off, least_contrast, overlapping

STEP = {"forward": 20.0, "backward": 60.0, "update": 5.0}


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    with mpl.rc_context({"backend": "agg"}):
        yield
        plt.close("all")


def table(layers: dict[str, dict[str, float]], **columns: Any) -> pd.DataFrame:
    """`Profile.table` of these layers, their phases and medians in µs."""
    rows = [(path, phase, median) for path, phases in layers.items() for phase, median in phases.items()]
    found = pd.DataFrame(rows, columns=["path", "phase", "median_us"])
    return found.assign(low_us=math.nan, high_us=math.nan, busy_us=math.nan, calls=1, **columns)


def drawn(layers: dict[str, dict[str, float]], log: bool = False, **columns: Any) -> Axes:
    made = table(layers).assign(**columns)
    return bars(made, list(layers), clock="CUDA events", small_print=["NVIDIA H200", "60 steps"], log=log)


def pieces(ax: Axes, colour: str) -> list[Rectangle]:
    wanted = mpl.colors.to_rgba(colour)
    return [patch for patch in ax.patches if isinstance(patch, Rectangle) and patch.get_facecolor() == wanted]


def heads(ax: Axes) -> set[str]:
    boxes = ax.findobj(mpl.offsetbox.TextArea)
    return {box.get_text() for box in boxes}


NET = {"Conv1": STEP, "Pool1": {"forward": 10.0, "backward": 200.0}, "(outside)": {"": 30.0}}


def test_forward_goes_left_and_backward_right_at_one_scale() -> None:
    ax = drawn(NET)
    forward, backward, update = (pieces(ax, colour) for colour in (BLUE, VERMILION, GREEN))
    assert [bar.get_x() for bar in forward] == [0, 0]
    assert all(bar.get_width() < 0 for bar in forward)
    assert backward[1].get_width() / backward[0].get_width() == pytest.approx(200 / 60)
    assert -forward[0].get_width() / backward[0].get_width() == pytest.approx(20 / 60)
    assert update[0].get_width() / backward[0].get_width() == pytest.approx(5 / 60)
    assert update[0].get_x() > backward[1].get_width()


def test_every_bar_says_its_time_and_every_row_its_layer() -> None:
    ax = drawn(NET)
    assert [text.get_text() for text in ax.texts[:-1]] == [
        "20.0 µs",
        "60.0 µs",
        "5.00 µs",
        "10.0 µs",
        "200 µs",
        "30.0 µs",
    ]
    assert [text.get_text() for text in ax.get_yticklabels()] == list(NET)
    assert heads(ax) == {"◂", "forward", "backward", "update"}


def test_the_unit_the_clock_and_the_machine_are_named() -> None:
    ax = drawn(NET)
    assert ax.get_xlabel() == "time a call, median with 95 % interval (µs)"
    assert "CUDA events" in ax.get_title(loc="left")
    assert ax.texts[-1].get_text() == "NVIDIA H200 · 60 steps"


def test_ticks_count_away_from_the_line_on_both_sides() -> None:
    ax = drawn({"A": {"forward": 100.0, "backward": 100.0}})
    ticks = dict(zip(ax.get_xticks(), (float(text.get_text()) for text in ax.get_xticklabels()), strict=True))
    assert ticks[0.0] == 0
    assert any(place < 0 for place in ticks)
    assert all(value >= 0 for value in ticks.values())
    assert all(ticks[place] == ticks[-place] for place in ticks if place < 0)


def test_powers_of_ten_are_equally_far_apart() -> None:
    layers = {name: {"forward": 1.0, "backward": 10.0**i} for i, name in enumerate("ABCD")}
    ax = drawn(layers, log=True)
    lengths = [bar.get_width() for bar in pieces(ax, VERMILION)]
    steps = [longer - shorter for shorter, longer in pairwise(lengths)]
    assert steps == pytest.approx([steps[0]] * 3)
    assert "logarithmic" in ax.get_xlabel()
    assert {"1 µs", "1 ms"} <= {text.get_text() for text in ax.get_xticklabels()}


def test_a_bar_is_solid_as_far_as_the_gpu_works() -> None:
    ax = drawn({"A": {"forward": 40.0}}, busy_us=10.0)
    pale, solid = ax.patches
    assert solid.get_width() / pale.get_width() == pytest.approx(0.25)
    assert mpl.colors.to_hex(solid.get_facecolor()) == BLUE.lower()
    assert "solid: the GPU works" in ax.get_title(loc="left")


def test_busy_is_never_drawn_longer_than_its_bar() -> None:
    pale, solid = drawn({"A": {"forward": 40.0}}, busy_us=41.0).patches
    assert solid.get_width() == pale.get_width()


def test_an_interval_is_a_line_from_low_to_high() -> None:
    ax = drawn({"A": {"forward": 40.0}}, low_us=30.0, high_us=50.0)
    (line,) = [line for line in ax.lines if len(set(line.get_ydata())) == 1 and line.get_ydata()[0] == 0]
    bar = ax.patches[0]
    assert list(line.get_xdata() / bar.get_width()) == pytest.approx([0.75, 1.25])


def test_an_interval_that_reaches_far_beyond_all_bars_is_cut_off_and_shown_to_be() -> None:
    ax = drawn({"A": {"forward": 40.0, "backward": 30.0}}, low_us=30.0, high_us=9000.0)
    lines = [line for line in ax.lines if len(set(line.get_ydata())) == 1 and line.get_ydata()[0] == 0]
    bars_drawn = pieces(ax, BLUE)
    assert [line.get_marker() for line in lines] == ["<", ">"]
    assert lines[0].get_xdata()[1] / bars_drawn[0].get_width() == pytest.approx(1.3)


def test_without_a_backward_nothing_is_mirrored() -> None:
    ax = drawn({"A": {"forward": 40.0}, "(outside)": {"": 5.0}})
    assert all(bar.get_width() > 0 for bar in ax.patches)
    assert heads(ax) == {"forward"}


def test_recompute_stands_under_backward() -> None:
    ax = drawn({"A": {"forward": 40.0, "backward": 60.0, "recompute": 40.0}, "B": STEP})
    (recompute,), backward = pieces(ax, PURPLE), pieces(ax, VERMILION)
    assert recompute.get_width() > 0
    assert recompute.get_y() == pytest.approx(backward[0].get_y() + 1)
    assert backward[1].get_y() == pytest.approx(recompute.get_y() + 1)


def test_evaluations_are_left_out_and_it_says_so() -> None:
    ax = drawn({"A": STEP | {"evaluate": 9000.0}})
    assert len(ax.patches) == 3
    assert ax.texts[-1].get_text().endswith("evaluations are left out")


def test_methods_of_other_names_are_drawn_with_them() -> None:
    ax = drawn({"Net": {"encode": 20.0, "decode": 40.0}, "augment": {"call": 10.0}, "tail": {"region": 5.0}})
    assert [text.get_text() for text in ax.texts[:4]] == ["encode 20.0 µs", "decode 40.0 µs", "10.0 µs", "5.00 µs"]
    assert heads(ax) == {"calls", "regions"}


def test_what_was_not_measured_has_no_bar_and_what_took_no_time_a_nought() -> None:
    ax = drawn({"A": {"forward": math.nan, "backward": 60.0}, "B": {"forward": 0.0}})
    assert [text.get_text() for text in ax.texts[:-1]] == ["60.0 µs", "0"]


ODD = {
    "one layer": {"A": STEP},
    "40 layers": {f"Block{i:02d}": {"forward": 3.0 + i, "backward": 5.0 * i + 1, "update": 2.0} for i in range(40)},
    "100 layers": {f"Block{i:02d}": STEP for i in range(100)},
    "long names": {f"encoder.{'block.' * 30}{i}": STEP for i in range(4)},
    "names with $": {"cost $\\q{$": STEP},
    "no time": {"A": dict.fromkeys(STEP, 0.0), "B": STEP},
    "none at all": {"A": dict.fromkeys(STEP, 0.0)},
    "nothing measured": {"A": dict.fromkeys(STEP, math.nan)},
    "six orders": {
        "Tiny": dict.fromkeys(STEP, 0.05),
        "Mid": dict.fromkeys(STEP, 800.0),
        "Big": dict.fromkeys(STEP, 9e4),
    },
    "forward alone": {"A": {"forward": 20.0}, "(outside)": {"": 3.0}},
    "update alone": {"A": {"update": 20.0}},
    "methods of long names": {"Net": {"a_method_of_a_name_as_long_as_this": 20.0, "b": 40.0}},
    "no rows": {},
}


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("case", ODD)
def test_odd_data_is_drawn_without_overlaps(case: str, log: bool) -> None:
    ax = drawn(ODD[case], log=log, **({"low_us": 1.0, "high_us": 9e4} if case == "wide intervals" else {}))
    assert overlapping(ax) == []
    assert cut_off(ax) == []


@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_bars_are_seen_and_texts_are_read_on_their_paper(style: str) -> None:
    with plt.style.context(style):
        ax = drawn(NET)
        ground = mpl.colors.to_hex(ax.get_facecolor())
        assert min(contrast(mpl.colors.to_hex(bar.get_facecolor()), ground) for bar in ax.patches) >= 3
        assert least_contrast(ax) >= 4.5


def test_of_many_layers_those_that_take_longest_are_drawn_in_their_order_and_it_says_so() -> None:
    ax = drawn({f"Block{i}": {"forward": 100.0 + i % 50} for i in range(100)})
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == [f"Block{i}" for i in range(100) if i % 50 >= 30]
    assert "the 40 of 100 rows that take longest" in ax.texts[-1].get_text().replace("\n", " ")


def test_long_names_that_differ_in_the_middle_are_told_apart() -> None:
    ax = drawn({f"model.encoder.layers.{i}.attention.output.projection": STEP for i in range(3)})
    assert len({label.get_text() for label in ax.get_yticklabels()}) == 3


def test_an_interval_of_one_part_takes_no_room_from_the_others() -> None:
    ax = drawn({"A": {"forward": 10.0, "backward": 12.0}, "B": {"update": 100.0}}, low_us=9.0, high_us=1e5)
    (arrow,) = (line for line in ax.lines if line.get_marker() == "<")
    (bar,) = pieces(ax, BLUE)
    assert arrow.get_xdata()[1] / bar.get_width() == pytest.approx(1.3)


def test_it_is_drawn_where_it_is_told() -> None:
    _, ax = plt.subplots()
    assert bars(table(NET), list(NET), clock="host clock", ax=ax) is ax
