"""The layer × phase view: one row a layer, one column a phase, as cells that text and HTML both draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gpuprof.units import bar, column_unit, digits, percent

_PHASES = ("forward", "backward", "update", "recompute", "evaluate", "region")


@dataclass(frozen=True)
class Cell:
    """A text, and how warm it is to be drawn: 0 to 1."""

    text: str
    heat: float = 0.0


@dataclass(frozen=True)
class Grid:
    """Column headings, and rows of cells; the first column is the layer's path."""

    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def text(self) -> str:
        """The grid in aligned plain text."""
        lines = [self.head, *(tuple(cell.text for cell in row) for row in self.rows)]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.head))]
        return "\n".join(
            "  ".join(
                text.ljust(width) if i == 0 else text.rjust(width)
                for i, (text, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        )


def layer_grid(table: Any, order: Sequence[str], gains: Mapping[str, float]) -> Grid:
    """The profile's table with a row a layer, in the order given, and a column a phase: time a call.

    The hottest phase of the step is marked ◀; "of the cell" and host are sums over the layer's phases of the step;
    `gains` has what a step would gain without the layer (less than the sum over its phases, often). With kernel
    records: how long a step's kernels of the layer ran, and how many there were.
    """
    phases = [phase for phase in _PHASES if (table["phase"] == phase).any()]
    cells = {(row.path, row.phase): row for row in table.itertuples()}
    units = {phase: column_unit(table.loc[table["phase"] == phase, "median_us"].dropna() * 1e-6) for phase in phases}
    warmest = max((row.share for row in cells.values() if row.phase not in ("", "evaluate")), default=0.0)
    by_layer = table[table["phase"] != "evaluate"].groupby("path", sort=False)
    share, host = (by_layer[column].sum(min_count=1) for column in ("share", "host_us"))
    host_size, host_unit = column_unit(host.dropna() * 1e-6)
    recorded = bool(table["launches"].notna().any())
    busy, launches = (by_layer[column].sum(min_count=1) for column in ("busy_us", "launches"))
    busy_size, busy_unit = column_unit(busy.dropna() * 1e-6)
    rows = []
    for path in order:
        row = [Cell(_short(path))]
        row += [_time(cells.get((path, phase)), units[phase][0], warmest) for phase in phases]
        row += [
            Cell(bar(share.get(path, 0.0)) + " " + percent(share.get(path, float("nan")))),
            Cell(digits(host.get(path, float("nan")) * 1e-6 / host_size)),
        ]
        if recorded:
            row += [
                Cell(digits(busy.get(path, float("nan")) * 1e-6 / busy_size)),
                Cell(digits(launches.get(path, float("nan")))),
            ]
        row.append(Cell(percent(gains.get(path, float("nan")))))
        rows.append(tuple(row))
    head = (
        "layer",
        *(f"{phase} ({units[phase][1]})" for phase in phases),
        "of the cell",
        f"host ({host_unit})",
        *((f"GPU busy ({busy_unit})", "launches") if recorded else ()),
        "gain",
    )
    return Grid(head, tuple(rows))


def _short(path: str, most: int = 48) -> str:
    """`path`, its middle left out where it is long."""
    return path if len(path) <= most else f"{path[: most // 2 - 1]}…{path[-most // 2 :]}"


def _time(row: Any, size: float, warmest: float) -> Cell:
    if row is None:
        return Cell("–")
    text = digits(row.median_us * 1e-6 / size)
    half = (row.high_us - row.low_us) / 2 * 1e-6 / size
    if half == half:  # not NaN: there were samples enough for an interval
        text += f" ±{digits(half, 1)}"
    heat = row.share / warmest if warmest > 0 and row.phase != "evaluate" else 0.0
    return Cell(text + " ◀" if heat == 1 else text, heat)
