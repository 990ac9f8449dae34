"""What was measured of one line, and the words for it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from gpuprof.judge.cost import bytes_text
from gpuprof.units import several

INCLUDED = "includes waiting"


@dataclass(frozen=True)
class LineFigures:
    """What was measured of one line, summed over the calls followed; NaN or None where it was not measured."""

    hits: int = 0
    host_s: float = math.nan
    span_s: float = math.nan
    busy_s: float = math.nan
    launches: int | None = None
    threads: int | None = None
    """The most that one launch had; not a sum."""
    allocated_bytes: int | None = None
    retained_bytes: int | None = None
    result: str = ""
    """What the line made, such as "float32 (62720, 1)"."""
    waits: bool = False
    """Whether it makes the host wait for the GPU."""


def note(row: LineFigures) -> str:
    """What to put beside a line that waits; "" for any other."""
    if not row.waits:
        return ""
    return INCLUDED if math.isnan(row.busy_s) else "waits for the GPU"


def work(row: LineFigures, calls: int) -> str:
    """Such as "11 launches of up to 245 862 400 threads for a result of 62 720 elements"."""
    if not row.launches:
        return ""
    launches = row.launches / (calls or 1)
    text = several(launches, "launch", "launches")
    if row.threads:
        text += f" of {'' if launches == 1 else 'up to '}{several(row.threads, 'thread')}"
    made = _elements(row.result)
    return f"{text} for a result of {made}" if made else text


def waiting(row: LineFigures) -> str:
    """A sentence about a line that waits; "" for any other."""
    if not row.waits:
        return ""
    return " It waits for the GPU" + (", and that is counted in." if note(row) == INCLUDED else ".")


def number(value: float | None) -> float:
    """The value; NaN for None."""
    return math.nan if value is None else float(value)


def size(value: float) -> str:
    """So many bytes; "" for NaN."""
    return "" if math.isnan(value) else bytes_text(value)


def _elements(result: str) -> str:
    """How many elements an array of the shape in `result` has; the text itself where it names no shape."""
    shape = re.search(r"\(([\d, ]+)\)", result)
    if not shape:
        return result
    elements = math.prod(int(side) for side in re.findall(r"\d+", shape[1]))
    return several(elements, "element")
