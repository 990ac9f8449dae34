"""`gpuprof.runs`: what was measured here, in a table; results by their number, in bounded memory."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

import gpuprof
from gpuprof import runlist as module
from gpuprof.judge.figures import Sample
from gpuprof.latest import asked, keep, one_run
from gpuprof.results.profile import Profile
from gpuprof.results.timing import Timing
from gpuprof.runlist import Runs
from gpuprof.testing import FakeClock

from .models import FakeModel
from .shell import shown


@pytest.fixture(autouse=True)
def none_before() -> Iterator[None]:
    gpuprof.runs.clear()
    yield
    gpuprof.runs.clear()


def timing(statement: str = "f(x)") -> Timing:
    return Timing(statement, Sample((1e-3,) * 12))


def test_runs_are_numbered_and_had_by_their_number_or_from_the_newest() -> None:
    made = [timing(f"f({i})") for i in range(4)]
    for each in made:
        keep(each)
    assert len(gpuprof.runs) == 4
    assert [gpuprof.runs[i] for i in range(4)] == list(gpuprof.runs) == made
    assert gpuprof.runs[-1] is gpuprof.last is made[3]
    assert gpuprof.runs[-2] is made[2]
    assert gpuprof.runs[1:3] == made[1:3]


@pytest.mark.parametrize("number", [2, -3, 99])
def test_a_run_that_there_is_not_is_told_with_those_there_are(number: int) -> None:
    keep(timing())
    keep(timing())
    with pytest.raises(IndexError, match=rf"there is no run {number}; there are 0 to 1"):
        gpuprof.runs[number]


def test_what_is_no_number_of_a_run_is_refused() -> None:
    with pytest.raises(TypeError, match="a run is had by its number, or a slice of them; got 'a'"):
        gpuprof.runs["a"]  # type: ignore[call-overload]


def test_each_kind_has_its_figure_and_its_verdict() -> None:
    clock = FakeClock()
    model = FakeModel(clock, "A")
    with gpuprof.layertime(model, clock=clock):
        model.train(5)
    gpuprof.timeit("spend(1e-3)", globals={"spend": clock.spend}, clock=clock, number=1, repeat=6)
    gpuprof.compare(lambda: clock.spend(2e-3), lambda: clock.spend(1e-3), clock=clock)
    gpuprof.sweep("spend(n)", {"n": [1e-3, 2e-3]}, globals={"spend": clock.spend}, clock=clock)
    gpuprof.linetime(model.layers[0].backward, 0, clock=clock)
    table = gpuprof.runs.table
    assert table["kind"].tolist() == ["Profile", "Timing", "Comparison", "Sweep", "LineProfile"]
    assert table["figure"].tolist() == ["3.00 ms a step", "host 1.00 ms", "2.00×", "2 values", "1.00 ms a call"]
    assert table["what"].tolist()[0] == "A"
    assert table["what"].tolist()[1] == "spend(1e-3)"
    assert table["what"].tolist()[3:] == ["spend(n)", "A.backward"]
    assert [bool(verdict) for verdict in table["verdict"]] == [True] * 5
    assert table["held"].all()
    assert len(gpuprof.runs) == 5  # and what a verb made on its way is no run


def test_what_was_asked_for_is_the_first_line_of_the_cell(ip: InteractiveShell) -> None:
    ip.run_cell("%%layertime -q lm\n\n  \nlm.train(2)  # twice\nx = 1")
    ip.run_cell("%gpu_timeit -q -n 1 -r 6 1 + 1")
    ip.run_cell("%%gpu_timeit -q -n 1 -r 6\ny = 2\ny + 1")
    ip.run_cell("def f(x):\n    return x")
    ip.run_cell("%layertime -q --lines f(x=[1, 2])")
    assert gpuprof.runs.table["what"].tolist() == ["lm.train(2) # twice", "1 + 1", "y = 2", "f(x=[1, 2])"]


def test_a_run_that_ends_in_an_error_is_one(ip: InteractiveShell) -> None:
    ip.run_cell("%%layertime -q lm\nlm.train(2)\n1 / 0")
    assert gpuprof.runs[-1] is gpuprof.last
    assert gpuprof.runs[-1].ended_by == "ZeroDivisionError: division by zero"  # type: ignore[union-attr]


def test_they_show_themselves_as_a_table(ip: InteractiveShell) -> None:
    ip.run_cell("%%layertime -q lm\nlm.train(2)")
    keep(timing("<b>|x|</b>"))
    ip.run_cell("import gpuprof\nfrom IPython.display import display\ndisplay(gpuprof.runs)")
    text = shown(ip).splitlines()
    assert text[0].split() == ["run", "when", "what", "kind", "figure", "verdict"]
    assert "lm.train(2)" in text[1]
    html = shown(ip, "text/html")
    assert "&lt;b&gt;|x|&lt;/b&gt;" in html
    assert "<script" not in html
    assert " a step</td>" in html


def test_none_say_so() -> None:
    assert str(gpuprof.runs).startswith("No runs yet")
    assert "No runs yet" in gpuprof.runs._repr_html_()
    assert gpuprof.runs.table.empty
    with pytest.raises(IndexError, match="there is no run -1; there are none"):
        gpuprof.runs[-1]


def test_cleared_they_count_from_0_again_and_last_stays() -> None:
    keep(timing())
    newest = timing()
    keep(newest)
    gpuprof.runs.clear()
    assert (len(gpuprof.runs), gpuprof.last) == (0, newest)
    keep(timing("g"))
    assert gpuprof.runs.table["number"].tolist() == [0]


# Bounded


def test_the_newest_are_held_and_of_older_ones_the_row_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 3)
    runs, named = Runs(), timing("named")
    runs.add(named)
    references = []
    for number in range(5):
        made = timing(f"f({number})")
        references.append(weakref.ref(made))
        runs.add(made)
        del made
    gc.collect()
    assert [each() is None for each in references] == [True, True, False, False, False]
    assert runs[0] is named  # somebody holds it
    assert runs.table["held"].tolist() == [True, False, False, True, True, True]
    assert runs.table["figure"].tolist() == ["host 1.00 ms"] * 6
    with pytest.raises(
        LookupError, match=r"the result of run 1 \(f\(0\)\) is gone: the newest 3 are held.*save\(\) it"
    ):
        runs[1]
    assert [each.statement for each in runs[:]] == ["named", "f(2)", "f(3)", "f(4)"]  # type: ignore[union-attr]
    assert "(Timing)" in str(runs)
    assert "In brackets: 2 results that nobody holds any more." in str(runs)


def test_large_results_are_held_as_long_as_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()

    def profile() -> Profile:
        with gpuprof.layertime(model := FakeModel(clock), clock=clock) as run:
            model.train(10)
        return run.profile

    room = module._room(profile())
    assert room == sum(column.nbytes for column in profile().log.columns.values())
    monkeypatch.setattr(module, "ROOM", 2 * room)
    runs = Runs()
    for _ in range(4):
        runs.add(profile())
    gpuprof.runs.clear()
    keep(timing())  # else it is held as the last
    gc.collect()
    assert runs.table["held"].tolist() == [False, False, True, True]
    monkeypatch.setattr(module, "ROOM", 1)
    runs.add(profile())
    assert isinstance(runs[-1], Profile)


def test_the_table_itself_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LISTED", 5)
    runs = Runs()
    for _ in range(8):
        runs.add(timing())
    assert runs.table["number"].tolist() == [3, 4, 5, 6, 7]
    with pytest.raises(IndexError, match="there is no run 2; there are 3 to 7"):
        runs[2]


def test_what_goes_is_told_before_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 1)
    runs = Runs()
    for _ in range(2):
        runs.add(timing())
        gc.collect()
    assert runs.table["verdict"].tolist()[0] == timing().verdict.partition(". ")[0].strip()


def test_a_result_that_cannot_tell_of_itself_has_a_row_all_the_same() -> None:
    runs = Runs()
    runs.add(Timing("f", Sample(())), "long " * 40)
    assert runs.table["what"].tolist() == ["long " * 11 + "long…"]
    assert len(str(runs).splitlines()) == 2


def test_of_a_verb_within_a_verb_the_last_result_is_the_run() -> None:
    @one_run
    def inner() -> None:
        keep(timing("inner"))
        keep(timing("second"))

    @one_run
    def outer() -> None:
        inner()
        keep(timing("outer"))
        raise ValueError("late")

    with asked("the cell"), pytest.raises(ValueError, match="late"):
        outer()
    inner()
    assert gpuprof.runs.table["what"].tolist() == ["the cell", "second"]
    assert [each.statement for each in gpuprof.runs] == ["outer", "second"]  # type: ignore[union-attr]


def test_a_call_that_keeps_nothing_is_no_run() -> None:
    keep(timing())
    one_run(lambda: None)()
    assert len(gpuprof.runs) == 1


def test_the_name_is_at_the_front_door() -> None:
    import importlib

    before: Any = gpuprof.runs
    keep(timing())
    assert importlib.reload(gpuprof).runs is before
