"""A step's calls, to be made again on copies of the layers."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from gpuprof.hooks.given import Given
from gpuprof.judge.usualstep import StepCall
from gpuprof.record.capturer import Capturer, Graph
from gpuprof.record.tape import UNSAID, YES

_GENERATORS = (random.Random, np.random.RandomState, np.random.Generator)


class Called(NamedTuple):
    """A method that was profiled, and what its first call was given."""

    layer: Any
    """None for a function."""
    path: str
    phase: str
    """The method's name."""
    given: Given | None
    """None where that was not noted."""
    train: Any
    """Where a call says whether it trains (`gpuprof.record.taped.Train`); None where it says nothing."""


class Repeated:
    """One of the step's calls, to be made on a copy."""

    def __init__(self, call: StepCall, method: Called | None) -> None:
        self.call = call
        self.method = method
        self.run: Callable[[], object] = lambda: None
        """Make it; once it has been prepared."""
        self.graph: Graph | None = None
        self.launches: int | None = None
        """The graph's."""
        self.seconds: list[float] = []
        """The replays'."""
        self.why = _refused(method)
        """Why there is no graph; "" where there is one or may be."""

    @property
    def label(self) -> str:
        """Such as "Pool1.backward"."""
        return f"{self.call.scope.path}.{self.call.scope.phase}"

    def prepare(self, copies: Mapping[str, Any], capturer: Capturer) -> None:
        """Make the arguments, as the step's call was given them."""
        method: Any = self.method
        given = method.given.reshaped(self.call.shape)
        said = self.call.train
        if method.train is not None and said != UNSAID and method.train.said(given.args, given.kwargs) != said:
            given = given.saying(method.train.name, method.train.position, said == YES)
        args, kwargs = given.stand_ins(capturer.put)
        function = getattr(copies[method.path], method.phase)
        self.run = lambda: function(*args, **kwargs)


def _refused(method: Called | None) -> str:
    if method is None or method.layer is None:
        return "a function is not copied, and calling it again would change what it works on"
    if method.given is None:
        return "what its first call was given was not noted"
    return method.given.why


def host_draws(things: Iterable[Any]) -> list[object]:
    """Where the host's generators of random numbers are: Python's, NumPy's, and those among `things`.

    Another answer later means that numbers were drawn meanwhile.
    """
    own = [thing for thing in things if issubclass(type(thing), _GENERATORS)]
    return [random.getstate(), _text(np.random.get_state()), *map(_where, own)]


def _where(generator: Any) -> object:
    if isinstance(generator, random.Random):
        return generator.getstate()
    return _text(generator.get_state() if hasattr(generator, "get_state") else generator.bit_generator.state)


def _text(state: Any) -> object:
    """A state in a form that can be compared."""
    if isinstance(state, np.ndarray):
        return state.tobytes()
    if isinstance(state, dict):
        return [(name, _text(part)) for name, part in state.items()]
    return [_text(part) for part in state] if isinstance(state, tuple) else state


@contextmanager
def host_draws_kept() -> Iterator[None]:
    """Afterwards Python's and NumPy's global random numbers go on as if nothing had been drawn inside."""
    pythons, numpys = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(pythons)
        np.random.set_state(numpys)
