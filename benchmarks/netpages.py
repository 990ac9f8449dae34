"""What docs/cnn.md shows of real runs and of an epoch on a CPU, made from benchmarks/results: no figure is typed."""

from __future__ import annotations

from typing import Any

from benchmarks import cpu_epoch
from benchmarks.accuracy import kept
from benchmarks.results import FOLDER, load
from benchmarks.tables import about, table


def trained() -> str:
    """What was asked of each experiment and what its seeds gave."""
    runs = load("accuracy")["runs"]
    lines = table(("", "asked", "measured", "reached"), kept.claims(runs))
    return f"{lines}\n\n{about('accuracy')} Commits: {_commits(runs)}."


def chosen() -> str:
    """The settings that were tried on held-out training images."""
    found = kept.choices(load("accuracy")["runs"])
    return table(("settings", "held-out images, mean", "runs"), found) if found else "Not measured yet."


def epoch() -> str:
    """The article's net for an epoch, in cnn and in PyTorch."""
    if not (FOLDER / "cpu_epoch.json").exists():
        return "Not measured yet."
    measured = load("cpu_epoch")
    lines = table(("", "asked", "measured", "reached"), map(cpu_epoch.claim, measured["runs"]))
    return f"{lines}\n\n{about('cpu_epoch')} PyTorch {measured['versions']['torch']}, {measured['cores']} cores."


def _commits(runs: list[dict[str, Any]]) -> str:
    """Which recipe was run at which commit."""
    found: dict[str, list[str]] = {}
    for run in runs:
        names = found.setdefault(run["commit"], [])
        if run["recipe"] not in names:
            names.append(run["recipe"])
    return "; ".join(f"{commit} ({', '.join(names)})" for commit, names in found.items())
