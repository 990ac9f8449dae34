"""What docs/timing.md and the README show of %gpu_timeit's measurements: tables from benchmarks/results, no figure typed.

Each function without an underscore makes one block, by its name. What was asked for is in `claims`, beside what came
out; whether it was reached is computed here.
"""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable
from statistics import median
from typing import Any, NamedTuple

from benchmarks.results import load
from gpuprof.results.comparison import BETWEEN_RUNS
from gpuprof.units import digits, percent, seconds_text

PAIRS, CHANGES = 400, 100
SHOWN = ("x + 1, 1e3", "x.sum(), 1e6", "A @ A, 1024²", "softmax in 5 calls, 128²")
EXAMPLE = ("softmax in 5 calls, 128²", "softmax(A)")
TIMERS = {
    "timeit": "`%timeit`, nothing waited for",
    "cupy_magic_gpu": "CuPy `%gpu_timeit`, GPU",
    "cupy_benchmark_gpu": "`cupyx.profiler.benchmark`, GPU",
    "do_bench": "triton `do_bench`",
}
OURS = {"ours_host": "host", "ours_device": "device", "ours_kernels": "kernels"}
YES, NO = "yes", "**no**"


class Claim(NamedTuple):
    """One thing asked for."""

    what: str
    least: str
    found: str
    reached: str


def _table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table."""
    cells = [list(head), *([str(cell) for cell in row] for row in rows)]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells]
    return "\n".join([lines[0], "|---" * len(cells[0]) + "|", *lines[1:]])


def _word(reached: bool) -> str:
    return YES if reached else NO


def _µs(seconds: float) -> str:
    return digits(seconds * 1e6)


def _about(name: str) -> str:
    """Where, with what and from which commit a file of results is."""
    found = load(name)
    machine = found["machine"]
    parts = [
        machine.get("gpu") or machine["processor"],
        machine.get("driver") and f"driver {machine['driver']}",
        machine.get("cuda") and f"CUDA {machine['cuda']}",
        machine.get("cupy") and f"CuPy {machine['cupy']}",
        f"commit {found['commit']}",
        found["date"],
    ]
    return f"[{name}.json]({{results}}/{name}.json): {', '.join(filter(None, parts))}."


# All that was asked for


def claims() -> str:
    """Everything asked for, what came out, and whether that is enough."""
    found = [*_spin_claims(), *_graph_claims(), *_ab_claims(), *_coverage_claims(), *_wall_claims(), *_hostile_claims()]
    missed = [claim for claim in found if claim.reached != YES]
    line = f"{len(found) - len(missed)} of {len(found)} are reached."
    return f"{_table(('', 'asked', 'measured', 'reached'), found)}\n\n{line}"


# Spins


def _spin_claims() -> list[Claim]:
    found = []
    for name, one in load("timing")["spins"].items():
        for quantity, zero, allowed, what in (
            ("device", "floor_us", 0.3, "the printed floor"),
            ("kernels", "empty_us", 0.2, "an empty kernel's record"),
        ):
            line = one[quantity]
            off = line["intercept_us"] - line[zero]
            slope = abs(line["slope"] - 1) <= 0.01
            name_of = f"spins launched {name}: {quantity} against their own clock"
            found.append(Claim(f"{name_of}, slope", "1.00 ± 0.01", f"{line['slope']:.4f}", _word(slope)))
            least = f"{what} ({line[zero]:.2f} µs) ± {allowed} µs"
            reached = _word(abs(off) <= allowed)
            found.append(Claim(f"{name_of}, intercept", least, f"{line['intercept_us']:.2f} µs ({off:+.2f})", reached))
    return found


def spins() -> str:
    """What device and kernels read beyond each spin's own length, beside CuPy's benchmark."""
    found = load("timing")["spins"]
    head = ["spin (µs)"]
    for name in found:
        head += [f"device − spin, {name} (µs)", f"kernels − spin (µs)", "CuPy benchmark − spin (µs)"]
    rows = []
    for together in zip(*(one["rows"] for one in found.values()), strict=True):
        row = [str(together[0]["us"])]
        for r in together:
            row += [_beyond(r[name], r["own_s"]) for name in ("device_s", "kernels_s", "cupy_benchmark_gpu_s")]
        rows.append(row)
    return f"{_table(head, rows)}\n\n{_about('timing')}"


def _beyond(seconds: float | None, own: float) -> str:
    return "" if seconds is None else f"{(seconds - own) * 1e6:.2f}"


# The eight calls


def calls() -> str:
    """The eight calls by every timer."""
    head = ["call", *(f"{name} (µs)" for name in TIMERS.values()), "host (µs)", "device (µs)", "kernels (µs)", "number"]
    head += ["events against records"]
    rows = [[*_call(call), f"{call['kernel_count']:g}", _agreement(call)] for call in load("timing")["calls"]]
    rounds = len(load("timing")["calls"][0]["samples_s"]["ours_device"])
    return f"{_table(head, rows)}\n\nMedians of {rounds} rounds, all timers in turns. {_about('timing')}"


def _call(call: dict[str, Any]) -> list[str]:
    """Its name, the others' times, and ours."""
    times = {name: median(values) for name, values in call["samples_s"].items()}
    bound = "≤ " if times["ours_device"] < 3 * call["floor_s"] else ""
    ours = [_µs(times["ours_host"]), bound + _µs(times["ours_device"]), _µs(times["ours_kernels"])]
    return [f"`{call['call']}`", *(_µs(times[name]) for name in TIMERS), *ours]


def _agreement(call: dict[str, Any]) -> str:
    return f"{call['agreement'] * 100:+.1f} %"


def timers() -> str:
    """Some of them, for the README."""
    head = ["call, times in µs", *TIMERS.values(), *(f"gpuprof: {name}" for name in OURS.values())]
    rows = [_call(call) for call in load("timing")["calls"] if call["call"] in SHOWN]
    return f"{_table(head, rows)}\n\n{_about('timing')}"


def example() -> str:
    """One of the outputs, as it was printed."""
    text = next(call["text"] for call in load("timing")["calls"] if call["call"] == EXAMPLE[0])
    lines = [textwrap.fill(line, 116, subsequent_indent="  ") for line in text.split("\n")]
    body = "\n".join(f"    {line}" for line in "\n".join(lines).split("\n"))
    return f"    In [2]: %gpu_timeit {EXAMPLE[1]}\n\n{body}"


def _graph_claims() -> list[Claim]:
    rows = load("timing")["calls"]
    within = sum(abs(row["kernels_minus_graph_s"]) <= row["allowed_s"] for row in rows)
    what = "kernels against the slope of CUDA graphs of 1 … n calls"
    return [Claim(what, "each within 5 % + 0.3 µs a kernel", f"{within} of {len(rows)}", _word(within == len(rows)))]


def graphs() -> str:
    """Kernel records against an independent way."""
    rows = []
    for call in load("timing")["calls"]:
        ours, slope = (median(call["samples_s"][name]) for name in ("captured_kernels", "graph_slope"))
        off, allowed = call["kernels_minus_graph_s"], call["allowed_s"]
        reached = _word(abs(off) <= allowed)
        rows.append((f"`{call['call']}`", _µs(ours), _µs(slope), f"{off * 1e6:+.2f}", f"±{_µs(allowed)}", reached))
    head = ("call", "kernels (µs)", "a call more in a graph (µs)", "difference (µs)", "asked (µs)", "reached")
    return f"{_table(head, rows)}\n\n{_about('timing')}"


# A against B


def _ab_claims() -> list[Claim]:
    found = load("ab")
    same, changed = found["same"], found["changed"]
    false = sum(row["word"] in ("FASTER", "SLOWER") for row in same)
    called_same = sum(row["word"] == "SAME" for row in same)
    right, longest = sum(_directions(changed)), max(row["seconds"] for row in changed)
    false_share, same_share, right_share = false / len(same), called_same / len(same), right / len(changed)
    return [
        Claim("A/A pairs: false FASTER or SLOWER", f"at most 8 of {PAIRS}", f"{false} of {len(same)}",
              _enough(false_share <= 8 / PAIRS, len(same), PAIRS)),
        Claim("A/A pairs: ending SAME", "80 % or more", f"{called_same} of {len(same)}, {percent(same_share)}",
              _enough(same_share >= 0.8, len(same), PAIRS)),
        Claim("a true change of 2 % found, with its sign", f"90 of {CHANGES} or more", f"{right} of {len(changed)}",
              _enough(right_share >= 0.9, len(changed), CHANGES)),
        Claim("… in", "5 s each", f"{longest:.1f} s at most", _word(longest <= 5)),
    ]  # fmt: skip


def _directions(changed: list[dict[str, Any]]) -> list[bool]:
    """Whether each change was called by its right name: `ab._changed` makes B slower in two pairs, faster in two."""
    return [row["word"] == ("SLOWER" if i % 4 < 2 else "FASTER") for i, row in enumerate(changed)]


def _enough(reached: bool, count: int, wanted: int) -> str:
    return _word(reached) if count >= wanted or not reached else f"too few: {count} of {wanted}"


def pairs() -> str:
    """A/A and 2 %, by kind."""
    found, rows = load("ab"), []
    for name, taken in (("the same, over other memory", found["same"]), ("2 % apart", found["changed"])):
        for kind in dict.fromkeys(row["kind"] for row in taken):
            of = [row for row in taken if row["kind"] == kind]
            words = ", ".join(f"{count} {word}" for word, count in Counter(row["word"] for row in of).most_common())
            quartets = [row["quartets"] for row in of]
            floor = percent(median(row["floor"] for row in of))
            rows.append((name, f"`{kind}`", len(of), words, f"±{floor}", f"{median(quartets):g}", _took(of)))
    head = ("", "call", "pairs", "called", "floor, median", "quartets, median", "seconds, median (most)")
    return f"{_table(head, rows)}\n\n{_about('ab')}"


def _took(rows: list[dict[str, Any]]) -> str:
    seconds = [row["seconds"] for row in rows]
    return f"{median(seconds):.1f} ({max(seconds):.1f})"


def runs() -> str:
    """Medians of the same statement in separate processes, beside what a comparison of stored results allows for."""
    found = load("ab")["between"]
    processes = len(next(iter(next(iter(found.values())).values()))["medians_s"])
    rows = []
    for name, allowed in BETWEEN_RUNS.items():
        spread = {call: quantities[name]["spread"] for call, quantities in found.items() if name in quantities}
        cells = [percent(spread[call]) if call in spread else "" for call in found]
        rows.append((name, *cells, f"±{percent(allowed)}", _word(max(spread.values()) <= allowed) if spread else ""))
    head = ("", *(f"`{call}`" for call in found), "`new.compare(old)` allows", "enough")
    text = f"Largest less smallest median, as a share of the middle one, in {processes} processes. {_about('ab')}"
    return f"{_table(head, rows)}\n\n{text}"


# What is hostile to a gate


def _not_gated(row: dict[str, Any]) -> bool:
    return row["way"] in ("throughput", "events") and bool(row["says"])


def _near(seconds: float, truth: float) -> bool:
    return abs(seconds / truth - 1) <= 0.05


def _elsewhere(row: dict[str, Any], truth: float) -> bool:
    return _near(row["kernels"], truth) and "another stream" in row["says"] and "Replayed" not in row["text"]


RIGHT: dict[str, tuple[str, Callable[[dict[str, Any]], bool]]] = {
    "sync inside": ("not gated, the line named", lambda r: _not_gated(r) and "waits for the GPU inside, at" in r["says"]),
    "JIT": ("not gated, and why", _not_gated),
    "cudaMalloc and cudaFree": ("not gated, and why", _not_gated),
    "second stream": ("kernels 320 µs ± 5 %, the other stream told, no graph", lambda r: _elsewhere(r, 320e-6)),
    "non-blocking stream": ("kernels 100 µs ± 5 %, the other stream told, no graph", lambda r: _elsewhere(r, 100e-6)),
    "cooperative launch": (
        "gated, device beyond kernels by less than 3 µs",
        lambda r: r["way"] == "gate" and 0 < r["device"] - r["kernels"] < 3e-6,
    ),
    "capture going on": ("refused", lambda r: r["says"].startswith("refused")),
    "exception": ("raised, what was measured kept", lambda r: r["says"].startswith("raised") and "kept" in r["says"]),
    "5000 launches": ("not gated, and why; 5000 kernels", lambda r: _not_gated(r) and "(5000)" in r["text"]),
    "CUDA_LAUNCH_BLOCKING=1": ("not gated, and why", lambda r: r["says"].startswith("throughput: CUDA_LAUNCH_BLOCKING")),
    "injected tool": ("not gated, and why", lambda r: r["says"].startswith("throughput: a CUDA tool")),
    "Ctrl-C": ("what there was is returned", lambda r: r["says"] == "interrupted" and "host" in r),
    "two threads": (
        "both 20 µs, and up to 3 of the floor",
        lambda r: all(20 <= float(us) <= 23 for us in re.findall(r"([\d.]+) µs", r["says"])),
    ),
}
_HUNG_S = 60


def _hostile_claims() -> list[Claim]:
    scenes = load("hostile")["scenes"]
    ended = sum(row["seconds"] < _HUNG_S for row in scenes)
    right = sum(RIGHT[row["scene"]][1](row) for row in scenes)
    return [
        Claim("hostile to a gate: scenes that end", f"all {len(RIGHT)}", str(ended), _word(ended == len(RIGHT))),
        Claim("… each figure right or labelled", f"all {len(RIGHT)}", str(right), _word(right == len(RIGHT))),
    ]


def hostile() -> str:
    """Each scene, what is asked of it, and what came of it."""
    rows = []
    for row in load("hostile")["scenes"]:
        asked, right = RIGHT[row["scene"]]
        says = textwrap.shorten(row["says"].replace("`", ""), 110, placeholder=" …")
        figures = ", ".join(f"{name} {seconds_text(row[name])}" for name in ("device", "kernels") if row.get(name))
        cells = (row["scene"], f"{row['seconds']:.1f}", asked, row["way"], figures, says, _word(right(row)))
        rows.append(cells)
    head = ("scene", "ended after (s)", "asked", "way", "figures", "it says", "reached")
    return f"{_table(head, rows)}\n\n{_about('hostile')}"


# Wall times and the harness


def _wall_claims() -> list[Claim]:
    found = load("timing")
    claimed = []
    for name, seconds in found["wall_s"].items():
        least = 10 if name == "spin 1 s" else 2
        claimed.append(Claim(f"a default answer: {name}", f"{least} s", f"{seconds:.2f} s", _word(seconds <= least)))
    harness = found["harness_s"]
    claimed.append(Claim("the timing loop's own cost, a call", "0.1 µs", seconds_text(harness), _word(harness <= 1e-7)))
    return claimed


def walls() -> str:
    """How long a default answer takes."""
    return f"{_table(('', 'asked', 'measured', 'reached'), _wall_claims())}\n\n{_about('timing')}"


# Simulations


def _coverage_claims() -> list[Claim]:
    found = load("coverage")
    groups = [("batches of a fixed number", found["coverage"]), ("where sampling stops by itself", found["stopped"])]
    claimed = [_covering(name, rows) for name, rows in groups]
    flagged = min(row["share"] for row in found["shapes"] if row["what"] == "flagged")
    claimed.append(Claim("simulated: drift and two modes flagged", "95 % or more each", f"{percent(flagged)} or more",
                         _word(flagged >= 0.95)))  # fmt: skip
    return claimed


def _covering(name: str, rows: list[dict[str, Any]]) -> Claim:
    shares = [row["covered"] for row in rows]
    good = sum(map(_covers, shares))
    text = f"{100 * min(shares):.1f}–{100 * max(shares):.1f} %, {good} of {len(shares)} within"
    return Claim(f"simulated: the interval covers the truth, {name}", "93–98 % each", text, _word(good == len(shares)))


def _covers(share: float) -> bool:
    return 0.93 <= share <= 0.98


def _marked(share: float) -> str:
    text = f"{100 * share:.1f} %"
    return text if _covers(share) else f"**{text}**"


def coverage() -> str:
    """How often the intervals hold the truth."""
    found, rows = load("coverage"), []
    for title, group in (("", found["coverage"]), (", its tick read from ties", found["unaided"])):
        for kind in dict.fromkeys(row["kind"] for row in group):
            rows.append([kind + title, *(_marked(row["covered"]) for row in group if row["kind"] == kind)])
    counts = list(dict.fromkeys(row["count"] for row in found["coverage"]))
    one = found["coverage"][0]
    note = f"Each of {one['runs']} simulated runs; asked are 93–98 %, what is outside is in bold. {_about('coverage')}"
    return f"{_table(['samples', *map(str, counts)], rows)}\n\n{note}"


def stopping() -> str:
    """The same where sampling stops by itself."""
    found = load("coverage")["stopped"]
    rows = [(r["kind"], f"±{percent(r['precision'])}", r["count"], _marked(r["covered"])) for r in found]
    head = ("samples", "stops at", "samples taken, median", "covered")
    return f"{_table(head, rows)}\n\nEach of {found[0]['runs']} simulated runs. {_about('coverage')}"


def shapes() -> str:
    """Drift and two modes: found where they are, and where they are not."""
    found = load("coverage")["shapes"]
    rows = [(r["kind"], r["count"], percent(r["share"]), _word(r["share"] >= 0.95)) for r in found if r["what"] == "flagged"]
    for name in ("drift", "two modes"):
        imagined = [r for r in found if r["what"] == "false" and r["kind"].startswith(name)]
        worst = max(imagined, key=lambda r: r["share"])
        counts = sorted({r["count"] for r in imagined})
        rows.append((f"{worst['kind']} (the worst of all kinds)", "–".join(map(str, (counts[0], counts[-1]))),
                     percent(worst["share"]), ""))  # fmt: skip
    head = ("", "samples", "flagged", "reached (95 %)")
    return f"{_table(head, rows)}\n\nEach of {found[0]['runs']} simulated runs. {_about('coverage')}"


def ratios() -> str:
    """Comparisons, simulated: noise alone, and memory that moves a statement."""
    rows = []
    for r in load("coverage")["ratios"]:
        words, count = r["words"], r["runs"]
        different = sum(words.get(word, 0) for word in ("FASTER", "SLOWER"))
        right = words.get("SLOWER", 0) if r["change"] else different
        rest = [words.get(word, 0) / count for word in ("SAME", "UNCLEAR")]
        reached = _word(right / count >= 0.9 if r["change"] else different / count <= 0.02)
        rows.append((r["kind"], percent(r["change"]), percent(right / count), *map(percent, rest), reached))
    head = ("batches", "true change", "called different", "SAME", "UNCLEAR", "reached (0 %: at most 2 %; 2 %: at least 90 %)")
    one = load("coverage")
    note = f"Each of {one['ratios'][0]['runs']} simulated comparisons. {_about('coverage')}"
    asking = f"Asking whether 2000 samples are enough takes {seconds_text(one['asking_s'], 2)} there."
    return f"{_table(head, rows)}\n\n{note} {asking}"
