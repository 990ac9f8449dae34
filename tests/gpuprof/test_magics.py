"""The magics: options off the front, words untouched, values back, errors up."""

from collections.abc import Callable

import pytest
from IPython.core.error import UsageError

import gpuprof
from gpuprof.options import parse
from gpuprof.record.gate import CAPTURING
from gpuprof.results.comparison import Comparison
from gpuprof.results.profile import Profile
from gpuprof.results.sweep import Sweep
from gpuprof.results.timing import Timing
from gpuprof.testing import FakeClock

from .shell import error_of, shown

# %%layertime


def test_the_cell_runs_once_and_its_names_stay(ip) -> None:
    ip.run_cell("n = 0")
    ip.run_cell("%%layertime -q lm\nn += 1\nlm.train(2)")
    assert ip.user_ns["n"] == 1


def test_the_cells_value_is_its_own(ip) -> None:
    assert ip.run_cell("%%layertime -q lm\nlm.train(2)\n6 * 7").result == 42


def test_a_semicolon_silences_the_cells_value(ip) -> None:
    assert ip.run_cell("%%layertime -q lm\nlm.train(2)\n6 * 7;").result is None


def test_the_profile_is_shown_as_text_and_html(ip) -> None:
    ip.run_cell("%%layertime lm\nlm.train(4)")
    assert "steps" in shown(ip)
    assert "<table>" in shown(ip, "text/html")
    assert isinstance(gpuprof.last, Profile)


def test_o_returns_the_profile_and_v_stores_it(ip) -> None:
    result = ip.run_cell("%%layertime -o -v before lm\nlm.train(4)").result
    assert isinstance(result, Profile)
    assert ip.user_ns["before"] is result
    assert ip.display_pub.outputs == []  # Out shows it


def test_w_runs_before_and_r_profiles_several_runs(ip) -> None:
    ip.run_cell("n = 0")
    result = ip.run_cell("%%layertime -o -w 2 -r 3 lm\nn += 1\nlm.train(1)").result
    assert ip.user_ns["n"] == 5
    assert result["A", "forward"].calls == 3


def test_several_models_and_expressions_are_taken(ip) -> None:
    result = ip.run_cell("%%layertime -o lm.layers[0], {'x': lm.layers[2]}\nlm.train(2)").result
    assert {"A", "C"} <= set(result.table["path"])
    assert "B" not in set(result.table["path"])


def test_magics_and_strings_inside_the_cell_keep_their_meaning(ip) -> None:
    ip.run_cell("%%layertime -q lm\nlm.train(1)\ntext = '''{lm}\n  $x'''\nwhere = %pwd")
    assert ip.user_ns["text"] == "{lm}\n  $x"
    assert isinstance(ip.user_ns["where"], str)


def test_functions_defined_in_the_cell_see_its_names(ip) -> None:
    ip.run_cell("%%layertime -q lm\nk = 3\ndef f():\n    return [k for _ in range(2)]\nlm.train(1)\nresult = f()")
    assert ip.user_ns["result"] == [3, 3]


def test_an_error_rises_and_what_was_measured_is_shown(ip) -> None:
    error = error_of(ip, "%%layertime lm\nlm.train(2)\n1 / 0")
    assert isinstance(error, ZeroDivisionError)
    assert "The cell ended early (ZeroDivisionError: division by zero)" in shown(ip)
    assert all("forward" not in vars(layer) for layer in ip.user_ns["lm"].layers)


def test_a_traceback_has_the_cells_own_lines(ip) -> None:
    error = error_of(ip, "%%layertime -q lm\nlm.train(1)\n\n1 / 0")
    lines = []
    trace = error.__traceback__
    while trace is not None:
        lines.append(trace.tb_lineno)
        trace = trace.tb_next
    assert lines[-1] == 4


def test_an_interrupt_rises_and_what_was_measured_is_shown(ip) -> None:
    error = error_of(ip, "%%layertime lm\nlm.train(2)\nraise KeyboardInterrupt")
    assert isinstance(error, KeyboardInterrupt)
    assert "The cell ended early (KeyboardInterrupt)" in shown(ip)


def test_what_rises_in_the_first_layer_is_not_hidden_by_showing(ip) -> None:
    cell = "%%layertime lm\nlm.train(2)\nlm.layers[0].clock = None\nlm.train(1)"
    assert isinstance(error_of(ip, cell), AttributeError)
    assert "The cell ended early (AttributeError" in shown(ip)


def test_this_packages_own_future_imports_stay_out_of_the_cell(ip) -> None:
    ip.run_cell("%%layertime -q lm\nlm.train(1)\ndef f(x: int): ...")
    assert ip.user_ns["f"].__annotations__ == {"x": int}


def test_a_traceback_names_the_cell_it_is_in(ip) -> None:
    ip.run_cell("%%layertime -q lm\nlm.train(1)\ndef f(): ...", store_history=True)
    assert ip.compile._filename_map[ip.user_ns["f"].__code__.co_filename] == len(ip.user_ns["In"]) - 1


@pytest.mark.parametrize("line", ["lm  # mine", "lm;", " lm ", "lm, "])
def test_a_comment_a_semicolon_or_a_comma_may_end_the_line(ip, line: str) -> None:
    ip.run_cell_magic("layertime", f"-q -v p {line}", "lm.train(1)")
    assert isinstance(ip.user_ns["p"], Profile)


def test_a_cell_that_calls_no_layer_says_so(ip) -> None:
    ip.run_cell("%%layertime lm\npass")
    assert "No layer was called" in shown(ip)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", "needs a model"),
        ("nobody", "name 'nobody' is not defined; make the model in a cell before this one"),
        ("lm -v after", "-v stands before the model; got 'lm -v after'"),
        ("lm -q", "-q stands before the model; got 'lm -q'"),
        ("lm +", "expected an expression such as lm; got 'lm \\+'"),
        ("[]", "this list has no layers yet"),
        ("3", "expected an object with `layers`.*got int"),
        ("None", "expected an object with `layers`.*got NoneType"),
        ("lm, None", "expected an object with `layers`.*got NoneType"),
        ("--frobnicate lm", "unknown option '--frobnicate'; known are -o, -q"),
        ("-v 3x lm", "-v: expected a variable's name; got '3x'"),
        ("-r none lm", "expected a whole number from 1 up; got 'none'"),
        ("lm.nothing", "no attribute 'nothing'"),
    ],
)
def test_a_line_that_is_wrong_is_answered_with_a_sentence_and_the_cell_not_run(ip, line: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        ip.run_cell_magic("layertime", line, "ran = True")
    assert "ran" not in ip.user_ns


def test_a_cell_with_await_is_refused_with_the_reason(ip) -> None:
    for body in ("import asyncio\nawait asyncio.sleep(0)", "[x async for x in y]"):
        with pytest.raises(UsageError, match="put it into a function"):
            ip.run_cell_magic("layertime", "lm", body)


# %gpu_timeit


@pytest.fixture
def clock(ip, monkeypatch) -> FakeClock:
    """A clock that every %gpu_timeit runs on; the user has it as `clock`."""
    fake = FakeClock()
    monkeypatch.setattr("gpuprof.timer.clock_for", lambda *objects, **how: fake)
    ip.user_ns["clock"] = fake
    return fake


def test_the_line_magic_shows_one_line_and_a_sentence(ip, clock, capsys) -> None:
    assert ip.run_line_magic("gpu_timeit", "-n 10 -r 7 clock.spend(1e-3)") is None
    assert shown(ip).splitlines() == [
        "host 1.00 ms      ±0 %, 7 batches of 10 (fake host clock)",
        "Host time; no array on a GPU was found in it.",
    ]
    assert capsys.readouterr().out == ""


def test_the_line_magic_shows_html_too(ip, clock) -> None:
    ip.run_line_magic("gpu_timeit", "-n 10 -r 7 clock.spend(1e-3)")
    assert "<svg" in shown(ip, "text/html")
    assert "<script" not in shown(ip, "text/html")


def test_numpy_code_is_timed_by_the_hosts_clock_and_labelled_so(ip) -> None:
    import numpy as np

    ip.user_ns["x"] = np.zeros(1000)
    timing = ip.run_line_magic("gpu_timeit", "-qo -n 10 -r 6 x + 1")
    assert timing.clock == "host clock"
    assert timing.device.samples == ()
    assert timing.verdict == "Host time; no array on a GPU was found in it."


def test_o_prints_the_result_as_well_as_returning_it(ip, clock, capsys) -> None:
    timing = ip.run_line_magic("gpu_timeit", "-o -n 1 -r 6 clock.spend(1e-3)")
    assert capsys.readouterr().out == f"{timing}\n"
    assert ip.display_pub.outputs == []


def test_width_is_the_half_width_to_stop_at(ip, clock) -> None:
    timing = ip.run_line_magic("gpu_timeit", "-qo --width 5% clock.spend(1e-3)")
    assert timing.stopped == "intervals within ±5.0%"


def test_progress_is_told_on_one_line_that_is_wiped(ip, clock, capsys) -> None:
    ip.run_line_magic("gpu_timeit", "-q clock.spend(0.3)")
    printed = capsys.readouterr().out
    assert "\rmeasuring: host: " in printed
    assert printed.endswith(" \r")
    assert "\n" not in printed


def test_a_quick_statement_tells_no_progress(ip, clock, capsys) -> None:
    ip.run_line_magic("gpu_timeit", "-q -n 1 -r 6 clock.spend(1e-3)")
    assert capsys.readouterr().out == ""


def test_the_letters_mean_what_they_mean_in_timeit(ip, capsys) -> None:
    timing = ip.run_line_magic("gpu_timeit", "-n5 -r3 -p2 -qo -v mine 1 + 1")
    assert isinstance(timing, Timing)
    assert (timing.number, len(timing.host.samples), timing.digits) == (5, 3, 2)
    assert ip.user_ns["mine"] is timing
    assert capsys.readouterr().out == ""


def test_the_cell_magics_line_is_setup(ip) -> None:
    timing = ip.run_cell_magic("gpu_timeit", "-o -n 2 -r 2 total = 5", "y = total + 1\nz = y")
    assert len(timing.host.samples) == 2
    assert not {"total", "y", "z"} & ip.user_ns.keys()


def test_words_are_not_touched(ip) -> None:
    ip.run_cell("seen = []")
    ip.run_line_magic("gpu_timeit", "-q -n 1 -r 1 seen.append('a  b {lm} $lm -n 3')")
    assert set(ip.user_ns["seen"]) == {"a  b {lm} $lm -n 3"}


def test_statements_and_a_leading_minus_can_be_timed(ip) -> None:
    ip.run_cell("x = 3")
    assert ip.run_line_magic("gpu_timeit", "-o -n 1 -r 1 -- -x").statement == "-x"
    assert ip.run_line_magic("gpu_timeit", "-o -n 1 -r 1 y = x + 1; y").statement == "y = x + 1; y"


def test_a_callers_locals_are_seen_by_comprehensions_and_lambdas(ip) -> None:
    ip.run_cell(
        "def f():\n    k = 3\n    return get_ipython().run_line_magic('gpu_timeit',"
        " '-o -n 1 -r 1 [k for _ in range(2)], (lambda: k)()')\nresult = f()"
    )
    assert isinstance(ip.user_ns["result"], Timing)


# The ten defects of CuPy's %gpu_timeit (anchors/timing.md, §b)


def test_cupys_defect_1_the_statement_is_not_compiled_again_for_each_call(ip, clock, monkeypatch) -> None:
    import builtins

    used: list[str] = []

    def counted(name: str) -> Callable[..., object]:
        real = getattr(builtins, name)
        return lambda *words, **named: used.append(name) or real(*words, **named)

    def compiling(times: str) -> int:
        used.clear()
        ip.run_line_magic("gpu_timeit", f"-q {times} clock.spend(1e-3)")
        return len(used)

    for name in ("compile", "eval", "exec"):
        monkeypatch.setattr(builtins, name, counted(name))
    compiling("-n 1 -r 1")
    assert compiling("-n 1 -r 1") == compiling("-n 200 -r 3")


def test_cupys_defect_2_braces_and_dollars_are_the_users(ip, clock) -> None:
    ip.user_ns |= {"x": 3, "seen": []}
    ip.run_cell("%gpu_timeit -q -n 1 -r 1 seen.append({x}); seen.append('$x {x}')")
    assert ip.user_ns["seen"][:2] == [{3}, "$x {x}"]


def test_cupys_defect_3_blanks_in_strings_stay(ip, clock) -> None:
    ip.user_ns["seen"] = []
    ip.run_cell("%gpu_timeit -q -n 1 -r 1 seen.append('a  b\tc')")
    assert set(ip.user_ns["seen"]) == {"a  b\tc"}


@pytest.mark.parametrize("statement", ["z = x + 1", "x; x + 1", "y = x; y += 1", "if x: pass", "del [x][0]"])
def test_cupys_defect_4_statements_can_be_timed_on_a_line(ip, clock, statement: str) -> None:
    ip.user_ns["x"] = 3
    assert ip.run_line_magic("gpu_timeit", f"-qo -n 1 -r 1 {statement}").statement == statement


@pytest.mark.parametrize("expression", ["[k for _ in range(2)]", "(lambda: k)()", "sum(k for _ in range(2))", "f'{k}'"])
def test_cupys_defect_5_a_functions_locals_are_seen_inside_expressions(ip, clock, expression: str) -> None:
    magic = f"get_ipython().run_line_magic('gpu_timeit', {f'-qo -n 1 -r 1 {expression}'!r})"
    ip.run_cell(f"def f():\n    k = 3\n    return {magic}\nresult = f()")
    assert isinstance(ip.user_ns["result"], Timing)


def test_cupys_defect_6_assignments_do_not_leak_into_the_notebook(ip, clock) -> None:
    ip.user_ns["x"] = 3
    ip.run_cell_magic("gpu_timeit", "-q -n 1 -r 1 before = 1", "x = 4\nafter = before\ndef f(): ...\nimport math")
    ip.run_cell_magic("gpu_timeit", "-q -n 1 -r 1", "x = 4\nafter = 1\ndef f(): ...\nfor i in range(2): pass")
    assert ip.user_ns["x"] == 3
    assert not {"before", "after", "f", "i", "math"} & ip.user_ns.keys()


def test_cupys_defect_7_the_first_line_of_a_cell_is_setup_and_not_timed(ip, clock) -> None:
    ip.user_ns["ran"] = []
    line = "-qo -n 4 -r 6 ran.append(1); clock.spend(0.01); n = 1e-3"
    timing = ip.run_cell_magic("gpu_timeit", line, "clock.spend(n)")
    assert timing.host.median == 1e-3
    assert len(ip.user_ns["ran"]) >= 7  # before each batch


def test_cupys_defect_8_the_result_can_be_had(ip, clock) -> None:
    assert isinstance(ip.run_line_magic("gpu_timeit", "-qo -n 1 -r 1 1"), Timing)
    ip.run_line_magic("gpu_timeit", "-q -v kept -n 1 -r 1 1")
    assert isinstance(ip.user_ns["kept"], Timing)
    assert gpuprof.last is ip.user_ns["kept"]


def test_cupys_defect_9_a_call_without_a_statement_says_what_is_needed(ip) -> None:
    for line in ("", "  ", "-n 3"):
        with pytest.raises(UsageError, match="%gpu_timeit needs a statement: %gpu_timeit x \\+ 1"):
            ip.run_line_magic("gpu_timeit", line)


def test_cupys_defect_10_a_statement_may_begin_with_a_minus(ip, clock) -> None:
    ip.user_ns["x"] = 3
    assert ip.run_line_magic("gpu_timeit", "-qo -n 1 -r 1 -- -x").statement == "-x"
    with pytest.raises(UsageError, match="a statement that begins with - goes after --"):
        ip.run_line_magic("gpu_timeit", "-x")


# Ctrl-C, errors, printing


def test_an_interrupt_shows_what_there_is_and_raises_nothing(ip, clock) -> None:
    ip.run_cell("def f():\n    clock.spend(1e-3)\n    if clock.host() > 1.02e9:\n        raise KeyboardInterrupt")
    assert error_of(ip, "%gpu_timeit -n 1 -v t f()") is None
    assert ip.user_ns["t"].stopped == "interrupted"
    assert "host 1.00 ms" in shown(ip)


def test_an_error_midway_rises_and_what_was_measured_is_the_newest_result(ip, clock) -> None:
    ip.run_cell("def f():\n    clock.spend(1e-3)\n    if clock.host() > 1.02e9:\n        raise ValueError('stop')")
    error = error_of(ip, "%gpu_timeit -n 1 f()")
    assert isinstance(error, ValueError)
    assert "gpuprof.last" in error.__notes__[0]
    assert gpuprof.last.host.median == pytest.approx(1e-3)


def test_a_traceback_has_the_statements_own_line(ip, clock) -> None:
    error = error_of(ip, "%%gpu_timeit\nx = 1\nx / 0")
    lines = []
    trace = error.__traceback__
    while trace is not None:
        lines.append((trace.tb_frame.f_code.co_filename, trace.tb_lineno))
        trace = trace.tb_next
    assert lines[-1][1] == 2
    assert "gpuprof" not in lines[-1][0]


def test_what_is_printed_is_shown_once_and_told(ip, clock, capsys) -> None:
    ip.run_line_magic("gpu_timeit", "-n 2 -r 3 print('hello'); clock.spend(1e-3)")
    assert capsys.readouterr().out == "hello\n"
    assert "note: it prints: the output of its first call was shown" in shown(ip)


def test_what_is_displayed_is_shown_once_and_told(ip, clock) -> None:
    ip.run_cell("from IPython.display import display")
    timing = ip.run_line_magic("gpu_timeit", "-qo -n 2 -r 3 display('hello'); clock.spend(1e-3)")
    assert shown(ip) == "'hello'"
    assert any("it prints" in caution for caution in timing.cautions)


def test_afterwards_the_publisher_is_as_it_was(ip, clock) -> None:
    ip.run_line_magic("gpu_timeit", "-q -n 1 -r 1 1")
    assert "publish" not in vars(ip.display_pub)
    ip.display_pub.publish = mine = ip.display_pub.publish
    ip.run_line_magic("gpu_timeit", "-q -n 1 -r 1 1")
    assert vars(ip.display_pub).pop("publish") is mine


def test_a_semicolon_at_the_end_is_the_statements(ip, clock) -> None:
    assert ip.run_line_magic("gpu_timeit", "-qo -n 1 -r 1 clock.spend(1e-3);").host.median == 1e-3


def test_magics_inside_the_statement_keep_their_meaning(ip, clock) -> None:
    timing = ip.run_cell_magic("gpu_timeit", "-qo -n 1 -r 1", "where = %pwd\nclock.spend(1e-3)")
    assert timing.host.median == 1e-3


def test_inside_a_capture_it_is_refused_with_what_to_do(ip, monkeypatch) -> None:
    fake = FakeClock(device=True)
    fake.refusal = CAPTURING
    monkeypatch.setattr("gpuprof.timer.clock_for", lambda *objects, **how: fake)
    with pytest.raises(UsageError, match="end the capture"):
        ip.run_line_magic("gpu_timeit", "1")


# --vs and --over


def test_vs_compares_two_statements_in_turns(ip, clock) -> None:
    found = ip.run_line_magic("gpu_timeit", "-qo -n 1 clock.spend(2e-3) --vs clock.spend(1e-3)")
    assert isinstance(found, Comparison)
    assert (found.word, found.ratio) == ("FASTER", pytest.approx(2.0))
    assert found.names == ("clock.spend(2e-3)", "clock.spend(1e-3)")


def test_vs_in_a_cell_compares_the_cell_after_the_lines_setup(ip, clock) -> None:
    found = ip.run_cell_magic("gpu_timeit", "-qo -n 1 t = 1e-3 --vs clock.spend(t)", "clock.spend(t)\nclock.spend(t)")
    assert (found.word, found.ratio) == ("FASTER", pytest.approx(2.0))


def test_vs_may_be_all_that_is_on_a_cells_line(ip, clock) -> None:
    found = ip.run_cell_magic("gpu_timeit", "-qo -n 1 --vs clock.spend(1e-3)", "clock.spend(2e-3)")
    assert found.names == ("clock.spend(2e-3)", "clock.spend(1e-3)")


@pytest.mark.parametrize("statement", ["seen.append('a --vs b')", 'seen.append("a --vs b")', "seen.append(1)#--vs"])
def test_vs_in_a_string_is_the_users(ip, clock, statement: str) -> None:
    ip.user_ns["seen"] = []
    assert isinstance(ip.run_line_magic("gpu_timeit", f"-qo -n 1 -r 1 {statement}"), Timing)


def test_a_comparison_is_shown_and_stored(ip, clock) -> None:
    ip.run_line_magic("gpu_timeit", "-v found -n 1 clock.spend(2e-3) --vs clock.spend(1e-3)")
    assert "FASTER 2.00×" in shown(ip)
    assert "<table>" in shown(ip, "text/html")
    assert isinstance(ip.user_ns["found"], Comparison)


def test_a_comparison_of_statements_with_signs_is_escaped(ip, clock) -> None:
    ip.run_line_magic("gpu_timeit", "-n 1 clock.spend(1e-3); 1 < 2 --vs clock.spend(1e-3); 1 & 2")
    assert "1 &lt; 2" in shown(ip, "text/html")
    assert "1 &amp; 2" in shown(ip, "text/html")


def test_over_times_a_statement_for_each_value(ip, clock) -> None:
    found = ip.run_line_magic("gpu_timeit", "-qo -n 1 -r 6 --over n=1:4 clock.spend(n * 1e-3)")
    assert isinstance(found, Sweep)
    assert found.values == (1, 2, 4)
    assert [point.host.median for point in found.points] == pytest.approx([1e-3, 2e-3, 4e-3])
    assert "n" not in ip.user_ns


def test_over_in_a_cell_runs_the_setup_with_each_value(ip, clock) -> None:
    line = "-qo -n 1 -r 6 --over n=[2, 3] t = n * 1e-3"
    found = ip.run_cell_magic("gpu_timeit", line, "clock.spend(t)")
    assert [point.host.median for point in found.points] == pytest.approx([2e-3, 3e-3])


def test_a_sweep_is_shown_as_a_table(ip, clock) -> None:
    ip.run_line_magic("gpu_timeit", "-n 1 -r 6 --over n=1:4 clock.spend(n * 1e-3)")
    assert len(shown(ip).splitlines()) == 1 + 1 + 3 + 1


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", "needs a statement"),
        ("-z 1", "unknown option '-z'"),
        ("-n x 1", "-n: expected a whole number from 1 up; got 'x'"),
        ("-r 0 1", "-r: expected a whole number from 1 up; got '0'"),
        ("-v 3x 1", "-v: expected a variable's name; got '3x'"),
        ("--width 3 1", "--width: expected a share such as 1% or 0.01; got '3'"),
        ("--width wide 1", "--width: expected a share"),
        ("--over 5 1", r"--over: expected n=2\*\*10:2\*\*20 or n=\[1, 2, 3\]; got '5'"),
        ("--over n=nobody 1", "--over: 'nobody': NameError"),
        ("--over n=[] 1", "--over: expected values of n to go over"),
        ("--over n=4:2 1", "--over: expected a:b with 0 < a ≤ b"),
        ("--bytes nobody 1", "--bytes: expected a number above 0; 'nobody' raises NameError"),
        ("--bytes 0 1", "--bytes: expected a number above 0.*'0' is 0"),
        ("--bytes '-1' 1", "--bytes: expected a number above 0"),
        ("--flops 'x +' 1", "--flops: expected a number above 0"),
        ("--flops True 1", "--flops: expected a number above 0"),
        ("1 --vs", "--vs needs a statement after it"),
        ("1 --vs  ", "--vs needs a statement after it"),
        ("--vs 1", "needs a statement"),
        ("--cold 1 --vs 2", "--vs goes with -n, -q, -o and -v; not with cold"),
        ("--over n=1:4 -r 3 1 --vs 2", "not with over, r"),
    ],
)
def test_a_wrong_line_is_answered_with_a_sentence(ip, line: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        ip.run_line_magic("gpu_timeit", line)


@pytest.mark.parametrize("line", ["x +", "1 --vs x +", "return 1", "--over n=1:2 n +"])
def test_a_syntax_error_rises_as_one(ip, line: str) -> None:
    assert isinstance(error_of(ip, f"%gpu_timeit {line}"), SyntaxError)


# %gpu_info, loading


def test_gpu_info_names_the_parts_of_the_machine(ip, capsys) -> None:
    ip.run_line_magic("gpu_info", "")
    printed = capsys.readouterr().out
    for part in ("GPU", "driver", "CUDA", "CuPy", "NumPy", "threads", "Python"):
        assert part in printed


def test_gpu_info_takes_no_arguments(ip) -> None:
    with pytest.raises(UsageError, match="takes no arguments; got 'x'"):
        ip.run_line_magic("gpu_info", "x")


def test_unloading_and_loading_again_leaves_nothing_behind(ip) -> None:
    magics = ip.magics_manager.magics
    ip.extension_manager.unload_extension("gpuprof")
    assert not {"gpu_timeit", "gpu_info", "layertime"} & (magics["line"].keys() | magics["cell"].keys())
    ip.extension_manager.load_extension("gpuprof")
    assert "layertime" in magics["cell"]


def test_loading_twice_is_loading_once(ip) -> None:
    gpuprof.load_ipython_extension(ip)
    gpuprof.unload_ipython_extension(ip)
    assert "layertime" not in ip.magics_manager.magics["cell"]
    gpuprof.load_ipython_extension(ip)


def test_a_magic_of_the_same_name_is_replaced_aloud_and_handed_back(ip, capsys) -> None:
    magics = ip.magics_manager.magics
    ip.extension_manager.unload_extension("gpuprof")

    def theirs(line: str) -> None: ...

    magics["line"]["gpu_timeit"] = theirs
    ip.extension_manager.load_extension("gpuprof")
    assert "takes the place of" in capsys.readouterr().out
    assert magics["line"]["gpu_timeit"] is not theirs
    ip.extension_manager.unload_extension("gpuprof")
    assert magics["line"].pop("gpu_timeit") is theirs
    ip.extension_manager.load_extension("gpuprof")


# the options


@pytest.mark.parametrize(
    ("line", "found", "rest"),
    [
        ("x + 1", {}, "x + 1"),
        ("  x", {}, "  x"),
        ("-n 3 x -n 4", {"n": "3"}, "x -n 4"),
        ("-n3  x", {"n": "3"}, "x"),
        ("-qo x", {"q": True, "o": True}, "x"),
        ("-qn5 x", {"q": True, "n": "5"}, "x"),
        ("--long y", {"long": True}, "y"),
        ("-q -- -x", {"q": True}, "-x"),
        ("-q", {"q": True}, ""),
    ],
)
def test_options_come_off_the_front_and_the_rest_is_untouched(line: str, found: dict, rest: str) -> None:
    assert parse(line, {"n": str, "q": None, "o": None, "long": None}) == (found, rest)


def test_tab_has_every_public_name_to_show() -> None:
    assert set(gpuprof.__all__) <= set(dir(gpuprof))
