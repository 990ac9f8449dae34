"""What the docs show of results that were measured on a GPU and kept: made from the files, no figure is typed."""

from __future__ import annotations

import textwrap
from pathlib import Path

from benchmarks.results import load
from benchmarks.tables import table
from gpuprof.results.profile import Profile

GALLERY = Path(__file__).parent / "results" / "gallery"
WIDTH = 116


def step_8() -> str:
    """The slow network at 8 images a step: bound by launches."""
    return _cell(8)


def step_32() -> str:
    """The same at 32: bound by the GPU."""
    return _cell(32)


def _cell(n_batch: int) -> str:
    """Verdict, table and small print of a kept profile, with what was typed."""
    lines = str(Profile.load(GALLERY / f"slow_{n_batch}.json.gz")).split("\n")
    findings = next((i for i, line in enumerate(lines) if line.startswith("•")), 1)
    head = next(i for i, line in enumerate(lines) if line.startswith("layer "))
    foot = next(i for i, line in enumerate(lines) if line.startswith("Under each phase"))
    kept = [*lines[:findings], *lines[head : foot + 1], "", lines[-1]]
    return f"```text\n%%layertime --kernels lm\n\n{wrapped(chr(10).join(kept))}\n```"


def wrapped(text: str, width: int = WIDTH) -> str:
    """Sentences broken into lines of that width; tables as they are."""
    lines = []
    for line in text.split("\n"):
        prose = len(line) > width and "  " not in line.strip()
        lines.append(textwrap.fill(line, width, subsequent_indent=_indent(line)) if prose else line)
    return "\n".join(line.rstrip() for line in lines)


def _indent(line: str) -> str:
    stripped = line.lstrip(" •")
    return " " * (len(line) - len(stripped))


COSTS = (
    ("article's net: ratio, as asked for / plain", "gpuprof, as asked for: the article's network in CuPy, a step"),
    ("article's net in PyTorch: ratio, as asked for / plain", "gpuprof, as asked for: the same network in PyTorch"),
    ("ResNet-18: ratio, as asked for / plain", "gpuprof, as asked for: ResNet-18"),
    ("transformer: ratio, as asked for / plain", "gpuprof, as asked for: a small transformer"),
    ("peer: torch.profiler, CUDA, ratio", "torch.profiler, CUDA alone: the network in PyTorch"),
    ("peer: torch.profiler, CPU + CUDA, ratio", "torch.profiler, CPU and CUDA: the same"),
    ("peer: the same, ratio", "module hooks with a pair of events: the same"),
    ("peer: torch.profiler's table of 200 steps", "torch.profiler: making its table of 200 steps, once"),
    ("records: added a launch", "gpuprof's kernel records: added to a launch"),
    ("peer: cupti-python, added a launch", "cupti-python's: added to a launch"),
    (
        "article's net: busy a layer against torch.profiler's, the worst",
        "a layer's busy time: the largest difference from torch.profiler's",
    ),
)
"""What is shown of `benchmarks/layers` beside other profilers, and in which words."""


def peers() -> str:
    """What profiling costs, gpuprof's and others', from `benchmarks/layers`."""
    measured = load("layers")
    claims = {}
    for part in measured["parts"].values():
        for what, asked, text, reached in part["claims"]:
            claims[what] = (text, asked, reached.replace("?", ""), part["commit"])
    rows = [(label, *claims[what]) for what, label in COSTS]
    machine = measured["machine"]
    about = f"[layers.json]({{results}}/layers.json): {machine['gpu']}, driver {machine['driver']}, {measured['date']}."
    return f"{table(('', 'measured', 'asked', 'reached', 'commit'), rows)}\n\n{about}"
