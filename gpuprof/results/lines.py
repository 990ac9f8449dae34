"""LineProfile: where the time of one method went, line by line."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from gpuprof.hooks.source import Source
from gpuprof.judge.cost import bytes_text
from gpuprof.results.files import read_json, write_json
from gpuprof.units import column_unit, digits, percent
from gpuprof.views.source import CodeLine, Listing, listing

COLUMNS = (
    "line", "source", "hits", "host_us", "span_us", "busy_us", "launches", "threads", "allocated_bytes", "result",
    "share", "note",
)  # fmt: skip
_BASES = {"busy_s": "GPU time", "span_s": "time between its GPU events", "host_s": "host time"}
_LONG = 60


@dataclass(frozen=True)
class LineFigures:
    """What was measured of one line, summed over the calls followed; NaN or None where it was not measured."""

    hits: int = 0
    host_s: float = math.nan
    span_s: float = math.nan
    busy_s: float = math.nan
    launches: int | None = None
    threads: int | None = None
    """The most that one launch had; not a sum."""
    allocated_bytes: int | None = None
    retained_bytes: int | None = None
    result: str = ""
    """What the line made, such as "float32 (62720, 1)"."""
    waits: bool = False
    """Whether it makes the host wait for the GPU."""


@dataclass(frozen=True, repr=False)
class LineProfile:
    """What `linetime` measured of one method; IPython shows it as its code with figures beside each line."""

    name: str
    source: Source
    rows: dict[int, LineFigures]
    """By the number of a statement's first line."""
    calls: int
    """How many calls of the method were followed."""
    method_busy_s: float = math.nan
    """The method's own totals over those calls."""
    method_span_s: float = math.nan
    method_host_s: float = math.nan
    clock: str = ""
    about: dict[str, str] = field(default_factory=dict)
    """The machine and its versions."""
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    inside: tuple[LineProfile, ...] = ()
    """Methods of the same object that its lines call, those with the most GPU time first."""

    @property
    def basis(self) -> str:
        """What `share` is a share of: "busy_s" where kernels were recorded, else "span_s", else "host_s"."""
        known = (name for name in _BASES if any(getattr(row, name) > 0 for row in self.rows.values()))
        return next(known, "host_s")

    @cached_property
    def shares(self) -> dict[int, float]:
        """Each followed line's share of the method's time."""
        parts = {line: getattr(row, self.basis) for line, row in self.rows.items()}
        total = getattr(self, f"method_{self.basis}")
        if not total > 0:
            total = sum(part for part in parts.values() if part == part)
        return {line: part / total if total > 0 else math.nan for line, part in parts.items()}

    @cached_property
    def table(self) -> Any:
        """A DataFrame with a row for each line of the source; a line that was never hit has no figures.

        All figures are of one call of the method: hits, host_us, span_us (between events), busy_us (its kernels'
        time), launches, allocated_bytes. threads: the most that one launch had. result: what the line made. share: of
        the method's busy time, else of its span, else of its host time. note: "includes waiting" where only events
        or the host's clock tell the time of a line that waits for the GPU.
        """
        import pandas as pd

        return pd.DataFrame([self._row(i) for i in range(len(self.source.lines))], columns=list(COLUMNS))

    @property
    def verdict(self) -> str:
        """Which line takes the time, and what it launches for it."""
        if not self.calls or not any(row.hits for row in self.rows.values()):
            return f"{self.name} was not called while its lines were followed, so there is nothing to show."
        known = {line: share for line, share in self.shares.items() if share > 0}
        if not known:
            return f"No line of {self.name} took time that could be measured."
        line = max(known, key=known.__getitem__)
        work = self._work(self.rows[line])
        return (
            f"Line {line} of {self.name}, `{self._code(line)}`, takes {percent(known[line])} of its "
            f"{_BASES[self.basis]}{f': {work}' if work else ''}.{self._waiting(self.rows[line])}"
        )

    @property
    def listing(self) -> Listing:
        """The code with its figures, for people."""
        rows = [self._row(i) for i in range(len(self.source.lines))]
        names = {"busy_us": "GPU", "span_us": "span", "host_us": "host"}
        units = {name: column_unit(row[name] * 1e-6 for row in rows) for name in names}
        first = self.basis.replace("_s", "_us")
        order = list(dict.fromkeys([first, "host_us", *names]))
        heads = [f"{names[name]} ({units[name][1]})" for name in order]
        lines = []
        for row in rows:
            times = [digits(row[name] * 1e-6 / units[name][0]) for name in order]
            before = (_count(row["hits"]), *times[:2], _count(row["launches"]))
            behind = (_count(row["threads"]), *times[2:], _bytes(row["allocated_bytes"]), row["result"])
            hit, code = row["hits"] == row["hits"], row["source"].expandtabs(4)
            cells = (before if hit else (), row["share"], behind if hit else (), row["note"])
            lines.append(CodeLine(row["line"], code, *cells))
        return listing(["hits", *heads[:2], "launches"], ["threads", *heads[2:], "allocated", "result"], lines)

    @property
    def small_print(self) -> list[str]:
        """Clock, calls, what else is noted, the machine."""
        calls = "1 call followed" if self.calls == 1 else f"{self.calls} calls followed, figures a call"
        machine = self.about.get("processor" if self.basis == "host_s" else "gpu", "")
        return [text for text in (self.clock, calls if self.calls else "", *self.notes, machine) if text]

    def save(self, path: str | Path) -> Path:
        """The file written: JSON, compressed where the name ends in .gz. `LineProfile.load` reads it."""
        return write_json(Path(path), "lines", self._content())

    def _content(self) -> dict[str, Any]:
        """What JSON can hold."""
        rows = {str(line): asdict(row) for line, row in self.rows.items()}
        plain = {name: getattr(self, name) for name in (*_PLAIN, *_LISTS)}
        inside = [each._content() for each in self.inside]
        return {**plain, "source": asdict(self.source), "rows": rows, "inside": inside}

    @classmethod
    def load(cls, path: str | Path) -> LineProfile:
        """The line profile saved at `path`. Raises ValueError for a file that is not one, or damaged."""
        content = read_json(Path(path), "lines")
        try:
            return cls._of(content)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{path} is a gpuprof lines file with a part missing or damaged: {error}") from None

    @classmethod
    def _of(cls, content: dict[str, Any]) -> LineProfile:
        """What `_content` gave."""
        source = {**content["source"], "lines": tuple(content["source"]["lines"])}
        rows = {int(line): LineFigures(**_numbers(row)) for line, row in content["rows"].items()}
        rest = _numbers({name: content[name] for name in _PLAIN})
        lists = {name: tuple(content[name]) for name in _LISTS}
        inside = tuple(map(cls._of, content.get("inside", ())))
        return cls(source=Source(**source), rows=rows, **{**rest, **lists}, inside=inside)

    def _row(self, index: int) -> dict[str, Any]:
        """The table's row for the source's line number `index`."""
        line, calls = self.source.first + index, self.calls or math.nan
        row = self.rows.get(line, LineFigures())
        return {
            "line": line,
            "source": self.source.lines[index],
            "hits": row.hits / calls if row.hits else math.nan,
            "host_us": row.host_s * 1e6 / calls,
            "span_us": row.span_s * 1e6 / calls,
            "busy_us": row.busy_s * 1e6 / calls,
            "launches": _number(row.launches) / calls,
            "threads": _number(row.threads),
            "allocated_bytes": _number(row.allocated_bytes) / calls,
            "result": row.result,
            "share": self.shares.get(line, math.nan),
            "note": _note(row),
        }

    def _code(self, line: int) -> str:
        index = line - self.source.first
        text = self.source.lines[index].strip() if 0 <= index < len(self.source.lines) else "?"
        return text if len(text) <= _LONG else text[: _LONG - 1] + "…"

    def _work(self, row: LineFigures) -> str:
        """Such as "11 launches of up to 245 862 400 threads for a result of 62 720 elements"."""
        if not row.launches:
            return ""
        launches = row.launches / (self.calls or 1)
        text = "1 launch" if launches == 1 else f"{_count(launches)} launches"
        if row.threads:
            text += f" of {'' if launches == 1 else 'up to '}{_count(row.threads)} threads"
        made = _elements(row.result)
        return f"{text} for a result of {made}" if made else text

    def _waiting(self, row: LineFigures) -> str:
        if not row.waits:
            return ""
        return " It waits for the GPU" + (", and that is counted in." if _note(row) == _INCLUDED else ".")

    def __repr__(self) -> str:
        return f"<LineProfile of {self.name}: {self.calls} calls, {len(self.rows)} lines>"

    def __str__(self) -> str:
        parts = [self.verdict, "", self.listing.text(), "", *(f"! {warning}" for warning in self.warnings)]
        return "\n".join([*parts, " · ".join(self.small_print)])

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text("LineProfile(...)" if cycle else str(self))

    def _repr_html_(self) -> str:
        from gpuprof.views.html import report

        small_print = report("", None, self.small_print, self.warnings)
        return "\n".join([report(self.verdict, None, []), self.listing.html(), small_print])


_PLAIN = ("name", "calls", "method_busy_s", "method_span_s", "method_host_s", "clock", "about")
_LISTS = ("notes", "warnings")
_INCLUDED = "includes waiting"


def _numbers(content: dict[str, Any]) -> dict[str, Any]:
    """None stands for NaN in the times."""
    return {name: math.nan if value is None and name.endswith("_s") else value for name, value in content.items()}


def _note(row: LineFigures) -> str:
    if not row.waits:
        return ""
    return _INCLUDED if math.isnan(row.busy_s) else "waits for the GPU"


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _count(value: float) -> str:
    """A count with its thousands apart, as "245 862 400"; "" for NaN."""
    if math.isnan(value):
        return ""
    return f"{value:,.0f}".replace(",", " ") if value >= 100 or value == int(value) else digits(value, 2)


def _bytes(value: float) -> str:
    return "" if math.isnan(value) else bytes_text(value)


def _elements(result: str) -> str:
    """How many elements an array of the shape in `result` has; the text itself where it names no shape."""
    shape = re.search(r"\(([\d, ]+)\)", result)
    if not shape:
        return result
    elements = math.prod(int(side) for side in re.findall(r"\d+", shape[1]))
    return f"{_count(elements)} element{'' if elements == 1 else 's'}"
