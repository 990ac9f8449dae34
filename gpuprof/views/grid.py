"""Tables for people: cells that text and HTML both draw; and a profile's layers × phases as such a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from gpuprof.units import bar, column_unit, count, digits, percent
from gpuprof.views.colours import GPU, HOST, PHASES, SKY
from gpuprof.views.names import distinct

_LONG = 48  # characters of a layer's name
_PHASES = ("forward", "backward", "update", "recompute", "evaluate", "region")


@dataclass(frozen=True)
class Cell:
    """A text, how warm it is to be drawn (0 to 1), and how long a bar belongs to it (a share; NaN: none)."""

    text: str
    heat: float = 0.0
    after: str = ""
    """What stands behind the text, aligned on its left: how far an interval reaches."""
    share: float = math.nan
    whole: str = ""
    """The text in full, where it was cut."""
    colour: str = ""
    """Of its bar, as "#0072B2"; "" for that of warmth."""


@dataclass(frozen=True)
class Grid:
    """Column headings, and rows of cells; the first column holds names."""

    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    words: frozenset[int] = frozenset({0})
    """The columns that are aligned on the left."""
    code: frozenset[int] = frozenset()
    """The columns that hold code or a kernel's name."""
    barred: frozenset[int] = frozenset()
    """The columns whose bars are drawn in plain text, too."""
    beneath: frozenset[int] = frozenset()
    """The columns that HTML shows beneath their row, all of it, because they hold sentences."""
    weights: tuple[float, ...] = ()
    """How much each row matters where there is no room for all; () where all are shown."""

    def heaviest(self, most: int) -> Grid:
        """The rows of the greatest weights, in their order; all, where there are no more or weights are not known."""
        if len(self.rows) <= most or not self.weights:
            return self
        kept = sorted(sorted(range(len(self.rows)), key=lambda i: -self.weights[i])[:most])
        return replace(self, rows=tuple(self.rows[i] for i in kept), weights=tuple(self.weights[i] for i in kept))

    def text(self, rows: int | None = None) -> str:
        """The grid, or its first rows, in aligned plain text."""
        shown = [[self._texts(i, cell) for i, cell in enumerate(row)] for row in self.rows[:rows]]
        table = [[(name, "") for name in self.head], *shown]
        columns = [_aligned(column, i in self.words) for i, column in enumerate(zip(*table, strict=True))]
        return "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))

    def _texts(self, column: int, cell: Cell) -> tuple[str, str]:
        """What stands before and behind the line along which a cell's column is aligned; bars stand behind it."""
        after = bar(cell.share) if column in self.barred else cell.after
        return cell.text, f" {after}" if after else ""


def _aligned(column: Sequence[tuple[str, str]], words: bool) -> list[str]:
    """The column's texts, all as wide as the widest; what is behind them is aligned on its left."""
    behind = max(len(after) for _, after in column)
    bodies = [max(len(text) - behind, 0) if i == 0 else len(text) for i, (text, _) in enumerate(column)]
    width = max(bodies)
    lines = []
    for i, (text, after) in enumerate(column):
        if words:
            lines.append((text + after).ljust(width + behind))
        else:
            lines.append(text.rjust(width + behind) if i == 0 else text.rjust(width) + after.ljust(behind))
    return lines


class LayerStep(NamedTuple):
    """What a layer takes of a typical step, in seconds; NaN for what was not measured."""

    host: float = math.nan
    busy: float = math.nan
    """Its kernels ran."""
    idle: float = math.nan
    """The GPU had nothing to do between its kernels."""
    launches: float = math.nan
    gain: float = math.nan
    """The share of the step that would be saved if the layer took no time."""


def layer_grid(table: Any, order: Sequence[str], steps: Mapping[str, LayerStep]) -> Grid:
    """The profile's table with a row a layer, in the order given, and a column a phase: time a call.

    What follows ± is the wider side of the interval, whose sides differ. The hottest phase of the step is marked ◀: its
    calls, each as long as the median, take longest. "of the cell" is a sum over the layer's phases of the step; `steps`
    has what a step of each layer takes. What was not measured for any has no column.
    """
    phases = _phases(table, order)
    cells = {(row.path, row.phase): row for row in table.itertuples()}
    units = {phase: column_unit(table.loc[table["phase"] == phase, "median_us"].dropna() * 1e-6) for phase in phases}
    warmest = max((_usual(row) for row in table.itertuples()), default=0.0)
    share = table[table["phase"] != "evaluate"].groupby("path", sort=False)["share"].sum(min_count=1)
    figures = [steps.get(path, LayerStep()) for path in order]
    columns = _step_columns(figures)
    rows = tuple(
        (
            Cell(name, whole=path if name != path else ""),
            *(_time(cells.get((path, phase)), units[phase][0], warmest) for phase in phases),
            Cell(percent(share.get(path, math.nan)), share=share.get(path, math.nan)),
            *(column[1][i] for column in columns),
        )
        for i, (path, name) in enumerate(zip(order, distinct(order, _LONG), strict=True))
    )
    head = ("layer", *(f"{phase} ({units[phase][1]})" for phase in phases), "of the cell")
    weights = dict.fromkeys(order, 0.0)
    for (path, phase), row in cells.items():
        weights[path] += _usual(row) if phase else math.inf  # what is no layer's is always told
    heads = (*head, *(name for name, _ in columns))
    return Grid(heads, rows, barred=frozenset({len(head) - 1}), weights=tuple(weights.values()))


def _phases(table: Any, order: Sequence[str]) -> list[str]:
    """The phases that have a column: those of a step, then the user's own methods, last regions."""
    own = [
        phase for path in order for phase in table.loc[table["path"] == path, "phase"] if phase not in ("", *_PHASES)
    ]
    there = set(table["phase"])
    return [phase for phase in (*_PHASES[:-1], *dict.fromkeys(own), _PHASES[-1]) if phase in there]


def _step_columns(figures: Sequence[LayerStep]) -> list[tuple[str, list[Cell]]]:
    """Heading and cells of the columns that hold figures of a step."""
    idle = [percent(f.idle / (f.idle + f.busy)) if f.busy > 0 else "" for f in figures]
    columns = [
        _times("host", [f.host for f in figures], HOST),
        _times("GPU busy", [f.busy for f in figures], GPU),
        ("GPU idle", [Cell(text) for text in idle]),
        ("launches", [Cell(count(f.launches)) for f in figures]),
        ("gain", [Cell(percent(f.gain), share=f.gain) for f in figures]),
    ]
    return [(name, cells) for name, cells in columns if name == "gain" or any(cell.text for cell in cells)]


def _times(name: str, seconds: Sequence[float], colour: str) -> tuple[str, list[Cell]]:
    """A column of times, each with a bar as long as it is beside the longest."""
    size, unit = column_unit(seconds)
    longest = max((t for t in seconds if t > 0), default=math.nan)
    return f"{name} ({unit})", [Cell(digits(t / size), share=t / longest, colour=colour) for t in seconds]


def _usual(row: Any) -> float:
    """What its calls take, each as long as the median: one slow call is not heat. 0 for what is no phase of a step."""
    usual = row.median_us * row.calls
    return float(usual) if usual > 0 and row.phase not in ("", "evaluate") else 0.0


def _time(row: Any, size: float, warmest: float) -> Cell:
    if row is None:
        return Cell("–")
    wider = max(row.high_us - row.median_us, row.median_us - row.low_us) * 1e-6 / size
    after = [f"±{digits(wider, 1)}"] if wider == wider else []  # not NaN: there were samples enough for an interval
    heat = _usual(row) / warmest if warmest > 0 else 0.0
    marks = " ".join([*after, "◀"] if heat == 1 else after)
    return Cell(digits(row.median_us * 1e-6 / size), heat, marks, colour=PHASES.get(row.phase, SKY))
