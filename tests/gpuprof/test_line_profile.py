"""LineProfile: the table, the sentence, the views, the file."""

from __future__ import annotations

import dataclasses
import json
import math
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from gpuprof.hooks.source import Source
from gpuprof.results.lines import COLUMNS, LineFigures, LineProfile
from gpuprof.views.source import CodeLine, listing

CODE = (
    "    def backward(self, dy):",
    "        grad = dy.reshape(-1, 1)",
    "        grad_x = xp.zeros(",
    "            (grad.size, 4))",
    "        grad_x[:, max_index] = grad",
    "        if False:",
    '            return "<none> & nothing"',
)
SOURCE = Source("MaxPool2d.backward", "pool.py", 53, CODE)
ROWS = {
    54: LineFigures(2, 4e-6, 5e-6, 0.0, 0, None, 0, 0, "float32 (62720, 1)"),
    55: LineFigures(2, 20e-6, 22e-6, 60e-6, 2, 62_720, 2048, 2048, "float32 (15680, 4)"),
    57: LineFigures(2, 40e-6, 1990e-6, 1940e-6, 22, 245_862_400, 0, 0, "float32 (15680, 4)"),
    58: LineFigures(2, 1e-6),
}


def profile(**changes: Any) -> LineProfile:
    given: dict[str, Any] = {
        "name": "MaxPool2d.backward",
        "source": SOURCE,
        "rows": ROWS,
        "calls": 2,
        "method_busy_s": 2000e-6,
        "method_span_s": 2100e-6,
        "clock": "CUDA events",
    }
    return LineProfile(**{**given, **changes})


def changed(line: int, **changes: Any) -> dict[int, LineFigures]:
    return {**ROWS, line: dataclasses.replace(ROWS[line], **changes)}


def without_kernels(**changes: Any) -> LineProfile:
    rows = {line: dataclasses.replace(row, busy_s=math.nan, launches=None, threads=None) for line, row in ROWS.items()}
    return profile(rows=rows, method_busy_s=math.nan, **changes)


def row(table: Any, line: int) -> Any:
    return table[table["line"] == line].iloc[0]


def test_the_table_has_a_row_for_each_line_of_the_source() -> None:
    table = profile().table
    assert tuple(table.columns) == COLUMNS
    assert list(table["line"]) == [53, 54, 55, 56, 57, 58, 59]
    assert tuple(table["source"]) == CODE


def test_figures_are_of_one_call() -> None:
    found = row(profile().table, 57)
    assert (found.hits, found.launches) == (1, 11)
    assert (found.host_us, found.span_us, found.busy_us) == pytest.approx((20, 995, 970))


def test_threads_are_those_of_the_largest_launch_and_not_divided() -> None:
    assert row(profile().table, 57).threads == 245_862_400


def test_a_line_that_was_never_hit_has_no_figures() -> None:
    found = row(profile().table, 59)
    assert found[["hits", "host_us", "span_us", "busy_us", "launches", "threads", "share"]].isna().all()
    assert (found.result, found.note) == ("", "")


def test_the_share_is_of_the_methods_busy_time() -> None:
    assert row(profile().table, 57).share == pytest.approx(0.97)


def test_without_kernel_records_the_share_is_of_the_methods_span() -> None:
    found = without_kernels()
    assert found.basis == "span_s"
    assert row(found.table, 57).share == pytest.approx(1990 / 2100)


def test_on_the_host_clock_the_share_is_of_the_lines_host_time() -> None:
    rows = {1: LineFigures(1, 3e-6), 2: LineFigures(1, 1e-6)}
    found = LineProfile("f", Source("f", "f.py", 1, ("def f(): a", "    b")), rows, 1)
    assert found.shares == pytest.approx({1: 0.75, 2: 0.25})


def test_a_line_that_waits_has_its_waiting_in_the_span() -> None:
    rows = {54: LineFigures(1, 1e-6, 2e-6, waits=True)}
    assert row(profile(rows=rows, method_busy_s=math.nan).table, 54).note == "includes waiting"


def test_a_line_that_waits_has_no_waiting_in_the_busy_time() -> None:
    assert row(profile(rows=changed(54, waits=True)).table, 54).note == "waits for the GPU"


def test_the_verdict_names_the_line_and_what_it_launches_for_what() -> None:
    assert profile().verdict == (
        "Line 57 of MaxPool2d.backward, `grad_x[:, max_index] = grad`, takes 97 % of its GPU time: "
        "11 launches of up to 245 862 400 threads for a result of 62 720 elements."
    )


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ({"launches": 2}, ": 1 launch of 245 862 400 threads for a result of 62 720 elements."),
        ({"threads": None}, ": 11 launches for a result of 62 720 elements."),
        ({"result": ""}, ": 11 launches of up to 245 862 400 threads."),
        ({"result": "a list of 3"}, " threads for a result of a list of 3."),
        ({"result": "float32 (1,)"}, " threads for a result of 1 element."),
        ({"launches": 0}, "takes 97 % of its GPU time."),
        ({"launches": None}, "takes 97 % of its GPU time."),
        ({"waits": True}, "62 720 elements. It waits for the GPU."),
    ],
)
def test_the_verdict_says_only_what_was_measured(figures: dict[str, Any], words: str) -> None:
    assert profile(rows=changed(57, **figures)).verdict.endswith(words)


def test_without_kernel_records_the_verdict_speaks_of_events() -> None:
    assert "takes 95 % of its time between its GPU events." in without_kernels().verdict


def test_waiting_inside_the_time_is_said_in_the_verdict() -> None:
    rows = {54: LineFigures(1, 1e-6, 2e-6, waits=True)}
    words = profile(rows=rows, method_busy_s=math.nan, method_span_s=2e-6).verdict
    assert words.endswith(
        "takes 100 % of its time between its GPU events. It waits for the GPU, and that is counted in."
    )


def test_a_method_that_was_not_called_says_so() -> None:
    words = "MaxPool2d.backward was not called while its lines were followed, so there is nothing to show."
    assert profile(rows={}, calls=0).verdict == words
    assert profile(rows={}, calls=0).table["hits"].isna().all()
    assert words in str(profile(rows={}, calls=0))


def test_lines_that_took_no_time_have_a_verdict() -> None:
    assert (
        profile(rows={54: LineFigures(1)}).verdict == "No line of MaxPool2d.backward took time that could be measured."
    )


def test_a_long_line_is_cut_in_the_verdict() -> None:
    source = Source("f", "f.py", 1, ("x = " + "y" * 99,))
    assert "`x = " + "y" * 55 + "…`" in LineProfile("f", source, {1: LineFigures(1, 1.0)}, 1).verdict


def test_text_shows_the_code_with_its_figures_aligned() -> None:
    text = str(profile()).splitlines()
    start = next(i for i, line in enumerate(text) if line.lstrip().startswith("line"))
    head = "line hits GPU(µs) host(µs) launches share source threads span(µs) allocated result"
    assert text[start].replace(" (", "(").split() == head.split(" ")
    hot = text[start + 5]
    assert hot.startswith(
        "  57     1       970       20.0        11   97 %  ███████▊      grad_x[:, max_index] = grad  "
    )
    assert hot.endswith("  245 862 400        995        0 B  float32 (15680, 4)")
    assert hot.index("grad_x") == text[start + 2].index("grad =")


def test_text_leaves_out_columns_that_nothing_was_measured_for() -> None:
    assert "GPU (" not in str(without_kernels())
    assert "threads" not in str(without_kernels())


def test_text_has_warnings_and_the_small_print() -> None:
    text = str(profile(warnings=("Two launches were lost.",), notes=("1 step in 8",), about={"gpu": "H200"}))
    assert "! Two launches were lost." in text
    assert text.endswith("CUDA events · 2 calls followed, figures a call · 1 step in 8 · H200")


def test_a_note_stands_beside_its_line() -> None:
    assert "grad = dy.reshape(-1, 1)   <- waits for the GPU" in str(profile(rows=changed(54, waits=True)))


class Checker(HTMLParser):
    """What a page holds, and whether each tag is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open.append(tag)
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def checked(html: str) -> Checker:
    page = Checker()
    page.feed(html)
    assert page.open == []
    return page


def test_html_is_static_and_well_formed() -> None:
    page = checked(profile(warnings=("a < b",))._repr_html_())
    assert page.tags <= {"div", "p", "b", "table", "thead", "tbody", "tr", "th", "td", "span"}
    assert "a < b" in page.text
    assert "Line 57 of MaxPool2d.backward" in page.text


def test_html_escapes_code_names_and_results() -> None:
    evil = "<script>alert(1)</script>"
    html = profile(name=evil, rows=changed(57, result=evil), notes=(evil,), clock=evil)._repr_html_()
    assert "<script" not in html
    assert 'return "<none> & nothing"' in checked(html).text


def test_html_draws_the_share_as_a_bar_and_leaves_both_themes_their_colours() -> None:
    html = profile()._repr_html_()
    assert "linear-gradient(to right,rgba(230,120,0,.36) 97.0%,transparent 97.0%)" in html
    assert ";color:" not in html.replace(";color:inherit", "")
    assert "#fff" not in html


def test_ipython_is_given_the_text_too() -> None:
    class Printer:
        shown = ""

        def text(self, words: str) -> None:
            self.shown += words

    printer = Printer()
    profile()._repr_pretty_(printer, False)
    assert printer.shown == str(profile())
    assert repr(profile()) == "<LineProfile: MaxPool2d.backward, 2 calls, 4 lines>"


@pytest.mark.parametrize("name", ["lines.json", "lines.json.gz"])
def test_a_saved_profile_comes_back_the_same(tmp_path: Path, name: str) -> None:
    before = profile(notes=("a",), warnings=("b",), about={"gpu": "H200"})
    after = LineProfile.load(before.save(tmp_path / name))
    assert str(after) == str(before)
    assert after.source == SOURCE
    assert after.rows[57] == before.rows[57]
    assert math.isnan(after.rows[58].busy_s)
    assert math.isnan(after.method_host_s)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    file.write_text('{"gpuprof": "timing", "schema": 1}')
    with pytest.raises(ValueError, match="should hold a gpuprof lines; it holds timing"):
        LineProfile.load(file)


@pytest.mark.parametrize("part", ["source", "rows", "calls"])
def test_a_file_with_a_part_missing_is_refused(tmp_path: Path, part: str) -> None:
    file = profile().save(tmp_path / "lines.json")
    content = json.loads(file.read_text())
    del content[part]
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="a part missing or damaged"):
        LineProfile.load(file)


def test_a_listing_leaves_empty_columns_and_the_common_indent_out() -> None:
    lines = [CodeLine(1, "    a", ("1", ""), details=("", "2")), CodeLine(2, ""), CodeLine(3, "        b")]
    found = listing(["one", "two"], ["three", "four"], lines)
    assert (found.figures, found.details) == (("one",), ("four",))
    assert [line.code for line in found.lines] == ["a", "", "    b"]
    assert found.lines[2].figures == found.lines[2].details == ()


def test_a_text_that_is_less_indented_than_the_code_keeps_its_words() -> None:
    lines = [CodeLine(1, '    a = """'), CodeLine(2, "  in a string"), CodeLine(3, '    """')]
    assert [line.code for line in listing([], [], lines).lines] == ['  a = """', "in a string", '  """']


BACKWARD = Source(
    "Pool1.backward",
    "pool.py",
    89,
    (
        "    def backward(self, dy):",
        "        dy = self.check(dy)",
        "        grad_x = self._routed(",
        "            dy).T",
        "        return self.col2im(grad_x)",
    ),
)
ROUTED = Source(
    "Pool1._routed", "pool.py", 97, ("    def _routed(self, grad):", "        grad_x[:, self.max_index] = grad")
)


def helper(name: str, busy: float) -> LineProfile:
    rows = {98: LineFigures(2, 1e-6, 2e-6, busy, 2, 245_862_400, result="float32 (15680, 4)")}
    return LineProfile(name, ROUTED, rows, 2, method_busy_s=busy * 1.001)


def outer(*inside: LineProfile) -> LineProfile:
    rows = {
        90: LineFigures(2, 1e-6, 2e-6, 0.0, 0),
        91: LineFigures(2, 1e-6, 2e-6, 1729e-6, 4, 245_862_400, result="float32 (40, 1568)"),
        93: LineFigures(2, 1e-6, 2e-6, 8e-6, 10, 15_744),
    }
    return LineProfile("Pool1.backward", BACKWARD, rows, 2, 1738e-6, clock="CUDA events", inside=inside)


def test_the_verdict_goes_down_to_the_line_in_what_the_line_calls() -> None:
    assert outer(helper("Pool1._routed", 1728e-6)).verdict == (
        "Line 91 of Pool1.backward, `grad_x = self._routed(`, takes 99 % of its GPU time; in it line 98 of "
        "Pool1._routed, `grad_x[:, self.max_index] = grad`, takes 99.9 %: 1 launch of 245 862 400 threads for a result "
        "of 62 720 elements."
    )


@pytest.mark.parametrize(
    "inside",
    [helper("Pool1.col2im", 1728e-6), helper("Pool1._routed", 800e-6), helper("Pool1._routed", math.nan)],
    ids=["called on another line", "takes less than half of the line", "has no kernel records"],
)
def test_the_verdict_stays_with_the_line_where_what_it_calls_does_not_explain_it(inside: LineProfile) -> None:
    assert "in it" not in outer(inside).verdict
    assert outer(inside).verdict.endswith("2 launches of up to 245 862 400 threads for a result of 62 720 elements.")


def test_what_a_method_calls_stands_beneath_it_where_it_takes_a_share_worth_a_look() -> None:
    found = outer(helper("Pool1._routed", 1728e-6), helper("Pool1.col2im", 8e-6))
    for shown in (str(found), checked(found._repr_html_()).text.replace("\N{NO-BREAK SPACE}", " ")):
        assert "Pool1._routed, called in it: 99.5 % of its GPU time" in shown
        assert shown.count("grad_x[:, self.max_index] = grad") == 2  # in the verdict, and in its own lines
        assert "Pool1.col2im" not in shown


def test_what_a_method_calls_is_saved_with_it(tmp_path: Path) -> None:
    found = outer(helper("Pool1._routed", 1728e-6))
    back = LineProfile.load(found.save(tmp_path / "lines.json"))
    assert str(back) == str(found)
    assert "in it line 98 of Pool1._routed" in back.verdict


def test_a_line_that_launches_nothing_has_no_threads() -> None:
    rows = {98: LineFigures(1, 1e-6, 2e-6, 1e-6, 1, 64), 97: LineFigures(1, 1e-6, 2e-6, 0.0, 0, 0)}
    found = LineProfile("f", ROUTED, rows, 1)
    assert [line.details[0] for line in found.listing.lines] == ["", "64"]
