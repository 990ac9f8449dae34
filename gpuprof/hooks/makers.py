"""Which call of a module made a node of autograd's graph: told by the numbers that nodes get as they are made."""

from __future__ import annotations

from bisect import bisect_right

from gpuprof.record.tape import UNSAID

_MOST = 1 << 15  # turns kept, a few for each call of a module: what was made before them is nobody's


class Maker:
    """One call of a module's forward; `above` is the one around it, `scope` that of the backward it will have."""

    __slots__ = ("above", "scope")

    def __init__(self, scope: int, above: Maker | None) -> None:
        self.scope = scope
        self.above = above

    def chain(self) -> list[Maker]:
        """The calls around it from the outermost on, and itself."""
        found, each = [self], self.above
        while each is not None:
            found.append(each)
            each = each.above
        return found[::-1]


class Makers:
    """A thread's calls of modules in their order: autograd counts the nodes that each thread makes.

    So a node belongs to the call that was the innermost one when the thread had come to the node's number, whatever
    the module took and gave: tensors or dicts of them, views, something changed in place.
    """

    __slots__ = ("_from", "_whose", "open", "said")

    def __init__(self) -> None:
        self._from: list[int] = []
        self._whose: list[Maker | None] = []
        self.open: Maker | None = None
        """The innermost call now."""
        self.said = UNSAID
        """Whether the outermost one trains."""

    @property
    def any(self) -> bool:
        """Whether a module has been called."""
        return bool(self._from)

    def turn(self, number: int, maker: Maker | None) -> None:
        """From node `number` on the nodes are made by this call; by None: by nobody who is followed."""
        self.open = maker
        if self._from and self._from[-1] == number:
            self._whose[-1] = maker
            return
        self._from.append(number)
        self._whose.append(maker)
        if maker is None and len(self._from) > _MOST:
            del self._from[: _MOST // 2], self._whose[: _MOST // 2]

    def of(self, number: int) -> Maker | None:
        """Who made the node with this number."""
        place = bisect_right(self._from, number) - 1
        return self._whose[place] if place >= 0 else None
