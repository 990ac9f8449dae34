"""What docs/timing.md and the README show of %gpu_timeit, made from benchmarks/results: no figure is typed.

Each public function makes one block, by its name. What was asked for is in `claims`, beside what came out; whether it
was reached is computed.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from statistics import median
from typing import Any

from benchmarks.results import load
from benchmarks.scenes import hostile_claims
from benchmarks.simulated import simulated_claims
from benchmarks.tables import YES, Claim, about, table, word
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


def _µs(seconds: float) -> str:
    return digits(seconds * 1e6)


# All that was asked for


def claims() -> str:
    """Everything asked for, what came out, and whether that is enough."""
    found = [*_spin_claims(), *_graph_claims(), *_ab_claims(), *simulated_claims(), *_wall_claims(), *hostile_claims()]
    missed = [claim for claim in found if claim.reached != YES]
    line = f"{len(found) - len(missed)} of {len(found)} are reached."
    return f"{table(('', 'asked', 'measured', 'reached'), found)}\n\n{line}"


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
            found.append(Claim(f"{name_of}, slope", "1.00 ± 0.01", f"{line['slope']:.4f}", word(slope)))
            least = f"{what} ({line[zero]:.2f} µs) ± {allowed} µs"
            reached = word(abs(off) <= allowed)
            found.append(Claim(f"{name_of}, intercept", least, f"{line['intercept_us']:.2f} µs ({off:+.2f})", reached))
    return found


def spins() -> str:
    """What device and kernels read beyond each spin's own length, beside CuPy's benchmark."""
    found = load("timing")["spins"]
    head = ["spin, all in µs"]
    for name in found:
        head += [f"launched {name}: device − spin (floor)", "kernels − spin", "CuPy benchmark − spin"]
    rows = []
    for together in zip(*(one["rows"] for one in found.values()), strict=True):
        row = [str(together[0]["us"])]
        for r in together:
            device, *others = (
                _beyond(r[name], r["own_s"]) for name in ("device_s", "kernels_s", "cupy_benchmark_gpu_s")
            )
            row += [f"{device} ({r['floor_s'] * 1e6:.2f})", *others]
        rows.append(row)
    return f"{table(head, rows)}\n\n{about('timing')}"


def _beyond(seconds: float | None, own: float) -> str:
    return "" if seconds is None else f"{(seconds - own) * 1e6:.2f}"


# The eight calls


def calls() -> str:
    """The eight calls by every timer."""
    head = ["call", *(f"{name} (µs)" for name in TIMERS.values()), "host (µs)", "device (µs)", "kernels (µs)", "number"]
    head += ["events against records"]
    rows = [[*_call(call), f"{call['kernel_count']:g}", _agreement(call)] for call in load("timing")["calls"]]
    rounds = len(load("timing")["calls"][0]["samples_s"]["ours_device"])
    return f"{table(head, rows)}\n\nMedians of {rounds} rounds, all timers in turns. {about('timing')}"


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
    return f"{table(head, rows)}\n\n{about('timing')}"


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
    return [Claim(what, "each within 5 % + 0.3 µs a kernel", f"{within} of {len(rows)}", word(within == len(rows)))]


def graphs() -> str:
    """Kernel records against an independent way."""
    rows = []
    for call in load("timing")["calls"]:
        ours, slope = (median(call["samples_s"][name]) for name in ("captured_kernels", "graph_slope"))
        off, allowed = call["kernels_minus_graph_s"], call["allowed_s"]
        reached = word(abs(off) <= allowed)
        rows.append((f"`{call['call']}`", _µs(ours), _µs(slope), f"{off * 1e6:+.2f}", f"±{_µs(allowed)}", reached))
    head = ("call", "kernels (µs)", "a call more in a graph (µs)", "difference (µs)", "asked (µs)", "reached")
    return f"{table(head, rows)}\n\n{about('timing')}"


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
        Claim("… in", "5 s each", f"{longest:.1f} s at most", word(longest <= 5)),
    ]  # fmt: skip


def _directions(changed: list[dict[str, Any]]) -> list[bool]:
    """Whether each change was called by its right name: `ab._changed` makes B slower in two pairs, faster in two."""
    return [row["word"] == ("SLOWER" if i % 4 < 2 else "FASTER") for i, row in enumerate(changed)]


def _enough(reached: bool, count: int, wanted: int) -> str:
    return word(reached) if count >= wanted or not reached else f"too few: {count} of {wanted}"


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
    return f"{table(head, rows)}\n\n{about('ab')}"


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
        rows.append((name, *cells, f"±{percent(allowed)}", word(max(spread.values()) <= allowed) if spread else ""))
    head = ("", *(f"`{call}`" for call in found), "`new.compare(old)` allows", "enough")
    text = f"Largest less smallest median, as a share of the middle one, in {processes} processes. {about('ab')}"
    return f"{table(head, rows)}\n\n{text}"


# Wall times and the harness


def _wall_claims() -> list[Claim]:
    found = load("timing")
    claimed = []
    for name, seconds in found["wall_s"].items():
        least = 10 if name == "spin 1 s" else 2
        claimed.append(Claim(f"a default answer: {name}", f"{least} s", f"{seconds:.2f} s", word(seconds <= least)))
    harness = found["harness_s"]
    claimed.append(Claim("the timing loop's own cost, a call", "0.1 µs", seconds_text(harness), word(harness <= 1e-7)))
    return claimed


def walls() -> str:
    """How long a default answer takes."""
    return f"{table(('', 'asked', 'measured', 'reached'), _wall_claims())}\n\n{about('timing')}"
