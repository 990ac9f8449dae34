"""What the docs show of results/epoch.json, Markdown: a table a run, and what was asked for."""

from __future__ import annotations

import statistics
from typing import Any, NamedTuple

from benchmarks.race.page import claims as races
from benchmarks.results import load
from benchmarks.tables import NO, table, word


class Asked(NamedTuple):
    """µs a step, at most; and what would be better still."""

    goal: float
    stretch: float | None = None


ASKED = {
    ("cnn, graph", "article-8"): Asked(20, 12),
    ("cnn, graph", "article-128"): Asked(35, 25),
    ("cnn, graph", "keras-8"): Asked(60, 45),
    ("cnn, graph", "keras-128"): Asked(180, 130),
    ("cnn, plain", "article-8"): Asked(600),
}
Run = dict[str, Any]


def step_times() -> str:
    """A table for each run, newest first, down to one that has all that was asked for."""
    measured = load("epoch")
    machine = measured["machine"]
    shown = _needed(_runs(measured))
    tables = [text for run in shown for text in (_table(run["parts"]), "")]
    return "\n".join(
        [
            *tables,
            f"Medians of rounds in which the ways took turns, µs a step, on one {machine['gpu']} (driver "
            f"{machine['driver']}, {_versions(shown)}); a table is one run. – was not measured in that run."
            f"{_failed(shown)}",
            "",
            "Raw samples: [epoch.json]({results}/epoch.json).",
        ]
    )


def goals() -> str:
    """What was asked for and what was measured last, of a step's time and of the race."""
    runs = _runs(load("epoch"))
    rows = [_row(f"{way} of {part}, µs a step", asked, _last(runs, way, part)) for (way, part), asked in ASKED.items()]
    return table(("", "goal", "stretch", "measured", "goal reached", "stretch reached"), [*rows, *races()])


def _row(what: str, asked: Asked, found: float | None) -> list[str]:
    stretch = "" if asked.stretch is None else f"≤ {asked.stretch:g}"
    if found is None:
        return [what, f"≤ {asked.goal:g}", stretch, "not measured", NO, NO if stretch else ""]
    reached = "" if asked.stretch is None else word(found <= asked.stretch)
    return [what, f"≤ {asked.goal:g}", stretch, f"{found:.1f}", word(found <= asked.goal), reached]


def _runs(measured: Run) -> list[Run]:
    return [measured, *measured.get("earlier", [])]


def _needed(runs: list[Run]) -> list[Run]:
    """The newest ones, until all that was asked for has been measured."""
    missing = set(ASKED)
    for place, run in enumerate(runs):
        missing -= {(way, part) for way, part in missing if _last([run], way, part) is not None}
        if not missing:
            return runs[: place + 1]
    return runs


def _last(runs: list[Run], way: str, part: str) -> float | None:
    """The median of the newest run that has it."""
    found = (run["parts"][part]["us_a_step"].get(way) for run in runs if part in run["parts"])
    samples = next(filter(None, found), None)
    return statistics.median(samples) if samples else None


def _table(parts: dict[str, Any]) -> str:
    ways = list(dict.fromkeys(way for part in parts.values() for way in part["us_a_step"]))
    commits = ", ".join(sorted({part["commit"] for part in parts.values()}))
    rows = [[f"commit {commits}", *parts], ["---"] * (len(parts) + 1)]
    rows += [[way, *(_median(part, way) for part in parts.values())] for way in ways]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _median(part: dict[str, Any], way: str) -> str:
    samples = part["us_a_step"].get(way)
    return f"{statistics.median(samples):.1f}" if samples else "–"


def _versions(runs: list[Run]) -> str:
    """Of the libraries that took part."""
    found: dict[str, list[str]] = {}
    for run in runs:
        for part in run["parts"].values():
            for name, version in part["versions"].items():
                if version not in found.setdefault(name, []):
                    found[name].append(version)
    return ", ".join(f"{name} {' and '.join(versions)}" for name, versions in found.items())


def _failed(runs: list[Run]) -> str:
    """The ways that failed in these runs, and why."""
    reasons = [
        f"{way} of {name}: {why}" for run in runs for name, part in run["parts"].items()
        for way, why in part["left_out"].items()
    ]  # fmt: skip
    return f" Left out: {'; '.join(reasons)}." if reasons else ""
