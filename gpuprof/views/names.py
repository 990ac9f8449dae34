"""Long names made short, so that each is still told from the others."""

from __future__ import annotations

import re
from collections.abc import Sequence

_LONG = 64
_JOINT = re.compile(r"[./]")
_ENDS = 3  # characters of a name's end that are kept at least


def shortened(name: str, most: int = _LONG) -> str:
    """A long name without its middle."""
    return name if len(name) <= most else f"{name[: most // 2]}…{name[-most // 2 + 1 :]}"


def distinct(names: Sequence[str], most: int = _LONG) -> list[str]:
    """The names, long ones shortened; where these would then look alike, what tells them apart is kept.

    Of "model.encoder.layers.3.attention.output" and "model.encoder.layers.4.attention.output" that is "3" and "4" with
    the name before, "…layers.3…". What cannot be told apart within `most` characters stays as it is.
    """
    found = [shortened(name, most) for name in names]
    alike: dict[str, list[str]] = {}
    for name, short in zip(names, found, strict=True):
        alike.setdefault(short, []).append(name)
    return [
        short if len(set(alike[short])) == 1 else _telling(name, sorted(set(alike[short])), most)
        for name, short in zip(names, found, strict=True)
    ]


def _telling(name: str, others: Sequence[str], most: int) -> str:
    """The part in which `name` differs from the others, with as much of its beginning and end as there is room for."""
    begin, end = _alike(others), _alike([other[::-1] for other in others])
    joints = [found.end() for found in _JOINT.finditer(name, 0, begin)]
    first = joints[-2] if len(joints) > 1 else 0  # the part before says what is counted: "layers.3"
    after = _JOINT.search(name, max(len(name) - end, begin))
    last = after.start() if after else len(name)
    room = most - (last - first) - 2
    if room < _ENDS:
        return name
    tail = min(len(name) - last, max(_ENDS, room - min(first, room // 3)))
    head = max(0, min(first, room - tail))
    before = name[:first] if first <= head + 1 else f"{name[:head]}…"
    behind = name[last:] if len(name) - last <= tail + 1 else f"…{name[-tail:]}"
    return before + name[first:last] + behind


def _alike(names: Sequence[str]) -> int:
    """With how many characters all the names begin alike."""
    first, last = min(names), max(names)
    return next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
