"""`Summary`: what a model is made of, and what it costs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

from cnn.checks import shown
from cnn.layers import Layer

HEADINGS = ("layer", "kind", "output", "parameters", "multiply-adds")


@dataclass(frozen=True)
class Row:
    """One layer.

    Attributes:
        layer: its name; kind: its class.
        output: the shape of one output.
        parameters: how many numbers it learns.
        multiply_adds: of one image's forward, in products with weights alone.
    """

    layer: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    multiply_adds: int


@dataclass(frozen=True)
class Summary:
    """The layers in order and their sums; `str()` is a table, `table` one of pandas.

    Attributes:
        rows: a `Row` a layer.
        notes: sentences on what does not fit.
    """

    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    @property
    def parameters(self) -> int:
        """How many numbers the model learns."""
        return sum(row.parameters for row in self.rows)

    @property
    def multiply_adds(self) -> int:
        """Of one image's forward."""
        return sum(row.multiply_adds for row in self.rows)

    @property
    def table(self) -> Any:
        """A pandas DataFrame: layer, kind, output, parameters, multiply_adds."""
        import pandas as pd

        return pd.DataFrame([asdict(row) for row in self.rows], columns=[each.name for each in fields(Row)])

    def __str__(self) -> str:
        cells = [
            HEADINGS,
            *(
                (row.layer, row.kind, shown(row.output), f"{row.parameters:,}", f"{row.multiply_adds:,}")
                for row in self.rows
            ),
            ("sum", "", "", f"{self.parameters:,}", f"{self.multiply_adds:,}"),
        ]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return "\n".join([*(_line(row, widths) for row in cells), *self.notes])

    def __repr__(self) -> str:
        sums = f"{self.parameters:,} parameters, {self.multiply_adds:,} multiply-adds an image"
        return f"<Summary: {len(self.rows)} layers, {sums}>"

    def _repr_html_(self) -> str:
        return str(self.table.to_html(index=False, border=0))


def summarised(layers: Iterable[Layer], notes: Iterable[str] = ()) -> Summary:
    """The summary of `layers`, with `notes` under it."""
    rows = (
        Row(layer.name, type(layer).__name__, layer.O_shape, layer.n_parameters, layer.multiply_adds)
        for layer in layers
    )
    return Summary(tuple(rows), tuple(notes))


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    """Text to the left, numbers to the right."""
    texts = (f"{cell:<{width}}" for cell, width in zip(cells[:3], widths[:3], strict=True))
    numbers = (f"{cell:>{width}}" for cell, width in zip(cells[3:], widths[3:], strict=True))
    return "  ".join([*texts, *numbers])
