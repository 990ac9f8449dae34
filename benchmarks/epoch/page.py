"""What docs/ladder.md shows of results/epoch.json, Markdown."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.results import load

ASKED = {
    ("cnn, graph", "article-8"): 20,
    ("cnn, graph", "article-128"): 35,
    ("cnn, graph", "keras-8"): 60,
    ("cnn, graph", "keras-128"): 180,
    ("cnn, plain", "article-8"): 600,
}
"""µs a step, at most."""


def step_times() -> str:
    """A table for each run, newest first, and what was asked for."""
    measured = load("epoch")
    runs = [measured, *measured.get("earlier", [])]
    machine = measured["machine"]
    tables = [text for run in runs for text in (_table(run["parts"]), "")]
    versions = ", ".join(f"{name} {machine[name]}" for name in ("cupy", "jax") if name in machine)
    return "\n".join(
        [
            *tables,
            f"Medians of rounds in which the ways took turns, µs a step, on one {machine['gpu']} (driver "
            f"{machine['driver']}, {versions}); a table is one run. – was not measured in that run.",
            "",
            _asked(runs),
            "",
            "Raw samples: [epoch.json]({results}/epoch.json).",
        ]
    )


def _table(parts: dict[str, Any]) -> str:
    ways = list(dict.fromkeys(way for part in parts.values() for way in part["us_a_step"]))
    commits = ", ".join(sorted({part["commit"] for part in parts.values()}))
    rows = [[f"commit {commits}", *parts], ["---"] * (len(parts) + 1)]
    rows += [[way, *(_median(part, way) for part in parts.values())] for way in ways]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _median(part: dict[str, Any], way: str) -> str:
    samples = part["us_a_step"].get(way)
    return f"{statistics.median(samples):.1f}" if samples else "–"


def _asked(runs: list[dict[str, Any]]) -> str:
    """Of each thing asked for the newest measurement."""
    words = []
    for (way, part), most in ASKED.items():
        run = next(run for run in runs if way in run["parts"].get(part, {"us_a_step": {}})["us_a_step"])
        found = statistics.median(run["parts"][part]["us_a_step"][way])
        words.append(f"{way} of {part} at most {most}: {'reached' if found <= most else 'not reached'}, {found:.1f}")
    return f"Asked for: {'; '.join(words)}."
