"""What is said of the race: on the screen, and in docs/ladder.md from results/race.json."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.results import HERE, load
from benchmarks.tables import Claim, table, word

LEAST, GOAL = 0.99, 1 / 3


def ratios(race: dict[str, Any], time: str = "training_s") -> list[float]:
    """The time of cnn over that of PyTorch, seed by seed."""
    return [row["cnn"][time] / row["torch"][time] for row in race["seeds"]]


def claim(name: str, race: dict[str, Any]) -> Claim:
    """What was asked of the training's time and what came out."""
    found, seeds = statistics.median(ratios(race)), len(race["seeds"])
    return Claim(f"{name}: cnn's time / PyTorch's", "≤ 1/3", f"{found:.3f}, {seeds} seeds", word(found <= GOAL))


def claims() -> list[list[str]]:
    """For each race kept a row: what, goal, stretch, measured, whether each is reached."""
    if not (HERE / "race.json").exists():
        return []
    found = (claim(name, race) for name, race in load("race")["races"].items())
    return [[each.what, each.least, "", each.found, each.reached, ""] for each in found]


def side(race: dict[str, Any], name: str) -> list[str]:
    """Medians of both times in ms, then the accuracy: mean, least, how many seeds reach 99 %."""
    rows = [row[name] for row in race["seeds"]]
    times = [f"{statistics.median(row[time] for row in rows) * 1e3:.1f}" for time in ("training_s", "with_recording_s")]
    shares = [row["accuracy"] for row in rows]
    reach = sum(share >= LEAST for share in shares)
    return [*times, percent(statistics.mean(shares)), percent(min(shares)), f"{reach} of {len(shares)}"]


def percent(share: float) -> str:
    """A share in hundredths of a per cent."""
    return f"{100 * share:.2f} %"


def report(races: dict[str, Any]) -> str:
    """Both sides of each race and their ratios, in lines."""
    lines = []
    for name, race in races.items():
        for who in ("cnn", "torch"):
            alone, recorded, mean, least, reach = side(race, who)
            lines.append(
                f"{name}, {who}: {alone} ms, with recording {recorded} ms; {mean}, least {least}, {reach} ≥ 99 %"
            )
        recording = statistics.median(ratios(race, "with_recording_s"))
        lines.append(f"{'; '.join(claim(name, race))}; with recording {recording:.3f}")
    return "\n".join(lines)


def raced() -> str:
    """A table of all races with their claims, Markdown."""
    if not (HERE / "race.json").exists():
        return "Not measured yet."
    measured = load("race")
    head = ("", "training, ms", "recording included, ms", "test images right: mean", "least", "99 % reached by")
    rows, claims, ways = [], [], []
    for name, race in measured["races"].items():
        rows += [[f"{name}, {label}", *side(race, who)] for who, label in (("cnn", "cnn"), ("torch", "PyTorch"))]
        claims.append(claim(name, race))
        tried = ", ".join(_trial(way, each) for way, each in race["tried"]["torch"].items())
        ways.append(f"{name}: of PyTorch's ways the fastest was raced: {tried}; commit {race['commit']}.")
    machine, versions = measured["machine"], next(iter(measured["races"].values()))["versions"]
    about = f"{machine['gpu']}, driver {machine['driver']}, CuPy {machine['cupy']}, PyTorch {versions['torch']}"
    asked = table(("", "asked", "median", "reached"), claims)
    return "\n\n".join(
        [table(head, rows), asked, "\n".join(ways), f"[race.json]({{results}}/race.json): {about}, {measured['date']}."]
    )


def _trial(way: str, tried: dict[str, Any]) -> str:
    return f"{way} {statistics.median(tried['training_s']) * 1e3:.1f} ms"
