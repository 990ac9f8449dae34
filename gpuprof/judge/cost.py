"""How near a time comes to what the device can do: its measured copy rate and its rates of arithmetic."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from gpuprof.units import digits, percent

_NEAR = 0.5  # from this share of a ceiling on, it is what bounds the time
_TOO_MUCH = 1.05  # a share above this contradicts the ceiling: ceilings are measured to a few per cent
_PREFIXES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))


class Cost(NamedTuple):
    """What one call moves and computes; None for what is not known."""

    bytes: float | None
    """Read and written, both counted."""
    flops: float | None
    how: str
    """"given", or how it was inferred; "" where nothing is known."""


class Ceilings(NamedTuple):
    """What the device was measured to do at best."""

    copy: float
    """Bytes/s of a large copy on the device, read + write."""
    flops: Mapping[str, float]
    """FLOP/s of a large matrix product by "float16", "bfloat16", "tf32", "float32", "float64"; those measured."""
    l2: int
    """Size of the L2 cache, bytes."""


class Roof(NamedTuple):
    """What bounds a time, as far as its cost shows."""

    kind: str
    """"bandwidth", "compute", "L2" (all it moves fits there, so no roof of memory applies), or "" for none of them."""
    share: float
    """Reached of that ceiling; with kind "" of the nearer one. NaN where there is none to compare with."""
    bytes_per_s: float | None
    flops_per_s: float | None
    sentence: str
    """The same for people, with the evidence; "" where the cost is not known."""


def roof(cost: Cost, seconds: float, dtype: str, ceilings: Ceilings) -> Roof:
    """Which ceiling a call of this cost that takes `seconds` of the device comes near; `dtype` is of its arithmetic.

    A call that moves less than the L2 cache holds is not held to the copy rate. The nearer ceiling names the kind
    from 50 % on. More than 105 % of a ceiling means that the cost or the ceiling is wrong, and names none.
    """
    if not 0 < seconds < math.inf or (cost.bytes is None and cost.flops is None):
        return Roof("", math.nan, None, None, "")
    moved = None if cost.bytes is None else cost.bytes / seconds
    computed = None if cost.flops is None else cost.flops / seconds
    cached = cost.bytes is not None and cost.bytes < ceilings.l2
    memory = math.nan if moved is None or cached else moved / ceilings.copy
    arithmetic = math.nan if computed is None or dtype not in ceilings.flops else computed / ceilings.flops[dtype]
    shares = _Shares(memory, arithmetic, dtype, "" if cost.how == "given" else "at least ")
    kind, share, sentence = _verdict(shares, ceilings, bytes_text(cost.bytes) if cached and cost.bytes else "")
    label = f" ({cost.how})" if shares.least and sentence else ""
    return Roof(kind, share, moved, computed, sentence + label)


class _Shares(NamedTuple):
    """Of each ceiling; NaN where it does not apply. `least` goes before what is a lower bound."""

    memory: float
    arithmetic: float
    dtype: str
    least: str


def rate_text(per_second: float, unit: str) -> str:
    """A rate such as "4.2 TB/s" (unit "B/s") or "52 TFLOP/s", with two digits."""
    return f"{_scaled(per_second)}{unit}"


def bytes_text(count: float) -> str:
    """A size such as "4.0 MB", with two digits."""
    return f"{_scaled(count)}B"


def _scaled(value: float) -> str:
    size, prefix = next(((size, prefix) for size, prefix in _PREFIXES if value >= size), _PREFIXES[-1])
    return f"{digits(value / size, 2)} {prefix}"


def _verdict(shares: _Shares, ceilings: Ceilings, in_cache: str) -> tuple[str, float, str]:
    """Kind, share and sentence; `in_cache` is the size of what fits into the L2 cache, "" where it does not."""
    memory, arithmetic, dtype, least = shares
    share = max((s for s in (memory, arithmetic) if not math.isnan(s)), default=math.nan)
    copy = f"{percent(memory)} of this device's measured copy rate {rate_text(ceilings.copy, 'B/s')}"
    flops = rate_text(ceilings.flops.get(dtype, math.nan), "FLOP/s")
    product = f"{percent(arithmetic)} of this device's measured {dtype} rate {flops}"
    if memory > _TOO_MUCH:
        return "", share, f"comes to {copy}, which cannot be: fewer bytes move than counted, or caches serve some"
    if arithmetic > _TOO_MUCH:
        return "", share, f"comes to {product}, which cannot be: fewer FLOPs are done than counted, or in another type"
    if share >= _NEAR:
        near = f"memory: it moves {least}{copy}" if share == memory else f"arithmetic: it does {product}"
        return "bandwidth" if share == memory else "compute", share, f"the nearest roof is {near}"
    if in_cache:
        known = "" if math.isnan(arithmetic) else f"; it reaches {percent(arithmetic)} of {dtype}"
        cache = f"the {bytes_text(ceilings.l2)} L2 cache"
        return "L2", math.nan, f"its {in_cache} fit into {cache}, so the memory roof does not apply{known}"
    return "", share, _neither(shares)


def _neither(shares: _Shares) -> str:
    """For a call near none of the ceilings that it can be compared with."""
    memory, arithmetic, dtype, least = shares
    moves, does = f"{least}{percent(memory)} of the copy rate", f"{percent(arithmetic)} of {dtype}"
    if math.isnan(memory) and math.isnan(arithmetic):
        return ""
    if math.isnan(arithmetic):
        return f"reaches {moves}: not that roof; what its arithmetic reaches is not known"
    if math.isnan(memory):
        return f"reaches {does}: not that roof; its bytes are not known"
    return f"reaches {moves} and {does}: neither roof, look at the kernels"
