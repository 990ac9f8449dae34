"""What could be mended, by few rules: each speaks only on evidence, and says the next thing to type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from gpuprof.judge.pace import Pace
from gpuprof.record.log import Scope
from gpuprof.record.waits import WaitLine


class KernelFact(NamedTuple):
    """Kernels of one name in a row: a call's."""

    name: str
    launches: float
    seconds: float
    threads: int
    """The most of one of them."""


class RowFact(NamedTuple):
    """One row of the table; times and numbers are of a call, NaN where they were not measured."""

    scope: Scope
    calls_a_step: float
    busy: float
    """Seconds its kernels ran."""
    launches: float
    threads: float
    """The most of one of its kernels."""
    elements: int
    """Of the array that a call returned; 0 for none."""
    dtype: str
    """Of its arithmetic; "" where that is not known."""
    grown: float
    """Bytes a call for which the pool asked the driver."""
    kernels: tuple[KernelFact, ...]


@dataclass(frozen=True)
class Facts:
    """What the rules look at."""

    pace: Pace
    rows: tuple[RowFact, ...]
    """As in the account, `OUTSIDE` last."""
    waits: tuple[WaitLine, ...] = ()
    inspected: int = 0
    """The steps in which waits and memory were watched."""
    parameters: int = 0
    """Arrays that all layers together learn."""
    model: str = "lm"
    """What the user calls the model."""


class Finding(NamedTuple):
    """One thing that could be mended."""

    rule: str
    """A name for it, such as "launch-bound"."""
    gain: float
    """The share of a step that mending it saves, at most; NaN where that is not known."""
    sentence: str
    """What is the matter, with the evidence."""
    next: str
    """What to type next; "" for nothing."""


def findings(facts: Facts) -> tuple[Finding, ...]:
    """The findings, those that gain most first."""
    return ()
