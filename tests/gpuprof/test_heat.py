"""The layers' table as HTML: tints and bars, read in every theme; narrow pages; odd data."""

import math
import re
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import pytest

from gpuprof.views import parts
from gpuprof.views.colours import GPU, HOST, PHASES, contrast, mixed
from gpuprof.views.grid import Cell, Grid, LayerStep, layer_grid
from gpuprof.views.parts import grid_table, page, small_print
from gpuprof.views.source import CodeLine, Listing

# the text, how opaque it is, and what it stands on
THEMES = {
    "JupyterLab light": ("#000000", 0.87, "#ffffff"),
    "JupyterLab light, striped": ("#000000", 0.87, "#f5f5f5"),
    "JupyterLab dark": ("#ffffff", 0.87, "#111111"),
    "JupyterLab dark, striped": ("#ffffff", 0.87, "#212121"),
    "VS Code light": ("#3b3b3b", 1.0, "#ffffff"),
    "VS Code dark": ("#cccccc", 1.0, "#1f1f1f"),
    "Colab light": ("#1f1f1f", 1.0, "#ffffff"),
    "Colab dark": ("#d5d5d5", 1.0, "#383838"),
    "GitHub light": ("#1f2328", 1.0, "#ffffff"),
    "GitHub dark": ("#f0f6fc", 1.0, "#0d1117"),
    "paper": ("#000000", 1.0, "#ffffff"),
}
OPACITY = float(parts.FAINT.partition(":")[2])


def read(ink: str, opacity: float, ground: str) -> float:
    return contrast(mixed(ink, ground, opacity), ground)


class Styles(HTMLParser):
    """The style and the text of each cell, and whether all that was opened is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.cells: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag in ("br", "wbr"):
            return
        self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append((dict(attrs).get("style", ""), ""))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.cells and data.strip():
            style, text = self.cells[-1]
            self.cells[-1] = (style, f"{text} {data}".strip())


def table(*rows: tuple[str, str, float, float]) -> pd.DataFrame:
    found = pd.DataFrame(rows, columns=["path", "phase", "median_us", "share"])
    return found.assign(low_us=found["median_us"] - 1, high_us=found["median_us"] + 2, calls=1)


def heat(steps: dict[str, LayerStep] | None = None, *rows: tuple[str, str, float, float]) -> Styles:
    usual = (
        ("A", "forward", 20.0, 0.1),
        ("A", "backward", 60.0, 0.4),
        ("B", "forward", 40.0, 0.2),
        ("(outside)", "", 9.0, 0.3),
    )
    made = table(*(rows or usual))
    return Styles(grid_table(layer_grid(made, list(dict.fromkeys(made["path"])), steps or {})))


def style_of(found: Styles, text: str) -> str:
    return next(style for style, each in found.cells if each.startswith(text))


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("colour", [parts._WARM, HOST, GPU])
def test_text_is_read_on_the_warmest_cell_and_on_every_bar(theme: str, colour: str) -> None:
    ink, opacity, ground = THEMES[theme]
    assert read(ink, opacity, mixed(colour, ground, parts._TINT)) >= 4.5


@pytest.mark.parametrize("theme", THEMES)
def test_small_print_is_read_on_every_ground(theme: str) -> None:
    ink, opacity, ground = THEMES[theme]
    assert read(ink, opacity * OPACITY, ground) >= 4.5


def test_nothing_that_stands_on_a_tint_is_faint() -> None:
    found = grid_table(Grid(("a",), ((Cell("1", 1.0, "±0.4 ◀"),),)))
    assert "opacity" not in found.partition("<tbody>")[2]


def test_all_that_is_faint_is_so_alike() -> None:
    whole = page(small_print(["NVIDIA H200"]), Listing((), (), (CodeLine(1, "x", note="here"),)).html())
    assert set(re.findall(r"opacity:[.\d]+", whole)) == {parts.FAINT}


def test_a_phase_is_tinted_by_its_usual_calls_and_has_a_bar_in_its_colour() -> None:
    found = heat()
    hot, warm, cool = (style_of(found, text) for text in ("60.0", "40.0", "20.0"))
    assert f"{PHASES['backward']} 100.0%" in hot
    assert f"{PHASES['forward']} 66.7%" in warm
    assert f"{PHASES['forward']} 33.3%" in cool
    tints = [float(re.findall(r"rgba\(230,120,0,([.\d]+)\)", style)[0]) for style in (hot, warm, cool)]
    assert tints == sorted(tints, reverse=True)
    assert tints[0] == parts._TINT


def test_the_hottest_phase_is_marked_without_colour_too() -> None:
    assert [text for _, text in heat().cells if "◀" in text] == ["60.0 ±2 ◀"]


def test_a_phase_of_many_calls_is_warmer_than_one_of_a_single_slow_call() -> None:
    made = table(("A", "forward", 20.0, 0.9), ("B", "forward", 30.0, 0.1)).assign(calls=[1, 5])
    found = Styles(grid_table(layer_grid(made, ["A", "B"], {})))
    assert [text for _, text in found.cells if "◀" in text] == ["30.0 ±2 ◀"]


def test_host_and_busy_have_bars_as_long_as_they_are_beside_the_longest() -> None:
    steps = {"A": LayerStep(host=1e-4, busy=4e-5), "B": LayerStep(host=5e-5, busy=8e-5)}
    found = heat(steps)
    assert "rgba(213,94,0,.36) 50.0%" in style_of(found, "50.0")
    assert "rgba(0,114,178,.36) 50.0%" in [style for style, text in found.cells if text == "40.0"][-1]


def test_a_unit_stands_under_its_heading() -> None:
    found = heat()
    assert [text for _, text in found.cells][:4] == ["layer", "forward µs", "backward µs", "of the cell"]


def test_a_heading_longer_than_its_column_takes_two_lines() -> None:
    found = grid_table(Grid(("layer", "GPU idle", "× as fast"), ((Cell("A"), Cell("3 %"), Cell("1.20", 0, "[1, 2]")),)))
    assert "GPU<br>idle" in found
    assert ">× as fast<" in found


def test_what_is_told_in_sentences_stands_whole_beneath_its_row() -> None:
    rows = ((Cell("A"), Cell("3"), Cell("cut…", whole="cut <nowhere>")), (Cell("B"), Cell("4"), Cell("")))
    grid = Grid(("layer", "launches", "changed"), rows, beneath=frozenset({2}))
    found = grid_table(grid)
    assert Styles(found).open == []
    assert "changed" not in found
    assert found.count("<tr>") == 1 + 2 + 1
    assert 'colspan="2"' in found
    assert "cut &lt;nowhere&gt;" in found
    assert "cut…" in grid.text()


def test_names_stay_in_sight_and_may_break_and_figures_may_not() -> None:
    found = heat(None, ("encoder." + "block." * 40, "forward", 20.0, 1.0))
    name, figure = style_of(found, "encoder"), style_of(found, "20.0")
    assert "position:sticky;left:0" in name
    assert "overflow-wrap:anywhere" in name
    assert "white-space:normal" in name
    assert "30vw" in name
    assert "white-space:nowrap" in figure


def test_a_name_breaks_at_its_joints_and_not_within_a_number() -> None:
    assert "encoder.<wbr>layer.0.<wbr>attention" in grid_table(Grid(("a",), ((Cell("encoder.layer.0.attention"),),)))
    assert "<wbr>" not in grid_table(Grid(("n",), ((Cell("0.25"),),)))


def test_sentences_in_a_table_go_on_for_several_lines() -> None:
    row = (Cell("A"), Cell("real"), Cell("+cupy_add__float32, −cupy_take, threads 3 → 2"))
    found = Styles(grid_table(Grid(("layer", "is", "changed"), (row,), frozenset({0, 1, 2}))))
    assert "white-space:nowrap" in style_of(found, "real")
    assert "white-space:normal" in style_of(found, "+cupy_add")


@pytest.mark.parametrize(
    "rows",
    [
        [("A", "forward", 0.0, 0.0)],
        [("A", "forward", math.nan, math.nan)],
        [(f"Block{i}", phase, 3.0 + i, 0.01) for i in range(40) for phase in ("forward", "backward", "update")],
        [("Net", "encode", 3.0, 0.4), ("Net", "decode", 3.0, 0.4), ("f", "call", 1.0, 0.1), ("r", "region", 1.0, 0.1)],
        [("A", "forward", 0.05, 1e-6), ("B", "backward", 9e4, 0.99)],
    ],
    ids=["no time", "nothing measured", "40 layers", "methods", "six orders"],
)
def test_odd_data_is_closed_html_with_a_cell_a_phase(rows: list[tuple[str, str, float, float]]) -> None:
    found = heat(None, *rows)
    assert found.open == []
    paths, phases = ({row[i] for row in rows} for i in (0, 1))
    assert len(found.cells) == (len(paths) + 1) * (len(phases) + 3)


def test_methods_of_other_names_have_columns() -> None:
    found = heat(
        None,
        ("Net", "encode", 3.0, 0.4),
        ("f", "call", 1.0, 0.1),
        ("r", "region", 1.0, 0.1),
        ("A", "forward", 1.0, 0.1),
    )
    assert [text.split()[0] for _, text in found.cells[1:5]] == ["forward", "encode", "call", "region"]
