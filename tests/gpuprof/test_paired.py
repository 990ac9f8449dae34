"""Pairs of bars, before and after: how long, in which colour, with which word; odd data, light and dark."""

import math
from collections.abc import Iterator

import matplotlib as mpl
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from gpuprof.views.colours import GPU, HOST
from gpuprof.views.paired import Pair, paired

from .drawn import cut_off, least_contrast, overlapping

FASTER = Pair("Pool1.backward", 2e-3, 5e-4, (1.9e-3, 2.1e-3), (4e-4, 6e-4), "4.0× faster")
SLOWER = Pair("Conv1.forward", 1e-3, 1.5e-3, word="1.5× slower")
UNCLEAR = Pair("Conv1.update", 1e-3, 0.9e-3, word="unclear", sure=False)


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    with mpl.rc_context({"backend": "agg"}):
        yield
        plt.close("all")


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def test_before_lies_above_after_and_both_are_as_long_as_their_times() -> None:
    before, after = paired([FASTER]).patches
    assert (before.get_width(), after.get_width()) == pytest.approx((2.0, 0.5))
    assert before.get_y() < after.get_y() < 0.5


def test_blue_is_faster_and_vermilion_slower() -> None:
    colours = [to_hex(patch.get_facecolor()) for patch in paired([FASTER, SLOWER]).patches]
    assert colours[1::2] == [GPU.lower(), HOST.lower()]
    assert colours[0] == colours[2]


def test_what_is_not_sure_is_neither() -> None:
    after = paired([UNCLEAR]).patches[1]
    assert to_hex(after.get_facecolor()) not in (GPU.lower(), HOST.lower())
    assert to_hex(after.get_edgecolor()) != to_hex(after.get_facecolor())


def test_each_bar_says_its_time_and_each_pair_what_it_comes_to() -> None:
    found = texts(paired([FASTER], ("lm", "mended"), small_print=["NVIDIA H200"], title="A call"))
    assert found == ["2.00 ms", "500 µs", "4.0× faster", "above: lm, below: mended", "NVIDIA H200"]


def test_the_axis_has_its_unit_and_what_the_times_are_of() -> None:
    assert paired([FASTER], label="GPU busy, a step").get_xlabel() == "GPU busy, a step (ms)"
    ax = paired([FASTER], log=True)
    assert (ax.get_xscale(), ax.get_xlabel()) == ("log", "time a call, logarithmic")


def test_intervals_are_lines() -> None:
    ax = paired([FASTER, SLOWER])
    ends = [tuple(line.get_xdata()) for line in ax.lines]
    assert ends == [pytest.approx((1.9, 2.1)), pytest.approx((0.4, 0.6))]


def test_what_was_not_measured_is_said_to_be() -> None:
    ax = paired([Pair("A", math.nan, 1e-3, word="new")])
    assert len(ax.patches) == 1
    assert "not measured" in texts(ax)


ODD = {
    "one": [FASTER],
    "40": [FASTER._replace(name=f"Block{i}.backward") for i in range(40)],
    "long names": [FASTER._replace(name="encoder." + "block." * 30)],
    "no time": [Pair("A", 0, 0, word="the same", sure=False), FASTER],
    "six orders": [Pair("A", 1e-7, 2e-7, word="2.0× slower"), Pair("B", 0.1, 0.2, word="2.0× slower")],
    "nothing": [],
    "nothing measured": [Pair("A", math.nan, math.nan)],
}


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("case", ODD)
def test_odd_data_is_drawn_without_overlaps(case: str, log: bool) -> None:
    ax = paired(ODD[case], ("before", "after"), title="A call of each layer", small_print=["NVIDIA H200"], log=log)
    assert overlapping(ax) == []
    assert cut_off(ax) == []


@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_texts_are_read_on_their_paper(style: str) -> None:
    with plt.style.context(style):
        assert least_contrast(paired([FASTER, UNCLEAR], title="A call", small_print=["NVIDIA H200"])) >= 4.5


def test_it_is_drawn_where_it_is_told() -> None:
    _, ax = plt.subplots()
    assert paired([FASTER], ax=ax) is ax
