"""A function of somebody else's module or class, in whose place another one stands while anybody follows its calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

Follower = TypeVar("Follower")


class StandIn(Generic[Follower]):
    """Puts what `make(own, followers)` makes in place of a function, from the first follower to the last one's end.

    `followers` is the list of those there are at a call. What somebody puts over it meanwhile is left to them: then it
    stays beneath, with nobody who follows.
    """

    def __init__(self, name: str, make: Callable[[Callable[..., Any], list[Follower]], Callable[..., Any]]) -> None:
        self._name = name
        self._make = make
        self._followers: list[Follower] = []

    @contextmanager
    def followed_by(self, follower: Follower, holder: Any) -> Iterator[None]:
        """Calls of the function of this name that `holder` has are followed. Raises AttributeError where it has none.

        The holder is the same each time.
        """
        if not self._followers:
            self._own = getattr(holder, self._name)
            self._there = self._make(self._own, self._followers)
            setattr(holder, self._name, self._there)
        self._followers.append(follower)
        try:
            yield
        finally:
            self._followers.remove(follower)
            if not self._followers and getattr(holder, self._name) is self._there:
                setattr(holder, self._name, self._own)
