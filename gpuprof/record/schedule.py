"""Which steps are measured how: passes take turns by blocks of steps, so that none is in another's figures."""

from __future__ import annotations

import itertools
import math
import operator
import random
from collections.abc import Generator, Iterable, Iterator
from enum import IntFlag
from typing import NamedTuple, SupportsIndex


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
    """Between two passes, skipped or warming up: such a step is in no pass's figures."""


KERNELS = Mode.EVENTS | Mode.RECORDS


def spoken(mode: Mode, on_device: bool) -> str:
    """What is measured in steps of this mode, in words."""
    if mode & Mode.TURNING:
        return "warming up" if mode & Mode.EVENTS else "not measured"
    parts = ((Mode.RECORDS, "kernel records"), (Mode.LINES, "lines"), (Mode.INSPECT, "waits and memory"))
    times = "events" if on_device and mode & Mode.EVENTS else "host times"
    return " and ".join(words for kind, words in parts if mode & kind) or times


class Plan(NamedTuple):
    """Which steps are measured at all, in the words of `torch.profiler.schedule`: counts of steps.

    A cycle: `skip` steps in which nothing but the host's times is taken (torch calls them `wait`), `warmup` steps that
    are measured and then left out, `active` ones that count. There are `repeat` cycles, with 0 no end of them; after
    the last all steps are skipped.
    """

    skip: int
    warmup: int
    active: int
    repeat: int = 0

    @classmethod
    def of(cls, numbers: Iterable[SupportsIndex]) -> Plan:
        """From three whole numbers or four. Raises ValueError for what is no such plan."""
        try:
            found = [operator.index(each) for each in numbers]
        except TypeError:
            found = []
        if not 3 <= len(found) <= 4:
            raise ValueError(f"schedule is (skip, warmup, active, repeat), whole numbers of steps; got {numbers!r}")
        plan = cls(*found)
        if min(plan) < 0 or not plan.active:
            raise ValueError(f"schedule needs an active step and no number below 0; got {tuple(plan)}")
        return plan


class Block(NamedTuple):
    """Steps of one mode: `steps` of them, or fewer, but at least two, once `seconds` have passed."""

    mode: Mode
    steps: int
    seconds: float = 0.5


_FOR_EVER = 1 << 62
_FIRST_RECORDS_S = 1.0  # beginning and ending records costs some 15 ms
_UNASKED_S = 0.1
_GRAPHS = 16
_LATER = 4.0  # they are taken again when the cell has lasted this many times as long


class Schedule:
    """The blocks of a cell; `turn` is asked at the beginning of each step but the first.

    kernels: records from the beginning (True), on a share of a long cell (None), or never (False). lines: some
    functions are to be followed; hot: the lines of all launches; both with records from the beginning, where they can
    be had, and lines else without. Waits and memory are watched in the few steps after records. blocks: these instead,
    then plain steps. plan: all this in its active steps alone. plain: so many plain steps for one that is marked.
    """

    def __init__(
        self,
        *,
        device: bool,
        kernels: bool | None = None,
        lines: bool = False,
        hot: bool = False,
        blocks: Iterable[Block] | None = None,
        plan: Plan | None = None,
        plain: int = 1,
    ) -> None:
        self._plain = plain
        self._kernels = True if (lines or hot) and kernels is None else kernels
        self.asked = bool(self._kernels)
        """Whether the user has asked for more than marks."""
        self._lines = lines
        self._hot = hot
        self._random = random.Random(0)  # noqa: S311 - lengths that no rhythm of the steps follows
        self._now = 0.0
        self._rarely = self._kernels is None
        self._steps = self._lost = 0
        self._block = Block(Mode.PLAIN, 0)
        self._left = _FOR_EVER
        """Steps until the plan's next part, from the block's beginning on."""
        self._chosen = self._on_device() if device else self._on_the_host()
        self._changes = device and blocks is None
        if blocks is not None:
            self._chosen = itertools.chain(blocks, itertools.repeat(Block(Mode.PLAIN, _FOR_EVER, math.inf)))
        self._blocks = self._as_chosen()
        if plan is not None:
            self._blocks = self._planned(plan, self._blocks)
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

    def delayed(self, now: float, steps: int = 0) -> None:
        """The block that has begun really begins `now`, so many steps later."""
        self._since, self._steps, self._lost = now, 0, steps
        if steps >= self._left:
            self._begin(now)
        else:
            self._block = self._block._replace(steps=min(self._block.steps, self._left - steps))

    def skip(self, now: float) -> None:
        """Go on to the next block `now`."""
        self._begin(now)

    def for_graphs(self, now: float) -> None:
        """From `now` on a step is a graph of many: each is marked, which is nothing to it, and few are recorded."""
        if self._changes:
            self._chosen = self._of_graphs()
            if not self._block.mode & Mode.RECORDS:
                self._begin(now)

    def without_records(self) -> None:
        """Records cannot be had: leave out from now on what needs them."""
        self._kernels = False
        self._set()

    def enough(self) -> None:
        """So much has been recorded that more is to come only rarely, as where it was not asked for."""
        self._rarely = True

    def _begin(self, now: float) -> None:
        self._now = self._since = now
        self._block = next(self._blocks)
        self._steps = self._lost = 0
        self._set()

    def _set(self) -> None:
        self.mode = self._block.mode & ~(Mode.RECORDS if self._kernels is False else Mode.PLAIN)
        """What the step that has begun is for; kept, for operations on flags are slow."""

    def _planned(self, plan: Plan, blocks: Iterator[Block]) -> Iterator[Block]:
        """`blocks` in the plan's active steps, cut where these end; the others."""
        again: list[Block] = []
        for _ in range(plan.repeat) if plan.repeat else itertools.count():
            for mode, steps in ((Mode.TURNING, plan.skip), (Mode.EVENTS | Mode.TURNING, plan.warmup)):
                yield from self._whole(itertools.repeat(Block(mode, _FOR_EVER, math.inf)), steps)
            again = yield from self._whole(blocks, plan.active, again)
        self._left = _FOR_EVER
        yield Block(Mode.TURNING, _FOR_EVER, math.inf)

    def _whole(
        self, blocks: Iterator[Block], left: int, first: Iterable[Block] = ()
    ) -> Generator[Block, None, list[Block]]:
        """As many of the blocks as make up so many steps, those of `first` before; the last, where it has yet to come.

        It has where the steps were over before the device was done with the block before.
        """
        missed = list(first)
        while left > 0:
            block = missed.pop() if missed else next(blocks)
            self._left = left
            yield block._replace(steps=min(block.steps, left))
            left -= self._steps + self._lost  # what there has been since
            missed = [] if self._steps else [block]
        return missed

    def _as_chosen(self) -> Iterator[Block]:
        while True:
            yield next(self._chosen)

    def _of_graphs(self) -> Iterator[Block]:
        due = _FIRST_RECORDS_S if self.mode & Mode.RECORDS else 0.0
        yield Block(Mode.EVENTS, 2)
        while True:
            if self._kernels is not False and self._now >= due:
                due = max(_FIRST_RECORDS_S, _LATER * self._now)
                yield Block(KERNELS, 2)
            yield Block(Mode.EVENTS, _GRAPHS)

    def _on_the_host(self) -> Iterator[Block]:
        due = 0.0
        if self._lines:
            yield Block(Mode.EVENTS, 1)  # the first step, with what it compiles and allocates
        while self._lines:
            if not self._rarely or self._now >= due:
                due = _LATER * self._now
                yield Block(Mode.EVENTS | Mode.LINES, 2)
            yield Block(Mode.EVENTS, 3)
        yield from itertools.repeat(Block(Mode.EVENTS, _FOR_EVER, math.inf))

    def _on_device(self) -> Iterator[Block]:
        """Short blocks first, so that a cell of a dozen steps has something of each, then longer ones."""
        size, due = 8, _FIRST_RECORDS_S
        if self._kernels or self._lines:
            yield from (Block(KERNELS, 4), *self._followed(), Block(Mode.EVENTS, 3), Block(Mode.PLAIN, 3))
        else:
            yield Block(Mode.EVENTS, size)
        while True:
            wanted = self._kernels or self._lines or self._kernels is None
            if wanted and (not self._rarely or self._now >= due):
                due = _LATER * self._now
                yield Block(KERNELS, 20 if self._rarely else size)
                yield from self._followed()
            yield Block(Mode.EVENTS, self._random.randint(size // 2, size))
            yield Block(Mode.PLAIN, self._plain * self._random.randint(size // 2, size))
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
