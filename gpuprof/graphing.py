"""After a profiled cell: what its typical step would gain as a captured graph."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gpuprof.hooks.given import FirstCalls
from gpuprof.hooks.methods import TimedMethod
from gpuprof.judge.account import account
from gpuprof.passes.stepcalls import Called
from gpuprof.passes.stepgraph import step_graphs
from gpuprof.record.calls import LINE, Calls
from gpuprof.record.capturer import capturer_for
from gpuprof.record.graphs import NotCapturableError, reason
from gpuprof.record.launches import Kernels
from gpuprof.results.graphs import Graphs
from gpuprof.results.kerneltable import kernel_figures


def graphs_of(
    calls: Calls, clock: Any, methods: Iterable[TimedMethod], first: FirstCalls, kernels: Kernels, ended_by: str = ""
) -> Graphs:
    """What `step_graphs` finds; whatever keeps it from finding anything is in `why`. The hooks are off.

    `first` has what the methods' first calls were given; `ended_by` says what ended the cell early, if so.
    """
    if ended_by or calls.failure:
        return Graphs(why="the cell ended early" if ended_by else "CUDA had failed before")
    try:
        own, moved = calls.without(LINE)
        accounted = account(own)
        figures = kernel_figures(own, accounted, kernels.moved(moved))
        called = {}
        for method in methods:
            scope = calls.scopes[method.scope]
            given = first.given.get(method.scope)
            called[scope] = Called(method.layer, scope.path, method.phase, given, method.train)
        return step_graphs(
            own,
            accounted,
            called,
            capturer_for(clock, int(own["device"].max(initial=0))),
            clock.host,
            {row: figure.launches for row, figure in figures.items()},
        )
    except NotCapturableError as error:
        return Graphs(why=str(error))
    except KeyboardInterrupt:
        return Graphs(why="interrupted")
    except Exception as error:  # ours, or an odd object's: the profile is there without
        return Graphs(why=f"it failed: {reason(error)}")
