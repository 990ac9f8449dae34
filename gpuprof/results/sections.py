"""The details of a profile for people: advice, and tables of kernels, waits, hot lines, memory, costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gpuprof.judge.cost import bytes_text
from gpuprof.judge.findings import Finding
from gpuprof.judge.kernelnames import function
from gpuprof.record.calls import Scope
from gpuprof.units import column_unit, count, digits, percent
from gpuprof.views.colours import GPU
from gpuprof.views.grid import Cell, Grid
from gpuprof.views.names import shortened
from gpuprof.views.report import Advice, Section

_MOST = 10
_CODE = 60
_TOO_MUCH = 1.05  # of a roof: ceilings are measured to a few per cent
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))


def sections(
    kernels: Any, waits: Any, hot: Any, memory: Any, costs: Any, a_step: Mapping[tuple[str, str], float]
) -> tuple[Section, ...]:
    """Those that have rows, of `Profile.kernel_table`, `.waits`, `.hot`, `.memory`, `.costs`.

    `a_step` says how many calls a step has, by path and phase. Costs alone, with no GPU time to hold them against, are
    no section.
    """
    found = [
        _kernels(kernels, a_step) if len(kernels) else None,
        _waits(waits) if len(waits) else None,
        _hot(hot) if len(hot) else None,
        _memory(memory) if len(memory) else None,
        _costs(costs) if costs["busy_us"].notna().any() else None,
    ]
    return tuple(section for section in found if section)


def advised(found: Sequence[Finding]) -> tuple[Advice, ...]:
    """The findings as they stand under a verdict, which has said already that the step is bound by launches."""
    return tuple(Advice(_unrepeated(finding), finding.next) for finding in found)


def _unrepeated(finding: Finding) -> str:
    _, _, rest = finding.sentence.partition(". ") if finding.rule == "launch-bound" else ("", "", "")
    return f"Launches: {rest[:1].lower()}{rest[1:]}" if rest else finding.sentence


def _kernels(kernels: Any, a_step: Mapping[tuple[str, str], float]) -> Section:
    """The kernels that take most of a step."""
    times = [a_step.get((row.path, row.phase), 0.0) for row in kernels.itertuples()]
    whole = kernels.assign(launches=kernels["launches"] * times, busy_us=kernels["busy_us"] * times)
    whole = whole.sort_values("busy_us", ascending=False, kind="stable")
    rows, total = list(whole.head(_MOST).itertuples()), whole["busy_us"].sum()
    size, unit = column_unit(row.busy_us * 1e-6 for row in rows)
    columns: dict[str, Callable[[Any], Cell]] = {
        "kernel": lambda row: _cut(function(row.name), 48, row.name),
        "launched in": lambda row: Cell(_label(row)),
        f"GPU busy ({unit})": lambda row: Cell(
            digits(row.busy_us * 1e-6 / size), share=_share(row.busy_us, total), colour=GPU
        ),
        "launches": lambda row: Cell(count(row.launches)),
        "threads": lambda row: Cell(count(row.threads) if row.threads else ""),
        "registers": lambda row: Cell(count(row.registers) if row.registers else ""),
    }
    note = "Busy and launches: of a step. Threads: the most of one launch; registers: of a thread."
    grid = _grid(rows, columns, words={0, 1}, code={0})
    return Section("Kernels of a step, the longest first", grid, len(whole), ".kernel_table", note)


def _waits(waits: Any) -> Section:
    """The lines on which the host waits."""
    rows = list(waits.head(_MOST).itertuples())
    size, unit = column_unit(row.cost_us * 1e-6 for row in rows)
    longest, its_unit = column_unit(row.longest_us * 1e-6 for row in rows)
    columns: dict[str, Callable[[Any], Cell]] = {
        "line": _place,
        "source": lambda row: _cut(row.source, _CODE, row.source),
        "what": lambda row: Cell(row.what, whole=row.api),
        "a step": lambda row: Cell(f"{count(row.a_step)} ×"),
        f"cost ({unit})": lambda row: Cell(digits(row.cost_us * 1e-6 / size)),
        f"longest ({its_unit})": lambda row: Cell(digits(row.longest_us * 1e-6 / longest)),
    }
    note = "Cost: the host's time in a step; longest: of one wait."
    grid = _grid(rows, columns, words={0, 1, 2}, code={1})
    return Section("Waits for the GPU, the dearest first", grid, len(waits), ".waits", note)


def _hot(hot: Any) -> Section:
    """The lines whose kernels take longest."""
    rows = list(hot.head(_MOST).itertuples())
    size, unit = column_unit(row.busy_us * 1e-6 for row in rows)
    columns: dict[str, Callable[[Any], Cell]] = {
        "line": _place,
        "source": lambda row: _cut(row.source, _CODE, row.source),
        f"GPU busy ({unit})": lambda row: Cell(digits(row.busy_us * 1e-6 / size), share=row.share, colour=GPU),
        "of all": lambda row: Cell(percent(row.share)),
        "launches": lambda row: Cell(count(row.launches)),
        "threads": lambda row: Cell(count(row.threads) if row.threads else ""),
    }
    note = "Busy and launches: of a step. Threads: the most of one launch."
    return Section("Hottest lines of a step", _grid(rows, columns, words={0, 1}, code={1}), len(hot), ".hot", note)


def _memory(memory: Any) -> Section:
    """The rows whose calls need most at once; of libraries that do not tell that, those that allocate most."""
    by = "peak_bytes" if memory["peak_bytes"].notna().any() else "allocated_bytes"
    rows = list(memory.sort_values(by, ascending=False, kind="stable").head(_MOST).itertuples())
    columns: dict[str, Callable[[Any], Cell]] = {
        "call": lambda row: Cell(_label(row)),
        "allocated": lambda row: Cell(_size(row.allocated_bytes)),
        "times": lambda row: Cell(count(row.allocations)),
        "peak": lambda row: Cell(_size(row.peak_bytes)),
        "retained": lambda row: Cell(_size(row.retained_bytes)),
        "pool grew": lambda row: Cell(_size(row.grown_bytes)),
    }
    note = "Of a call, with what is called in it. Peak: above what was in use at its beginning; retained: at its end."
    return Section("Memory of a call", _grid(rows, columns), len(memory), ".memory", note)


def _costs(costs: Any) -> Section:
    """What calls compute and move, those first that take the GPU longest."""
    rows = list(costs.sort_values("busy_us", ascending=False, kind="stable").head(_MOST).itertuples())
    size, unit = column_unit(row.busy_us * 1e-6 for row in rows)
    columns: dict[str, Callable[[Any], Cell]] = {
        "call": lambda row: Cell(_label(row)),
        "operations": lambda row: Cell(_operations(row.flops)),
        "bytes": lambda row: Cell(_size(row.bytes)),
        "from": lambda row: Cell(row.how),
        f"GPU busy ({unit})": lambda row: Cell(digits(row.busy_us * 1e-6 / size)),
        "of the roof": lambda row: Cell(percent(row.of_roof), share=row.of_roof, whole=row.nearest),
    }
    note = "Of a call."
    if any(row.of_roof == row.of_roof for row in rows):
        note += " Of the roof: the least time this GPU needs for it, by its measured rates, of the time it took."
    if any(row.of_roof > _TOO_MUCH for row in rows):
        note += " Above 100 %: less was moved or computed than counted, or caches serve some."
    return Section("Costs of a call", _grid(rows, columns, words={0, 3}), len(costs), ".costs", note)


def _grid(
    rows: Sequence[Any],
    columns: Mapping[str, Callable[[Any], Cell]],
    words: set[int] | None = None,
    code: set[int] | None = None,
) -> Grid:
    """The grid of these rows; columns in which nothing is known are left out."""
    cells = {name: [made(row) for row in rows] for name, made in columns.items()}
    kept = [i for i, made in enumerate(cells.values()) if any(cell.text for cell in made)]
    head, body = [list(cells)[i] for i in kept], [list(cells.values())[i] for i in kept]
    left, mono = (frozenset(kept.index(i) for i in which & set(kept)) for which in (words or {0}, code or set()))
    return Grid(tuple(head), tuple(zip(*body, strict=True)), words=left, code=mono)


def _label(row: Any) -> str:
    return Scope(row.path, row.phase).name


def _place(row: Any) -> Cell:
    """Such as "pool.py:94"; a cell's files have names that say nothing."""
    if not row.file:
        return Cell("(no Python line)")
    cell = "ipykernel" in row.file or row.file.startswith("<ipython")
    text = f"cell, line {row.line}" if cell else f"{Path(row.file).name}:{row.line}"
    return Cell(text, whole="" if cell else f"{row.file}:{row.line}, {row.function}")


def _cut(text: str, most: int, whole: str) -> Cell:
    short = shortened(text, most)
    return Cell(short, whole=whole if short != whole else "")


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else math.nan


def _size(value: float) -> str:
    """Bytes; "" for NaN."""
    if math.isnan(value):
        return ""
    return f"−{bytes_text(-value)}" if value < 0 else bytes_text(value)


def _operations(value: float) -> str:
    if math.isnan(value):
        return ""
    size, prefix = next(((size, prefix) for size, prefix in _PREFIXES if value >= size), _PREFIXES[-1])
    return f"{digits(value / size, 2)} {prefix}".rstrip()
