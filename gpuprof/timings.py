"""What %gpu_timeit measures: one statement, two in turns, or one over the values of a variable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gpuprof import timer
from gpuprof.cells import Cells
from gpuprof.footprint import evaluated
from gpuprof.options import points
from gpuprof.output import Output
from gpuprof.passes.measurement import Wishes
from gpuprof.passes.subject import Progress
from gpuprof.results.comparison import Comparison
from gpuprof.results.sweep import Sweep
from gpuprof.results.timing import Timing
from gpuprof.words import WordsError


class Timings:
    """`Timings(cells, options, names).of(statement, setup, other)`; `names` come before the notebook's own."""

    def __init__(self, cells: Cells, options: Mapping[str, Any], names: dict[str, Any]) -> None:
        self._cells = cells
        self._options = options
        self._names = names

    def of(
        self, statement: str, setup: str, other: str, *, progress: Progress, output: Callable[[], Output]
    ) -> Timing | Comparison | Sweep:
        """What the options ask for. Raises what the statement raises; WordsError for a wrong expression in an option.

        `progress` is told how far it is; `output()` takes what a statement prints.
        """
        code = self._cells.statement(statement, setup, self._names)
        if other:
            second = self._cells.statement(other, setup, self._names)
            return timer.compare_code(code, second, number=self._options.get("n"), progress=progress, output=output())
        if "over" in self._options:
            return self._swept(statement, setup, progress=progress, output=output)
        return timer.time_code(code, self._wishes(self._names), progress=progress, output=output())

    def _swept(self, statement: str, setup: str, **told: Any) -> Sweep:
        try:
            variable, values = points(self._options["over"], {**self._cells.namespace, **self._names})
        except ValueError as error:
            raise WordsError(f"--over: {error}") from None
        return timer.sweep_code(
            lambda value: self._cells.statement(statement, setup, self._names | {variable: value}),
            variable,
            values,
            statement,
            wishes=lambda value: self._wishes(self._names | {variable: value}),
            **told,
        )

    def _wishes(self, names: dict[str, Any]) -> Wishes:
        options, cost = self._options, {}
        for name in options.keys() & {"bytes", "flops"}:
            try:
                cost[name] = evaluated(options[name], {**self._cells.namespace, **names})
            except ValueError as error:
                raise WordsError(f"--{name}: {error}") from None
        return Wishes(
            options.get("n"),
            options.get("r"),
            options.get("width", 0.01),
            options.get("p", 3),
            "cold" in options,
            cost.get("bytes"),
            cost.get("flops"),
        )
