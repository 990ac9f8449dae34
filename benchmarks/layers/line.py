"""The article's pooling in two commands: what a newcomer types, what comes out; and whether it all adds up."""

from __future__ import annotations

import math
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from benchmarks.layers.kept import claim
from benchmarks.layers.spins import union
from benchmarks.net import article_net, data
from benchmarks.pooling import run
from gpuprof.latest import last
from gpuprof.profiling import LayerTime
from gpuprof.record.schedule import KERNELS, Block
from gpuprof.results.profile import Profile

SHARE, CLOSURE = 0.95, 0.02
STEPS = {8: 900, 32: 60}  # above two seconds each, so that records are taken unasked
LINE = "max_index] = grad"
_BLOCKS = [Block(KERNELS, 1 << 62, 1e9)]


def measure(mode: str = "gpu", steps: dict[int, int] | None = None, shell: Any = None) -> dict[str, Any]:
    """Each batch size: the two commands, the rows against independent totals."""
    shell = shell or _shell()
    images, runs = data(), []
    for n_batch, count in (steps or STEPS).items():
        net = article_net(mode, "article", images=images)
        run(net, n_batch, 3)
        runs.append(
            {"n_batch": n_batch} | commands(shell, net, n_batch, count) | totals(net, n_batch, max(6, count // 20))
        )
    return {"runs": runs, "claims": [each for one in runs for each in claims(one)]}


def commands(shell: Any, net: Any, n_batch: int, steps: int) -> dict[str, Any]:
    """`%%layertime lm` on a training cell, then what its advice says to type, on the same cell."""
    shell.user_ns["lm"] = net
    epochs = 1 + steps * n_batch // len(net.x_train)  # of the sample, that is
    cell = f"lm.training({epochs}, n_batch={n_batch}, steps={steps}, show_error=False, graph=False)"
    profile = _typed(shell, "%%layertime lm", cell)
    advised = next((each for each in profile.advice if "Pool1.backward" in each.next), None)
    second = advised.next if advised else "%%layertime --lines Pool1.backward lm"
    followed = _typed(shell, second, cell)
    pool = profile["Pool1", "backward"]
    return {
        "first": "%%layertime lm",
        "second": second,
        "advised": advised is not None,
        "finding": advised._asdict() if advised else None,
        "verdict": profile.verdict,
        "gain": float(pool.gain),
        "gpu_gain": float(pool.gpu_gain),
        "closure": [profile.closure, followed.closure],
        "notes": profile.notes,
        "advice": [each._asdict() for each in profile.advice],
        "lines": {
            name: each.table.drop(columns=["source"]).to_dict("records") for name, each in followed.lines.items()
        },
        "line_verdicts": [each.verdict for each in followed.lines.values()],
        "share": line_share(followed),
    }


def line_share(profile: Profile) -> float:
    """The indexed assignment's share of Pool1.backward's busy time; on the host clock, of its host time."""
    whole = profile.lines.get("Pool1.backward")
    if whole is None or not whole.calls:
        return math.nan
    column = whole.basis.replace("_s", "_us")
    total = getattr(whole, f"method_{whole.basis}") / whole.calls * 1e6
    total = total if total > 0 else float(whole.table[column].sum())
    for each in profile.lines.values():
        table = each.table
        chosen = table["source"].str.contains(LINE, regex=False)
        if chosen.any() and each.calls:
            return float(table.loc[chosen, column].sum() * each.calls / whole.calls / total)
    return math.nan


def totals(net: Any, n_batch: int, steps: int) -> dict[str, Any]:
    """A profile's kernels and their busy time against a recording of the same steps without any hook."""
    if net.mode != "gpu":
        return {}
    with LayerTime((net,), blocks=_BLOCKS) as profiling:
        run(net, n_batch, steps)
    profile = profiling.profile
    clock: Any = profiling._log.clock
    with clock.recording() as found:
        run(net, n_batch, steps)
    records, kernels = found.records, profile.kernels
    return {
        "steps": steps,
        "launches": len(kernels),
        "launches_alone": len(records.start),
        "busy_us": float(kernels["busy_us"].sum()),
        "union_alone_us": union(records.start * 1e-3, (records.end - records.start) * 1e-3),
        "record_closure": profile.closure,
    }


def claims(found: dict[str, Any]) -> list[Any]:
    """Found in two commands, with its share and its worth; closure; launches."""
    name, share, gain = f"n_batch {found['n_batch']}", found["share"], found["gain"]
    matters = found["n_batch"] >= 16
    right = gain >= 0.5 if matters else gain <= 0.1
    lines = [
        claim(f"{name}: the pooling line is found", "two commands", found["second"], found["advised"] and share > 0.5),
        claim(f"{name}: its share of Pool1.backward's busy time", f"≥ {SHARE:.0%}", f"{share:.1%}", share >= SHARE),
        claim(f"{name}: whether it matters", "yes" if matters else "no", f"gain {gain:.1%}", right),
    ]
    closure = max([*found["closure"], found.get("record_closure", 0.0)])
    lines.append(claim(f"{name}: closure, the worst", f"≤ {CLOSURE:.0%}", f"{closure:.2%}", closure <= CLOSURE))
    if "launches" in found:
        a, b = found["launches"], found["launches_alone"]
        lines.append(claim(f"{name}: launches against records alone", "equal", f"{a} and {b}", a == b))
        off = found["busy_us"] / found["union_alone_us"] - 1
        lines.append(
            claim(f"{name}: busy against the union of records alone", "± 2 %", f"{off:+.2%}", abs(off) <= 0.02)
        )
    return lines


def _typed(shell: Any, magic: str, cell: str) -> Profile:
    """What a cell with this first line left as the newest profile."""
    with capture_output():
        result = shell.run_cell(f"{magic}\n{cell}")
    result.raise_error()
    profile = last()
    assert isinstance(profile, Profile)
    return profile


def _shell() -> Any:
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=config)
    shell.run_line_magic("load_ext", "gpuprof")
    return shell
