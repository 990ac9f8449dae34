"""The README: its figures come from benchmarks/results, its code runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import readme

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_table_is_what_the_results_say() -> None:
    assert readme.updated(TEXT) == TEXT, "run python -m benchmarks.readme"


def test_the_picture_is_drawn_from_the_kept_profile(tmp_path: Path) -> None:
    pil = pytest.importorskip("PIL.Image")
    profile = readme.shown_profile()
    readme.draw(profile, tmp_path / "again.png")
    for file in (readme.PICTURE, tmp_path / "again.png"):
        with pil.open(file) as picture:
            assert picture.info["Description"] == readme.fingerprint(profile), "run python -m benchmarks.readme"


def test_every_file_it_links_to_is_there() -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)]+)\)", TEXT)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL))
def test_its_python_runs(block: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(block, "README.md", "exec"), {"__name__": "readme"})


def test_it_names_the_two_commands() -> None:
    assert "make demo" in TEXT
    assert "make test" in TEXT
