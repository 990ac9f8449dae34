"""Which steps are measured how: passes take turns by blocks of steps, so that none is in another's figures."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable, Iterator
from enum import IntFlag
from typing import NamedTuple


class Mode(IntFlag):
    """What is done at the boundaries of calls. PLAIN: only the host's times are taken."""

    PLAIN = 0
    EVENTS = 1
    """A mark on the device."""
    RECORDS = 2
    """Kernel records are taken."""
    LINES = 4
    """Statements of chosen functions are followed."""
    INSPECT = 8
    """Waits and memory are watched, which slows the host."""
    TURNING = 16
    """Between two passes: such a step is in no pass's figures."""


KERNELS = Mode.EVENTS | Mode.RECORDS


class Block(NamedTuple):
    """Steps of one mode: `steps` of them, or fewer, but at least two, once `seconds` have passed."""

    mode: Mode
    steps: int
    seconds: float = 0.5


_FOR_EVER = 1 << 62
_FIRST_RECORDS_S = 1.0  # beginning and ending records costs some 15 ms
_UNASKED_S = 0.1
_LATER = 4.0  # they are taken again when the cell has lasted this many times as long


class Schedule:
    """The blocks of a cell; `turn` is asked at the beginning of each step but the first.

    kernels: records from the beginning (True), on a share of a long cell (None), or never (False). lines: some
    functions are to be followed; hot: the lines of all launches; both with records from the beginning, where they can
    be had, and lines else without. Waits and memory are watched in the few steps after records. blocks: these instead,
    then plain steps.
    """

    def __init__(
        self,
        *,
        device: bool,
        kernels: bool | None = None,
        lines: bool = False,
        hot: bool = False,
        blocks: Iterable[Block] | None = None,
    ) -> None:
        self._kernels = True if (lines or hot) and kernels is None else kernels
        self.asked = bool(self._kernels)
        """Whether the user has asked for more than marks."""
        self._lines = lines
        self._hot = hot
        self._random = random.Random(0)  # noqa: S311 - lengths that no rhythm of the steps follows
        self._now = 0.0
        self._blocks = self._on_device() if device else self._on_the_host()
        if blocks is not None:
            self._blocks = itertools.chain(blocks, itertools.repeat(Block(Mode.PLAIN, _FOR_EVER, math.inf)))
        self._begin(0.0)

    def turn(self, now: float) -> bool:
        """Whether another block begins with the step that begins `now`, seconds since the cell's beginning."""
        self._steps += 1
        block = self._block
        over = self._steps >= block.steps or (self._steps >= 2 and now - self._since >= block.seconds)
        if over:
            self._begin(now)
        return over

    def sure(self, now: float) -> int:
        """How many steps will go by in this block before it can end: by its length, and by the steps' so far."""
        each = max(1e-6, (now - self._since) / max(1, self._steps))
        return max(0, min(self._block.steps - self._steps - 1, int(_UNASKED_S / each))) if self._steps else 0

    def passed(self, steps: int) -> None:
        """So many steps have begun without `turn`."""
        self._steps += steps

    def delayed(self, now: float) -> None:
        """The block that has begun really begins `now`."""
        self._since, self._steps = now, 0

    def skip(self, now: float) -> None:
        """Go on to the next block `now`."""
        self._begin(now)

    def without_records(self) -> None:
        """Records cannot be had: leave out from now on what needs them."""
        self._kernels = False
        self._set()

    def _begin(self, now: float) -> None:
        self._now = self._since = now
        self._steps = 0
        self._block = next(self._blocks)
        self._set()

    def _set(self) -> None:
        self.mode = self._block.mode & ~(Mode.RECORDS if self._kernels is False else Mode.PLAIN)
        """What the step that has begun is for; kept, for operations on flags are slow."""

    def _on_the_host(self) -> Iterator[Block]:
        if self._lines:
            yield Block(Mode.EVENTS, 1)  # the first step, with what it compiles and allocates
        while self._lines:
            yield Block(Mode.EVENTS | Mode.LINES, 2)
            yield Block(Mode.EVENTS, 3)
        yield Block(Mode.EVENTS, _FOR_EVER, math.inf)

    def _on_device(self) -> Iterator[Block]:
        """Short blocks first, so that a cell of a dozen steps has something of each, then longer ones."""
        size, due = 8, _FIRST_RECORDS_S
        if self._kernels or self._lines:
            yield from (Block(KERNELS, 4), *self._followed(), Block(Mode.EVENTS, 3), Block(Mode.PLAIN, 3))
        else:
            yield Block(Mode.EVENTS, size)
        while True:
            if self._kernels or self._lines or (self._kernels is None and self._now >= due):
                due = _LATER * self._now
                yield Block(KERNELS, 20 if self._kernels is None else size)
                yield from self._followed()
            yield Block(Mode.EVENTS, self._random.randint(size // 2, size))
            yield Block(Mode.PLAIN, self._random.randint(size // 2, size))
            size = min(2 * size, 64)

    def _followed(self) -> Iterator[Block]:
        """Steps of which only counts are kept, and the lines' shares of them."""
        if self._lines:
            yield Block(KERNELS | Mode.LINES, 4, 1.0)
            yield Block(Mode.EVENTS | Mode.LINES | Mode.INSPECT, 2)
        if self._hot:
            yield Block(KERNELS | Mode.INSPECT, 4, 1.0)
        elif not self._lines:
            yield Block(Mode.INSPECT, 2)
