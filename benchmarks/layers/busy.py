"""Each layer's busy time against torch.profiler's records of the same CuPy steps, in passes of their own.

torch.profiler sees every kernel of the process, but knows nothing of CuPy's layers. The steps launch the same kernels
in the same order each time, so the n-th kernel of a step is the same in both passes; its name is compared.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable
from typing import Any, NamedTuple

from benchmarks.layers.kept import claim
from benchmarks.layers.nets import both_nets
from benchmarks.pooling import drain, run
from gpuprof.profiling import LayerTime
from gpuprof.record.clocks import Clock
from gpuprof.record.schedule import KERNELS, Block

WITHIN = 0.02
_BLOCKS = [Block(KERNELS, 1 << 62, 1e9)]


class Record(NamedTuple):
    """A kernel, copy or fill."""

    name: str
    us: float


def measure(mode: str = "gpu", rounds: int = 3, steps: int = 40) -> dict[str, Any]:
    """Both nets at n_batch 32 and the article's at 8: ours, then torch.profiler's, in turns."""
    found = {}
    nets = both_nets(mode, 32, 32) | {"article's net, n_batch 8": both_nets(mode, 8)["article's net"]}
    for name, (net, n_batch) in nets.items():
        found[name] = compared(net, n_batch, rounds, steps)
    return {"nets": found, "claims": [each for name, one in found.items() for each in claims(name, one)]}


def compared(
    net: Any,
    n_batch: int,
    rounds: int,
    steps: int,
    clock: Clock | None = None,
    theirs: Callable[[Any, int, int], list[Record]] | None = None,
) -> dict[str, Any]:
    """The rows of one net: the median over the rounds of each pass's median step, µs."""
    theirs = theirs or torch_records
    run(net, n_batch, 5)
    rows: dict[str, dict[str, list[float]]] = {}
    trouble, alike = [], []
    for _ in range(rounds):
        paths, ours = our_records(net, n_batch, steps, clock)
        others = theirs(net, n_batch, steps)
        try:
            owner = owners(paths, steps)
            mine, peer = (by_row(records, owner, steps) for records in (ours, others))
        except ValueError as error:
            trouble.append(str(error))
            continue
        alike.append(sum(same_name(a.name, b.name) for a, b in zip(ours, others, strict=True)) / len(ours))
        for row in mine:
            pair = rows.setdefault(row, {"ours": [], "theirs": []})
            pair["ours"].append(mine[row])
            pair["theirs"].append(peer[row])
    medians = {row: {who: statistics.median(each) for who, each in pair.items()} for row, pair in rows.items()}
    return {
        "n_batch": n_batch,
        "steps": steps,
        "rows": rows,
        "medians": medians,
        "names_alike": alike,
        "trouble": trouble,
    }


def our_records(net: Any, n_batch: int, steps: int, clock: Clock | None = None) -> tuple[list[str], list[Record]]:
    """Whose each record is, and the records, of so many steps after two others."""
    with LayerTime((net,), clock, blocks=_BLOCKS) as profiling:
        run(net, n_batch, 2)
        run(net, n_batch, steps)
    kernels = profiling.profile.kernels
    first = len(kernels) // (steps + 2) * 2
    rows = kernels.iloc[first:]
    paths = [f"{path}.{phase}" if phase else str(path) for path, phase in zip(rows["path"], rows["phase"], strict=True)]
    return paths, [Record(str(name), float(us)) for name, us in zip(rows["name"], rows["busy_us"], strict=True)]


def torch_records(net: Any, n_batch: int, steps: int) -> list[Record]:
    """The same of torch.profiler: what ran on the device, in the order it began."""
    import torch

    torch.cuda.init()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as watching:
        run(net, n_batch, 2)
        run(net, n_batch, steps)
        drain(net)
    on_device = [
        event
        for event in watching.profiler.kineto_results.events()
        if event.device_type() == torch.autograd.DeviceType.CUDA
    ]
    on_device.sort(key=lambda event: event.start_ns())
    first = len(on_device) // (steps + 2) * 2
    return [Record(event.name(), event.duration_ns() * 1e-3) for event in on_device[first:]]


def owners(paths: list[str], steps: int) -> list[str]:
    """Whose the n-th kernel of a step is. Raises ValueError where steps differ."""
    each, rest = divmod(len(paths), steps)
    if rest or not each:
        raise ValueError(f"{len(paths)} records are no whole number of each of {steps} steps")
    if any(paths[i * each : (i + 1) * each] != paths[:each] for i in range(steps)):
        raise ValueError("the steps' kernels do not come in the same order")
    return paths[:each]


def by_row(records: list[Record], owner: list[str], steps: int) -> dict[str, float]:
    """Each row's busy time of a step, µs, the median over the steps. Raises ValueError for another number of them."""
    if len(records) != len(owner) * steps:
        raise ValueError(f"expected {len(owner)} records in each of {steps} steps; got {len(records)} in all")
    sums: dict[str, list[float]] = {row: [0.0] * steps for row in owner}
    for place, record in enumerate(records):
        step, at = divmod(place, len(owner))
        sums[owner[at]][step] += record.us
    return {row: statistics.median(each) for row, each in sums.items()}


def same_name(ours: str, theirs: str) -> bool:
    """Whether both mean the same kernel: ours may be mangled, theirs is not; copies and fills have their own words."""
    if ours in ("fill",) or ours.startswith("copy"):
        return theirs.startswith("Memset" if ours == "fill" else "Memcpy")
    words = set(re.findall(r"\w{4,}", theirs)) - {"void"}
    return ours == theirs or (ours.startswith("_Z") and any(word in ours for word in words))


def claims(name: str, found: dict[str, Any]) -> list[Any]:
    """The row that is furthest off, and all together."""
    medians = found["medians"]
    if not medians:
        why = found["trouble"][0] if found["trouble"] else "no records"
        return [claim(f"{name}: busy a layer against torch.profiler's", f"± {WITHIN:.0%}", why, None)]
    off = {row: pair["ours"] / pair["theirs"] - 1 for row, pair in medians.items()}
    worst = max(off, key=lambda row: abs(off[row]))
    whole = sum(pair["ours"] for pair in medians.values()) / sum(pair["theirs"] for pair in medians.values()) - 1
    alike = min(found["names_alike"])
    text = f"{worst} {off[worst]:+.2%} ({medians[worst]['ours']:.1f} µs); {len(off)} rows, names alike {alike:.0%}"
    return [
        claim(
            f"{name}: busy a layer against torch.profiler's, the worst",
            f"± {WITHIN:.0%}",
            text,
            abs(off[worst]) <= WITHIN,
        ),
        claim(f"{name}: all rows together", f"± {WITHIN:.0%}", f"{whole:+.2%}", abs(whole) <= WITHIN),
    ]
