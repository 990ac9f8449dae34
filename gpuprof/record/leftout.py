"""What a long run left out: steps of which only sums are kept, and where they lay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Row = tuple[str, str]
"""The path and the phase of a row of the table; a `Scope` is one."""


class Gap(NamedTuple):
    """Where steps that follow each other were left out: from the beginning of the first to that of the next kept."""

    begin: int
    """On the device's axis (on the host clock, the host's), ns."""
    end: int
    host_begin: int
    host_end: int
    steps: int


class Unmarked(NamedTuple):
    """Steps that were not marked inside."""

    ns: int
    """How long they lasted, all together."""
    steps: int
    calls: Mapping[Row, int]
    """How many calls of each row they had."""


@dataclass(frozen=True)
class LeftOut:
    """Exact sums over steps that were left out; of a run whose steps are all there, nothing."""

    gaps: tuple[Gap, ...] = ()
    calls: Mapping[Row, int] = field(default_factory=dict)
    """All calls, by row."""
    own_ns: Mapping[Row, int] = field(default_factory=dict)
    """The time each row owned in steps that were marked inside."""
    unmarked: Mapping[Row, Unmarked] = field(default_factory=dict)
    """The other steps, by the row of the marked call around them."""
    modes: Mapping[int, int] = field(default_factory=dict)
    """Steps by their mode; -1 for those of more than one."""
    raised: int = 0
    """Calls that raised."""
    lost: int = 0
    """Calls without figures, as their marks could not be read."""

    def __bool__(self) -> bool:
        return bool(self.gaps)

    @property
    def ns(self) -> int:
        """How long they lasted, by the rows' times."""
        return sum(self.own_ns.values()) + sum(each.ns for each in self.unmarked.values())

    @property
    def steps(self) -> int:
        """How many there are."""
        return sum(self.modes.values())

    def with_(self, other: LeftOut) -> LeftOut:
        """Both; gaps that touch are one."""
        return LeftOut(
            gaps=_joined([*self.gaps, *other.gaps]),
            calls=_sum(self.calls, other.calls),
            own_ns=_sum(self.own_ns, other.own_ns),
            unmarked={row: _both(self.unmarked.get(row), other.unmarked.get(row)) for row in _keys(self, other)},
            modes=_sum(self.modes, other.modes),
            raised=self.raised + other.raised,
            lost=self.lost + other.lost,
        )

    def to_dict(self) -> dict[str, Any]:
        """What JSON can hold; `LeftOut.from_dict` reads it."""
        unmarked = [[*row, each.ns, each.steps, _listed(each.calls)] for row, each in self.unmarked.items()]
        return {
            "gaps": [list(gap) for gap in self.gaps],
            "calls": _listed(self.calls),
            "own_ns": _listed(self.own_ns),
            "unmarked": unmarked,
            "modes": list(self.modes.items()),
            "raised": self.raised,
            "lost": self.lost,
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> LeftOut:
        """What `to_dict` gave. Raises KeyError, TypeError or ValueError for anything else."""
        return cls(
            gaps=tuple(Gap(*map(int, gap)) for gap in content["gaps"]),
            calls=_by_row(content["calls"]),
            own_ns=_by_row(content["own_ns"]),
            unmarked={(p, f): Unmarked(int(ns), int(n), _by_row(calls)) for p, f, ns, n, calls in content["unmarked"]},
            modes={int(mode): int(number) for mode, number in content["modes"]},
            raised=int(content["raised"]),
            lost=int(content["lost"]),
        )


def _joined(gaps: Iterable[Gap]) -> tuple[Gap, ...]:
    found: list[Gap] = []
    for gap in sorted(gaps, key=lambda gap: gap.host_begin):
        if found and found[-1].host_end == gap.host_begin:
            before = found.pop()
            gap = Gap(before.begin, gap.end, before.host_begin, gap.host_end, before.steps + gap.steps)
        found.append(gap)
    return tuple(found)


def _sum(one: Mapping[Any, int], other: Mapping[Any, int]) -> dict[Any, int]:
    both = Counter(one)
    both.update(other)
    return dict(both)


def _keys(one: LeftOut, other: LeftOut) -> list[Row]:
    return list(dict.fromkeys([*one.unmarked, *other.unmarked]))


def _both(one: Unmarked | None, other: Unmarked | None) -> Unmarked:
    nothing = Unmarked(0, 0, {})
    one, other = one or nothing, other or nothing
    return Unmarked(one.ns + other.ns, one.steps + other.steps, _sum(one.calls, other.calls))


def _listed(numbers: Mapping[Row, int]) -> list[list[Any]]:
    return [[*row, number] for row, number in numbers.items()]


def _by_row(listed: Iterable[Iterable[Any]]) -> dict[Row, int]:
    return {(path, phase): int(number) for path, phase, number in listed}
