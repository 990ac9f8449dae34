"""One step as lanes: what lies where, what is idle, a device far behind, calls inside calls, many layers."""

import math
from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from gpuprof.views.colours import BLUE, LAYERS, VERMILION
from gpuprof.views.timeline import lanes

from .drawn import cut_off, least_contrast, overlapping


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    with mpl.rc_context({"backend": "agg"}):
        yield
        plt.close("all")


def calls(*rows: tuple[str, str, float, float], late: float = math.nan, parents: dict[int, int] | None = None) -> Any:
    """A step's calls: path, phase, when the host begins (µs) and for how long; the device `late` after that."""
    found = pd.DataFrame(rows, columns=["path", "phase", "host_start_us", "host_us"])
    return found.assign(
        call=range(len(rows)),
        parent=[(parents or {}).get(i, -1) for i in range(len(rows))],
        step=3,
        start_us=found["host_start_us"] + late,
        span_us=found["host_us"] if late == late else math.nan,
    )


def kernels(*rows: tuple[str, str, float, float]) -> Any:
    found = pd.DataFrame(rows, columns=["path", "phase", "start_us", "span_us"])
    return found.assign(step=3, busy_us=found["span_us"])


def drawn(of: Any, recorded: Any = None) -> Axes:
    return lanes(of, kernels() if recorded is None else recorded, 3, clock="CUDA events", small_print=["NVIDIA H200"])


def spans(ax: Axes, lane: int, colour: str) -> list[tuple[float, float]]:
    """From when to when there is something of a colour in a lane."""
    wanted, found = mpl.colors.to_rgba(colour), []
    for bars in ax.collections:
        for path in bars.get_paths():
            (left, low), (right, high) = path.get_extents().get_points()
            if tuple(bars.get_facecolor()[0]) == wanted and low < lane < high:
                found.append((float(left), float(right)))
    return found


def names(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.get_yticklabels()]


def legend(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


STEP = calls(("A", "forward", 100, 40), ("B", "forward", 150, 30), ("B", "backward", 190, 60), late=20)


def test_the_host_lies_over_the_device_on_one_axis() -> None:
    ax = drawn(STEP)
    assert names(ax) == ["host", "CUDA events"]
    assert spans(ax, 0, LAYERS[0]) == [(0, 40)]
    assert spans(ax, 1, LAYERS[0]) == [(20, 60)]
    assert ax.get_xlabel() == "time in step 3 (µs)"
    assert ax.get_ylim()[0] > ax.get_ylim()[1]


def test_what_lies_between_kernels_is_idle_and_hatched() -> None:
    ax = drawn(STEP, kernels(("A", "forward", 130, 10), ("B", "forward", 180, 40)))
    assert names(ax)[2] == "kernels\n56 % busy"
    assert "GPU idle" in legend(ax)
    (idle,) = [bars for bars in ax.collections if bars.get_hatch()]
    assert idle.get_paths()[0].get_extents().intervalx.tolist() == [30, 120]
    assert idle.get_zorder() < min(bars.get_zorder() for bars in ax.collections if bars is not idle)


def test_a_gpu_that_is_always_busy_has_nothing_idle_to_explain() -> None:
    assert "GPU idle" not in legend(drawn(STEP, kernels(("A", "forward", 130, 100))))


def test_a_device_far_behind_is_drawn_as_though_it_had_begun_with_the_host() -> None:
    late = calls(("A", "forward", 100, 40), ("B", "forward", 150, 30), late=5000)
    ax = drawn(late, kernels(("A", "forward", 5110, 20)))
    assert names(ax) == ["host", "CUDA events\n5.00 ms later", "kernels\n100 % busy\n5.00 ms later"]
    assert spans(ax, 1, LAYERS[0]) == [(0, 40)]
    assert spans(ax, 2, LAYERS[0]) == [(10, 30)]
    assert ax.get_xlim()[1] == 80


def test_a_call_around_others_is_pale_and_lies_behind_them() -> None:
    ax = drawn(calls(("block", "forward", 100, 90), ("block/conv", "forward", 110, 60), parents={1: 0}))
    assert spans(ax, 0, LAYERS[0]) == []
    assert spans(ax, 0, LAYERS[1]) == [(10, 70)]
    assert [text.get_text() for text in ax.texts if text.get_position()[1] == 0] == ["conv"]


def test_a_name_stands_upright_in_a_narrow_bar_and_is_left_out_of_a_narrower_one() -> None:
    ax = drawn(calls(("Wide", "forward", 0, 900), ("Slim", "forward", 910, 30), ("Thin", "forward", 950, 5)))
    turned = {text.get_text(): text.get_rotation() for text in ax.texts if text.get_text() != "forward"}
    assert turned["Wide"] == 0
    assert turned["Slim"] == 90
    assert "Thin" not in turned


def test_many_layers_are_coloured_by_phase() -> None:
    many = [
        (f"L{i}", phase, 10.0 * (i + 13 * k), 9.0) for k, phase in enumerate(("forward", "backward")) for i in range(13)
    ]
    ax = drawn(calls(*many))
    assert legend(ax) == ["forward", "backward"]
    assert len(spans(ax, 0, BLUE)) == len(spans(ax, 0, VERMILION)) == 13


def test_the_phases_and_the_machine_are_named() -> None:
    ax = drawn(STEP)
    assert {"forward", "backward", "NVIDIA H200"} <= {text.get_text() for text in ax.texts}


ODD = {
    "one call": calls(("A", "forward", 0, 5)),
    "no time": calls(("A", "forward", 0, 0), late=0),
    "long names": calls(*((f"encoder.{'block.' * 30}{i}", "forward", 50 * i, 40) for i in range(8)), late=9),
    "names with $": calls(("cost $\\q{$", "forward", 0, 5)),
    "12 layers": calls(*((f"Layer{i}", "forward", 50 * i, 40) for i in range(12)), late=9),
    "40 layers": calls(*((f"Layer{i}", "forward", 50 * i, 40) for i in range(40)), late=9),
    "six orders": calls(("A", "forward", 0, 0.1), ("B", "backward", 1, 1e5), ("C", "update", 1e5 + 2, 0.1)),
}


@pytest.mark.parametrize("case", ODD)
def test_odd_steps_are_drawn_without_overlaps(case: str) -> None:
    ax = drawn(ODD[case])
    assert overlapping(ax) == []
    assert cut_off(ax) == []


@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_texts_are_read_on_their_paper(style: str) -> None:
    with plt.style.context(style):
        ax = drawn(STEP)
        for text in [text for text in ax.texts if text.get_position()[1] in (0, 1)]:
            text.set_visible(False)  # a layer's name stands on its colour: test_colours.py
        assert least_contrast(ax) >= 4.5
