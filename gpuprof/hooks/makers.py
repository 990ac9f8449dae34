"""Which call of a module made a node of autograd's graph: told by the numbers that nodes get as they are made."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Iterable
from typing import Any, TypeAlias

from gpuprof.record.tape import NO, UNSAID, YES

Maker: TypeAlias = tuple[int, Any]
"""One call of a module's forward: the scope of the backward it will have, and the call around it, or None.

It is known by its identity; a tuple, for one is made at each call.
"""
_MOST = 1 << 16  # turns kept, two for each call: what was made before them is nobody's
_MOST_OUTER = 256


class Makers:
    """A thread's calls of modules in their order: autograd counts the nodes that each thread makes.

    So a node belongs to the call that was the innermost one when the thread had come to the node's number, whatever
    the module took and gave: tensors or dicts of them, views, something changed in place.
    """

    __slots__ = ("open", "outer", "said", "since", "whose")

    def __init__(self) -> None:
        self.since: list[int] = [-1]
        """From which node on the calls in `whose` are the innermost ones, in rising order."""
        self.whose: list[Maker | None] = [None]
        self.open: Maker | None = None
        """The innermost call now."""
        self.said = UNSAID
        """Whether the outermost one trains."""
        self.outer: list[int] = []
        """The scopes of the outermost calls since autograd's last run on this thread."""

    @property
    def any(self) -> bool:
        """Whether a module has been called."""
        return len(self.since) > 1

    def of(self, nodes: Iterable[Any]) -> list[Maker | None]:
        """Who made each node; None for nobody who is followed."""
        since, whose = self.since, self.whose
        return [whose[bisect_right(since, node._sequence_nr()) - 1] for node in nodes]

    def outermost(self, scope: int, trains: bool) -> None:
        """An outermost call begins. The oldest are forgotten, where there are many."""
        self.said = YES if trains else NO
        self.outer.append(scope)
        if len(self.since) > _MOST:
            del self.since[1 : _MOST // 2], self.whose[1 : _MOST // 2]
        if len(self.outer) > _MOST_OUTER:
            del self.outer[: _MOST_OUTER // 2]


class Here(threading.local):
    """The calling thread's makers."""

    def __init__(self, every: list[Makers]) -> None:
        self.makers = Makers()
        every.append(self.makers)


def chain(maker: Maker | None) -> list[Maker]:
    """The calls around one from the outermost on, and itself."""
    found = []
    while maker is not None:
        found.append(maker)
        maker = maker[1]
    found.reverse()
    return found
