"""A comparison of profiles as a table for people."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gpuprof.judge.cost import bytes_text
from gpuprof.results.rowchange import REAL, RowChange
from gpuprof.units import column_unit, count, digits
from gpuprof.views.grid import Cell, Grid
from gpuprof.views.parts import shortened

_NAME, _CHANGED = 48, 72


def change_grid(rows: Sequence[RowChange], names: tuple[str, str]) -> Grid:
    """Times of a call before and now, how many times as fast, the verdict, and what changed; empty columns left out."""
    size, unit = column_unit(value * 1e-6 for row in rows for value in (row.old_us, row.new_us))
    reach = max((abs(math.log(row.ratio)) for row in rows if row.verdict == REAL), default=0.0)
    old, new = (shortened(name, 24) for name in names)
    columns = [
        ("layer", [Cell(shortened(row.name, _NAME), whole=row.name) for row in rows]),
        (f"{old} ({unit})", [_time(row.old_us, size) for row in rows]),
        (f"{new} ({unit})", [_time(row.new_us, size) for row in rows]),
        ("× as fast", [_ratio(row, reach) for row in rows]),
        ("is", [Cell(row.verdict) for row in rows]),
        ("launches", [Cell(_pair(row.old_launches, row.new_launches, count)) for row in rows]),
        ("allocated", [Cell(_pair(row.old_bytes, row.new_bytes, bytes_text)) for row in rows]),
        ("changed", [_changed(row) for row in rows]),
    ]
    kept = [(name, cells) for i, (name, cells) in enumerate(columns) if i < 5 or any(cell.text for cell in cells)]
    words = frozenset(i for i, (name, _) in enumerate(kept) if name in ("layer", "is", "changed"))
    return Grid(tuple(name for name, _ in kept), tuple(zip(*(cells for _, cells in kept), strict=True)), words=words)


def _time(us: float, size: float) -> Cell:
    return Cell("–" if math.isnan(us) else digits(us * 1e-6 / size))


def _ratio(row: RowChange, reach: float) -> Cell:
    """How many times as fast, the interval behind it; warm where the difference is real and large."""
    if math.isnan(row.ratio):
        return Cell("")
    heat = abs(math.log(row.ratio)) / reach if row.verdict == REAL and reach > 0 else 0.0
    return Cell(digits(row.ratio, row.figures), heat, row.interval)


def _pair(old: float, new: float, text: object) -> str:
    """Such as "11 → 2", or "2" where nothing changed."""
    assert callable(text)
    known = ["–" if math.isnan(value) else str(text(value)) for value in (old, new)]
    if known == ["–", "–"]:
        return ""
    return known[0] if known[0] == known[1] else " → ".join(known)


def _changed(row: RowChange) -> Cell:
    """What the other columns do not say."""
    told = "; ".join(each for each in row.changed if not each.startswith(("launches", "allocated")))
    return Cell(told if len(told) <= _CHANGED else f"{told[: _CHANGED - 1]}…", whole="; ".join(row.changed))
