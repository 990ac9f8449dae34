"""Seconds, shares and counts as text: three significant digits, one unit for a column."""

from __future__ import annotations

import math
from collections.abc import Iterable

_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


def unit_for(seconds: Iterable[float]) -> tuple[float, str]:
    """The size in seconds and the name of the one unit that suits all of `seconds`.

    The largest finite value decides: it reads at least 1 in the unit returned.
    """
    largest = _largest(seconds)
    for size, name in _UNITS:
        if largest >= size:
            return size, name
    return _UNITS[-1] if largest else (1e-6, "µs")


def column_unit(seconds: Iterable[float]) -> tuple[float, str]:
    """The same for a column whose values differ widely: the smallest unit in which the largest is below 10 000."""
    largest = _largest(seconds)
    for size, name in reversed(_UNITS):
        if largest < 10_000 * size:
            return (size, name) if largest else (1e-6, "µs")
    return _UNITS[0]


def _largest(seconds: Iterable[float]) -> float:
    return max((abs(s) for s in seconds if math.isfinite(s)), default=0.0)


def digits(value: float, figures: int = 3) -> str:
    """`value` with `figures` significant digits, never in exponent form; "" for NaN."""
    if not math.isfinite(value):
        return "" if math.isnan(value) else "∞"
    if value == 0:
        return "0"
    places = max(0, figures - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{places}f}"


def count(value: float) -> str:
    """A number of things with its thousands apart, as "245 862 400", "0.25"; "" for NaN."""
    if math.isnan(value):
        return ""
    whole = value >= 100 or abs(value - round(value)) < (0.005 if value >= 1 else 1e-9)
    return f"{value:,.0f}".replace(",", " ") if whole else digits(value, 2)


def several(number: float, thing: str, things: str = "") -> str:
    """A number of things: "1 kernel", "1 500 kernels"; `things` where an s is not enough."""
    text = count(number)
    return f"{text} {thing if text == '1' else things or thing + 's'}"


def seconds_text(seconds: float, figures: int = 3) -> str:
    """A time such as "12.3 µs"; "" for NaN."""
    if math.isnan(seconds):
        return ""
    size, name = unit_for([seconds])
    return f"{digits(seconds / size, figures)} {name}"


def percent(share: float) -> str:
    """A share such as "41 %", "0.4 %", "99.6 %", "<0.1 %"; "" for NaN."""
    if math.isnan(share):
        return ""
    if 0 < share < 0.0005:
        return "<0.1 %"
    return f"{share * 100:.1f} %" if 0 < abs(share) < 0.0995 or 0.995 <= share < 0.9995 else f"{share * 100:.0f} %"


def bar(share: float, width: int = 6) -> str:
    """`share` (0 to 1) as a bar of block characters at most `width` long: it survives where styles do not."""
    if not share > 0:
        return ""
    eighths = round(min(share, 1.0) * width * 8)
    whole, rest = divmod(eighths, 8)
    return "█" * whole + ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")[rest] or "▏"
