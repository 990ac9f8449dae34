"""Who watches a training: those that want to see layers one by one, and those that are told of graphs instead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, NamedTuple, Protocol

from cnn.kernels.launching import Does

VERBS = ("forward", "backward", "update")


class Work(NamedTuple):
    """What one launch does, or one after another where it is no graph."""

    steps: int
    kernels: tuple[str, ...]
    """Their names in the order of launching."""
    does: Mapping[str, Does]
    """What each does, by its name."""
    graph: bool
    """Whether it is one launch of a CUDA graph."""


class Watcher(Protocol):
    """A profiler that is told of graphs.

    It stands on layers in place of their methods, as any hook does, by an object whose class has `graphs`, the
    watcher (None for nobody any more), and `own`, what stood there on the instance before (None for nothing).
    """

    def launching(self, work: Work) -> AbstractContextManager[Any]:
        """Around the launch of `work`."""
        ...

    def making(self) -> AbstractContextManager[Any]:
        """Within `launching`, around the making of the graph: that is none of the steps' work."""
        ...


def is_ours(each: Any, verbs: Iterable[str] = VERBS) -> bool:
    """Whether the class of a model or layer does all of these as `cnn` has it."""
    return all(getattr(type(each), verb).__module__.startswith("cnn.") for verb in verbs if hasattr(each, verb))


def watchers(objects: Iterable[Any]) -> tuple[Watcher, ...] | None:
    """Those who are told of graphs of the model and layers given; None where one of them has to be called itself."""
    found: dict[int, Watcher] = {}
    for each in objects:
        for verb in VERBS:
            over = vars(each).get(verb)
            while over is not None:
                if not hasattr(type(over), "graphs"):
                    return None
                if over.graphs is not None:
                    found[id(over.graphs)] = over.graphs
                over = over.own
    return tuple(found.values())


@contextmanager
def launching(told: Iterable[Watcher], work: Work) -> Iterator[None]:
    """Around a launch: all of them are told."""
    with ExitStack() as stack:
        for watcher in told:
            stack.enter_context(watcher.launching(work))
        yield


@contextmanager
def making(told: Iterable[Watcher]) -> Iterator[None]:
    """Around the making of a graph."""
    with ExitStack() as stack:
        for watcher in told:
            stack.enter_context(watcher.making())
        yield
