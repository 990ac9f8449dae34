"""Each example runs as it stands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import CUPY

ROOT = Path(__file__).parent.parent
SCRIPTS = {"own_class.py": "(outside)", "hook_in_five_lines.py": "backward Conv1", "one_epoch.py --sample": "47 steps"}


def run(*arguments: str | Path) -> str:
    answer = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


@pytest.mark.parametrize(("script", "says"), SCRIPTS.items())
def test_an_example_runs(script: str, says: str) -> None:
    file, *arguments = script.split()
    assert says in run(ROOT / "examples" / file, *arguments)


def test_the_performance_tests_count_kernels_or_say_why_not() -> None:
    said = run("-m", "pytest", "-rs", "-p", "no:cacheprovider", ROOT / "examples" / "perf_test.py")
    if CUPY is None:
        assert "1 passed, 1 skipped" in said
        assert "no kernel records: no GPU in use" in said
    else:
        assert "2 passed" in said


def test_every_example_is_run_by_a_test() -> None:
    assert {file.name for file in (ROOT / "examples").glob("*.py")} == {
        *(script.split()[0] for script in SCRIPTS),
        "run_demo.py",
        "perf_test.py",
    }
