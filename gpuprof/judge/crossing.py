"""Where launch-bound ends: two curves through measured points, and where the one passes the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise


def crossing(places: Sequence[float], host: Sequence[float], gpu: Sequence[float]) -> float:
    """The place from which on `gpu` exceeds `host`; NaN where it never comes to, or does from the first.

    Straight lines lie between the points, as on the axis where `places` are (logarithms of what is logarithmic) and
    in the logarithms of the times. What is not positive is left out.
    """
    known = sorted((x, h / g) for x, h, g in zip(places, host, gpu, strict=True) if h > 0 and g > 0)
    for (left, before), (right, after) in reversed(list(pairwise(known))):
        if after >= 1:
            return math.nan
        if before >= 1:
            share = math.log(before) / (math.log(before) - math.log(after))
            return left + share * (right - left)
    return math.nan
