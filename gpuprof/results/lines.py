"""LineProfile: where the time of one method went, line by line."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from gpuprof.hooks.source import Source
from gpuprof.results.export import Exported
from gpuprof.results.files import read_json, write_json
from gpuprof.results.linefigures import LineFigures, note, number, size, waiting, work
from gpuprof.units import column_unit, count, digits, percent
from gpuprof.views.report import Lines
from gpuprof.views.source import CodeLine, Listing, listing

__all__ = ["COLUMNS", "LineFigures", "LineProfile"]

COLUMNS = (
    "line", "source", "hits", "host_us", "span_us", "busy_us", "launches", "threads", "allocated_bytes", "result",
    "share", "note",
)  # fmt: skip
_BASES = {"busy_s": "GPU time", "span_s": "time between its GPU events", "host_s": "host time"}
_LONG = 60
_MOSTLY = 0.5  # of a line's time: then the line in which that is spent is named, too
_SHOWN = 0.05  # of the method's time: what it calls that takes less is not shown beneath it


@dataclass(frozen=True, repr=False)
class LineProfile(Exported):
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
    unit: str = "call"
    """What figures are of: "call", or of a generator or a coroutine "resumption"."""
    why: str = ""
    """Why no call was followed, where none was."""

    @property
    def basis(self) -> str:
        """What `share` is a share of: "busy_s" where kernels were recorded, else "span_s", else "host_s"."""
        known = (name for name in _BASES if any(getattr(row, name) > 0 for row in self.rows.values()))
        return next(known, "host_s")

    @cached_property
    def shares(self) -> dict[int, float]:
        """Each followed line's share of the method's time."""
        total = self.total
        return {line: self._time(line) / total if total > 0 else math.nan for line in self.rows}

    @property
    def total(self) -> float:
        """Seconds of the method over the calls followed, by the `basis`; its lines' sum where nothing else is known."""
        whole: float = getattr(self, f"method_{self.basis}")
        return whole if whole > 0 else sum(time for line in self.rows if (time := self._time(line)) == time)

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
        """Which line takes the time, down to those of the methods it calls, and what that launches."""
        if not self.calls or not any(row.hits for row in self.rows.values()):
            return self.why or f"{self.name} was not called while its lines were followed, so there is nothing to show."
        path = self._hottest()
        if not path:
            return f"No line of {self.name} took time that could be measured."
        _, line = path[0]
        parts = [
            f"Line {line} of {self.name}, `{self._code(line)}`, takes {percent(self.shares[line])} of its "
            f"{_BASES[self.basis]}",
            *(
                f"in it line {n} of {in_it.name}, `{in_it._code(n)}`, takes "
                f"{percent(min(1.0, in_it._time(n) / outer._time(m)))}"
                for (outer, m), (in_it, n) in pairwise(path)
            ),
        ]
        last, line = path[-1]
        launched = work(last.rows[line], last.calls)
        return f"{'; '.join(parts)}{f': {launched}' if launched else ''}.{waiting(last.rows[line])}"

    def _hottest(self) -> list[tuple[LineProfile, int]]:
        """The line that takes most, and within it, as deep as they were followed, those that take most of it."""
        found: list[tuple[LineProfile, int]] = []
        there, rest = [self], list(self.inside)
        while there:
            at = max(there, key=lambda each: each.total)
            known = [line for line in at.rows if at._time(line) > 0]
            if not known:
                break
            line = max(known, key=at._time)
            if found and at._time(line) < _MOSTLY * found[-1][0]._time(found[-1][1]):
                break
            found.append((at, line))
            rest = [each for each in rest if each is not at]
            called = set(re.findall(r"\w+(?=\()", at._statement(line)))
            there = [each for each in rest if each.basis == self.basis and each.name.rpartition(".")[2] in called]
        return found

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
            before = (count(row["hits"]), *times[:2], count(row["launches"]))
            behind = (count(row["threads"] or math.nan), *times[2:], size(row["allocated_bytes"]), row["result"])
            hit, code = row["hits"] == row["hits"], row["source"].expandtabs(4)
            cells = (before if hit else (), row["share"], behind if hit else (), row["note"])
            lines.append(CodeLine(row["line"], code, *cells))
        return listing(["hits", *heads[:2], "launches"], ["threads", *heads[2:], "allocated", "result"], lines)

    @property
    def small_print(self) -> list[str]:
        """Clock, calls, what else is noted, the machine."""
        unit = self.unit
        calls = f"1 {unit} followed" if self.calls == 1 else f"{self.calls} {unit}s followed, figures a {unit}"
        machine = self.about.get("processor" if self.basis == "host_s" else "gpu", "")
        return [text for text in (self.clock, calls if self.calls else "", *self.notes, machine) if text]

    def tables(self) -> dict[str, Any]:
        """Its DataFrame, and those of what it calls, by name."""
        return {"table": self.table} | {f"lines of {each.name}": each.table for each in self.inside}

    def to_markdown(self) -> str:
        """What is shown of it as GitHub's Markdown."""
        from gpuprof.views.markdown import lines

        return lines(self.shown)

    def save(self, path: str | Path) -> Path:
        """The file written: JSON, compressed where the name ends in .gz. `LineProfile.load` reads it."""
        return write_json(Path(path), "lines", self._content())

    def _content(self) -> dict[str, Any]:
        """What JSON can hold."""
        rows = {str(line): asdict(row) for line, row in self.rows.items()}
        plain = {name: getattr(self, name) for name in (*_PLAIN, *_LISTS)}
        inside = tuple(each._content() for each in self.inside)
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
        rest = _numbers({name: content[name] for name in _PLAIN if name in content or name not in _LATER})
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
            "launches": number(row.launches) / calls,
            "threads": number(row.threads),
            "allocated_bytes": number(row.allocated_bytes) / calls,
            "result": row.result,
            "share": self.shares.get(line, math.nan),
            "note": note(row),
        }

    def _code(self, line: int) -> str:
        index = line - self.source.first
        text = self.source.lines[index].strip() if 0 <= index < len(self.source.lines) else "?"
        return text if len(text) <= _LONG else text[: _LONG - 1] + "…"

    def _time(self, line: int) -> float:
        """Seconds of a line over the calls followed, by the `basis`."""
        time: float = getattr(self.rows[line], self.basis)
        return time

    def _statement(self, line: int) -> str:
        """The code from a line on, up to the next one that has figures."""
        end = min((other for other in self.rows if other > line), default=self.source.first + len(self.source.lines))
        return "\n".join(self.source.lines[line - self.source.first : end - self.source.first])

    def _inside(self) -> Iterator[tuple[str, Listing]]:
        """What it calls that takes a share of its time worth a look: a heading, and the lines."""
        for each in self.inside:
            share = each.total / self.total if self.total > 0 and each.basis == self.basis else 0.0
            if share >= _SHOWN:
                yield f"{each.name}, called in it: {percent(min(1.0, share))} of its {_BASES[self.basis]}", each.listing

    @property
    def shown(self) -> Lines:
        """What people see of it."""
        notes, warnings = tuple(self.small_print), tuple(self.warnings)
        return Lines(self.verdict, self.listing, tuple(self._inside()), warnings, notes)

    @property
    def _brief(self) -> str:
        return f"{self.name}, {self.calls} calls, {len(self.rows)} lines"


_LATER = ("unit", "why")  # which a file of an earlier gpuprof has not
_PLAIN = ("name", "calls", "method_busy_s", "method_span_s", "method_host_s", "clock", "about", *_LATER)
_LISTS = ("notes", "warnings")


def _numbers(content: dict[str, Any]) -> dict[str, Any]:
    """None stands for NaN in the times."""
    return {name: math.nan if value is None and name.endswith("_s") else value for name, value in content.items()}
