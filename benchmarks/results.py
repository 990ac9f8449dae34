"""Where what was measured is kept: raw samples, the machine, the versions, the commit."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from gpuprof.device import machine

HERE = Path(__file__).parent / "results"
FOLDER = Path(os.environ.get("GPUPROF_RESULTS", HERE))


def keep(name: str, content: dict[str, Any]) -> Path:
    """The file written: results/NAME.json."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    file = FOLDER / f"{name}.json"
    about = {"date": datetime.date.today().isoformat(), "commit": commit(), "machine": machine()}
    file.write_text(json.dumps({"benchmark": name, **about, **content}, indent=1) + "\n", encoding="utf-8")
    return file


def load(name: str) -> dict[str, Any]:
    """What `keep` wrote into the tree."""
    return json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))


def newest(name: str) -> dict[str, Any]:
    """The newest file there is: what this run wrote, else that in the tree; empty where there is none."""
    for folder in (FOLDER, HERE):
        file = folder / f"{name}.json"
        if file.exists():
            return dict(json.loads(file.read_text(encoding="utf-8")))
    return {}


def commit() -> str:
    """The commit measured; GPUPROF_COMMIT says it where the tree came without its history."""
    given = os.environ.get("GPUPROF_COMMIT")
    if given:
        return given
    answer = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return answer.stdout.strip() or "unknown"
