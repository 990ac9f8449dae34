"""From a log in which statements were followed to the figures of each line."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, NamedTuple

import numpy as np

from gpuprof.hooks.source import Source
from gpuprof.judge.busy import busy_ns
from gpuprof.record.calls import LINE, Calls
from gpuprof.record.clocks import MISSING, Ints
from gpuprof.record.launches import Kernels
from gpuprof.record.schedule import KERNELS, Mode
from gpuprof.results.lines import LineFigures, LineProfile
from gpuprof.results.seen import Seen
from gpuprof.results.unfollowed import unfollowed


class Followed(NamedTuple):
    """A function whose statements were followed."""

    name: str
    source: Source
    results: dict[int, str]
    """What its assignments made, by line."""
    runs: dict[int, int]
    """How many of its calls were followed from beginning to end, by the mode of the steps."""
    part_of: str = ""
    """The function asked for, which calls it; "" for that itself."""
    cut: int = 0
    """How often passes took turns in the middle of a call of it."""
    unit: str = "call"
    """What `runs` are: "call", or of a generator or a coroutine "resumption"."""
    anew: bool = False
    """Whether its name stood for another function when the cell had ended."""

    def to_dict(self) -> dict[str, Any]:
        """What JSON can hold; `Followed.from_dict` reads it."""
        return {
            "name": self.name,
            "source": asdict(self.source),
            "results": list(self.results.items()),
            "runs": list(self.runs.items()),
            "part_of": self.part_of,
            "cut": self.cut,
            "unit": self.unit,
            "anew": self.anew,
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Followed:
        """What `to_dict` gave, by an earlier gpuprof too. Raises KeyError or TypeError for anything else."""
        source = {**content["source"], "lines": tuple(content["source"]["lines"])}
        results = {int(line): text for line, text in content["results"]}
        runs = {int(mode): int(number) for mode, number in content["runs"]}
        more = {name: content[name] for name in ("cut", "unit", "anew") if name in content}
        return cls(content["name"], Source(**source), results, runs, content["part_of"], **more)


_RECORDED = int(KERNELS | Mode.LINES)
_TIMED = int(Mode.EVENTS | Mode.LINES)


def line_profiles(
    followed: Sequence[Followed], calls: Calls, seen: Seen, clock: str, about: Mapping[str, str]
) -> dict[str, LineProfile]:
    """The lines of each function that was followed, by its name; with what they call on their own object inside."""
    found = {each.name: line_profile(each, calls, seen, clock, about) for each in followed}
    for name in found:
        parts = [found[each.name] for each in followed if each.part_of == name]
        parts.sort(key=lambda part: -sum(row.busy_s for row in part.rows.values() if row.busy_s == row.busy_s))
        found[name] = replace(found[name], inside=tuple(parts))
    return found


def line_profile(followed: Followed, calls: Calls, seen: Seen, clock: str, about: Mapping[str, str]) -> LineProfile:
    """The lines of a function that was followed; a call of it, where passes differ in how many they saw.

    A statement's own time is without that of statements of the same function that ran inside it (recursion).
    """
    name, source, results, runs, *_ = followed
    lines = _lines(name, calls)
    of_line = np.flatnonzero(lines > 0)
    modes = calls["mode"]
    there = set(modes[of_line].tolist())
    counting = _RECORDED if _RECORDED in there and len(seen.kernels) else _TIMED
    counting = counting if counting in there else next(iter(there), counting)
    timing = _TIMED if _TIMED in there else counting
    host, span = _own(calls, of_line, lines)
    launched = _launched(calls, seen.kernels, lines)
    taken = _memory(calls, seen.memory)
    waiting = {row.line for row in seen.waits if row.file == source.file}
    number, rows = runs.get(counting, 0), {}
    for line in np.unique(lines[of_line]).tolist():
        chosen = of_line[lines[of_line] == line]
        counted, timed = chosen[modes[chosen] == counting], chosen[modes[chosen] == timing]
        watched = chosen[(modes[chosen] & int(Mode.INSPECT)) > 0]
        scale = number / max(1, runs.get(timing, 1))
        recorded = counting == _RECORDED
        slowed = timing == _RECORDED  # records slow the host
        rows[line] = LineFigures(
            hits=len(counted),
            host_s=math.nan if slowed else float(host[timed].sum()) * scale * 1e-9,
            span_s=float(span[timed].sum()) * scale * 1e-9 if calls.on_device else math.nan,
            busy_s=float(launched["busy"][counted].sum()) * 1e-9 if recorded else math.nan,
            launches=int(launched["number"][counted].sum()) if recorded else None,
            threads=int(launched["threads"][counted].max(initial=0)) if recorded else None,
            allocated_bytes=_a_run(taken["allocated"], watched, runs, modes, number),
            retained_bytes=_a_run(taken["retained"], watched, runs, modes, number),
            result=results.get(line, ""),
            waits=bool(waiting & set(range(line, line + _length(source, line, lines)))),
        )
    own = float(launched["busy"][of_line[modes[of_line] == counting]].sum()) * 1e-9
    notes = ["kernels: CUPTI"] if counting == _RECORDED else []
    notes += [f"{followed.unit}s in which passes took turns are left out"] if followed.cut else []
    return LineProfile(
        name=name,
        source=source,
        rows=rows,
        calls=number,
        method_busy_s=own if counting == _RECORDED else math.nan,
        clock=clock,
        about=dict(about),
        notes=tuple(notes),
        warnings=() if not seen.no_records else (f"no kernel records: {seen.no_records}",),
        unit=followed.unit,
        why="" if number else unfollowed(name, calls, followed.cut, followed.anew),
    )


def _lines(name: str, calls: Calls) -> Ints:
    """The line of each call that is a statement of the function; 0 for any other."""
    of_scope = np.zeros(len(calls.scopes) + 1, dtype=np.int64)
    for number, scope in enumerate(calls.scopes):
        path, _, line = scope.path.rpartition(":")
        if scope.phase == LINE and path == name:
            of_scope[number] = int(line)
    return of_scope[calls["scope"]]


def _own(calls: Calls, of_line: Ints, lines: Ints) -> tuple[Ints, Ints]:
    """Each statement's time on the host and between its marks, less that of statements of the function inside it."""
    host = calls["host_end"] - calls["host_start"]
    marked = (calls["start"] != MISSING) & (calls["end"] != MISSING)
    span = np.where(marked, calls["end"] - calls["start"], 0)
    around = calls.around(lines > 0)
    inner = of_line[around[of_line] >= 0]
    for own in (whole := (host.copy(), span.copy())):
        full = own.copy()
        np.subtract.at(own, around[inner], full[inner])
    return whole


def _launched(calls: Calls, kernels: Kernels, lines: Ints) -> dict[str, Ints]:
    """By statement: the kernels launched in it, whatever it called for that."""
    n = len(calls)
    statement = np.where(lines > 0, np.arange(n), calls.around(lines > 0))
    call = kernels["call"]
    at = np.where(call >= 0, statement[np.maximum(call, 0)], -1) if n else call
    inside = at >= 0
    threads = np.zeros(n, dtype=np.int64)
    np.maximum.at(threads, at[inside], kernels["threads"][inside])
    return {
        "busy": np.bincount(at[inside], busy_ns(kernels)[inside], n),
        "number": np.bincount(at[inside], minlength=n),
        "threads": threads,
    }


def _memory(calls: Calls, memory: Mapping[str, Ints]) -> dict[str, Ints]:
    """By call what it allocated and kept; MISSING where that was not watched."""
    at = calls.positions(memory["call"])
    found = {}
    for name in ("allocated", "retained"):
        found[name] = np.full(len(calls), MISSING, dtype=np.int64)
        found[name][at[at >= 0]] = memory[name][at >= 0]
    return found


def _a_run(values: Ints, watched: Ints, runs: Mapping[int, int], modes: Ints, number: int) -> int | None:
    known = watched[values[watched] != MISSING]
    if not len(known):
        return None
    made = sum(runs.get(int(mode), 0) for mode in np.unique(modes[known]))
    return round(float(values[known].sum()) / max(1, made) * number)


def _length(source: Source, line: int, lines: Ints) -> int:
    """How many lines until the next statement that ran, or the function's end."""
    later = lines[lines > line]
    end = int(later.min()) if len(later) else source.first + len(source.lines)
    return max(1, end - line)
