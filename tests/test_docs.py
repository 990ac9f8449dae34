"""docs/layers.md: what it names is there, each pitfall is answered, and its thresholds are those of the code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from gpuprof import modelpair
from gpuprof.judge import facts, findings, floors, simultaneous
from gpuprof.record import tape, waits
from gpuprof.results import rowchange, tables
from gpuprof.units import count
from gpuprof.words import LAYERTIME

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "layers.md"
TEXT = PAGE.read_text(encoding="utf-8")
PITFALLS = [line.split(" | ") for line in TEXT.splitlines() if re.match(r"\| \d+ \| ", line)]


def _tests_in(file: Path) -> set[str]:
    """The names of the test functions that pytest would collect from a file."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_every_test_that_the_pitfalls_name_is_there() -> None:
    named = re.findall(r"`(test_\w+\.py)::(\w+)`", TEXT)
    tests = {file.name: _tests_in(file) for file in (ROOT / "tests" / "gpuprof").glob("test_*.py")}
    assert named
    assert [f"{file}::{test}" for file, test in named if test not in tests.get(file, set())] == []


def test_the_37_pitfalls_are_answered_by_a_test_or_a_sentence() -> None:
    assert [int(row[0].strip("| ")) for row in PITFALLS] == list(range(1, 38))
    unheld = [row for row in PITFALLS if "::" not in row[3]]
    assert [row[1] for row in unheld if not re.search(r"cannot arise|\*\*not handled\*\*", row[2])] == []


def test_those_that_need_a_gpu_are_marked_so() -> None:
    told = {name for name, mark in re.findall(r"`test_\w+\.py::(\w+)`( \(GPU\))?", TEXT) if mark}
    marked = re.compile(r"^@pytest\.mark\.gpu\n(?:@.*\n)*def (test_\w+)", re.MULTILINE)
    files = (ROOT / "tests" / "gpuprof").glob("test_*.py")
    needing = {name for file in files for name in marked.findall(file.read_text(encoding="utf-8"))}
    assert told == needing & set(re.findall(r"::(\w+)`", TEXT))


def test_every_file_it_links_to_is_there() -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)]+)\)", TEXT)
    assert links
    assert [link for link in links if not (PAGE.parent / link).exists()] == []


def test_every_column_of_the_table_is_explained() -> None:
    explained = set(re.findall(r"`(\w+)`", TEXT.partition("## What each column is")[2].partition("## Accounting")[0]))
    assert set(tables.COLUMNS) - {"path", "layer", "phase"} <= explained


@pytest.mark.parametrize("page", [PAGE, ROOT / "README.md"], ids=lambda page: page.name)
def test_the_options_of_layertime_are_those_there_are(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = set()
    for line in re.findall(r"%%?layertime ([^`\n#]*)", text):
        named |= set(re.findall(r"(?:^|\s)--([a-z][a-z-]*)", line)) | set(re.findall(r"(?:^|\s)-([a-z])\b", line))
    assert named
    assert named <= LAYERTIME.keys()


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (tape.TOGETHER_NS / 1e3, "within {} µs of each other"),
        (waits._ISSUED_NS / 1e3, "merely issued (under {} µs)"),
        (facts._ISSUING * 1e6, "({} µs a launch or less)"),
        (findings._THREADS, "runs {} threads or more"),
        (findings._TIMES, "and {} for each element"),
        (findings._SUMMARY, "({} elements at least)"),
        (100 * findings._HEAVY, "takes {} % of the GPU's work"),
        (100 * findings._NOTHING, "A gain below {} % is called next to nothing"),
        (100 * findings._WAITING, "waits take {} % of a step"),
        (100 * findings._UPDATE, "takes {} % of the host's time"),
        (modelpair.ROUNDS, "{} rounds within one process"),
        (floors.FEWEST_CONTROLS, "{} rows or more that are known to launch the very same kernels"),
        (simultaneous.FEWEST, "The steps, {} or more a side"),
        (simultaneous._BLOCKS, "in {} blocks"),
        (100 * rowchange._WORTH[False], "or within {} %;"),
        (100 * rowchange._WORTH[True], "of a step, {} %"),
    ],
)
def test_its_thresholds_are_those_of_the_code(value: float, sentence: str) -> None:
    assert sentence.format(count(value)) in TEXT.replace("\n", " ")


def test_what_was_not_measured_says_so() -> None:
    measured = (ROOT / "benchmarks" / "results" / "layers.json").exists()
    assert ("Not yet measured for this version" in TEXT) is not measured, "the page's figures come from that file"
