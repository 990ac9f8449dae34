"""What captured graphs would gain: what was measured of them, `Profile.graph`, and how it is shown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from gpuprof.judge.stats import median_interval
from gpuprof.units import column_unit, count, digits, seconds_text
from gpuprof.views.grid import Cell, Grid
from gpuprof.views.report import Section

STEP = "(step)"
"""The path of the row for all calls of a step in one graph."""
COLUMNS = (
    "path", "phase", "a_step", "launches", "now_ms", "graph_ms", "low_ms", "high_ms", "gain_ms", "replays", "why"
)  # fmt: skip
_REASON = 60


class Graphed(NamedTuple):
    """A row's call as a graph, or all calls of a step (`STEP`)."""

    path: str
    phase: str
    a_step: int
    """How many calls a typical step has."""
    launches: float | None = None
    """In the graph: kernels, copies and fills; None where that is not known."""
    ms: tuple[float, ...] = ()
    """Each replay of each of the calls."""
    why: str = ""
    """Why there is no graph."""


@dataclass(frozen=True)
class Graphs:
    """What was measured of graphs; of a profile for which nobody asked for it, nothing."""

    rows: tuple[Graphed, ...] = ()
    plain_ms: tuple[float, ...] = ()
    """The same steps without graphs, on the same copies, in turns with the replays."""
    let_through: int = 0
    """The products of cuBLAS among what was captured."""
    why: str = ""
    """Why nothing was captured at all, where it was asked for."""

    def to_dict(self) -> dict[str, Any]:
        """What JSON can hold; `Graphs.from_dict` reads it."""
        return {"rows": self.rows, "plain_ms": self.plain_ms, "let_through": self.let_through, "why": self.why}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Graphs:
        """What `to_dict` gave. Raises KeyError, TypeError or ValueError for anything else."""
        rows = tuple(Graphed(p, f, n, launches, tuple(ms), why) for p, f, n, launches, ms, why in content["rows"])
        return cls(rows, tuple(content["plain_ms"]), content["let_through"], content["why"])


def graph_table(graphs: Graphs, table: Any, bound: str) -> Any:
    """`Profile.graph`; `table` is `Profile.table`, `bound` what sets a step's length, "host" or "device"."""
    import pandas as pd

    now = {(row.path, row.phase): _now(row, bound) for row in table.itertuples()}
    of_step = [row for row in graphs.rows if row.path != STEP and row.a_step]
    now[STEP, ""] = sum(row.a_step * now.get((row.path, row.phase), math.nan) for row in of_step)
    found = []
    for row in graphs.rows:
        interval = median_interval(row.ms)
        before = now.get((row.path, row.phase), math.nan)
        found.append(
            (
                *(row.path, row.phase, row.a_step),
                math.nan if row.launches is None else row.launches,
                before,
                *interval,
                before - interval.median,
                len(row.ms),
                row.why,
            )
        )
    made = pd.DataFrame(found, columns=list(COLUMNS))
    made.attrs["plain_ms"] = float(np.median(graphs.plain_ms)) if graphs.plain_ms else math.nan
    return made


def missing_graphs(graphs: Graphs) -> list[str]:
    """What was asked for and could not be had at all."""
    return [f"what a captured graph would gain ({graphs.why})."] if graphs.why else []


def graph_sections(graphs: Graphs, table: Any) -> tuple[Section, ...]:
    """The section about graphs, whose title says what a step would gain; `table` is `Profile.graph`."""
    if table.empty:
        return ()
    calls = table[(table["path"] != STEP) & (table["a_step"] > 0)]
    order = (calls["gain_ms"].fillna(-math.inf) * calls["a_step"]).sort_values(ascending=False, kind="stable").index
    rows = [*table[table["path"] == STEP].itertuples(), *calls.loc[order].itertuples()]
    size, unit = column_unit(row.now_ms * 1e-3 for row in rows)
    head = ("call", "launches", f"now ({unit})", f"as a graph ({unit})", f"gain ({unit})", "why not")
    cells = [_cells(row, size) for row in rows]
    kept = [i for i in range(len(head)) if any(row[i].text for row in cells)]
    grid = Grid(
        tuple(head[i] for i in kept),
        tuple(tuple(row[i] for i in kept) for row in cells),
        words=frozenset(kept.index(i) for i in (0, 5) if i in kept),
    )
    return (Section(_title(table, calls), grid, len(rows), ".graph", _note(graphs, table)),)


def _now(row: Any, bound: str) -> float:
    """What a call takes now, ms: of the host where that sets the pace, by steps without marks; else on the device."""
    host = row.host_us if bound == "host" else math.nan
    return float(row.span_us if math.isnan(host) else host) * 1e-3


def _title(table: Any, calls: Any) -> str:
    step = next(table[table["path"] == STEP].itertuples())
    if not step.why:
        launches = "" if math.isnan(step.launches) else f"{count(step.launches)} launches, "
        return (
            f"One step's calls as a captured graph: {_text(step.graph_ms)} instead of {_text(step.now_ms)}; {launches}"
            f"replayed {step.replays} times on copies with stand-in arrays"
        )
    done = calls[calls["why"] == ""]
    if done.empty:
        return f"No call of a step was captured as a graph: {step.why}"
    graph, now = ((done[name] * done["a_step"]).sum() for name in ("graph_ms", "now_ms"))
    return (
        f"{done['a_step'].sum()} of a step's {calls['a_step'].sum()} calls, each as a captured graph: {_text(graph)} "
        f"instead of {_text(now)} (not the step as a whole: {step.why})"
    )


def _cells(row: Any, size: float) -> list[Cell]:
    label = "a whole step" if row.path == STEP else f"{row.path}.{row.phase}" if row.phase else row.path
    times = f" × {row.a_step}" if row.a_step > 1 else ""
    half = (row.high_ms - row.low_ms) / 2
    reason = row.why if len(row.why) <= _REASON else f"{row.why[: _REASON - 1]}…"
    return [
        Cell(f"{label}{times}"),
        Cell(count(row.launches)),
        Cell(digits(row.now_ms * 1e-3 / size)),
        Cell(digits(row.graph_ms * 1e-3 / size), after="" if not half > 0 else f"±{digits(half * 1e-3 / size, 1)}"),
        Cell(digits(row.gain_ms * 1e-3 / size)),
        Cell(reason, whole=row.why if reason != row.why else ""),
    ]


def _note(graphs: Graphs, table: Any) -> str:
    plain = table.attrs["plain_ms"]
    parts = [
        "Of a call. Now: as profiled; a graph: the time between the ends of two replays, the GPU never waiting for "
        "the first.",
        "" if math.isnan(plain) else f"Without graphs the copies took {_text(plain)} a step.",
        "CuPy itself refuses to capture products by cuBLAS; here they were let through." if graphs.let_through else "",
    ]
    return " ".join(filter(None, parts))


def _text(ms: float) -> str:
    return seconds_text(ms * 1e-3)
