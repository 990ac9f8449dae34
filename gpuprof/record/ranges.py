"""NVTX ranges around each call, for who looks at the run with Nsight Systems at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import Any

_INSTALL = "NVTX ranges need the nvtx package (pip install nvtx) or CuPy, and neither can be imported here"


class Ranges:
    """Ranges named path/phase, in NVTX's domain "gpuprof" where the nvtx package is there; else through CuPy.

    Raises ValueError where neither is.
    """

    def __init__(self) -> None:
        self.on = True
        self.way, self._push, self._pop = _backend()

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function` with a range around each call; alone once `on` is down."""
        push, pop = self._push(name), self._pop

        def ranged(*args: Any, **kwargs: Any) -> Any:
            if not self.on:
                return function(*args, **kwargs)
            push()
            try:
                return function(*args, **kwargs)
            finally:
                pop()

        return ranged

    def opener(self, name: str) -> Callable[[], Any]:
        """What begins a range on the calling thread."""
        return self._push(name)

    def close(self) -> None:
        """End the calling thread's innermost range."""
        self._pop()

    @contextmanager
    def range(self, name: str) -> Iterator[None]:
        """A range around what is inside."""
        self._push(name)()
        try:
            yield
        finally:
            self._pop()


def _backend() -> tuple[str, Callable[[str], Callable[[], Any]], Callable[[], Any]]:
    """What it goes through, what gives a function that begins a range of that name, and what ends the innermost one."""
    try:
        domain: Any = import_module("nvtx").get_domain("gpuprof")
    except ImportError:
        try:
            nvtx: Any = import_module("cupy.cuda.nvtx")
        except ImportError:
            raise ValueError(_INSTALL) from None
        return "CuPy", lambda name: partial(nvtx.RangePush, name), nvtx.RangePop
    return (
        "nvtx",
        lambda name: partial(domain.push_range, domain.get_event_attributes(message=name)),
        domain.pop_range,
    )
