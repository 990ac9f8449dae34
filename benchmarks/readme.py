"""What README and docs show of measurements, made from benchmarks/results and from nothing else.

`python -m benchmarks.readme` writes the blocks between the pages' markers, <!-- measured: NAME --> and
<!-- /measured: NAME -->, and docs/layertime.png; the tests check that all are what this makes of the files.
"""

from __future__ import annotations

import functools
import hashlib
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import netpages, pages, scenes, shown, simulated
from benchmarks.accuracy import kept
from benchmarks.accuracy.recipes import RECIPES
from benchmarks.epoch.page import goals, step_times
from benchmarks.ladder.page import ladder, rung
from benchmarks.ladder.rungs import RUNGS
from benchmarks.layerwise import gained
from benchmarks.race.page import raced
from benchmarks.results import load
from gpuprof.results.profile import Profile
from gpuprof.units import percent, seconds_text

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
TIMING = ROOT / "docs" / "timing.md"
LAYERS = ROOT / "docs" / "layers.md"
PAGES = (
    *(README, TIMING, LAYERS),
    *(ROOT / "docs" / f"{name}.md" for name in ("tutorial", "which-number", "compared", "cnn", "ladder")),
)
PICTURE = ROOT / "docs" / "layertime.png"
MARKED = re.compile(r"(<!-- measured: (\w+) -->\n).*?(?=<!-- /measured: \2 -->)", re.DOTALL)
CELL = "%%layertime lm\nlm.training(1, n_batch=8, steps=200, show_error=False, graph=False)"


def shown_profile() -> Profile:
    """The profile in the picture: the article's network, its first pooling, n_batch 8."""
    return Profile.load(ROOT / "benchmarks" / "results" / "profile_article_8.json.gz")


def pooling() -> str:
    """The README's table of the slow line and the lines under it, Markdown."""
    measured, overhead = load("pooling"), load("overhead")
    article = kept.of(load("accuracy")["runs"], "article")
    right = kept.average(RECIPES["article"], article)
    lines = [
        "| n_batch | a step with the slow line | bound by | foretold without the layer | once mended | gained |",
        "|---|---|---|---|---|---|",
    ]
    runs = {(run["n_batch"], run["route"]): run for run in measured["runs"]}
    for n_batch in sorted({n for n, _ in runs}):
        slow, mended = runs[n_batch, "article"], runs[n_batch, "first"]
        cells = [
            str(n_batch),
            seconds_text(_median(slow["plain_s"])),
            "GPU" if slow["bound"] == "device" else "launches",
            percent(slow["layer_gain"]),
            seconds_text(_median(mended["plain_s"])),
            percent(slow["true_gain"]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        f"Measured on one {measured['machine']['gpu']} (driver {measured['machine']['driver']}, CuPy "
        f"{measured['machine']['cupy']}), commit {measured['commit']}: medians of {len(slow['plain_s'])} turns without "
        "a profiler, beside what one profile of the slow network foretold (the gain of Pool1). "
        f"Five epochs of the whole of MNIST at n_batch 8: {100 * right:.2f} % of the test images right (median "
        f"of {len(article)} seeds, last epoch; commit {article[0]['commit']}). "
        f"At commit {overhead['commit']}, profiling a step of {seconds_text(_median(overhead['plain_s']))} made it "
        f"{percent(max(0.0, overhead['ratio'] - 1))} longer, of which the profiler's own "
        f"code, the part that a profile can state, was {percent(_median(overhead['own_shares']))}.",
    ]
    return "\n".join(lines)


def layers() -> str:
    """What `benchmarks/layers` asked and measured, part by part, Markdown."""
    measured = load("layers")
    machine = measured["machine"]
    lines = ["| part | what | asked | measured | reached |", "|---|---|---|---|---|"]
    for part, found in measured["parts"].items():
        for what, asked, text, reached in found["claims"]:
            cells = (part, what, asked, text, {"?": ""}.get(reached, reached))
            lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    lines += [
        "",
        f"[layers.json]({{results}}/layers.json): {machine['gpu']}, driver {machine['driver']}, "
        f"CUDA {machine['cuda']}, CuPy {machine['cupy']}, {measured['date']}; commits: {_commits(measured['parts'])}.",
    ]
    return "\n".join(lines)


def _commits(parts: dict[str, Any]) -> str:
    """Which part was measured at which commit."""
    by_commit: dict[str, list[str]] = {}
    for name, part in parts.items():
        by_commit.setdefault(part["commit"], []).append(name)
    return "; ".join(f"{commit} ({', '.join(names)})" for commit, names in by_commit.items())


def draw(profile: Profile, path: Path) -> None:
    """The picture: the cell, the text of its output, and the timeline of a step."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(11, 5.6), dpi=110, layout="constrained")
    top, bottom = figure.subplots(2, 1, height_ratios=[2.5, 1.5])
    top.axis("off")
    top.text(0, 1, CELL, family="monospace", fontsize=9.5, va="top", weight="bold", transform=top.transAxes)
    top.text(0, 0.86, _wrapped(str(profile)), family="monospace", fontsize=8.2, va="top", transform=top.transAxes)
    profile.timeline(ax=bottom)
    figure.savefig(path, metadata={"Description": fingerprint(profile)})
    plt.close(figure)


def fingerprint(profile: Profile) -> str:
    """What the picture was made from."""
    return hashlib.sha256(str(profile).encode()).hexdigest()


def _wrapped(text: str, width: int = 132) -> str:
    """The sentences broken into lines; the table's lines as they are."""
    lines = [textwrap.fill(line, width) if ". " in line or " · " in line else line for line in text.split("\n")]
    return "\n".join(lines)


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


BLOCKS: dict[str, Callable[[], str]] = {
    block.__name__: block
    for block in (
        pooling,
        layers,
        pages.example,
        pages.timers,
        pages.claims,
        pages.spins,
        pages.calls,
        pages.graphs,
        pages.pairs,
        pages.runs,
        scenes.hostile,
        shown.step_8,
        shown.step_32,
        shown.peers,
        pages.walls,
        simulated.coverage,
        simulated.stopping,
        simulated.shapes,
        simulated.ratios,
        netpages.trained,
        netpages.chosen,
        netpages.epoch,
        step_times,
        gained,
        goals,
        raced,
        ladder,
    )
} | {f"rung_{number}": functools.partial(rung, number) for number in range(1, len(RUNGS) + 1)}


def updated(page: Path) -> str:
    """The page's text with its blocks as they have to be."""
    text = page.read_text(encoding="utf-8")
    names = {name for _, name in MARKED.findall(text)}
    if not names or not names <= BLOCKS.keys():
        raise ValueError(f"{page.name}: expected blocks of {', '.join(BLOCKS)}; got {', '.join(names) or 'none'}")
    results = "../benchmarks/results" if page.parent == ROOT / "docs" else "benchmarks/results"
    return MARKED.sub(lambda found: found[1] + BLOCKS[found[2]]().replace("{results}", results) + "\n", text)


def main() -> None:
    """Write the pages and the picture."""
    for page in PAGES:
        page.write_text(updated(page), encoding="utf-8")
    PICTURE.parent.mkdir(exist_ok=True)
    draw(shown_profile(), PICTURE)


if __name__ == "__main__":
    main()
