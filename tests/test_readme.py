"""README and docs: the figures come from benchmarks/results, the code runs, what they name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import pages, readme
from benchmarks.results import load
from gpuprof.results.comparison import BETWEEN_RUNS

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


PAGES = pytest.mark.parametrize("page", readme.PAGES, ids=lambda page: page.name)


@PAGES
def test_the_tables_are_what_the_results_say(page: Path) -> None:
    assert readme.updated(page) == page.read_text(encoding="utf-8"), "run python -m benchmarks.readme"


def test_every_block_is_on_a_page() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in readme.PAGES)
    assert {name for _, name in readme.MARKED.findall(text)} == readme.BLOCKS.keys()


def test_a_page_with_an_unknown_block_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- measured: wishes -->\n<!-- /measured: wishes -->\n")
    with pytest.raises(ValueError, match="got wishes"):
        readme.updated(page)


def test_the_picture_is_drawn_from_the_kept_profile(tmp_path: Path) -> None:
    pil = pytest.importorskip("PIL.Image")
    profile = readme.shown_profile()
    readme.draw(profile, tmp_path / "again.png")
    for file in (readme.PICTURE, tmp_path / "again.png"):
        with pil.open(file) as picture:
            assert picture.info["Description"] == readme.fingerprint(profile), "run python -m benchmarks.readme"


def test_every_test_that_the_pitfalls_name_is_there() -> None:
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", readme.TIMING.read_text(encoding="utf-8"))
    tests = {file.name: file.read_text(encoding="utf-8") for file in (ROOT / "tests" / "gpuprof").glob("test_*.py")}
    assert named
    assert [test for file, test in named if f"def {test}(" not in tests.get(file, "")] == []


@pytest.mark.parametrize("reached", [True, False])
def test_what_was_reached_is_computed(monkeypatch: pytest.MonkeyPatch, reached: bool) -> None:
    same = [{"word": "SAME" if reached else "FASTER", "seconds": 1.0}] * 400
    changed = [{"word": "SLOWER" if i % 4 < 2 else "FASTER", "seconds": 1.0} for i in range(100)]
    monkeypatch.setattr(pages, "load", lambda _: {"same": same, "changed": changed})
    assert [claim.reached for claim in pages._ab_claims()] == ["yes" if reached else "**no**"] * 2 + ["yes"] * 2


def test_too_few_pairs_are_not_called_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"same": [{"word": "SAME", "seconds": 1.0}] * 27, "changed": [{"word": "SLOWER", "seconds": 1.0}] * 2}
    monkeypatch.setattr(pages, "load", lambda _: found)
    assert [claim.reached for claim in pages._ab_claims()][:3] == ["too few: 27 of 400"] * 2 + ["too few: 2 of 100"]


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL))
def test_its_python_runs(block: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(block, "README.md", "exec"), {"__name__": "readme"})


def test_it_names_the_two_commands() -> None:
    assert "make demo" in TEXT
    assert "make test" in TEXT


def test_what_separate_runs_may_differ_by_is_no_less_than_was_measured() -> None:
    measured: dict[str, float] = {}
    for quantities in load("ab")["between"].values():
        for name, found in quantities.items():
            measured[name] = max(measured.get(name, 0.0), found["spread"])
    assert {name for name, spread in measured.items() if spread > BETWEEN_RUNS[name]} == set()
