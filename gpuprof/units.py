"""Seconds and shares as text: three significant digits, one unit for a column."""

from __future__ import annotations

import math
from collections.abc import Iterable

_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


def unit_for(seconds: Iterable[float]) -> tuple[float, str]:
    """The size in seconds and the name of the one unit that suits all of `seconds`.

    The largest finite value decides: it reads at least 1 in the unit returned.
    """
    largest = max((abs(s) for s in seconds if math.isfinite(s)), default=0.0)
    for size, name in _UNITS:
        if largest >= size:
            return size, name
    return _UNITS[-1] if largest else (1e-6, "µs")


def digits(value: float, figures: int = 3) -> str:
    """`value` with `figures` significant digits, never in exponent form; "" for NaN."""
    if not math.isfinite(value):
        return "" if math.isnan(value) else "∞"
    if value == 0:
        return "0"
    places = max(0, figures - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{places}f}"


def seconds_text(seconds: float, figures: int = 3) -> str:
    """A time such as "12.3 µs"; "" for NaN."""
    if math.isnan(seconds):
        return ""
    size, name = unit_for([seconds])
    return f"{digits(seconds / size, figures)} {name}"


def percent(share: float) -> str:
    """A share such as "41 %", "0.4 %"; "" for NaN."""
    if math.isnan(share):
        return ""
    return f"{share * 100:.1f} %" if 0 < abs(share) < 0.1 else f"{share * 100:.0f} %"


def bar(share: float, width: int = 6) -> str:
    """`share` (0 to 1) as a bar of block characters at most `width` long: it survives where styles do not."""
    if not share > 0:
        return ""
    eighths = round(min(share, 1.0) * width * 8)
    whole, rest = divmod(eighths, 8)
    return "█" * whole + ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")[rest] or "▏"
