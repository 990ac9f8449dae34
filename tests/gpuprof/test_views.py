"""What people look at: the HTML of a timing and of a comparison, histograms, sweeps and ratios as charts."""

import math
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from gpuprof.views import charts, html, swept
from gpuprof.views.grid import Cell, Grid
from gpuprof.views.parts import grid_table, prose
from gpuprof.views.report import Advice, Report, Section
from gpuprof.views.svg import binned, histogram

from .drawn import cut_off, overlapping

SPREAD = tuple(1e-6 * (10 + 0.1 * (i % 7)) for i in range(60))
EVIL = "<script>alert('&\"')</script>"
WHITE = "#ffffff"
VOID = {"br", "wbr", "hr", "img", "meta"}


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    with mpl.rc_context({"backend": "agg"}):
        yield
        plt.close("all")


class Balance(HTMLParser):
    """Follows which tags are open, and keeps what is read between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data.replace("\N{NO-BREAK SPACE}", " ") + "\n"


def timing(**changes: Any) -> str:
    usual: dict[str, Any] = {
        "line": "host 10.3 µs · device 4.0 µs",
        "spread": "±0.6 %, 60 batches of 32",
        "verdict": "launch-bound",
        "cautions": ["host rose by 3 %"],
        "histograms": [("host", SPREAD, "10.3 µs"), ("device", SPREAD, "10.3 µs\nfloor 1.3 µs")],
        "kernels": [("gemm", 1.5, "2.0 µs", 65536), ("copy to the host", 1, "1.0 µs", 0)],
        "snippet": "graph.launch(stream)",
        "notes": ["NVIDIA H200"],
    }
    return html.timing_report(**{**usual, **changes})


def svgs(page: str) -> list[str]:
    return re.findall("<svg.*?</svg>", page, re.DOTALL)


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for axes in [ax, *ax.child_axes] for text in axes.texts]


def sweep_table(**columns: Any) -> pd.DataFrame:
    usual = {"n": [256, 512, 1024], "host_us": [20.0, 20, 20], "device_us": [2.0, 10, 40], "latency_us": [25.0, 26, 45]}
    return pd.DataFrame({**usual, "kernels_us": [math.nan] * 3, **columns})


def test_every_tag_of_a_timing_is_closed() -> None:
    assert Balance(timing()).open == []


def test_a_timing_has_no_script_and_no_outside_file() -> None:
    page = timing()
    assert not Balance(page).tags & {"script", "link", "img", "iframe", "style"}
    assert not re.search(r"https?:|url\(|\bon\w+=", page)


def test_every_text_of_a_timing_is_escaped() -> None:
    page = Balance(
        timing(
            line=EVIL,
            spread=EVIL,
            verdict=EVIL,
            cautions=[EVIL],
            histograms=[(EVIL, SPREAD, f"{EVIL}\n{EVIL}")],
            kernels=[(EVIL, 1, EVIL, 1)],
            snippet=EVIL,
            notes=[EVIL],
        )
    )
    assert "script" not in page.tags
    assert page.text.count("alert") >= 9


def test_a_timing_shows_each_figure_and_what_is_said_beneath_it() -> None:
    text = Balance(timing()).text
    assert all(part in text for part in ("host", "10.3 µs", "floor 1.3 µs", "launch-bound", "⚠ host rose by 3 %"))


def test_a_timing_of_one_batch_says_so() -> None:
    assert "one batch" in Balance(timing(histograms=[("host", (3.0,), "3.00 s")])).text


def test_equal_batches_are_counted_and_not_spread() -> None:
    page = timing(histograms=[("host", (3.0,) * 12, "3.00 s")])
    assert "12 alike" in Balance(page).text
    assert Balance(page).open == []


def test_batches_of_no_time_at_all_are_drawn() -> None:
    assert len(svgs(timing(histograms=[("kernels", (0.0,) * 12, "0 ns")]))) == 1


def test_a_timing_without_samples_still_says_its_verdict() -> None:
    page = timing(histograms=[], kernels=[], snippet="")
    assert "launch-bound" in Balance(page).text
    assert "<details" not in page


def test_a_long_kernel_name_is_cut_in_the_middle_and_whole_in_its_title() -> None:
    name = "_ZN" + "elementwise" * 20 + "_end"
    page = timing(kernels=[(name, 1, "1.0 µs", 32)])
    assert f'title="{name}"' in page
    assert name not in Balance(page).text
    assert "_end" in Balance(page).text


def test_an_svg_is_xml_below_3_kb_and_takes_its_lines_from_the_text_colour() -> None:
    for svg in svgs(timing(histograms=[("host", tuple(1e-6 + i * i * 1e-9 for i in range(3000)), "2.00 ms")])):
        ElementTree.fromstring(svg)
        assert len(svg.encode()) < 3000
        assert "currentColor" in svg


def test_an_svgs_label_is_escaped() -> None:
    assert ElementTree.fromstring(histogram(binned(SPREAD), "#000", EVIL)).attrib["aria-label"] == EVIL


def test_bins_hold_every_batch_and_are_40_at_most() -> None:
    bins = binned([1 + i / 5000 for i in range(5000)])
    assert (len(bins.counts), sum(bins.counts), bins.beyond) == (40, 5000, 0)


def test_batches_far_to_the_right_are_counted_and_told() -> None:
    samples = (*SPREAD, 90e-6, 95e-6)
    assert binned(samples).beyond == 2
    assert binned(samples).high == max(SPREAD)
    assert "2 of 62 beyond" in Balance(timing(histograms=[("host", samples, "10.3 µs")])).text


def test_a_second_mode_of_a_tenth_of_the_batches_stays_in_sight() -> None:
    assert binned((*SPREAD, *(7 * [50e-6]))).beyond == 0


def test_a_comparison_has_a_row_a_quantity_and_escapes_it() -> None:
    rows = [("host", "1.2×", EVIL), ("device", "1.0×", "noise")]
    page = Balance(
        html.comparison_report(verdict=EVIL, rows=rows, head=("quantity", "ratio", EVIL), cautions=[EVIL], notes=[EVIL])
    )
    assert page.open == []
    assert "script" not in page.tags
    assert page.text.count("alert") == 5


def test_histograms_draws_a_strip_a_quantity_within_one_axes() -> None:
    ax = charts.histograms([("host", SPREAD), ("device", (1e-6,)), ("kernels", (2e-6,) * 9)], ["NVIDIA H200"])
    assert isinstance(ax, Axes)
    assert len(ax.child_axes) == 3
    assert {"host", "10.3 µs", "median of 60 batches", "one batch", "NVIDIA H200"} <= set(texts(ax))


def test_each_strip_names_its_own_unit() -> None:
    ax = charts.histograms([("host", SPREAD), ("latency", (3e-3,) * 9)], [])
    assert [strip.get_xlabel() for strip in ax.child_axes] == ["µs", "ms"]


def test_histograms_tells_how_many_batches_lie_beyond() -> None:
    assert "2 beyond →" in texts(charts.histograms([("host", (*SPREAD, 90e-6, 95e-6))], []))


def test_histograms_of_nothing_says_so() -> None:
    assert "nothing was measured" in texts(charts.histograms([("host", ())], []))


def test_histograms_draws_where_it_is_told() -> None:
    _, ax = plt.subplots()
    assert charts.histograms([("host", SPREAD)], [], ax=ax) is ax


def test_a_name_with_dollars_is_not_mathematics() -> None:
    ax = charts.histograms([("$x$", SPREAD)], ["$y$"])
    ax.figure.canvas.draw()
    assert r"\$x\$" in texts(ax)


def test_a_sweep_leaves_out_what_was_not_measured() -> None:
    labels = swept.sweep(sweep_table(), "n", small_print=[]).get_legend_handles_labels()[1]
    assert labels == ["host", "device (GPU)", "latency"]


def test_a_sweep_over_powers_of_two_has_them_as_ticks() -> None:
    ax = swept.sweep(sweep_table(), "n", small_print=[])
    assert ax.get_xscale() == "log"
    assert [label.get_text().replace("\N{NARROW NO-BREAK SPACE}", " ") for label in ax.get_xticklabels()] == [
        "256",
        "512",
        "1 024",
    ]


def test_a_sweep_over_other_numbers_is_linear() -> None:
    assert swept.sweep(sweep_table(n=[0, 1, 2]), "n", small_print=[]).get_xscale() == "linear"


def test_a_sweep_over_words_names_them() -> None:
    ax = swept.sweep(sweep_table(n=["float16", "float32", "$"]), "n", small_print=[])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["float16", "float32", r"\$"]


def test_a_sweep_has_its_times_in_readable_units() -> None:
    ax = swept.sweep(sweep_table(latency_us=[25.0, 26, 2000]), "n", small_print=["NVIDIA H200"])
    ax.figure.canvas.draw()
    assert {"10 µs", "1 ms"} <= {label.get_text() for label in ax.get_yticklabels()}


def test_a_sweep_shades_where_the_host_takes_longer() -> None:
    ax = swept.sweep(sweep_table(), "n", small_print=[])
    (shade,) = ax.collections
    crossing = 512 * 2 ** (math.log(2) / math.log(4))  # 20 / 10 falls to 20 / 40 on a straight line between the two
    assert shade.get_datalim(ax.transData).x1 == pytest.approx(crossing, rel=2e-3)
    assert "launch-bound" in texts(ax)


def test_a_sweep_in_which_the_gpu_takes_longer_is_not_shaded() -> None:
    ax = swept.sweep(sweep_table(device_us=[30.0, 40, 50]), "n", small_print=[])
    assert "launch-bound" not in texts(ax)


def test_a_sweep_has_a_band_where_there_are_intervals() -> None:
    ax = swept.sweep(sweep_table(device_us=50.0, host_low_us=19.0, host_high_us=21.0), "n", small_print=[])
    assert len(ax.collections) == 1


@pytest.mark.parametrize("n", [[256], ["float32"]])
def test_a_sweep_of_one_value_is_drawn(n: list[Any]) -> None:
    ax = swept.sweep(sweep_table().iloc[:1].assign(n=n), "n", small_print=[])
    ax.figure.canvas.draw()
    assert len(ax.lines) == 3


def quantity(name: str, ratio: float, low: float, high: float, verdict: str) -> dict[str, Any]:
    return {"quantity": name, "ratio": ratio, "low": low, "high": high, "verdict": verdict}


def test_a_ratio_names_each_quantity_its_factor_and_verdict() -> None:
    rows = [quantity("host", 1.25, 1.2, 1.3, "real"), quantity("device", 1.001, 0.99, 1.01, "noise")]
    ax = charts.ratio(("old", "new"), rows, floor=0.02)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["host", "device"]
    assert {"1.25×  real", "1.001×  noise", "← old is faster", "new is faster →"} <= set(texts(ax))


def test_a_ratio_names_the_machine_in_small_print() -> None:
    rows = [quantity("host", 1.25, 1.2, 1.3, "FASTER")]
    ax = charts.ratio(("a", "b"), rows, floor=0.02, small_print=["NVIDIA H200", "CUDA events"])
    assert ax.texts[-1].get_text() == "NVIDIA H200 · CUDA events"
    assert overlapping(ax) == []
    assert cut_off(ax) == []


def test_a_ratio_leaves_out_what_was_not_measured() -> None:
    rows = [quantity("host", 1.25, 1.2, 1.3, "real"), quantity("device", math.nan, math.nan, math.nan, "")]
    assert len(charts.ratio(("a", "b"), rows, floor=0.02).get_yticks()) == 1


def test_a_ratio_within_its_own_floor_is_hollow() -> None:
    rows = [quantity("host", 1.05, 1.04, 1.06, "SAME") | {"floor": 0.1}, quantity("device", 1.05, 1.04, 1.06, "FASTER")]
    dots = [line for line in charts.ratio(("a", "b"), rows, floor=0.01).lines if line.get_marker() == "o"]
    assert [dot.get_markerfacecolor() == WHITE for dot in dots] == [True, False]


def test_a_ratio_whose_floor_is_unknown_is_drawn() -> None:
    ax = charts.ratio(("a", "b"), [quantity("host", 1.25, 1.2, 1.3, "FASTER")], floor=math.nan)
    ax.figure.canvas.draw()
    assert "±0 %" in ax.get_xlabel()


def test_a_long_statement_is_cut_beside_a_ratio() -> None:
    ax = charts.ratio(("f" * 90, "g"), [quantity("host", 1.25, 1.2, 1.3, "FASTER")], floor=0.01)
    assert max(map(len, texts(ax))) < 60


def test_a_ratio_without_an_interval_is_a_hollow_dot() -> None:
    ax = charts.ratio(("a", "b"), [quantity("host", 2.0, math.nan, math.nan, "unclear")], floor=0.02)
    dot = ax.lines[-1]
    assert (dot.get_marker(), dot.get_markerfacecolor()) == ("o", WHITE)


def test_a_ratios_axis_is_logarithmic_about_1() -> None:
    ax = charts.ratio(("a", "b"), [quantity("host", 40.0, 35.0, 45.0, "real")], floor=0.01)
    low, high = ax.get_xlim()
    assert ax.get_xscale() == "log"
    assert low * high == pytest.approx(1)


GRID = Grid(
    ("layer", "forward (µs)", "of the cell", "gain"),
    (
        (Cell("Conv1"), Cell("33.3", 0.1, "±0.4"), Cell("41 %", share=0.41), Cell("18 %")),
        (Cell("Pool1"), Cell("1752", 1.0, "±11 ◀"), Cell("9.0 %", share=0.09), Cell("")),
        (Cell("(outside)"), Cell("–"), Cell("50 %", share=0.5), Cell("0 %")),
    ),
    barred=frozenset({2}),
)
WAITS = Section(
    "Waits",
    Grid(("line", "cost"), tuple((Cell(f"pool.py:{i}", whole="/pool.py"), Cell(f"{i}")) for i in range(10, 15))),
    total=7,
    where=".waits",
    note="Cost: of a step.",
)


def report(**changes: Any) -> Report:
    usual: dict[str, Any] = {
        "verdict": "The step is bound by launches: 143 take 2.42 ms. Pool1 is 83 % of the work.",
        "advice": (Advice("`x` runs 245 862 400 threads.", "%%layertime --lines Pool1.backward lm"), Advice("b", "")),
        "grid": GRID,
        "note": "Under each phase: one call.",
        "sections": (WAITS,),
        "warnings": ("Two calls raised.",),
        "missing": ("memory (no pool).",),
        "notes": ("NVIDIA H200", "120 steps"),
    }
    return Report(**{**usual, **changes})


def test_a_grid_aligns_figures_and_what_is_behind_them() -> None:
    assert GRID.text().splitlines() == [
        "layer      forward (µs)  of the cell  gain",
        "Conv1        33.3 ±0.4      41 % ██▌  18 %",
        "Pool1        1752 ±11 ◀    9.0 % ▌",
        "(outside)       –           50 % ███   0 %",
    ]


def test_a_grid_of_words_has_them_on_the_left() -> None:
    rows = ((Cell("a"), Cell("copy"), Cell("1")), (Cell("bc"), Cell("x"), Cell("20")))
    assert Grid(("name", "what", "n"), rows, words=frozenset({0, 1})).text().splitlines() == [
        "name  what   n",
        "a     copy   1",
        "bc    x     20",
    ]


def test_a_report_says_the_verdict_first_and_the_small_print_last() -> None:
    assert report(grid=None, note="").text().splitlines() == [
        "The step is bound by launches: 143 take 2.42 ms. Pool1 is 83 % of the work.",
        "",
        "• `x` runs 245 862 400 threads.",
        "    Next:  %%layertime --lines Pool1.backward lm",
        "• b",
        "",
        "Waits (the first 3 of 7; all: .waits)",
        "line        cost",
        "pool.py:10    10",
        "pool.py:11    11",
        "pool.py:12    12",
        "",
        "! Two calls raised.",
        "Not measured: memory (no pool).",
        "NVIDIA H200 · 120 steps",
    ]


def test_a_report_of_a_verdict_alone_is_that() -> None:
    assert Report("Nothing was called.").text() == "Nothing was called."
    assert Balance(Report("Nothing was called.").html()).text.strip() == "Nothing was called."


def test_a_report_shows_three_pieces_of_advice_and_folds_the_rest() -> None:
    many = report(advice=tuple(Advice(f"advice {i}", "") for i in range(5)))
    assert "advice 2" in many.text()
    assert "advice 3" not in many.text()
    assert "  (2 more: .advice)" in many.text()
    shown, folded = many.html().split("<details", 1)
    assert "advice 2" in shown
    assert "advice 3" not in shown
    assert "2 more" in folded
    assert "advice 4" in folded


def test_a_report_of_many_rows_shows_those_that_matter_most_and_folds_all() -> None:
    rows = tuple((Cell(f"Block{i}"),) for i in range(100))
    grid = Grid(("layer",), rows, weights=tuple(float(i % 50) for i in range(100)))
    shown = report(grid=grid)
    page, _, folded = shown.html().partition("<details")
    assert page.count("<tr>") == 41
    assert "The 40 of 100 rows that matter most; all of them" in folded
    assert folded.partition("</details>")[0].count("<tr>") == 101
    text = shown.text()
    assert "Block30\n" in text
    assert "Block29\n" not in text
    assert "The 40 of 100 rows that matter most; all: .table." in text


def test_a_reports_html_folds_its_details_and_has_no_script() -> None:
    page = report().html()
    read = Balance(page)
    assert read.open == []
    assert not read.tags & {"script", "link", "img", "iframe", "style"}
    assert page.index("<details") > page.index("<table>")
    assert "Waits (the first 5 of 7; all: .waits)" in read.text
    assert "pool.py:14" in read.text
    assert "Not measured: memory (no pool)." in read.text


def test_what_is_folded_has_its_triangle_whatever_the_pages_style() -> None:
    assert '<summary style="cursor:pointer;display:list-item">' in report().html()


def test_a_command_is_set_as_code_and_other_advice_is_not() -> None:
    assert "user-select:all" in Advice("a", "%%layertime lm").html()
    assert "user-select:all" not in Advice("a", "pool.py:3: leave it out").html()


def test_the_first_sentence_of_the_verdict_stands_out() -> None:
    page = report().html()
    assert "<b>The step is bound by launches: 143 take 2.42\N{NO-BREAK SPACE}ms.</b> Pool1 is" in page


def test_every_text_of_a_report_is_escaped() -> None:
    grid = Grid((EVIL, EVIL), ((Cell(EVIL), Cell(EVIL, after=EVIL, whole=EVIL)),), code=frozenset({1}))
    section = Section(EVIL, grid, 9, EVIL, EVIL)
    page = Balance(
        report(
            verdict=f"{EVIL}. {EVIL}",
            advice=(Advice(EVIL, f"%{EVIL}"), Advice(f"`{EVIL}`", EVIL)),
            grid=grid,
            note=EVIL,
            sections=(section,),
            warnings=(EVIL,),
            missing=(EVIL,),
            notes=(EVIL,),
        ).html()
    )
    assert page.open == []
    assert "script" not in page.tags
    assert page.text.count("alert") >= 18


def test_prose_sets_code_and_keeps_numbers_with_their_units() -> None:
    assert re.sub("<.*?>", "|", prose("`a < b` takes 41 % of 2.1 ms, 245 862 400 threads")) == (
        "|a &lt; b| takes 41_% of 2.1_ms, 245_862_400 threads".replace("_", "\N{NO-BREAK SPACE}")
    )


def test_a_cell_has_a_bar_as_long_as_its_share() -> None:
    page = grid_table(Grid(("a", "b"), ((Cell("x"), Cell("41 %", share=0.41)),)))
    assert "linear-gradient(to right,rgba(230,120,0,.36) 41.0%,transparent 41.0%)" in page


def test_a_text_that_was_cut_is_whole_under_the_pointer() -> None:
    assert ' title="the whole &quot;name&quot;"' in grid_table(
        Grid(("a",), ((Cell("the", whole='the whole "name"'),),))
    )
