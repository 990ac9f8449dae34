"""What docs/ladder.md shows of results/ladder.json, Markdown: all rungs' times, each rung as it is profiled."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.ladder.findings import CALL
from benchmarks.ladder.rungs import RUNGS
from benchmarks.results import HERE, load
from benchmarks.shown import wrapped
from benchmarks.tables import about, table

NONE = "Not measured yet."
SHOWN = "8"  # images a step
ROWS = 6


def ladder() -> str:
    """A row a rung: µs a step of each batch size, and how many times faster that is than the rung before."""
    if not (HERE / "ladder.json").exists():
        return NONE
    batches = load("ladder")["batches"]
    head = ["rung", *(text for n_batch in batches for text in (f"n_batch {n_batch}, µs a step", "than before"))]
    rows = [[f"{i}. {name}", *_times(batches, name)] for i, name in enumerate(RUNGS, 1)]
    reasons = dict.fromkeys(
        f"{name} at {n_batch}: {why}" for n_batch, part in batches.items() for name, why in part["left_out"].items()
    )
    rounds = len(next(iter(batches[SHOWN]["us_a_step"].values())))
    left_out = [f"Left out: {'; '.join(reasons)}."] if reasons else []
    text = f"Medians of {rounds} rounds in which the rungs took turns. {about('ladder')}"
    return "\n\n".join([table(head, rows), *left_out, text])


def _times(batches: dict[str, Any], name: str) -> list[str]:
    cells = []
    for part in batches.values():
        found, before = _median(part, name), _before(part, name)
        times = f"{before / found:.2g} ×" if found and before else ""
        cells += [f"{found:.1f}" if found else "–", times]
    return cells


def _median(part: dict[str, Any], name: str) -> float | None:
    samples = part["us_a_step"].get(name)
    return statistics.median(samples) if samples else None


def _before(part: dict[str, Any], name: str) -> float | None:
    """The median of the nearest rung below that was measured."""
    names = list(RUNGS)
    below = (_median(part, each) for each in reversed(names[: names.index(name)]))
    return next(filter(None, below), None)


def rung(number: int) -> str:
    """The rung with that number: what was typed, the verdict, the rows with the most time; what a graph would take."""
    if not (HERE / "ladder.json").exists():
        return NONE
    name = list(RUNGS)[number - 1]
    part = load("ladder")["batches"][SHOWN]
    if name in part["left_out"]:
        return f"Left out: {part['left_out'][name]}."
    told, found = part["told"][name], _median(part, name)
    time = f"{found:.1f} µs a step at n_batch {SHOWN}."
    if "why" in told:
        return f"{time} Not profiled: {told['why']}."
    graph = "" if RUNGS[name].graph == "fused" else ", graph=False"
    typed = f"{RUNGS[name].typed}\nlm.training(1, n_batch={SHOWN}{graph})"
    verdict = wrapped(told["verdict"])
    seen = f"```text\n{typed}\n\n{verdict}\n```\n\n{_rows(told['rows'])}\n\n{time}{_as_a_graph(told)}"
    if "call" not in told:
        return seen
    return f"{seen}\n\n```text\n%gpu_timeit {CALL}\n\n{wrapped(told['call'])}\n```"


def _rows(rows: list[dict[str, Any]]) -> str:
    """Those with the most time on the GPU; on a machine without one, with the most time."""
    rows = sorted(rows, key=lambda row: (row["busy_us"] or 0, row["total_ms"] or 0), reverse=True)[:ROWS]
    head = ("layer", "phase", "a call, µs", "host, µs", "GPU busy, µs", "launches", "gain")
    return table(head, [_cells(row) for row in rows])


def _cells(row: dict[str, Any]) -> list[str]:
    figures = [_figure(row[key]) for key in ("median_us", "host_us", "busy_us")]
    launches, gain = row["launches"], row["gain"]
    cells = ["" if launches is None else f"{launches:g}", "" if gain is None else f"{100 * gain:.0f} %"]
    return [row["layer"], row["phase"], *figures, *cells]


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _as_a_graph(told: dict[str, Any]) -> str:
    step = told.get("as_a_graph")
    if not step:
        return ""
    if step["why"]:
        return f" As a graph: {step['why']}."
    return f" `--graph` foretells {step['graph_ms'] * 1e3:.1f} µs for its {step['launches']:g} launches as one graph."
