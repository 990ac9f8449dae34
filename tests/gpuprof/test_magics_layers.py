"""%%layertime with methods and functions, with lines, and as a line; what it leaves behind."""

from __future__ import annotations

from typing import Any

import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

import gpuprof
from gpuprof.hooks.methods import TimedMethod
from gpuprof.results.lines import LineProfile

from .shell import error_of, frames, shown

CODER = """
class Coder:
    def encode(self, x, scale=1):
        y = x * scale
        return self.decode(y)

    def decode(self, x):
        z = x + 1
        return z

    def fails(self, x):
        return x / 0

a = Coder()
def f(x):
    y = x + 1
    return y
"""


@pytest.fixture
def user(ip: InteractiveShell) -> dict[str, Any]:
    """The notebook's names, with an object of two methods and a function among them."""
    ip.run_cell(CODER, store_history=True)
    return ip.user_ns


def rows(profile: Any) -> set[tuple[str, str, int]]:
    return {(row.path, row.phase, row.calls) for row in profile.table.itertuples() if row.path != "(outside)"}


# Methods and functions


def test_methods_and_functions_of_the_notebook_are_models(ip: InteractiveShell, user: dict[str, Any]) -> None:
    before = user["f"]
    ip.run_cell("%%layertime -q -v p a.encode, [a.decode, f]\na.encode(1); f(1); f(2)")
    assert rows(user["p"]) == {("Coder", "encode", 1), ("Coder", "decode", 1), ("f", "call", 2)}
    assert user["f"] is before
    assert vars(user["a"]) == {}


def test_what_the_cell_copies_to_another_name_is_the_function_afterwards(
    ip: InteractiveShell, user: dict[str, Any]
) -> None:
    ip.run_cell("%%layertime -q f\ng = f\nf(1); g(2)")
    assert user["g"] is user["f"]
    assert len(gpuprof.last.log) == 2


def test_a_function_the_cell_defines_anew_stays_the_new_one(ip: InteractiveShell, user: dict[str, Any]) -> None:
    ip.run_cell("%%layertime -q f\nf(1)\ndef f(x): return 0")
    assert user["f"](5) == 0
    assert not isinstance(user["f"], TimedMethod)


@pytest.mark.parametrize("ending", ["1 / 0", "raise KeyboardInterrupt"])
def test_after_an_error_names_and_attributes_are_as_they_were(
    ip: InteractiveShell, user: dict[str, Any], ending: str
) -> None:
    before = user["f"]
    assert error_of(ip, f"%%layertime a.encode, f\nf(1)\n{ending}") is not None
    assert user["f"] is before
    assert vars(user["a"]) == {}
    assert "The cell ended early" in shown(ip)


def test_a_traceback_has_no_frames_of_ours(ip: InteractiveShell, user: dict[str, Any]) -> None:
    home = gpuprof.__file__.rpartition("__init__")[0]
    plain = frames(error_of(ip, "a.fails(1)"))
    profiled = frames(error_of(ip, "%%layertime -q a.fails\na.fails(1)"))
    assert [line for _, line in profiled[-2:]] == [2, plain[-1][1]]
    assert [file for file, _ in profiled if file.startswith(home)] == []


def test_an_errors_cause_and_context_stay(ip: InteractiveShell, user: dict[str, Any]) -> None:
    for magic in ("%%layertime -q f", "%%gpu_timeit -q"):
        error = error_of(ip, f"{magic}\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n    [][0]")
        assert isinstance(error, IndexError)
        assert isinstance(error.__context__, ZeroDivisionError)
        assert not error.__suppress_context__


# Options


@pytest.mark.parametrize(
    "line", ["--kernels -q -v p lm", "-q -v p lm --kernels", "-qv p lm --hot", "-q lm --kernels -v p  # mine"]
)
def test_options_stand_before_and_after_the_model(ip: InteractiveShell, line: str) -> None:
    ip.run_cell(f"%%layertime {line}\nlm.train(2)")
    assert ip.user_ns["p"]["A", "forward"].calls == 2


@pytest.mark.parametrize("line", ["--schedule 3,1,2,1 -q -v p lm", "-qv p lm --schedule (3, 1, 2, 1)"])
def test_a_schedule_measures_some_of_the_steps(ip: InteractiveShell, line: str) -> None:
    ip.run_cell(f"%%layertime {line}\nlm.train(12)")
    assert ip.user_ns["p"].account.marked_steps().tolist() == [4, 5]
    assert ip.user_ns["p"]["A", "forward"].calls == 12


def test_strings_and_comments_with_minuses_are_the_users(ip: InteractiveShell) -> None:
    ip.user_ns["models"] = {"a --hot b": ip.user_ns["lm"]}
    ip.run_cell("%%layertime -q -v p models['a --hot b']  # and --lines nothing\nlm.train(2)")
    assert ip.user_ns["p"].hot.empty
    assert ip.user_ns["p"]["A", "forward"].calls == 2


def test_lines_follows_a_layers_method(ip: InteractiveShell) -> None:
    ip.run_cell("%%layertime -q -v p lm --lines A._work\nlm.train(12)")
    assert isinstance(ip.user_ns["p"].lines["A._work"], LineProfile)
    assert ip.user_ns["p"].lines["A._work"].table["hits"].sum() > 0


def test_lines_follows_a_function_of_the_notebook(ip: InteractiveShell, user: dict[str, Any]) -> None:
    ip.run_cell("%%layertime -q -v p f --lines f\nfor i in range(8): f(i)")
    table = user["p"].lines["f"].table
    assert [text.strip() for text in table["source"]] == ["def f(x):", "y = x + 1", "return y"]
    assert table["hits"].tolist()[1:] != [0, 0]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("lm --lines A.backwards", r"expected a layer's method, such as Pool1.backward.*did you mean A.backward"),
        ("lm --lines 3", "expected a function or a method written in Python; got int"),
        ("lm --lines len", "whose code is not Python, so it has no lines"),
        ("lm --lines made", "has no source here"),
        ("lm --frobnicate", "unknown option '--frobnicate'"),
        ("lm --schedule 3,x", "expected numbers of steps, as in 10,5,100,3 .*; got '3,x'"),
        ("lm --schedule 3", "schedule is \\(skip, warmup, active, repeat\\), whole numbers"),
        ("a.nothing", "no attribute 'nothing'"),
        ("len", "a function written in Python; got <built-in function len>"),
        ("Coder", "expected an object with layers; got the class Coder"),
        ("[f for f in [lambda: 0]]", "the function <lambda> stands under no name"),
        ("Coder.encode", "Coder.encode is a function of the class Coder"),
    ],
)
def test_what_is_wrong_is_a_sentence_and_the_cell_does_not_run(
    ip: InteractiveShell, user: dict[str, Any], line: str, says: str
) -> None:
    exec("def made(): pass", user)
    with pytest.raises(UsageError, match=says):
        ip.run_cell_magic("layertime", line, "ran = True")
    assert "ran" not in user
    assert vars(user["a"]) == {}


# As a line


def test_a_line_makes_the_call_given_and_shows_its_lines(ip: InteractiveShell, user: dict[str, Any]) -> None:
    assert ip.run_line_magic("layertime", "--lines a.encode(2, scale=3)") is None
    assert "y = x * scale" in shown(ip)
    assert "y = x * scale" in shown(ip, "text/html")
    assert isinstance(gpuprof.last, LineProfile)


@pytest.mark.parametrize("call", ["a.encode(*xs, **kw)", "a.encode(xs[0], scale=kw['scale'])", 'D["a"].encode(*[2])'])
def test_stars_and_names_are_pythons(ip: InteractiveShell, user: dict[str, Any], call: str) -> None:
    user |= {"xs": [2], "kw": {"scale": 3}, "D": {"a": user["a"]}}
    found = ip.run_line_magic("layertime", f"-qo -r 3 --lines {call} -v found")
    assert found is user["found"]
    assert found.table["hits"].max() == 1  # a call
    assert shown(ip) == ""
    assert vars(user["a"]) == {}


def test_a_line_makes_the_call_once_and_then_r_times_measured(ip: InteractiveShell, user: dict[str, Any]) -> None:
    ip.run_cell("seen = []\ndef g(x):\n    seen.append(x)")
    found = ip.run_line_magic("layertime", "-qo -r 3 --lines g(len('ab'))")
    assert user["seen"][:4] == [2] * 4
    assert found.table["hits"].max() == 1


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("lm", "needs --lines and a call"),
        ("--lines lm", r"expected a call such as .*; got 'lm'. While a cell runs"),
        ("--lines f(x", "expected a call such as"),
        ("--lines f(nobody)", "NameError: name 'nobody' is not defined"),
        ("--lines len([])", "so it has no lines"),
        ("--lines Coder()", "got the class Coder"),
        ("--lines f(1) + 1", "expected a call such as"),
        ("--lines f(x=1, **{'x': 2})", "got multiple values for keyword argument 'x'"),
        ("--hot --lines f(1)", "not with hot"),
    ],
)
def test_a_wrong_line_is_a_sentence(ip: InteractiveShell, user: dict[str, Any], line: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        ip.run_line_magic("layertime", line)


def test_what_the_call_raises_rises_from_the_users_lines(ip: InteractiveShell, user: dict[str, Any]) -> None:
    error = error_of(ip, "%layertime --lines a.fails(1)")
    assert isinstance(error, ZeroDivisionError)
    home = gpuprof.__file__.rpartition("__init__")[0]
    ours = [file.removeprefix(home) for file, _ in frames(error) if file.startswith(home)]
    assert ours == ["magics.py"]  # which IPython hides


def test_the_line_magic_comes_and_goes_with_the_extension(ip: InteractiveShell, capsys: Any) -> None:
    magics = ip.magics_manager.magics
    ip.extension_manager.unload_extension("gpuprof")
    assert "layertime" not in magics["line"]

    def theirs(line: str) -> None: ...

    magics["line"]["layertime"] = theirs
    ip.extension_manager.load_extension("gpuprof")
    assert "%layertime takes the place of" in capsys.readouterr().out
    ip.extension_manager.unload_extension("gpuprof")
    assert magics["line"].pop("layertime") is theirs
    ip.extension_manager.load_extension("gpuprof")
    assert "layertime" in magics["line"]
