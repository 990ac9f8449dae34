"""The magics: options off the front, words untouched, values back, errors up."""

from collections.abc import Iterator

import pytest
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import gpuprof
from gpuprof.options import parse
from gpuprof.results.profile import Profile
from gpuprof.results.timing import Timing
from gpuprof.testing import FakeClock

from .models import FakeModel


@pytest.fixture
def ip() -> Iterator[InteractiveShell]:
    """An IPython of its own with the extension loaded; what it displays is in `ip.display_pub.outputs`."""
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=config)
    shell.display_pub = CapturingDisplayPublisher()
    shell.extension_manager.load_extension("gpuprof")
    shell.user_ns["lm"] = FakeModel(FakeClock())
    yield shell
    shell.extension_manager.unload_extension("gpuprof")
    shell.reset()
    InteractiveShell.clear_instance()


def shown(ip: InteractiveShell, kind: str = "text/plain") -> str:
    return "\n".join(output["data"].get(kind, "") for output in ip.display_pub.outputs)


def error_of(ip: InteractiveShell, cell: str) -> BaseException | None:
    result = ip.run_cell(cell)
    return result.error_in_exec or result.error_before_exec


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
        ("lm +", "expected an expression such as lm; got 'lm \\+'"),
        ("[]", "this list has no layers yet"),
        ("3", "expected an object with `layers`.*got int"),
        ("--frobnicate lm", "unknown option '--frobnicate'; known are -o, -q"),
        ("-v 3x lm", "-v needs a variable's name; got '3x'"),
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


def test_the_line_magic_prints_one_line_and_a_sentence(ip, capsys) -> None:
    assert ip.run_line_magic("gpu_timeit", "-n 10 -r 7 1 + 1") is None
    printed = capsys.readouterr().out
    assert printed.startswith("host ")
    assert len(printed.strip().splitlines()) == 2


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


def test_the_statement_is_compiled_once(ip) -> None:
    source = "; ".join(["x = 1"] * 2000)
    timing = ip.run_line_magic("gpu_timeit", f"-o -n 200 -r 3 {source}")
    assert timing.host.median < 1e-3  # compiling it takes several ms


@pytest.mark.parametrize(
    ("line", "says"), [("", "needs a statement"), ("-z 1", "unknown option '-z'"), ("-n x 1", "whole number")]
)
def test_a_wrong_line_is_answered_with_a_sentence(ip, line: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        ip.run_line_magic("gpu_timeit", line)


def test_a_syntax_error_rises_as_one(ip) -> None:
    assert isinstance(error_of(ip, "%gpu_timeit x +"), SyntaxError)


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
