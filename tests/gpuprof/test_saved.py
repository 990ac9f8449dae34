"""`python -m gpuprof show` and `compare`: saved results of any kind, and exit codes that CI can go by."""

from __future__ import annotations

import csv
import io
import json
import random
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import gpuprof
from gpuprof import saved
from gpuprof.__main__ import main
from gpuprof.judge.figures import Sample
from gpuprof.results.profile import Profile
from gpuprof.results.timing import Timing
from gpuprof.testing import FakeClock

from .models import FakeModel
from .traceformat import check


def timing(seconds: float) -> Timing:
    return Timing("f(x)", Sample(tuple(seconds * (1 + 1e-3 * (i % 5)) for i in range(30))))


def profile(slower: float = 1.0, seed: int = 0, names: tuple[str, ...] = ("A", "B", "C")) -> Profile:
    """A run in which A's backward takes so many times as long; all runs differ a little."""
    clock, chance = FakeClock(), random.Random(seed)
    model = FakeModel(clock, *names)
    with gpuprof.layertime(model, clock=clock) as run:
        for _ in range(60):
            for layer in model.layers:
                layer.host = dict.fromkeys(layer.host, 1e-3 * chance.uniform(0.99, 1.01))
            model.layers[0].host["backward"] *= slower
            model.train(1)
    return run.profile


def folder(path: Path, slower: float, seed: int) -> str:
    path.mkdir()
    for number in range(4):
        profile(slower, seed + number).save(path / f"{number}.json.gz")
    (path / "notes.txt").write_text("not a result")
    return str(path)


@pytest.fixture
def one(tmp_path: Path) -> str:
    return str(profile().save(tmp_path / "one.json"))


# show


def test_lines_are_shown_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = gpuprof.linetime(timing, 1e-3, clock=FakeClock())
    assert main(["show", str(lines.save(tmp_path / "l.json"))]) == 0
    assert capsys.readouterr().out == f"{lines}\n"


def test_a_file_of_no_kind_is_refused_with_the_kinds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.json").write_text(json.dumps({"gpuprof": "cake", "schema": 1}))
    assert main(["show", str(tmp_path / "x.json")]) == 2
    said = capsys.readouterr()
    assert all(kind in said.err for kind in saved.KINDS)
    assert "it holds cake" in said.err
    assert said.out == ""


def test_html_is_a_page_of_its_own_without_scripts(
    one: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Page(HTMLParser):
        tags: list[str]

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.tags.append(tag)
            assert not any(name.startswith("on") or name in ("src", "href") for name, _ in attrs)

    page, out = Page(), tmp_path / "<out>.html"
    page.tags = []
    assert main(["show", one, "--html", str(out)]) == 0
    page.feed(out.read_text(encoding="utf-8"))
    assert page.tags[:2] == ["html", "head"]
    assert not {"script", "link", "iframe", "img"} & set(page.tags)
    assert Profile.load(one)._repr_html_() in out.read_text(encoding="utf-8")
    assert capsys.readouterr().out == f"{out}\n"


def test_csv_goes_to_a_file_to_a_folder_or_to_standard_output(
    one: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", one, "--csv", str(tmp_path / "t.csv")]) == 0
    assert main(["show", one, "--csv", str(tmp_path / "all")]) == 0
    written = capsys.readouterr().out.splitlines()
    assert written == [
        str(tmp_path / "t.csv"),
        str(tmp_path / "all" / "table.csv"),
        str(tmp_path / "all" / "calls.csv"),
    ]
    assert main(["show", one, "--csv"]) == 0
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == len(Profile.load(one).table) + 1


def test_markdown_too(one: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", one, "--markdown"]) == 0
    text = capsys.readouterr().out
    assert text == Profile.load(one).to_markdown()
    assert main(["show", one, "--markdown", str(tmp_path / "x.md")]) == 0
    assert (tmp_path / "x.md").read_text(encoding="utf-8") == text


def test_a_trace_is_written_of_a_profile_and_refused_of_anything_else(
    one: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "t.json"
    assert main(["show", one, "--trace", str(out)]) == 0
    check(out.read_text(encoding="utf-8"))
    other = timing(1e-3).save(tmp_path / "timing.json")
    assert main(["show", str(other), "--trace", str(tmp_path / "u.json")]) == 2
    assert "only a profile has a trace" in capsys.readouterr().err
    assert not (tmp_path / "u.json").exists()


def test_a_place_that_cannot_be_written_is_a_sentence(
    one: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", one, "--html", str(tmp_path / "none" / "x.html")]) == 2
    assert "x.html" in capsys.readouterr().err


# compare


@pytest.mark.parametrize(("old", "new", "code"), [(1e-3, 1e-3, 0), (1e-3, 3e-3, 1), (3e-3, 1e-3, 0), (1e-3, 1.2e-3, 0)])
def test_a_timing_that_is_slower_beyond_what_runs_differ_by_is_a_regression(
    old: float, new: float, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(timing(t).save(tmp_path / f"{name}.json")) for name, t in (("old", old), ("new", new))]
    assert main(["compare", *files]) == code
    said = capsys.readouterr()
    assert "Not taken in turns" in said.out
    assert said.err.startswith("REGRESSION: host is slower: SLOWER") == bool(code)


def test_runs_of_a_step_that_became_slower_are_a_regression(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, same, slower = (
        folder(tmp_path / "old", 1.0, 0),
        folder(tmp_path / "same", 1.0, 10),
        folder(tmp_path / "new", 3.0, 20),
    )
    assert main(["compare", old, same]) == 0
    assert capsys.readouterr().err == ""
    assert main(["compare", old, slower]) == 1
    assert re.match(r"REGRESSION: the step takes 1\.2\d+× as long \[", capsys.readouterr().err)
    assert main(["compare", slower, old]) == 0


def test_where_nothing_can_be_said_that_is_no_regression(
    one: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = str(profile(1.02, 5, ("A",)).save(tmp_path / "other.json"))
    assert main(["compare", one, other]) == 0
    assert capsys.readouterr().out


def test_a_comparison_can_be_written_in_other_forms(
    one: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", one, one, "--html", str(tmp_path / "c.html"), "--csv", str(tmp_path / "c.csv")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'c.html'}\n{tmp_path / 'c.csv'}\n"


@pytest.mark.parametrize("what", ["missing", "damaged", "kinds", "empty", "sweep", "timings"])
def test_what_cannot_be_compared_is_a_sentence_and_2(
    what: str, one: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    says = "other"
    if what == "damaged":
        other.write_text(Path(one).read_text()[:300])
        says = "is not a gpuprof result, or it is cut off"
    elif what == "kinds":
        timing(1.0).save(other)
        says = "expected two timings, or profiles on both sides; .* hold: profile, timing"
    elif what == "empty":
        other.mkdir()
        says = "should hold saved results .*; it holds none"
    elif what == "sweep":
        clock = FakeClock()
        gpuprof.sweep(clock.spend, {"n": [1e-3]}, clock=clock).save(other)
        one, says = str(other), "hold: sweep"
    elif what == "timings":
        other.mkdir()
        for name in "ab":
            timing(1.0).save(other / f"{name}.json")
        one, says = str(other), "expected one timing on each side; .* hold 2 and 2"
    assert main(["compare", one, str(other)]) == 2
    said = capsys.readouterr()
    assert re.search(says, said.err)
    assert (said.out, said.err.count("\n")) == ("", 1)


def test_files_are_called_by_their_names_and_those_that_are_alike_by_their_folders() -> None:
    assert saved.names_of(Path("a/x.json.gz"), Path("y.v2.json")) == ("x", "y.v2")
    assert saved.names_of(Path("a/x.json"), Path("b/x.json.gz")) == ("a/x", "b/x")
    assert saved.names_of(Path("/runs/old"), Path("/runs/new")) == ("old", "new")


def test_a_folder_is_not_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"gpuprof: expected one saved result; {tmp_path} is a folder")


def test_a_missing_file_is_told_without_a_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(tmp_path / "none.json")]) == 2
    assert capsys.readouterr().err == f"gpuprof: {tmp_path / 'none.json'}: No such file or directory\n"


def test_json_of_something_else_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.json").write_text('{"a": 1}')
    assert main(["show", str(tmp_path / "x.json")]) == 2
    assert "it holds other JSON" in capsys.readouterr().err


def test_a_reader_that_goes_early_leaves_the_exit_code_as_it_is(tmp_path: Path) -> None:
    """As `… | head -0` does."""
    files = [str(timing(seconds).save(tmp_path / f"{seconds}.json")) for seconds in (1e-3, 3e-3)]
    command = [sys.executable, "-m", "gpuprof", "compare", *files]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=Path(__file__).parents[2]
    ) as run:
        assert run.stdout
        assert run.stderr
        run.stdout.close()
        said = run.stderr.read().decode()
    assert (run.returncode, said.count("\n")) == (1, 1)
    assert said.startswith("REGRESSION: ")


def test_it_is_a_command(one: str) -> None:
    command = [sys.executable, "-m", "gpuprof", "compare", one, one]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("content", [b"", b"[" * 100_000, b"\x1f\x8b\x08\x00", b"\xff\xfe\x00", b"null", b"[1]", b"{}"])
def test_any_bytes_are_refused_with_a_sentence(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x").write_bytes(content)
    for command in (["show", str(tmp_path / "x")], ["compare", str(tmp_path / "x"), str(tmp_path / "x")]):
        assert main(command) == 2
        said = capsys.readouterr()
        assert (said.out, len(said.err.splitlines())) == ("", 1)


def test_a_profile_with_anything_in_the_place_of_anything_is_shown_or_refused(tmp_path: Path) -> None:
    whole = json.loads(profile().save(tmp_path / "p.json").read_text())
    chance = random.Random(4)
    for _ in range(150):
        content = json.loads(json.dumps(whole))
        place = content
        while isinstance(place, (dict, list)) and place:
            key = chance.choice(list(place) if isinstance(place, dict) else range(len(place)))
            if chance.random() < 0.4 or not isinstance(place[key], (dict, list)):
                place[key] = chance.choice([None, -1, 10**30, "x", [], {}, 0.5, [[]], True])
                break
            place = place[key]
        (tmp_path / "x.json").write_text(json.dumps(content))
        assert main(["show", str(tmp_path / "x.json")]) in (0, 2)
