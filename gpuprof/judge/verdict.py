"""What the figures of one statement mean, in a sentence or two, each with its evidence."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gpuprof.judge.figures import Figures, Sample
from gpuprof.units import digits, percent, seconds_text

_BUSY_HOST = 5e-4  # a call that keeps the host this long, and leaves nothing to do, may be waiting inside
_BOUND = {"bandwidth": "bandwidth-bound", "compute": "compute-bound"}
_RESIDUE_S = 3e-7
_AS_THEY_ARE = ("launch-bound", "synchronises", "bound by", "too short", *_BOUND.values())
_WORTH = 1.1  # a graph is mentioned where it saves a tenth
_DISAGREE = 0.15  # events and kernel records differ by more than this: one of them sees something else


def verdict(f: Figures) -> str:
    """One or two sentences: what bounds the statement, and how that shows."""
    return " ".join(_upper(sentence) for sentence in _sentences(f) if sentence)


def _sentences(f: Figures) -> Iterator[str]:
    if not f.device.samples and not f.kernels.samples:
        yield _host_only(f)
        return
    if f.waits:
        yield _waiting(f)
    elif f.way and f.way != "gate" and not f.resolved:
        yield _ungated(f)
    elif f.gpu >= f.host.median and (f.resolved or f.kernels.samples):
        yield _gpu_bound(f)
    elif f.gpu >= f.host.median:
        yield _unresolved(f)
    else:
        yield _launch_bound(f)
    if f.roof and f.roof.sentence:
        yield f"{f.roof.sentence}."
    yield _graph(f)
    yield _lasting(f)


def _host_only(f: Figures) -> str:
    done = f"done after {f.latency.text(f.digits)}"
    if f.latency.samples and f.records:
        return (
            f"{done}; how long the GPU itself worked shows only in kernel records, which were not to be had: "
            f"{f.records}."
        )
    if f.latency.samples:
        return f"{done}; the measurement ended before the GPU's own time was taken."
    return "Host time; no array on a GPU was found in it."


def _waiting(f: Figures) -> str:
    works = f"; the GPU works {f.kernels.text(f.digits)} of its {f.host.text(f.digits)}" if f.kernels.samples else ""
    place = "" if f.waits == "inside" else f" ({f.waits})"
    return f"synchronises inside{place}: there the host waits for the GPU{works}."


def _ungated(f: Figures) -> str:
    if f.host.median > _BUSY_HOST and f.latency.median < 1.05 * f.host.median and not f.kernels.samples:
        return (
            f"bound by the host: a call keeps it for {f.host.text(f.digits)}, working or waiting for the GPU itself "
            f"(.get(), float(), printing). The device time is the pace of calls one after another ({f.why})."
        )
    idle = f": the GPU idles {percent(1 - f.busy)} of it" if not math.isnan(f.busy) and f.busy < 0.9 else ""
    return f"the device time is the pace of calls one after another, not the GPU's own{idle} ({f.why})."


def _gpu_bound(f: Figures) -> str:
    ahead = percent(1 - f.host.median / f.gpu) if f.host.median else "all"
    word = _BOUND.get(f.roof.kind if f.roof else "", "GPU-bound")
    return f"{word}: calls one after another keep the GPU busy, and the host is free for {ahead} of that time."


def _unresolved(f: Figures) -> str:
    most, floor = f.device.text(f.digits), seconds_text(f.floor_s, f.digits)
    return f"too short to resolve: the GPU takes at most {most}, and {floor} of that is the floor; kernel records tell."


def _launch_bound(f: Figures) -> str:
    """The GPU is done before the host has queued the next call."""
    host, count = f.host.text(f.digits), f.kernel_count or 0
    if not math.isnan(f.busy):
        launches = f", for {_count(count)} of {f.own_text} in all" if count else ""
        return f"launch-bound: the GPU idles {percent(1 - f.busy)} of the {host} that a call takes the host{launches}."
    if not f.floor:
        return f"launch-bound: a call takes the host {host}, the GPU at most {f.device.text(f.digits)}."
    floor = seconds_text(f.floor_s, f.digits)
    return (
        f"launch-bound: a call takes the host {host}, the GPU at most {f.device.text(f.digits)}, which is too short "
        f"to resolve (the floor is {floor}); kernel records would tell."
    )


def _count(count: float) -> str:
    return "one kernel" if count == 1 else f"{digits(count, 3) if count % 1 else int(count)} kernels"


def _graph(f: Figures) -> str:
    if not f.graph.samples or f.plain.median < _WORTH * f.graph.median:
        return ""
    times = digits(f.plain.median / f.graph.median, 2)
    return (
        f"Replayed from a CUDA graph a call takes {f.graph.text(f.digits)} instead of {f.plain.text(f.digits)} "
        f"({times}× faster; .snippet shows how)."
    )


def _lasting(f: Figures) -> str:
    found = f.lasting
    if (
        not found
        or f.way != "gate"
        or f.device.median < f.host.median
        or abs(found.sustained / found.burst - 1) < max(0.01, f.device.width)
    ):
        return ""
    clocks = [f" at {mhz} MHz" if mhz else "" for mhz in (found.clock_before, found.clock_after)]
    first, later = (seconds_text(s, f.digits) for s in (found.burst, found.sustained))
    return f"After a rest a call takes {first}{clocks[0]}, after a while {later}{clocks[1]}."


def cautions(f: Figures) -> list[str]:
    """What limits the figures: drift, two modes, disagreement, what the recording left behind, sentence by sentence."""
    found = list(f.warnings)
    for name in ("host", "device", "kernels"):
        found += _unsteady(name, getattr(f, name), f.digits)
    if not math.isnan(f.agreement) and abs(f.agreement) > _DISAGREE:
        found.append(_disagreement(f.agreement))
    if f.records and f.device.samples:
        found.append(f"no kernel records: {f.records}")
    if f.residue > _RESIDUE_S:
        found.append(f"recording kernels left {seconds_text(f.residue, 2)} on every launch of this process")
    return found


def _unsteady(name: str, sample: Sample, figures: int) -> Iterator[str]:
    """Drift and two modes, where they are more than the interval says and than a hundredth."""
    interval = (sample.high - sample.low) / 2 / sample.median if sample.median else 0
    if abs(sample.drift) > max(0.01, interval):
        way = "rose" if sample.drift > 0 else "fell"
        size = percent(abs(sample.drift))
        yield f"{name} {way} by {size} while it was measured; nothing below that is claimed"
    if sample.modes and sample.apart > 0.01:
        (low, share), (high, _) = sample.modes
        slow, fast = seconds_text(high, figures), seconds_text(low, figures)
        yield f"{name} has two modes, {fast} ({percent(share)} of the batches) and {slow}; nothing finer is claimed"


def _disagreement(share: float) -> str:
    more, why = "more", "gaps that the GPU makes itself, or others' work on its stream"
    if share < 0:
        more, why = "less", "kernels overlap, or ran on a stream that was not current"
    return f"events read {percent(abs(share))} {more} than the kernel records let expect: {why}"


def _upper(sentence: str) -> str:
    """A sentence's first letter as a capital, but for the words that begin a verdict."""
    as_it_is = sentence.startswith(_AS_THEY_ARE)
    return sentence if as_it_is else sentence[:1].upper() + sentence[1:]
