"""Steps that ran as captured graphs, in a profile's tables: a row a kernel, never split."""

from __future__ import annotations

import math
from typing import Any

from gpuprof.hooks.methods import OUTSIDE_PATH
from gpuprof.hooks.replays import MAKING, STEPS
from gpuprof.judge.replays import Part, ReplayFigures
from gpuprof.record.calls import Scope
from gpuprof.units import count, digits, percent, unit_for
from gpuprof.views.colours import GPU
from gpuprof.views.grid import Cell, Grid

IDLE = Scope("(between kernels)", "")
"""The row of what no kernel runs of a step."""
HELD = Scope("(profiler)", "")
"""The row of what beginning and ending kernel records took."""
NOTE = (
    "Time: of a step; in evaluations, and where layers were called, of a call; ± the wider side of its 95 % interval. "
    "A kernel that does the work of several layers or phases is one row, which names them all."
)
_ROWS = {"forward": 0, "backward": 1, "update": 2}


def with_parts(table: Any, figures: ReplayFigures) -> Any:
    """`Profile.table` with a row for each kernel of a step in the place of that for whole graphs."""
    import pandas as pd

    whole = _of_whole_graphs(table)
    if not whole.any():
        return table
    graphs = table[whole].iloc[0]
    made = pd.DataFrame([_row(graphs, figures, *each) for each in _divided(figures)], columns=table.columns)
    others = _without_held(table[~whole], figures.held * 1e3)
    found = pd.concat([made, others.astype(made.dtypes.to_dict(), errors="ignore")], ignore_index=True)
    last = (found["path"] == OUTSIDE_PATH).rename("last")
    order = pd.concat([last, -found["gain"].fillna(-1), -found["total_ms"]], axis=1)
    found = found.loc[order.sort_values(list(order.columns), kind="stable").index].reset_index(drop=True)
    found.attrs = dict(table.attrs)
    return found


def _of_whole_graphs(table: Any) -> Any:
    """Which rows are of whole graphs."""
    return (table["path"] == STEPS.path) & (table["phase"] == STEPS.phase)


def _without_held(table: Any, held_ms: float) -> Any:
    """What is outside in two rows: what the profiler took, and the rest."""
    import pandas as pd

    outside = table["path"] == OUTSIDE_PATH
    if not held_ms or not outside.any():
        return table
    whole = table[outside].iloc[0]
    part = min(1.0, held_ms / whole["total_ms"]) if whole["total_ms"] > 0 else 0.0
    names = {"path": HELD.path, "layer": HELD.path, "phase": "", "clock": whole["clock"]}
    held = dict.fromkeys(table.columns, math.nan) | names | {"calls": 1}
    rest = whole.copy()
    for column in ("total_ms", "share"):
        held[column], rest[column] = whole[column] * part, whole[column] * (1 - part)
    return pd.concat([table[~outside], pd.DataFrame([held, rest.to_dict()])], ignore_index=True)


def _divided(figures: ReplayFigures) -> list[tuple[Scope, float, Part | None]]:
    """The rows, the seconds of a step of each, and its kernel."""
    if not figures.parts:
        return [(STEPS, figures.step.median, None)]
    parts: list[tuple[Scope, float, Part | None]] = [(part.row, part.seconds, part) for part in figures.parts]
    return [*parts, (IDLE, figures.idle, None)]


def _row(graphs: Any, figures: ReplayFigures, row: Scope, seconds: float, part: Part | None) -> dict[str, Any]:
    """A row of the table, from that for whole graphs."""
    step = figures.step
    share = seconds / step.median if step.median > 0 else math.nan
    gain = share if figures.bound == "device" else math.nan
    whole = row == STEPS
    whole_graphs: dict[str, Any] = graphs.to_dict()
    return whole_graphs | {
        "path": row.path,
        "layer": row.path,
        "phase": row.phase,
        "calls": figures.steps,
        "first_ms": math.nan,
        "total_ms": graphs["total_ms"] * share,
        "mean_us": graphs["total_ms"] * share / figures.steps * 1e3,
        "median_us": seconds * 1e6,
        "low_us": step.low * share * 1e6,
        "high_us": step.high * share * 1e6,
        "host_us": figures.host * 1e6 if whole else math.nan,
        "span_us": step.median * 1e6 if whole else math.nan,
        "busy_us": part.busy * 1e6 if part else math.nan,
        "idle_us": math.nan,
        "launches": part.launches if part else math.nan,
        "threads": part.threads if part else math.nan,
        "share": graphs["share"] * share,
        "gain": gain if part else math.nan,
        "gpu_gain": gain if part else math.nan,
        "roof_gain": math.nan,
    }


def named_kernels(table: Any, figures: ReplayFigures) -> Any:
    """`Profile.kernel_table` with a row for each kernel of a step in the place of those of whole graphs."""
    import pandas as pd

    whole = _of_whole_graphs(table)
    if not figures.parts:
        return table
    rows = [
        (*part.row, part.kernel, part.launches, part.busy * 1e6, part.threads, part.registers, 0)
        for part in figures.parts
    ]
    found = pd.concat([pd.DataFrame(rows, columns=table.columns), table[~whole]], ignore_index=True)
    return found.sort_values("busy_us", ascending=False, kind="stable").reset_index(drop=True)


def owned_kernels(table: Any, figures: ReplayFigures) -> Any:
    """`Profile.kernels` in which each kernel of a graph has the layers and phases that it does."""
    import pandas as pd

    rows = {part.kernel: part.row for part in figures.parts}
    names = table["name"].astype(object)
    ours = ((table["path"] == STEPS.path) & names.isin(list(rows))).to_numpy(dtype=bool)
    if not ours.any():
        return table
    found = table.copy()
    for i, column in enumerate(("path", "phase")):
        texts = table[column].astype(object).to_numpy(copy=True)
        texts[ours] = [rows[name][i] for name in names[ours]]
        found[column] = pd.Categorical(texts)
    return found


def of_a_step(table: Any, figures: ReplayFigures) -> Any:
    """The rows of a step, in the order of launching."""
    order = {row: i for i, (row, *_) in enumerate(_divided(figures))}
    there = [i for i, row in enumerate(zip(table["path"], table["phase"], strict=True)) if row in order]
    there.sort(key=lambda i: order[Scope(table["path"][i], table["phase"][i])])
    return table.iloc[there].reset_index(drop=True)


def replay_grid(table: Any, figures: ReplayFigures) -> Grid:
    """The rows of `with_parts` for people: the kernels in the order of launching, then what is no part of a step."""
    order = {row: i for i, (row, *_) in enumerate(_divided(figures))}
    rows = sorted(table.itertuples(), key=lambda row: _place(row, order))
    size, unit = unit_for(row.median_us * 1e-6 for row in rows if (row.path, row.phase) in order)
    busy, its_unit = unit_for(row.busy_us * 1e-6 for row in rows if row.busy_us > 0)
    most = max((row.median_us for row in rows if (row.path, row.phase) in order), default=0.0)
    head = ("layers", "phases", f"time ({unit})", "of the cell", f"GPU busy ({its_unit})", "launches", "gain")
    cells = [
        (
            Cell(row.path),
            Cell(row.phase),
            _time(row, size, most if (row.path, row.phase) in order else 0.0),
            Cell(percent(row.share), share=row.share),
            Cell(digits(row.busy_us * 1e-6 / busy), share=_of(row.busy_us, most), colour=GPU),
            Cell(count(row.launches)),
            Cell(percent(row.gain), share=row.gain),
        )
        for row in rows
    ]
    kept = [i for i in range(len(head)) if any(row[i].text for row in cells)]
    return Grid(
        tuple(head[i] for i in kept),
        tuple(tuple(row[i] for i in kept) for row in cells),
        words=frozenset({0, 1}),
        barred=frozenset({kept.index(3)}) if 3 in kept else frozenset(),
        weights=tuple(row.total_ms if row.total_ms == row.total_ms else 0.0 for row in rows),
    )


def _place(row: Any, order: dict[Scope, int]) -> tuple[int, int]:
    """Where a row stands: kernels, other calls in their usual order, graphs' making, what is outside."""
    key = Scope(row.path, row.phase)
    if key in order:
        return 0, order[key]
    if key in (MAKING, HELD):
        return 2, int(key == HELD)
    return (3, 0) if row.path == OUTSIDE_PATH else (1, _ROWS.get(row.phase, 3))


def _time(row: Any, size: float, most: float) -> Cell:
    wider = max(row.high_us - row.median_us, row.median_us - row.low_us) * 1e-6 / size
    after = [f"±{digits(round(wider, 6), 1)}"] if wider == wider else []
    heat = _of(row.median_us, most) if most > 0 else 0.0
    after += ["◀"] if heat == 1 else []
    return Cell(digits(row.median_us * 1e-6 / size), heat if heat == heat else 0.0, " ".join(after))


def _of(part: float, whole: float) -> float:
    return part / whole if whole > 0 else math.nan
