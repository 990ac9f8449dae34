"""A comparison of profiles as a table for people."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from gpuprof.results.rowchange import REAL, UNJUDGED, RowChange, interval_text, ratio_text
from gpuprof.units import column_unit, count, digits
from gpuprof.views.grid import Cell, Grid
from gpuprof.views.names import shortened

_NAME, _CHANGED = 48, 72


def change_grid(rows: Sequence[RowChange], names: tuple[str, str]) -> Grid:
    """Times of a call before and now, how many times as fast, the verdict, and what changed; empty columns left out."""
    size, unit = column_unit(value * 1e-6 for row in rows for value in (row.old_us, row.new_us))
    busy, busy_unit = column_unit(value * 1e-6 for row in rows for value in (row.old_busy_us, row.new_busy_us))
    factors = [factor for row in rows for factor in (row.of_time, row.of_busy)]
    reach = max((abs(math.log(ratio)) for ratio, _, _, verdict in factors if verdict == REAL), default=0.0)
    old, new = (shortened(name, 24) for name in names)
    columns = [
        ("layer", [Cell(shortened(row.name, _NAME), whole=row.name) for row in rows]),
        (f"{old} ({unit})", [_time(row.old_us, size) for row in rows]),
        (f"{new} ({unit})", [_time(row.new_us, size) for row in rows]),
        ("× as fast", [_ratio(*row.of_time, reach) for row in rows]),
        ("is", [Cell(row.verdict) for row in rows]),
        (f"GPU busy ({busy_unit})", [_busy(row, busy) for row in rows]),
        ("busy × as fast", [_ratio(*row.of_busy, reach) for row in rows]),
        ("busy is", [Cell("" if row.busy_verdict == UNJUDGED else row.busy_verdict) for row in rows]),
        ("launches", [Cell(_pair(row.old_launches, row.new_launches, count)) for row in rows]),
        ("changed", [_changed(row) for row in rows]),
    ]
    kept = [(name, cells) for i, (name, cells) in enumerate(columns) if i < 5 or any(cell.text for cell in cells)]
    words = frozenset(i for i, (name, _) in enumerate(kept) if name in ("layer", "is", "busy is", "changed"))
    head, body = tuple(name for name, _ in kept), tuple(zip(*(cells for _, cells in kept), strict=True))
    beneath = frozenset(i for i, name in enumerate(head) if name == "changed")
    weights = tuple(-i if row.phase else math.inf for i, row in enumerate(rows))  # the step is always told
    return Grid(head, body, words=words, beneath=beneath, weights=weights)


def _time(us: float, size: float) -> Cell:
    return Cell("–" if math.isnan(us) else digits(us * 1e-6 / size))


def _busy(row: RowChange, size: float) -> Cell:
    if math.isnan(row.old_busy_us) and math.isnan(row.new_busy_us):
        return Cell("")
    return Cell(_pair(row.old_busy_us, row.new_busy_us, lambda us: digits(us * 1e-6 / size)))


def _ratio(ratio: float, low: float, high: float, verdict: str, reach: float) -> Cell:
    """How many times as fast, the interval behind it; warm where the difference is real and large."""
    if math.isnan(ratio):
        return Cell("")
    heat = abs(math.log(ratio)) / reach if verdict == REAL and reach > 0 else 0.0
    return Cell(ratio_text(ratio), heat, interval_text(ratio, low, high))


def _pair(old: float, new: float, text: Callable[[float], str]) -> str:
    """Such as "11 → 2", or "2" where nothing changed."""
    known = ["–" if math.isnan(value) else text(value) for value in (old, new)]
    if known == ["–", "–"]:
        return ""
    return known[0] if known[0] == known[1] else " → ".join(known)


def _changed(row: RowChange) -> Cell:
    """What the other columns do not say."""
    told = "; ".join(each for each in row.changed if not each.startswith("launches"))
    return Cell(told if len(told) <= _CHANGED else f"{told[: _CHANGED - 1]}…", whole="; ".join(row.changed))
