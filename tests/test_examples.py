"""Each example runs as it stands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPTS = {"own_class.py": "(outside)", "hook_in_five_lines.py": "backward Conv1"}


@pytest.mark.parametrize(("script", "says"), SCRIPTS.items())
def test_an_example_runs(script: str, says: str) -> None:
    answer = subprocess.run(
        [sys.executable, ROOT / "examples" / script],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
    )
    assert answer.returncode == 0, answer.stderr
    assert says in answer.stdout


def test_every_example_is_run_by_a_test() -> None:
    assert {file.name for file in (ROOT / "examples").glob("*.py")} == {*SCRIPTS, "run_demo.py"}
