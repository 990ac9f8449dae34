"""Is a comparison of layers right? The same net in separate processes, a layer that takes 3 % longer, and drawn runs.

Each process profiles a synthetic net and is compared with those before it: on a GPU with the one before, by the rows
that launch the same kernels; on the host clock, where nothing tells which those are, three with the three before. Some
processes have a layer that takes 3 % longer. Others compare two nets in turns. What is done is kept line by line in
compare.jsonl, so the next run goes on from there: `python -m benchmarks layers compare`, until all is done.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.layers import drawn
from benchmarks.layers.kept import claim
from benchmarks.net import has_gpu
from benchmarks.results import FOLDER
from benchmarks.tables import Claim
from gpuprof.comparing import compare
from gpuprof.profiling import LayerTime
from gpuprof.record.schedule import KERNELS, Block, Mode
from gpuprof.results.profile import Profile
from gpuprof.results.profilecomparison import ProfileComparison
from gpuprof.results.rowchange import REAL

SAME, CHANGED, TURNS, STEPS = 400, 100, (40, 100), 500
BY = 1.03
LIMIT_S = float(os.environ.get("GPUPROF_COMPARE_SECONDS", "400"))
_ROOT = Path(__file__).parent.parent.parent
_LAYERS = 6
_CHANGED = 2, "backward"
_SHARE_OF_PROFILES = 0.7  # of the time; the rest is for turns


class SyntheticLayer:
    """Small products and additions, a hundred times or so; a phase may take 3 % longer."""

    def __init__(self, number: int, xp: Any) -> None:
        size = 16 * (1 + number % 3) if xp is np else 256 * (1 + number % 3)
        self.name = f"Layer{number}"
        self.times = dict.fromkeys(("forward", "backward", "update"), 100 if xp is np else 33)
        self.W = xp.full((size, size), 0.01, dtype=xp.float32)
        self.x = xp.full((size, size), 0.01, dtype=xp.float32)

    def forward(self, x: object) -> object:
        self._work("forward")
        return x

    def backward(self, dy: object) -> object:
        self._work("backward")
        return dy

    def update(self) -> None:
        self._work("update")

    def _work(self, phase: str) -> None:
        x, W = self.x, self.W
        for _ in range(self.times[phase]):
            x @ W if phase != "update" else W + x


def net(changed: bool, xp: Any) -> list[SyntheticLayer]:
    """Six layers, one of which may take 3 % longer."""
    layers = [SyntheticLayer(number, xp) for number in range(_LAYERS)]
    if changed:
        number, phase = _CHANGED
        layers[number].times[phase] = round(layers[number].times[phase] * BY)
    return layers


def step(layers: list[SyntheticLayer]) -> None:
    """One training step."""
    for layer in layers:
        layer.forward(0)
    for layer in reversed(layers):
        layer.backward(0)
    for layer in layers:
        layer.update()


def module(mode: str) -> Any:
    """NumPy or CuPy."""
    if mode == "cpu":
        return np
    import cupy

    return cupy


def profiled(mode: str, changed: bool, steps: int) -> Profile:
    """So many marked steps of the net, and on a GPU a few with kernel records after them."""
    layers = net(changed, module(mode))
    for _ in range(20):
        step(layers)
    blocks = [Block(Mode.EVENTS, steps + 2, 1e9), Block(KERNELS, 8, 1e9)]
    with LayerTime((layers,), kernels=mode != "cpu", blocks=blocks if mode != "cpu" else None) as run:
        for _ in range(steps + 2 + (12 if mode != "cpu" else 0)):
            step(layers)
    return run.profile


def child(what: str, mode: str, changed: bool, steps: int, path: str) -> None:
    """What a process does: save a profile, or the comparison of two nets in turns."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if what == "profile":
        profiled(mode, changed, steps).save(path)
        return
    xp = module(mode)
    compare(net(False, xp), net(changed, xp), step, steps=steps).save(path)


def measure(
    mode: str = "",
    same: int = SAME,
    changed: int = CHANGED,
    turns: tuple[int, int] = TURNS,
    steps: int = STEPS,
    limit: float = LIMIT_S,
    draw: tuple[int, int] = (drawn.SAME, drawn.CHANGED),
) -> dict[str, Any]:
    """As much as there is time for, and what there is so far of all runs."""
    mode, began = mode or ("gpu" if has_gpu() else "cpu"), time.perf_counter()
    kept = FOLDER / "compare.jsonl"
    rows = _kept(kept, mode, steps)
    for kind, share, makes, wanted in (
        ("profiles", _SHARE_OF_PROFILES, _profiles, (same, changed)),
        ("turns", 1.0, _turns, turns),
    ):
        done = [sum(row["kind"] == kind and row["changed"] is slower for row in rows) for slower in (False, True)]
        missing = [number - there for number, there in zip(wanted, done, strict=True)]
        for found in makes(mode, steps, *missing, began + share * limit):
            row = {"mode": mode, "steps": steps, "kind": kind, **found}
            rows.append(row)
            with kept.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
    simulated = drawn.simulated(*draw) if draw[0] else []
    counted = counts(rows, (same, changed), turns)
    return {
        "mode": mode, "steps": steps, "counted": counted, "drawn": simulated,
        "claims": claims(mode, counted) + drawn.claims(simulated),
    }  # fmt: skip


def _kept(file: Path, mode: str, steps: int) -> list[dict[str, Any]]:
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return [row for row in map(json.loads, lines) if (row["mode"], row["steps"]) == (mode, steps)]


def _profiles(mode: str, steps: int, same: int, changed: int, end: float) -> Iterator[dict[str, Any]]:
    """Each process against the one before, or the last three against the three before.

    Where something is changed, in one process or three, they are held against the last that nothing was changed in;
    that comes in between by chance, so that both kinds see the same weather.
    """
    runs = 1 if mode != "cpu" else 3
    window: deque[Profile] = deque(maxlen=2 * runs)
    draw = random.Random(0)
    while (same > 0 or changed > 0) and time.perf_counter() < end:
        if len(window) >= runs and changed > 0 and draw.random() < changed / (changed + max(0, same)):
            taken = [_taken("profile", mode, True, steps) for _ in range(runs)]
            yield _told(compare(list(window)[-runs:], taken), True)
            changed -= 1
            continue
        window.append(_taken("profile", mode, False, steps))
        if len(window) == 2 * runs:
            yield _told(compare(list(window)[:runs], list(window)[runs:]), False)
            same -= 1


def _turns(mode: str, steps: int, same: int, changed: int, end: float) -> Iterator[dict[str, Any]]:
    """Two nets in turns, a process each time."""
    draw = random.Random(1)
    while (same > 0 or changed > 0) and time.perf_counter() < end:
        slower = draw.random() < changed / (max(0, changed) + max(0, same)) if changed > 0 else False
        yield _told(_taken("turns", mode, slower, steps), slower)
        same, changed = same - (not slower), changed - slower


def _taken(what: str, mode: str, changed: bool, steps: int) -> Any:
    """What a process of its own saved."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "found.json"
        call = f"child({what!r}, {mode!r}, {changed}, {steps}, {str(path)!r})"
        code = f"from benchmarks.layers.compare import child; {call}"
        subprocess.run([sys.executable, "-c", code], check=True, cwd=_ROOT)
        return (Profile if what == "profile" else ProfileComparison).load(path)


def _told(found: ProfileComparison, changed: bool) -> dict[str, Any]:
    """What a comparison called real, and how wide it was."""
    number, phase = _CHANGED
    row = found[f"Layer{number}", phase]
    return {
        "changed": changed,
        "how": found.how,
        "why": found.why,
        "real": [each.name for each in found.rows if each.verdict == REAL],
        "found": row.verdict == REAL and row.ratio < 1,
        "ratio": row.ratio,
        "high": row.high,
        "floor": row.floor,
    }


def counts(rows: list[dict[str, Any]], profiles: tuple[int, int], turns: tuple[int, int]) -> dict[str, Any]:
    """How many of each kind there are, and what they came to."""
    found = {}
    for kind, wanted in (("profiles", profiles), ("turns", turns)):
        same, changed = ([row for row in rows if row["kind"] == kind and row["changed"] is c] for c in (False, True))
        own = f"Layer{_CHANGED[0]}.{_CHANGED[1]}"
        found[kind] = {
            "how": sorted({row["how"] for row in rows if row["kind"] == kind}),
            "same": len(same),
            "called different": sum(bool(row["real"]) for row in same),
            "rows called": sorted({name for row in same for name in row["real"]}),
            "changed": len(changed),
            "found": sum(row["found"] for row in changed),
            "another called": sum(bool(set(row["real"]) - {own, "(step)"}) for row in changed),
            "wanted": list(wanted),
        }
    return found


def claims(mode: str, found: dict[str, Any]) -> list[Claim]:
    """What was asked for beside what came out so far."""
    lines = []
    for kind, each in found.items():
        what = "profiles of separate processes" if kind == "profiles" else "models in turns"
        how = f"{what}, {mode}" + (f" (by {', '.join(each['how'])})" if any(each["how"]) else "")
        same, changed = each["wanted"]
        most, least = 0.02 * same, 0.9 * changed
        done = (each["same"] >= same, each["changed"] >= changed)
        lines += [
            claim(
                f"{how}: the same net, called different",
                f"≤ {most:g} of {same}",
                f"{each['called different']} of {each['same']}",
                each["called different"] <= most if done[0] else None,
            ),
            claim(
                f"{how}: a layer 3 % slower, found",
                f"≥ {least:g} of {changed}",
                f"{each['found']} of {each['changed']}",
                each["found"] >= least if done[1] else None,
            ),
        ]
    return lines
