"""Where mirrored bars stand: a phase goes left, right, or apart; all at one scale, with room for the figures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gpuprof.units import seconds_text
from gpuprof.views.colours import PHASES
from gpuprof.views.names import shortened

_MIRRORED = {"forward": -1, "backward": 1, "recompute": 1}
_LONG = 32  # characters of a method's name
_GAP = 0.12  # inches before what stands apart
_FURTHEST = 1.3  # times the longest bar of its part: an interval that reaches further is cut off there
_APART = 0.42  # inches at least between two ticks
_LEAST = 0.3  # inches for the longest bar, whatever else needs room


class Bar(NamedTuple):
    """A phase of a layer; seconds, NaN for what was not measured."""

    y: float
    """How many bars further down than the first."""
    phase: str
    median: float
    low: float
    high: float
    busy: float

    @property
    def reach(self) -> float:
        """How far the bar and its interval go; 0 for what was not measured."""
        return max((t for t in (self.median, self.high) if t == t), default=0.0)

    @property
    def text(self) -> str:
        """What it amounts to; of a method that is no phase, its name, too."""
        own = "" if self.phase in PHASES or self.phase == "call" else f"{shortened(self.phase, _LONG)} "
        return own + (seconds_text(self.median) if self.median else "0")


@dataclass(frozen=True)
class Scale:
    """Where a time is drawn: inches from a line, alike on both sides of it and in the part that stands apart."""

    longest: float
    """The furthest that anything is drawn."""
    shortest: float
    inches: float
    """What the longest time takes."""
    log: bool

    def __call__(self, seconds: float) -> float:
        """How many inches from its line a time is drawn."""
        if not self.log:
            return self.inches * seconds / self.longest if self.longest > 0 else 0.0
        decades = math.log10(self.longest / self.shortest)
        return self.inches * max(0.0, math.log10(seconds / self.shortest)) / decades if seconds > 0 else 0.0

    def ticks(self) -> list[float]:
        """Times at which there are lines."""
        if self.log:
            first, last = round(math.log10(self.shortest)), round(math.log10(self.longest))
            every = max(1, math.ceil(0.5 * (last - first) / self.inches))
            return [10.0**power for power in range(first, last + 1, every)]
        about = self.longest * min(1.0, _APART / self.inches)
        size = 10.0 ** math.floor(math.log10(about)) if about > 0 else 1.0
        step = next(size * times for times in (1, 2, 5, 10) if size * times >= about * (1 - 1e-9))
        return [step * i for i in range(int(self.longest / step * (1 + 1e-9)) + 1)]


@dataclass(frozen=True)
class Zones:
    """The two lines from which times are drawn, and how far it goes from them; inches."""

    sides: Mapping[str, int]
    scale: Scale
    left: float
    right: float
    beyond: float
    """From the second line."""
    furthest: Mapping[int, float]
    """How far anything is drawn on each side, in seconds."""

    @property
    def apart(self) -> float:
        """Where the second line is."""
        return self.right + (_GAP if self.right else 0.0)

    def place(self, phase: str) -> tuple[float, int]:
        """The line a phase begins at, and which way it goes."""
        side = self.sides[phase]
        return (self.apart, 1) if side == 0 else (0.0, side)

    def lines(self) -> list[tuple[int, float, int, float]]:
        """Of each part there is: its side, its line, which way it goes, and how far."""
        parts = [(-1, 0.0, -1, self.left), (1, 0.0, 1, self.right), (0, self.apart, 1, self.beyond)]
        return [part for part in parts if part[3]]


def ways(phases: Iterable[str]) -> list[list[str]]:
    """A layer's phases that go left, right and apart."""
    there = ordered(phases)
    return [[phase for phase in there if _MIRRORED.get(phase, 0) == way] for way in (-1, 1, 0)]


def ordered(phases: Iterable[str]) -> list[str]:
    """Each phase once: those of a step, methods of other names, then what is no layer's."""
    known = list(PHASES)
    return sorted(dict.fromkeys(phases), key=lambda phase: known.index(phase) if phase in known else 3.5)


def zones(bars: Sequence[Bar], wide: float, log: bool) -> Zones:
    """The parts as wide as their longest times and what is said of them ask, in so many inches."""
    sides = _sides([bar.phase for bar in bars])
    parts = [[bar for bar in bars if sides[bar.phase] == side] for side in (-1, 1, 0)]
    rooms = [0.17 + 0.065 * max(len(bar.text) for bar in part) if part else 0.0 for part in parts]
    longest = [_furthest(part) for part in parts]
    room = max(1.0, wide - _GAP - sum(rooms))
    furthest = dict(zip((-1, 1, 0), longest, strict=True))
    if log and max(longest) > 0:
        scale, lengths = _decades(bars, longest, room)
    else:
        whole = sum(longest) or 1.0
        scale = Scale(max(longest), 0.0, max(_LEAST, room * max(longest) / whole), False)
        lengths = [scale(each) for each in longest]
    left, right, beyond = (length + room for length, room in zip(lengths, rooms, strict=True))
    return Zones(sides, scale, left, right, beyond, furthest)


def _furthest(part: Sequence[Bar]) -> float:
    """How far one part is drawn: to its furthest interval, but not far beyond its longest bar."""
    most = _FURTHEST * max((bar.median for bar in part if bar.median == bar.median), default=0.0)
    return min(most, max((bar.reach for bar in part), default=0.0))


def _sides(phases: Sequence[str]) -> dict[str, int]:
    """Which way each phase goes: -1 left, 1 right, 0 apart. Without both a forward and a backward none is mirrored."""
    if {"forward", "backward"} <= set(phases):
        return {phase: _MIRRORED.get(phase, 0) for phase in phases}
    return {phase: 0 if phase == "update" else 1 for phase in phases}


def _decades(bars: Sequence[Bar], longest: Sequence[float], room: float) -> tuple[Scale, list[float]]:
    """Whole powers of ten around all that is drawn, and how many inches each part has up to its own."""
    shortest = min(bar.median for bar in bars if bar.median > 0)
    low = min(math.floor(math.log10(shortest) + 1e-9), math.ceil(math.log10(max(longest)) - 1e-9) - 1)
    wide = [max(1, math.ceil(math.log10(time) - 1e-9) - low) if time > 0 else 0 for time in longest]
    inches = max(_LEAST, room * max(wide) / sum(wide))
    scale = Scale(10.0 ** (low + max(wide)), 10.0**low, inches, True)
    return scale, [inches * decades / max(wide) for decades in wide]
