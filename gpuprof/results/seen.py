"""What a profile's other passes saw beside the call log: kernels, waits, memory, and what each layer had to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from gpuprof.hooks.replays import Replays
from gpuprof.judge.cost import Ceilings, Cost
from gpuprof.judge.hot import HotLine
from gpuprof.record.calls import Scope
from gpuprof.record.clocks import Ints
from gpuprof.record.inspect import MEMORY
from gpuprof.record.launches import COLUMNS, Kernels
from gpuprof.record.waits import WaitLine
from gpuprof.results.graphs import Graphs


class Work(NamedTuple):
    """What one call of a row has to do, by its first call's shapes."""

    cost: Cost
    dtype: str
    """Of its arithmetic, as ceilings name it; "" where it is not known."""
    elements: int
    """Of what it returned; 0 where that is no array."""


def no_kernels() -> Kernels:
    """No records at all."""
    return Kernels({name: np.zeros(0, dtype=np.int64) for name in COLUMNS}, ())


@dataclass(frozen=True)
class Seen:
    """Of the passes that were not made, nothing."""

    kernels: Kernels = field(default_factory=no_kernels)
    no_records: str = ""
    """Why there are none, where they were wanted."""
    no_waits: str = ""
    """Why waits were not watched."""
    waits: tuple[WaitLine, ...] = ()
    inspected: int = 0
    """The steps in which waits and memory were watched."""
    memory: dict[str, Ints] = field(default_factory=lambda: {name: np.zeros(0, dtype=np.int64) for name in MEMORY})
    """A row a call watched: its number, bytes asked for, how often, the most in use above what was at its beginning,
    what more was in use at its end, bytes and times the pool had to ask the driver."""
    hot: tuple[HotLine, ...] = ()
    hot_steps: int = 0
    work: dict[Scope, Work] = field(default_factory=dict)
    ceilings: Ceilings | None = None
    parameters: int = 0
    """Arrays that the layers learn."""
    graphs: Graphs = field(default_factory=Graphs)
    """What copies of the layers took as captured graphs."""
    replays: Replays = field(default_factory=Replays)
    """The launches of steps that ran as captured graphs."""
    replaced: tuple[str, ...] = ()
    """The paths where another layer stood at the end than at the beginning."""
    modules: tuple[str, ...] = ()
    """The paths of PyTorch's modules."""
    untold: tuple[str, ...] = ()
    """What of them could not be told apart or followed, and why."""
    schedule: tuple[int, ...] = ()
    """The steps to skip, to warm up, to measure, and how often, where that was asked for."""
    all_kept: str = ""
    """Why a long run could not leave steps out, where that failed."""

    def to_dict(self) -> dict[str, Any]:
        """What a file can hold; `Seen.from_dict` reads it."""
        kernels = self.kernels
        return {
            "kernels": kernels.columns,
            "names": kernels.names,
            "blocks": kernels.blocks,
            "dropped": kernels.dropped,
            "no_records": self.no_records,
            "no_waits": self.no_waits,
            "waits": self.waits,
            "inspected": self.inspected,
            "memory": self.memory,
            "hot": self.hot,
            "hot_steps": self.hot_steps,
            "work": [[*scope, *work] for scope, work in self.work.items()],
            "ceilings": self.ceilings._asdict() if self.ceilings else None,
            "parameters": self.parameters,
            "graphs": self.graphs.to_dict(),
            "replays": self.replays.to_dict(),
            "replaced": self.replaced,
            "modules": self.modules,
            "untold": self.untold,
            "schedule": self.schedule,
            "all_kept": self.all_kept,
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Seen:
        """What `to_dict` gave. Raises KeyError, TypeError or ValueError for anything else."""
        columns = {name: np.array(values, dtype=np.int64) for name, values in content["kernels"].items()}
        columns.setdefault("node", np.zeros(len(columns["start"]), dtype=np.int64))  # files of before have none
        columns = {name: columns[name] for name in COLUMNS}
        return cls(
            kernels=Kernels(columns, tuple(content["names"]), content["blocks"], content["dropped"]),
            no_records=content["no_records"],
            no_waits=content["no_waits"],
            waits=tuple(WaitLine(*row) for row in content["waits"]),
            inspected=content["inspected"],
            memory={name: np.array(content["memory"][name], dtype=np.int64) for name in MEMORY},
            hot=tuple(HotLine(*row) for row in content["hot"]),
            hot_steps=content["hot_steps"],
            work={Scope(p, f): Work(Cost(*c), dtype, n) for p, f, c, dtype, n in content["work"]},
            ceilings=Ceilings(**content["ceilings"]) if content["ceilings"] else None,
            parameters=content["parameters"],
            graphs=Graphs.from_dict(content["graphs"]) if "graphs" in content else Graphs(),
            replays=Replays.from_dict(content["replays"]) if "replays" in content else Replays(),
            replaced=tuple(content.get("replaced", ())),
            modules=tuple(content.get("modules", ())),
            untold=tuple(content.get("untold", ())),
            schedule=tuple(content.get("schedule", ())),
            all_kept=content.get("all_kept", ""),
        )
