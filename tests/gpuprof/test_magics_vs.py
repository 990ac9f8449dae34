"""%%layertime --vs: where the older profile comes from, what is shown, what stays."""

import re

import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

import gpuprof
from gpuprof.results.profile import Profile
from gpuprof.results.profilecomparison import ProfileComparison

from .shell import error_of, shown

CELL = "\nlm.train(30)"


@pytest.fixture
def before(ip: InteractiveShell) -> Profile:
    ip.run_cell(f"%%layertime -q -v before lm{CELL}")
    return ip.user_ns["before"]


def test_a_profile_is_held_against_one_by_name(ip, before) -> None:
    ip.run_cell(f"%%layertime lm --vs before{CELL}")
    text = shown(ip)
    assert text.index("of the cell") < text.index("No verdict: one run a side")
    assert re.search(r"layer +before \(..\) +now \(..\)", text)
    assert isinstance(gpuprof.last, ProfileComparison)
    assert gpuprof.last.names == ("before", "now")


def test_the_option_stands_before_the_model_or_after_it(ip, before) -> None:
    assert error_of(ip, f"%%layertime --vs before lm{CELL}") is None
    assert isinstance(gpuprof.last, ProfileComparison)


def test_a_saved_profile_is_read(ip, before, tmp_path) -> None:
    path = before.save(tmp_path / "old one.json")
    ip.run_cell(f'%%layertime lm --vs "{path}"{CELL}')
    assert gpuprof.last.names == ("old one", "now")


def test_a_folder_of_profiles_is_one_side(ip, before, tmp_path) -> None:
    for name in "ab":
        before.save(tmp_path / f"{name}.json")
    ip.run_cell(f"%%layertime lm --vs {tmp_path}{CELL}")
    assert gpuprof.last.names == (tmp_path.name, "now")
    assert gpuprof.last.why.startswith("one run a side")  # the same one, twice


def test_a_folder_with_other_results_is_refused(ip, before, tmp_path) -> None:
    before.compare(before).save(tmp_path / "a.json")
    assert "should hold profiles; it holds: profile comparison" in str(
        error_of(ip, f"%%layertime lm --vs {tmp_path}{CELL}")
    )


@pytest.mark.parametrize("text", ["[before, before]", "kept['one']", "gpuprof.runs[-1]"])
def test_an_expression_may_stand_for_it(ip, before, text: str) -> None:
    ip.user_ns |= {"kept": {"one": before}, "gpuprof": gpuprof}
    ip.run_cell(f"%%layertime lm --vs {text}{CELL}")
    assert gpuprof.last.names == (text, "now")


def test_last_is_the_newest_profile_even_after_a_comparison(ip, before) -> None:
    ip.run_cell(f"%%layertime -q lm --vs last{CELL}")
    first = gpuprof.last
    ip.run_cell(f"%%layertime -q lm --vs last{CELL}")
    assert gpuprof.last is not first
    assert gpuprof.last.how == first.how == ""
    assert "the same profile" not in gpuprof.last.why


def test_a_variable_named_last_comes_first(ip, before) -> None:
    ip.user_ns["last"] = 1
    error = error_of(ip, f"%%layertime lm --vs last{CELL}")
    assert "--vs expected a Profile, or a list of them; last holds int" in str(error)


def test_a_list_of_profiles_is_one_side(ip, before) -> None:
    ip.run_cell(f"%%layertime -q -v again lm{CELL}")
    ip.user_ns["runs"] = [before, ip.user_ns["again"]]
    ip.run_cell(f"%%layertime -q lm --vs runs{CELL}")
    assert gpuprof.last.why.startswith("2 and 1 run, and on the host clock")


def test_the_name_may_be_that_under_which_the_new_one_is_kept(ip, before) -> None:
    ip.run_cell(f"%%layertime -q -v before lm --vs before{CELL}")
    assert ip.user_ns["before"] is not before
    assert isinstance(gpuprof.last, ProfileComparison)


def test_the_cells_value_is_its_own_and_with_o_the_profile(ip, before) -> None:
    assert ip.run_cell(f"%%layertime -q lm --vs before{CELL}\n42").result == 42
    assert isinstance(ip.run_cell(f"%%layertime -q -o lm --vs before{CELL}").result, Profile)


def test_quiet_shows_neither(ip, before) -> None:
    ip.run_cell(f"%%layertime -q lm --vs before{CELL}")
    assert shown(ip) == ""


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("--vs nothing", "'nothing' is none of these"),
        ("--vs lm", "lm holds FakeModel"),
        ("--vs empty", "empty holds nothing"),
        ("--vs", "expected an expression; got nothing"),
    ],
)
def test_what_is_no_profile_is_said_before_the_cell_runs(ip, option: str, says: str) -> None:
    ip.user_ns["empty"] = []
    error = error_of(ip, f"%%layertime lm {option}\nran = True")
    assert isinstance(error, UsageError)
    assert says in str(error)
    assert "ran" not in ip.user_ns


def test_without_a_profile_yet_there_is_no_last(ip, monkeypatch) -> None:
    monkeypatch.setattr("gpuprof.latest._profile", None)
    assert "there is no profile yet" in str(error_of(ip, f"%%layertime lm --vs last{CELL}"))


def test_a_file_that_is_no_profile_is_said(ip, tmp_path) -> None:
    path = tmp_path / "other.json"
    path.write_text("{}")
    assert "should hold a gpuprof profile" in str(error_of(ip, f"%%layertime lm --vs {path}{CELL}"))


def test_a_cell_that_fails_is_compared_and_its_error_rises(ip, before) -> None:
    error = error_of(ip, f"%%layertime lm --vs before{CELL}\n1 / 0")
    assert isinstance(error, ZeroDivisionError)
    assert "One of the new runs ended early (ZeroDivisionError" in shown(ip)


def test_a_cell_that_calls_no_layer_is_no_comparison(ip, before) -> None:
    ip.run_cell("%%layertime lm --vs before\n1 + 1")
    assert "only 0 steps could be compared" in shown(ip)


def test_a_line_of_lines_is_not_held_against_anything(ip, before) -> None:
    error = error_of(ip, "%layertime --lines --vs before lm.train(1)")
    assert isinstance(error, UsageError)
