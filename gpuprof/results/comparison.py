"""Comparison: which of two statements is faster, by how much, and how sure that is."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from gpuprof.judge.figures import Figures, Sample
from gpuprof.judge.ratio import Estimate, Ratio, decide
from gpuprof.results.export import Exported
from gpuprof.results.files import read_json, write_json
from gpuprof.results.smallprint import machine
from gpuprof.units import digits, percent, seconds_text, several

# How far medians of the very same statement lay apart in separate processes on one H200, at most ("between" in
# benchmarks/results/ab.json, rounded up; a test compares). Stored results are not taken in turns: no finer claim.
BETWEEN_RUNS = {"host": 0.6, "device": 0.07, "kernels": 0.03, "cold": 0.06, "graph": 0.1, "latency": 0.6}
_GPUS = ("device", "kernels", "cold", "graph")
"""The quantities that are the GPU's own."""


@dataclass(frozen=True, repr=False)
class Comparison(Exported):
    """B against A: a `Ratio` for each quantity that both have; above 1 where B is faster."""

    names: tuple[str, str]
    ratios: tuple[Ratio, ...]
    deciding: str
    """The quantity that sets the pace of calls one after another: "device" or "host"."""
    interleaved: bool = True
    """Whether the two were run in turns; two stored results were not."""
    agreement: str = ""
    """Whether the two come to the same value."""
    stopped: str = ""
    clock: str = "host clock"
    warnings: tuple[str, ...] = ()
    about: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, quantity: str) -> Ratio:
        """The ratio of a quantity. Raises KeyError, which names those there are."""
        for ratio in self.ratios:
            if ratio.quantity == quantity:
                return ratio
        raise KeyError(f"no {quantity!r} was compared; there are {', '.join(r.quantity for r in self.ratios)}")

    @property
    def ratio(self) -> float:
        """Time of A / time of B in the deciding quantity: 1.31 where B is 1.31 times as fast."""
        return self[self.deciding].ratio

    @property
    def word(self) -> str:
        """What B is in the deciding quantity: "FASTER", "SLOWER", "SAME" or "UNCLEAR"."""
        return self[self.deciding].word

    @property
    def verdict(self) -> str:
        """The answer in a sentence or two."""
        first = self[self.deciding]
        interval = "99 % interval" if self.interleaved else "between the ends of 95 % intervals"
        parts = [f"{_answer(first)} ({self.deciding}, {interval})"]
        parts += [f"{ratio.quantity} {_answer(ratio)}" for ratio in self.ratios if ratio is not first]
        text = " · ".join(parts)
        if not self.interleaved:
            text += ". Not taken in turns: two runs of the same statement can differ by as much as the floor"
        return f"{text}. {self.agreement}".strip()

    @cached_property
    def table(self) -> Any:
        """A DataFrame with a row a quantity: quantity, a_us, b_us, ratio, low, high, floor, verdict, quartets."""
        import pandas as pd

        rows = [
            (r.quantity, r.a * 1e6, r.b * 1e6, r.ratio, r.low, r.high, r.floor, r.word, r.quartets) for r in self.ratios
        ]
        names = ["quantity", "a_us", "b_us", "ratio", "low", "high", "floor", "verdict", "quartets"]
        return pd.DataFrame(rows, columns=names)

    def plot(self, ax: Any = None) -> Any:
        """Each quantity's interval around 1, the floor shaded, on the Axes returned."""
        from gpuprof.views.charts import ratio

        rows = [
            {
                "quantity": r.quantity,
                "ratio": r.ratio,
                "low": r.low,
                "high": r.high,
                "verdict": r.word,
                "floor": r.floor,
            }
            for r in self.ratios
        ]
        small = [machine(self.about, self.clock), self.clock]
        return ratio(self.names, rows, floor=self[self.deciding].floor, small_print=small, ax=ax)

    def to_markdown(self) -> str:
        """Its verdict and table as GitHub's Markdown."""
        from gpuprof.views import markdown

        return markdown.joined(
            f"**{markdown.prose(self.verdict)}**",
            "\n".join(f"- {letter}: `{name}`" for letter, name in zip("AB", self.names, strict=True)),
            markdown.frame(self.table),
            *markdown.warned(self.warnings),
            markdown.small([machine(self.about, self.clock), self.clock, self.stopped]),
        )

    def save(self, path: str | Path) -> Path:
        """The JSON file written; `Comparison.load` reads it."""
        return write_json(Path(path), "comparison", {f.name: getattr(self, f.name) for f in fields(self)})

    @classmethod
    def load(cls, path: str | Path) -> Comparison:
        """The comparison saved at `path`. Raises ValueError for a file that is not one."""
        content = read_json(Path(path), "comparison")
        try:
            ratios = tuple(Ratio._make(math.nan if part is None else part for part in row) for row in content["ratios"])
            plain = {f.name: content[f.name] for f in fields(cls)}
            pairs = {"names": tuple(plain["names"]), "ratios": ratios, "warnings": tuple(plain["warnings"])}
            return cls(**plain | pairs)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is a gpuprof comparison with a part missing or damaged: {error}") from None

    @property
    def _brief(self) -> str:
        return str(self).splitlines()[0]

    def __str__(self) -> str:
        lines = [self.verdict, *(f"{letter}: {name}" for letter, name in zip("AB", self.names, strict=True))]
        notes = [*self.warnings, *([self.stopped] if self.stopped else [])]
        return "\n".join([*lines, *(f"note: {note}" for note in notes)])

    def _repr_html_(self) -> str:
        from gpuprof.views.html import comparison_report

        head = ("", f"A: {self.names[0]}", f"B: {self.names[1]}", "B is", "99 % interval", "floor")
        rows: list[tuple[str, ...]] = [
            (r.quantity, seconds_text(r.a), seconds_text(r.b), _answer(r), _interval(r), f"±{percent(r.floor)}")
            for r in self.ratios
        ]
        notes = [machine(self.about, self.clock), self.clock, self.stopped]
        return str(
            comparison_report(
                verdict=self.verdict,
                rows=rows,
                head=head,
                cautions=list(self.warnings),
                notes=[note for note in notes if note],
            )
        )


def compare_stored(new: Figures, old: Figures) -> Comparison:
    """Two results that were measured apart: held to how far separate runs of the same statement differ."""
    ratios = [
        _of_machines(_stored(name, getattr(old, name), getattr(new, name)), old, new)
        for name in BETWEEN_RUNS
        if _both(name, old, new)
    ]
    if not ratios:
        raise ValueError("the two timings have no quantity in common")
    longer = {_longer(old), _longer(new)}
    if len(longer) == 2:  # the one bound by the host, the other by the GPU
        ratio = _stored("throughput", getattr(old, _longer(old)), getattr(new, _longer(new)))
        ratios.append(_of_machines(ratio, old, new))
    names = [ratio.quantity for ratio in ratios]
    wanted = "throughput" if len(longer) == 2 else longer.pop()
    return Comparison(
        names=(old.statement, new.statement),
        ratios=tuple(ratios),
        deciding=wanted if wanted in names else names[0],
        interleaved=False,
        clock=new.clock,
        warnings=tuple(_differences(old, new)),
        about=new.about,
    )


def _longer(f: Figures) -> str:
    """The quantity that sets the pace of calls one after another."""
    gpu = "kernels" if f.kernels.samples and (f.elsewhere or not f.device.samples) else "device"
    return gpu if getattr(f, gpu).samples and f.gpu >= f.host.median else "host"


def _both(name: str, old: Figures, new: Figures) -> bool:
    """Whether both have this quantity, measured in the same way."""
    same_way = name != "device" or all(f.way == "gate" or f.resolved for f in (old, new))
    return bool(getattr(old, name).samples and getattr(new, name).samples) and same_way


def _stored(name: str, first: Sample, second: Sample) -> Ratio:
    low, middle, high = (
        math.log(x / y) if x > 0 and y > 0 else math.nan
        for x, y in ((first.low, second.high), (first.median, second.median), (first.high, second.low))
    )
    widths = [sample.width for sample in (first, second) if not math.isnan(sample.width)]
    floor = BETWEEN_RUNS.get(name, BETWEEN_RUNS["host"]) + max(widths, default=0.0)
    word = decide(Estimate(middle, low, high), floor)
    ratio, least, most = (math.exp(end) for end in (middle, low, high))
    return Ratio(name, ratio, least, most, floor, word, 0, 0, first.median, second.median)


def _of_machines(ratio: Ratio, old: Figures, new: Figures) -> Ratio:
    """The same; UNCLEAR where it may be the machine's: another GPU, of a host's time another processor."""
    parts = ("gpu",) if ratio.quantity in _GPUS else ("gpu", "processor")
    same = all(old.about.get(part) == new.about.get(part) for part in parts)
    return ratio if same else ratio._replace(word="UNCLEAR")


def _differences(old: Figures, new: Figures) -> list[str]:
    """What else changed between the two besides the statement."""
    found = [
        f"{name} was {old.about.get(name)} and is {new.about.get(name)}"
        for name in ("gpu", "driver", "cuda", "cupy", "torch", "jax", "numpy", "python", "processor")
        if old.about.get(name) != new.about.get(name)
    ]
    before, now = (t.after.get("clock_sm_mhz") for t in (old, new))
    if before and now and abs(before / now - 1) > 0.01:
        found.append(f"the SM clock was {before} MHz and is {now} MHz")
    return found


def _answer(r: Ratio) -> str:
    """Such as "FASTER 1.31× [1.28, 1.34]"."""
    if math.isnan(r.low) and not r.quartets:
        return "UNCLEAR: too few batches for an interval"
    if math.isnan(r.low):
        return f"UNCLEAR: only {several(r.quartets, 'quartet')} could be taken"
    if r.word == "SAME":
        return f"SAME (within ±{percent(r.floor)})"
    text = f"{r.word} {digits(r.ratio, 3)}× {_interval(r)}"
    return f"{text}, would take {several(r.needed, 'quartet')}" if r.word == "UNCLEAR" and r.needed else text


def _interval(r: Ratio) -> str:
    figures = 4 if 0.9 < r.ratio < 1.1 else 3
    return f"[{digits(r.low, figures)}, {digits(r.high, figures)}]"
