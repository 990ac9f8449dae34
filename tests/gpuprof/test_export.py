"""Results as CSV files and as Markdown, as other programs read them."""

from __future__ import annotations

import csv
import html
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import gpuprof
from gpuprof.judge.figures import Sample
from gpuprof.results.comparison import Comparison
from gpuprof.results.export import Exported
from gpuprof.results.lines import LineProfile
from gpuprof.results.profile import Profile
from gpuprof.results.sweep import Sweep
from gpuprof.results.timing import Timing
from gpuprof.testing import FakeClock
from gpuprof.views import markdown
from gpuprof.views.report import Advice, Report

from .models import FakeModel

mistune = pytest.importorskip("mistune", reason="nbconvert's reader of Markdown is not here")
ODD = 'B "|" <b>*x*</b> `c` _d_ e_f [g](h) \\n, ~i~'


def worked(x: int) -> int:
    y = x + 1
    return y * 2


def profiled() -> Profile:
    clock = FakeClock(device=True, launch_cost=5e-6)
    model = FakeModel(clock, "A", ODD, device=1e-4)
    with gpuprof.layertime(model, worked, kernels=True, lines=worked, clock=clock) as run:
        for _ in range(30):
            model.train(1)
            worked(1)
    return run.profile


def timed() -> Timing:
    return Timing("x | y", Sample((1e-6, 1.1e-6, 0.9e-6) * 4), warnings=("a | b",))


@pytest.fixture(scope="module")
def profile() -> Profile:
    return profiled()


@pytest.fixture(scope="module")
def every(profile: Profile) -> dict[str, Exported]:
    timing = timed()
    found: list[Exported] = [profile, timing, timing.compare(timed()), Sweep("f(n)", "n", (1, 2), (timing, timing))]
    found.append(profile.lines["worked"])
    return {type(each).__name__: each for each in found}


KINDS = [Profile.__name__, Timing.__name__, Comparison.__name__, Sweep.__name__, LineProfile.__name__]


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_has_a_file_for_each_table_with_rows(every: dict[str, Exported], kind: str, tmp_path: Path) -> None:
    result = every[kind]
    files = result.to_csv(tmp_path / "deep" / "folder")
    tables = result.tables()
    assert len(files) == sum(len(table) > 0 for table in tables.values())
    assert files[0].name == "table.csv"
    assert sorted(files) == sorted((tmp_path / "deep" / "folder").iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_in_csv_is_the_first_table(every: dict[str, Exported], kind: str, tmp_path: Path) -> None:
    result = every[kind]
    (path,) = result.to_csv(tmp_path / "one.csv")
    main = next(iter(result.tables().values()))
    with path.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.reader(lines))
    assert rows[0] == [str(name) for name in main.columns]
    assert len(rows) == len(main) + 1


def test_what_is_read_again_is_what_was_written(profile: Profile, tmp_path: Path) -> None:
    names = [path.stem for path in profile.to_csv(tmp_path)]
    assert names == ["table", "calls", "kernels", "kernel_table", "lines_of_worked"]
    for name in ("table", "kernel_table"):
        read, table = (
            pd.read_csv(tmp_path / f"{name}.csv", keep_default_na=False, na_values=[""]),
            getattr(profile, name),
        )
        for column in table.columns:
            wanted = table[column]
            if wanted.dtype.kind in "if":
                assert np.allclose(read[column].astype(float), wanted.astype(float), rtol=1e-15, atol=0, equal_nan=True)
            else:
                assert read[column].fillna("").tolist() == wanted.tolist()
    assert ODD in set(pd.read_csv(tmp_path / "table.csv")["path"])


def test_a_compressed_one(profile: Profile, tmp_path: Path) -> None:
    (path,) = profile.to_csv(tmp_path / "t.csv.gz")
    assert len(pd.read_csv(path)) == len(profile.table)


def test_a_file_in_the_folders_place_is_an_error(profile: Profile, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(FileExistsError):
        profile.to_csv(tmp_path / "taken")


def test_files_of_names_that_are_alike_are_told_apart(tmp_path: Path) -> None:
    class Odd(Exported):
        def tables(self) -> dict[str, Any]:
            return dict.fromkeys(
                ["table", "lines of A.f", "lines of a/f", "lines of a_F", "../..", "é"], pd.DataFrame({"x": [1]})
            )

    names = [path.name for path in Odd().to_csv(tmp_path)]
    assert names == [
        "table.csv",
        "lines_of_A.f.csv",
        "lines_of_a_f.csv",
        "lines_of_a_F_2.csv",
        "table_2.csv",
        "table_3.csv",
    ]


def test_a_name_that_cannot_be_encoded_is_written_all_the_same(tmp_path: Path) -> None:
    class Odd(Exported):
        def tables(self) -> dict[str, Any]:
            return {"table": pd.DataFrame({"x": ["a\udc80\nb"]}, dtype=object)}

    (path,) = Odd().to_csv(tmp_path / "t.csv")
    assert "\\udc80" in path.read_text(encoding="utf-8")


# Markdown, read by a reader of Markdown


def rendered(text: str) -> str:
    render = mistune.create_markdown(escape=False, plugins=["table", "strikethrough"])
    return str(render(text))


def cells(text: str) -> list[list[str]]:
    """The cells of all tables, as people see them."""
    rows = re.findall(r"<tr>(.*?)</tr>", rendered(text), flags=re.DOTALL)
    return [
        [html.unescape(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, flags=re.DOTALL)] for row in rows
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_all_results_have_a_markdown_form(every: dict[str, Exported], kind: str) -> None:
    text = every[kind].to_markdown()
    assert text.endswith("\n")
    assert "\n\n\n" not in text
    verdict = every[kind].verdict.split(".")[0].split("`")[0]  # type: ignore[attr-defined] # all have one
    assert f"<strong>{html.escape(verdict, quote=False)}" in rendered(text)


def test_the_profiles_rows_are_those_it_shows(profile: Profile) -> None:
    found, grid = cells(profile.to_markdown()), profile.grid
    assert found[0] == list(grid.head)
    assert [row[0] for row in found[1 : 1 + len(grid.rows)]] == [cell[0].whole or cell[0].text for cell in grid.rows]
    assert ODD in [row[0] for row in found]


def test_lines_are_a_block_of_code(profile: Profile) -> None:
    (code,) = re.findall(r"<pre><code[^>]*>(.*?)</code></pre>", rendered(profile.to_markdown()), re.DOTALL)
    assert "y = x + 1" in code


@pytest.mark.parametrize("text", [ODD, "*", "__init__", "a_b_c", "<", "a|b", "\\", "`", "1 < 2 > 0", "[x]", "~~"])
def test_any_text_reads_as_it_is(text: str) -> None:
    assert cells(markdown.table(["name"], [[text]]))[1] == [text]


def test_line_breaks_in_a_cell_are_blanks() -> None:
    assert cells(markdown.table(["a", "b"], [["x\ny", " z "]]))[1] == ["x y", "z"]


def test_numbers_stand_right_and_have_four_digits_and_what_is_missing_is_empty() -> None:
    data = pd.DataFrame({"n": [1, 20], "x": [0.123456, math.nan], "name": ["a", "b"]})
    assert markdown.frame(data).splitlines() == [
        "| n | x | name |",
        "| --: | --: | :-- |",
        "| 1 | 0.1235 | a |",
        "| 20 |  | b |",
    ]


def test_what_to_type_next_is_code_and_what_to_do_next_a_sentence() -> None:
    text = markdown.report(Report("V", advice=(Advice("A.", "%%layertime lm"), Advice("B.", "three runs a side"))))
    assert "- A. Next: `%%layertime lm`\n- B. Next: three runs a side" in text


def test_code_in_sentences_stays_code() -> None:
    assert rendered(markdown.prose("Line 3, `y = x * 2 | z`, is *hot* ")).strip() == (
        "<p>Line 3, <code>y = x * 2 | z</code>, is *hot*</p>"
    )


def test_code_with_fences_in_it_is_fenced_by_longer_ones(profile: Profile) -> None:
    from gpuprof.views.source import CodeLine, listing

    text = markdown.listing(listing([], [], [CodeLine(1, "x = '````'")]))
    assert text.startswith("`````text\n")
    assert "````" in rendered(text)
