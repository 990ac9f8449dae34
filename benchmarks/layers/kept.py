"""The parts that have been measured: results/layers.json, with what was asked for beside what came out."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from benchmarks.parts import Parts
from benchmarks.tables import YES, Claim


def claim(what: str, least: str, found: str, reached: bool | None) -> Claim:
    """One thing asked for; `reached` None where it could not be measured."""
    return Claim(what, least, found, "?" if reached is None else YES if reached else "no")


def kept_parts() -> dict[str, dict[str, Any]]:
    """The parts in the newest file there is."""
    return Parts("layers", {}).kept()


def keep_part(name: str, content: dict[str, Any]) -> Path:
    """The file written: the parts kept so far, with this one in its place."""
    return Parts("layers", {}).keep(name, _short(content))


def report(parts: dict[str, dict[str, Any]]) -> str:
    """A short table: what was asked for, what came out, whether that is enough."""
    rows = [("", "asked", "measured", "reached")]
    for name, part in parts.items():
        rows += [(f"{name}: {what}", least, found, reached) for what, least, found, reached in part["claims"]]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return "\n".join(
        "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[3]]) for row in rows
    )


def _short(value: Any) -> Any:
    """Numbers to seven digits, NumPy's as Python's, NaN as None: what JSON holds and a reader can use."""
    if isinstance(value, dict):
        return {str(key): _short(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_short(each) for each in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.7g}") if math.isfinite(value) else None
    return value
