"""Timing: how long a statement takes, on the host, on the device, and end to end."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from gpuprof.judge.cost import Roof
from gpuprof.judge.figures import NOTHING, Figures, Floor, Kernel, Lasting, Memory, Sample
from gpuprof.judge.verdict import cautions, verdict
from gpuprof.results.comparison import Comparison, compare_stored
from gpuprof.results.export import Exported
from gpuprof.results.files import read_json, write_json
from gpuprof.results.line import QUANTITIES, line, parts, small_print, snippet, spread
from gpuprof.units import seconds_text

__all__ = ["NOTHING", "Sample", "Timing"]


@dataclass(frozen=True, repr=False)
class Timing(Exported, Figures):
    """What `timeit` measured; it prints as a line and a sentence, and shows itself in a notebook.

    Each quantity has `.median`, `.low`, `.high` (a 95 % interval) and `.samples`, seconds a call. Quantities that were
    not measured have no samples, and a NaN median.
    """

    @property
    def verdict(self) -> str:
        """What the figures mean."""
        return verdict(self)

    @property
    def cautions(self) -> list[str]:
        """What disturbed the measurement, or limits what can be claimed."""
        return cautions(self)

    @property
    def samples(self) -> dict[str, tuple[float, ...]]:
        """Every batch of each quantity measured, seconds a call."""
        return {p.name: p.sample.samples for p in parts(self)}

    @cached_property
    def table(self) -> Any:
        """A DataFrame with a row a quantity: median_us, low_us, high_us, samples, outliers."""
        import pandas as pd

        rows = [
            {
                "quantity": name,
                "median_us": sample.median * 1e6,
                "low_us": sample.low * 1e6,
                "high_us": sample.high * 1e6,
                "samples": len(sample.samples),
                "outliers": sum(sample.outliers),
            }
            for name, _, _, sample in parts(self)
        ]
        return pd.DataFrame(rows, columns=["quantity", "median_us", "low_us", "high_us", "samples", "outliers"])

    @cached_property
    def kernel_table(self) -> Any:
        """A DataFrame with a row a kernel, copy or fill: kernel, launches and us (both a call), threads."""
        import pandas as pd

        rows = [(k.name, k.launches, k.seconds * 1e6, k.threads) for k in self.kernel_list]
        return pd.DataFrame(rows, columns=["kernel", "launches", "us", "threads"])

    @property
    def snippet(self) -> str:
        """Code that captures the statement into a CUDA graph and replays it; "" where that was not tried, or failed."""
        return snippet(self)

    def plot(self, ax: Any = None) -> Any:
        """A histogram of each quantity's batches, on the Axes returned."""
        from gpuprof.views.charts import histograms

        return histograms([(p.name, p.sample.samples) for p in parts(self)], small_print(self), ax=ax)

    def tables(self) -> dict[str, Any]:
        """Its DataFrames by name."""
        return {"table": self.table, "kernel_table": self.kernel_table}

    def to_markdown(self) -> str:
        """Its line, what that means and its tables as GitHub's Markdown."""
        from gpuprof.views import markdown

        return markdown.joined(
            markdown.prose(f"`{self.statement}`: {line(self)}      {spread(self)}"),
            f"**{markdown.prose(self.verdict)}**",
            *(markdown.frame(table) for table in self.tables().values() if len(table)),
            *markdown.warned(self.cautions),
            markdown.small(small_print(self)),
        )

    def save(self, path: str | Path) -> Path:
        """The JSON file written; `Timing.load` reads it."""
        return write_json(Path(path), "timing", self.content())

    def content(self) -> dict[str, Any]:
        """All of it in JSON's terms."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def load(cls, path: str | Path) -> Timing:
        """The timing saved at `path`. Raises ValueError for a file that is not one."""
        content = read_json(Path(path), "timing")
        try:
            return cls.from_content(content)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is a gpuprof timing with a part missing or damaged: {error}") from None

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> Timing:
        """The timing that `content()` came from; fields that are not there keep their defaults."""
        known = {f.name for f in fields(cls)}
        return cls(**{name: _revived(name, content[name]) for name in known & content.keys()})

    def compare(self, old: Timing) -> Comparison:
        """This result against an older one; they were not taken in turns, and the answer says so."""
        return compare_stored(self, old)

    @property
    def _brief(self) -> str:
        return str(self).splitlines()[0]

    def __str__(self) -> str:
        lines = [f"{line(self)}      {spread(self)}", self.verdict]
        return "\n".join([*lines, *(f"note: {caution}" for caution in self.cautions)])

    def _repr_html_(self) -> str:
        from gpuprof.views.html import timing_report

        cards = [(p.name, p.sample.samples, f"{p.amount}\n{p.detail}".strip()) for p in parts(self)]
        kernels = [(k.name, k.launches, seconds_text(k.seconds, self.digits), k.threads) for k in self.kernel_list]
        return timing_report(
            line=line(self),
            spread=spread(self),
            verdict=self.verdict,
            cautions=self.cautions,
            histograms=cards,
            kernels=kernels,
            snippet=self.snippet,
            notes=small_print(self),
        )


def _plain(value: Any) -> Any:
    """A field as JSON has it."""
    if not isinstance(value, Sample):
        return value
    return {"samples": list(value.samples), "tick": value.tick} if value.tick else list(value.samples)


def _revived(name: str, value: Any) -> Any:
    """A field from what JSON had; None stands for NaN where a number is expected."""
    if name in _SAMPLES:
        return Sample(tuple(value["samples"]), value["tick"]) if isinstance(value, dict) else Sample(tuple(value))
    if name in ("first", "residue", "working") and value is None:
        return math.nan
    if name == "kernel_list":
        return tuple(Kernel(*row) for row in value)
    if name in _TUPLES:
        kind, missing = _TUPLES[name]
        found = None if value is None else kind(*(missing if part is None else part for part in value))
        return found._replace(share=math.nan) if isinstance(found, Roof) and found.share is None else found
    return tuple(value) if name == "warnings" else value


_SAMPLES = (*QUANTITIES, "plain")
_TUPLES: dict[str, tuple[Any, float | None]] = {  # and what None stands for in them
    "floor": (Floor, math.nan),
    "memory": (Memory, None),
    "roof": (Roof, None),
    "lasting": (Lasting, None),
}
