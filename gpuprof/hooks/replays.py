"""Training steps that run as captured graphs: the model says what it launches, and each launch is a call of the log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from gpuprof.record.calls import REPLAY, Scope
from gpuprof.record.clocks import Ints
from gpuprof.record.log import CallLog
from gpuprof.record.tape import RAISED, YES

GRAPHS = "(graphs)"
"""The path of what belongs to graphs and to no layer."""
STEPS = Scope(GRAPHS, REPLAY)
MAKING = Scope(GRAPHS, "recording")
"""The making of a graph: the steps are launched once, to be recorded."""


class Does(Protocol):
    """What a kernel does."""

    layers: Sequence[Any]
    phases: Sequence[str]


class Work(Protocol):
    """What a launch does, in the model's words."""

    steps: int
    kernels: Sequence[str]
    """Names in the order of launching."""
    does: Mapping[str, Does]
    graph: bool
    """Whether it is one launch, of a graph."""


class Kind(NamedTuple):
    """Launches that are alike."""

    steps: int
    graph: bool
    kernels: tuple[str, ...]
    """Names in the order of launching."""
    rows: dict[str, Scope]
    """What each of them does, by its name: the layers and the phases, all that it has."""


@dataclass(frozen=True)
class Replays:
    """The launches of a cell; of one without, nothing."""

    kinds: tuple[Kind, ...] = ()
    call: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """The number of each launch's call."""
    kind: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """Its position in `kinds`."""

    def __len__(self) -> int:
        return len(self.call)

    @property
    def steps(self) -> Ints:
        """How many steps each launch has."""
        return np.array([kind.steps for kind in self.kinds] or [0], dtype=np.int64)[self.kind]

    def to_dict(self) -> dict[str, Any]:
        """What a file can hold; `Replays.from_dict` reads it."""
        kinds = [
            [kind.steps, kind.graph, *_numbered(kind.kernels), [[k, *row] for k, row in kind.rows.items()]]
            for kind in self.kinds
        ]
        return {"kinds": kinds, "call": self.call, "kind": self.kind}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Replays:
        """What `to_dict` gave. Raises KeyError, TypeError or ValueError for anything else."""
        kinds = (
            Kind(int(steps), bool(graph), tuple(names[i] for i in order), {k: Scope(*row) for k, *row in rows})
            for steps, graph, names, order, rows in content["kinds"]
        )
        return cls(tuple(kinds), *(np.array(content[name], dtype=np.int64) for name in ("call", "kind")))


class ReplayWatch:
    """Is told by a model of the launches of its steps, and of the graphs it makes for that; a call of the log each.

    `layers` are those that are profiled, with their paths; others go by their own names.
    """

    def __init__(self, log: CallLog, layers: Iterable[tuple[str, Any]]) -> None:
        self._log = log
        self._layers = list(layers)
        self._kinds: dict[int, tuple[int, Work]] = {}
        """By the identity of what is launched, which is kept, so that it stays the only one of its identity."""
        self._launches: list[tuple[int, int]] = []

    @contextmanager
    def launching(self, work: Work) -> Iterator[None]:
        """Around a launch."""
        log = self._log
        call = log.enter(log.scope(*STEPS), YES)
        kind, _ = self._kinds.setdefault(id(work), (len(self._kinds), work))
        self._launches.append((call, kind))
        try:
            yield
        except BaseException:
            log.leave(call, RAISED)
            raise
        log.leave(call)

    @contextmanager
    def making(self) -> Iterator[None]:
        """Around the making of a graph."""
        log = self._log
        call = log.enter(log.scope(*MAKING))
        try:
            yield
        finally:
            log.leave(call)

    @property
    def replays(self) -> Replays:
        """All launches so far."""
        paths = {id(layer): path for path, layer in self._layers}
        kinds = tuple(_kind(work, paths) for _, work in self._kinds.values())
        call, kind = np.array(self._launches, dtype=np.int64).reshape(-1, 2).T
        return Replays(kinds, call, kind)


def _kind(work: Work, paths: Mapping[int, str]) -> Kind:
    rows: dict[str, Scope] = {}
    for name, does in work.does.items():
        layers = [paths.get(id(layer), str(getattr(layer, "name", "?"))) for layer in does.layers]
        row = Scope(" + ".join(layers) or GRAPHS, " + ".join(does.phases) or name)
        rows[name] = row if row not in rows.values() else Scope(f"{row.path} ({name})", row.phase)
    unsaid = {name: Scope(GRAPHS, name) for name in work.kernels if name not in rows}
    return Kind(work.steps, work.graph, tuple(work.kernels), rows | unsaid)


def _numbered(names: Sequence[str]) -> tuple[list[str], list[int]]:
    """The distinct names, and each one's place among them."""
    places = {name: i for i, name in enumerate(dict.fromkeys(names))}
    return list(places), [places[name] for name in names]
