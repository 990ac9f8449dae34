"""docs/recipes.md: its code runs, its scripts and tests run, its commands can be typed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import chdir
from pathlib import Path

import pytest

import gpuprof
from gpuprof.__main__ import _parser
from gpuprof.measure import layertime

from .conftest import CUPY

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "recipes.md"
TEXT = PAGE.read_text(encoding="utf-8")
SECTIONS = {
    section.partition("\n")[0]: re.findall(r"^```python\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    for section in TEXT.split("\n## ")[1:]
}


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": path}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, env=env)


def played(section: str) -> dict[str, object]:
    names: dict[str, object] = {"__name__": "recipes"}
    for block in SECTIONS[section]:
        exec(compile(block, "recipes.md", "exec"), names)
    return names


def test_a_class_of_your_own(capsys: pytest.CaptureFixture[str]) -> None:
    names = played("Profile a class of your own")
    said = capsys.readouterr().out
    assert "Blur0" in said
    assert "augment" in said
    assert names["run"].profile["load", "region"].calls == 20


@pytest.mark.torch
def test_a_model_of_pytorch(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch", reason="needs PyTorch: make test TORCH=1")
    profile = played("Profile a PyTorch model")["run"].profile
    assert profile["2", "backward"].calls == 50
    assert profile["Adam", "update"].calls == 50


def test_a_script_and_what_is_typed_after_it(tmp_path: Path) -> None:
    (script,) = SECTIONS["Profile a training script"]
    (tmp_path / "train.py").write_text(script, encoding="utf-8")
    with chdir(tmp_path):
        assert run("train.py").returncode == 0
        shown = run("-m", "gpuprof", "show", "train.json.gz")
        table = run("-m", "gpuprof", "show", "train.json.gz", "--csv")
    assert "(outside)" in shown.stdout
    assert table.stdout.startswith("path,")


def test_the_tests_count_kernels_or_say_why_not(tmp_path: Path) -> None:
    (test,) = SECTIONS["Hold a layer to its launches, in pytest"]
    (tmp_path / "test_launches.py").write_text(test.replace('"cpu"', '"cpu"' if CUPY is None else '"gpu"'))
    said = run("-m", "pytest", "-rs", "-p", "no:cacheprovider", tmp_path / "test_launches.py").stdout
    assert ("1 passed, 1 skipped" in said and "no GPU in use" in said) if CUPY is None else "2 passed" in said


def test_a_report(tmp_path: Path) -> None:
    class Layer:
        def forward(self, x: float) -> float:
            return x

    with layertime(layer := Layer()):
        for _ in range(3):
            layer.forward(1.0)
    with chdir(tmp_path):
        played("Send a colleague a report")
        shown = run("-m", "gpuprof", "show", "run.json.gz", "--html", "run.html")
        assert shown.returncode == 0
        assert {"run.json.gz", "run.md", "run", "run.trace.json", "run.png", "run.html"} == {
            path.name for path in Path().iterdir()
        }
    assert gpuprof.last is not None


def test_the_commands_can_be_typed() -> None:
    commands = re.findall(r"^    python -m gpuprof ([^#\n]+)", TEXT, flags=re.MULTILINE)
    assert len(commands) == 5
    for command in commands:
        _parser().parse_args(command.split())
