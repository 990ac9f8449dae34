"""ProfileComparison: its words, its table and look, its file."""

import math
from typing import Any

import matplotlib.pyplot as plt
import pytest

from gpuprof.__main__ import main
from gpuprof.results.changewords import bottleneck
from gpuprof.results.profilecomparison import COLUMNS, Agreement, ProfileComparison
from gpuprof.results.rowchange import RowChange, word
from gpuprof.saved import regressed

from .models import check_refused

NAN = math.nan


def row(path: str = "Pool1", phase: str = "backward", **others: Any) -> RowChange:
    known = {"old_us": 412e3, "new_us": 6.1e3, "ratio": 67.5, "low": 64.0, "high": 70.1, "floor": 0.005}
    return RowChange(path, phase, **known | {"verdict": "real", "old_steps": 500, "new_steps": 480} | others)


SAME = {"old_us": 100.0, "new_us": 99.0, "ratio": 1.01, "low": 0.99, "high": 1.03, "verdict": "noise"}
STEP = row("(step)", "", old_us=489e3, new_us=125e3, ratio=3.912, low=3.8, high=4.0)


def compared(*rows: RowChange, **others: Any) -> ProfileComparison:
    return ProfileComparison(**{"names": ("before", "now"), "rows": rows, "how": "controls"} | others)


# Words


def test_what_is_real_is_said_with_its_factor_interval_and_times() -> None:
    assert compared(row(), STEP).verdict == (
        "Pool1.backward is 67.5× as fast [64.0, 70.1]: 412 ms → 6.10 ms (real). "
        "The step is 3.91× as fast [3.80, 4.00]: 489 ms → 125 ms (real)."
    )


def test_what_got_slower_is_said_the_other_way_round() -> None:
    slower = row(ratio=0.5, low=0.4, high=0.8, old_us=100.0, new_us=200.0)
    assert compared(slower).verdict == "Pool1.backward takes 2.00× as long [1.25, 2.50]: 100 µs → 200 µs (real)."


def test_where_only_the_kernels_tell_that_is_said() -> None:
    busy = {"busy_ratio": 0.5, "busy_low": 0.4, "busy_high": 0.8, "busy_verdict": "real"}
    text = compared(row(**SAME, **busy, old_busy_us=50.0, new_busy_us=100.0)).verdict
    assert text.startswith(
        "The kernels of Pool1.backward take 2.00× as long [1.25, 2.50]: 50.0 µs → 100 µs (real; its time: noise)."
    )
    faster = row("C", **SAME, busy_ratio=2.0, busy_low=1.9, busy_high=2.1, busy_verdict="real")
    assert "So it is with those of 1 more row (real)." in compared(*[faster] * 4).verdict
    assert "The kernels of C.backward are 2.00× as fast [1.90, 2.10]" in compared(faster).verdict


def test_kernels_that_take_longer_are_a_regression_unless_the_step_became_faster() -> None:
    busy = row(**SAME, busy_ratio=0.5, busy_low=0.4, busy_high=0.8, busy_verdict="real")
    said = ["the kernels of Pool1.backward take 2.00× as long [1.25, 2.50]"]
    assert regressed(compared(busy, STEP._replace(verdict="noise"))) == said
    assert regressed(compared(busy, STEP)) == []
    assert regressed(compared(busy._replace(busy_ratio=2.0))) == []


def test_a_rows_longer_kernels_are_no_regression_where_a_steps_run_less() -> None:
    """Work that has moved from one layer to another: of a step's time too few steps may be known to tell."""
    busy = row(**SAME, busy_ratio=0.5, busy_low=0.4, busy_high=0.8, busy_verdict="real")
    less = STEP._replace(verdict="no verdict", busy_ratio=3.0, busy_low=2.9, busy_high=3.1, busy_verdict="real")
    assert regressed(compared(busy, less)) == []
    assert len(regressed(compared(busy, less._replace(busy_ratio=0.3)))) == 2


def test_near_1_there_is_a_digit_more() -> None:
    assert row(ratio=1.03, low=1.02, high=1.04).times == "1.030× as fast [1.020, 1.040]"


def test_three_rows_are_named_and_the_rest_are_counted() -> None:
    text = compared(*(row(f"L{i}") for i in range(5)), row("M", **SAME)).verdict
    assert "L2.backward is" in text
    assert "L3.backward" not in text
    assert "So it is with 2 more rows (real)." in text
    assert text.endswith("Noise in 1 row.")


def test_where_nothing_is_real_that_is_said() -> None:
    unclear = row("C", ratio=1.1, low=0.9, high=1.3, verdict="unclear")
    step = STEP._replace(verdict="noise", ratio=1.001, floor=0.005)
    text = compared(row("A", **SAME), row("B", **SAME), unclear, step).verdict
    assert text == (
        "The step: noise (within ±0.5 %). No layer's difference is real: noise in 2 rows, unclear in 1 row."
    )


def test_without_a_verdict_the_reason_is_said_and_what_changed_for_certain() -> None:
    bare = {"low": NAN, "high": NAN, "verdict": "no verdict"}
    certain = row(changed=("−scatter", "launches 11 → 2"), **bare)
    gone = row("Old", verdict="removed")
    text = compared(certain, gone, how="", why="one run a side", next="compare([a], [b])").verdict
    assert text == (
        "No verdict: one run a side. Pool1.backward for certain: −scatter, launches 11 → 2. Removed: Old.backward."
    )


def test_what_was_not_alike_is_said_first() -> None:
    found = compared(row(**SAME), unlike=("numpy was 1 and is 2",), bottleneck="Now B.")
    assert found.verdict.startswith("Not alike: numpy was 1 and is 2. ")
    assert found.verdict.endswith(" Now B.")


def test_results_that_differ_are_said_before_the_times() -> None:
    agreement = (Agreement("output", "", 1e-7, 1e-5), Agreement("Pool1", "dW", 0.02, 1e-5), Agreement("A", "b", 1, 0))
    text = compared(row(), agreement=agreement).verdict
    assert text.startswith("The two do not compute the same: A b differs by 1.0 of its largest element (and 1 more). ")
    agreed = compared(row(), agreement=agreement[:1]).verdict
    assert agreed.startswith("Outputs and gradients agree to 1e-07. ")
    equal = compared(row(), agreement=(Agreement("output", "", 0, 1e-5),)).verdict
    assert equal.startswith("Outputs and gradients are equal. ")


def test_shapes_that_differ_are_said_so() -> None:
    assert Agreement("A", "dW", math.inf, 1e-5).text() == "A dW differs in shape or in what is finite"
    assert not Agreement("A", "dW", NAN, 1e-5).agrees


@pytest.mark.parametrize(
    ("new", "old", "text"),
    [
        ([], [], ""),
        ([("B", 0.41)], [("A", 0.87)], "Now most is to be gained at B: 41 % of a step (before: A, 87 %)."),
        ([("B", 0.01)], [], "Now no single layer would gain a step 3.0 %."),
    ],
)
def test_the_bottleneck_in_words(new: list[Any], old: list[Any], text: str) -> None:
    assert bottleneck(new, old) == text


@pytest.mark.parametrize(
    ("value", "half", "floor", "step", "said"),
    [
        (0.05, 0.01, 0.005, False, "real"),
        (-0.05, 0.01, 0.005, False, "real"),
        (0.012, 0.01, 0.005, False, "noise"),
        (0.012, 0.01, 0.005, True, "unclear"),
        (0.05, 0.01, 0.12, False, "noise"),
        (0.05, 0.10, 0.02, False, "unclear"),
        (0.05, NAN, 0.005, False, "unclear"),
    ],
)
def test_what_an_interval_allows_to_say(value: float, half: float, floor: float, step: bool, said: str) -> None:
    assert word(value, half, floor, step) == said


# Rows and look


def test_a_row_is_found_by_its_path_and_phase() -> None:
    found = compared(row(), STEP)
    assert found["Pool1", "backward"].ratio == 67.5
    assert (found.ratio, found.word, found.step) == (3.912, "real", STEP)
    with pytest.raises(KeyError, match=r"no row \('X', 'y'\) was compared; there are \('Pool1', 'backward'\)"):
        found["X", "y"]


def test_without_steps_there_is_no_ratio() -> None:
    found = compared(how="")
    assert (math.isnan(found.ratio), found.word) == (True, "no verdict")
    assert (found.verdict, list(found.table.columns)) == ("", list(COLUMNS))


def test_the_table_has_a_row_each() -> None:
    table = compared(row("Net/Pool1", changed=("a", "b")), STEP).table
    assert tuple(table.columns) == COLUMNS
    assert table.loc[0, ["path", "layer", "phase", "ratio", "verdict", "changed"]].tolist() == [
        "Net/Pool1", "Pool1", "backward", 67.5, "real", "a; b"
    ]  # fmt: skip


def test_it_prints_its_verdict_its_table_and_how_it_came_about() -> None:
    rows = row(old_launches=11, new_launches=2, old_bytes=3e6, new_bytes=3e6, changed=("−scatter", "launches 11 → 2"))
    text = str(compared(rows, STEP, notes=("held against 9 rows",), about={"gpu": "H200"}, clock="CUDA events"))
    table = text.split("\n\n")[1].splitlines()[:2]
    head, first = (" ".join(line.split()) for line in table)
    assert head == "layer before (ms) now (ms) × as fast is launches changed"
    assert first == "Pool1.backward 412 6.10 67.5 [64.0, 70.1] real 11 → 2 −scatter"
    assert "real: all of it is beyond the floor" in text
    assert text.endswith("H200 · CUDA events · held against 9 rows")


def test_what_to_type_for_a_verdict_is_shown() -> None:
    found = compared(row(), how="", why="one run a side", next="gpuprof.compare(a, b, step)")
    assert "Next:  gpuprof.compare(a, b, step)" in str(found)
    assert "gpuprof.compare(a, b, step)" in found._repr_html_()


def test_of_many_rows_the_first_and_the_step_are_shown_and_all_can_be_unfolded() -> None:
    found = compared(*(row(f"Block{i}", **SAME) for i in range(100)), STEP)
    page, _, folded = found._repr_html_().partition("<details")
    assert "Block38.backward" in str(found)
    assert "Block39.backward" not in page
    assert "(step)" in page
    assert "Block99." in folded
    assert "The 40 of 101 rows that matter most; all: .table." in str(found)


def test_html_escapes_names_and_needs_no_script() -> None:
    html = compared(row("<b>"), names=("a < b", "now"))._repr_html_()
    assert "&lt;b&gt;" in html
    assert "a &lt; b" in html
    assert "<script" not in html


def test_a_notebook_shows_the_text() -> None:
    class Printer:
        def text(self, text: str) -> None:
            self.shown = text

    printer = Printer()
    found = compared(row())
    found._repr_pretty_(printer, cycle=False)
    assert printer.shown == str(found)
    assert repr(found).startswith("<ProfileComparison: Pool1.backward is")


def test_the_plot_has_a_pair_of_bars_a_row() -> None:
    found = compared(row(), row("A", **SAME), row("New", old_us=NAN, ratio=NAN, verdict="added"), STEP)
    _, ax = plt.subplots()
    assert found.plot(ax) is ax
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["Pool1.backward", "A.backward", "New.backward"]
    texts = " ".join(text.get_text() for text in ax.texts)
    assert "67.5×, real" in texts
    assert "added" in texts
    plt.close("all")


def test_nothing_at_all_can_be_drawn() -> None:
    compared(how="").plot()
    plt.close("all")


# The file


def test_a_comparison_comes_back_from_its_file(tmp_path) -> None:
    agreement = (Agreement("A", "dW", 1e-7, 1e-5), Agreement("B", "dW", math.inf, 1e-5))
    found = compared(
        row(old_launches=11.0, new_launches=2.0, old_busy_us=1.0, new_busy_us=1.0, old_bytes=0.0, new_bytes=0.0),
        unlike=("numpy",), bottleneck="b", agreement=agreement, warnings=("w",), notes=("n",), about={"gpu": "H200"},
    )  # fmt: skip
    assert ProfileComparison.load(found.save(tmp_path / "c.json")) == found


def test_what_is_not_known_comes_back_as_nan(tmp_path) -> None:
    found = compared(row(low=NAN, high=NAN), STEP)
    again = ProfileComparison.load(found.save(tmp_path / "c.json.gz"))
    assert math.isnan(again.rows[0].low)
    assert str(again) == str(found)


@pytest.mark.parametrize("text", ["{", "[]", '{"gpuprof": "comparison", "schema": 1}'])
def test_a_file_that_is_no_comparison_is_refused(tmp_path, text: str) -> None:
    check_refused(ProfileComparison, tmp_path / "c.json", text, "gpuprof profile comparison")


def test_a_damaged_comparison_is_refused(tmp_path) -> None:
    path = compared(row()).save(tmp_path / "c.json")
    check_refused(ProfileComparison, path, path.read_text().replace('"rows"', '"rose"'), "a part missing or damaged")
    check_refused(ProfileComparison, path, path.read_text().replace("67.5,", ""), "a part missing or damaged")


def test_a_saved_one_can_be_shown_from_a_terminal(tmp_path, capsys) -> None:
    assert main(["show", str(compared(row()).save(tmp_path / "c.json"))]) == 0
    assert "Pool1.backward is 67.5× as fast" in capsys.readouterr().out
