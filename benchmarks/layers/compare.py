"""Is a comparison of layers right? The same net in separate processes, a layer that takes 3 % longer, and drawn runs.

Each process saves the profile of a synthetic net, of which one layer may take 3 % longer. Pairs of processes are drawn
and compared: on a GPU one with one, by the rows that launch the same kernels; on the host clock, where nothing tells
which those are, three with three. So 400 pairs are of some dozens of processes, and a process is in many. Other
processes compare two nets in turns. What is done is kept, profiles in compare_profiles.zip and answers line by line in
compare.jsonl, so the next run goes on from there: `python -m benchmarks layers compare`, until all is done.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
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

SAME, CHANGED, TURNS, STEPS = 400, 100, (12, 24), 500
"""Comparisons of profiles, and of nets in turns: of the same net, and of a changed one."""
PROCESSES = {"gpu": (36, 12), "cpu": (24, 9)}
"""That profile the net, and the changed one."""
BY = 1.03
LIMIT_S = float(os.environ.get("GPUPROF_COMPARE_SECONDS", "400"))
_ROOT = Path(__file__).parent.parent.parent
_LAYERS, _LAYERS_IN_TURNS = 6, 3
_CHANGED = 2, "backward"
_SHARE_OF_PROFILES = 0.65  # of the time; then come turns, and what is left is for comparing


class SyntheticLayer:
    """Small products and additions, a hundred times, on a GPU some; a phase may take 3 % longer."""

    def __init__(self, number: int, xp: Any) -> None:
        size = 16 * (1 + number % 3) if xp is np else 256 * (1 + number % 3)
        self.name = f"Layer{number}"
        self.times = dict.fromkeys(("forward", "backward", "update"), 100 if xp is np else 8)
        if number == _CHANGED[0]:
            self.times[_CHANGED[1]] = 100 if xp is np else 33
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


def net(changed: bool, xp: Any, number_of_layers: int = _LAYERS) -> list[SyntheticLayer]:
    """Layers, one of which may take 3 % longer."""
    layers = [SyntheticLayer(number, xp) for number in range(number_of_layers)]
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
    blocks = [Block(Mode.EVENTS, steps + 2, 1e9), Block(KERNELS, 20, 1e9)]
    with LayerTime((layers,), kernels=mode != "cpu", blocks=blocks if mode != "cpu" else None) as run:
        for _ in range(steps + 2 + (24 if mode != "cpu" else 0)):
            step(layers)
    return run.profile


def child(what: str, mode: str, changed: bool, steps: int, path: str) -> None:
    """What a process does: save a profile, or the comparison of two nets in turns."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if what == "profile":
        profiled(mode, changed, steps).save(path)
        return
    xp = module(mode)
    nets = [net(each, xp, _LAYERS_IN_TURNS) for each in (False, changed)]
    compare(*nets, step, steps=steps).save(path)


def measure(
    mode: str = "",
    same: int = SAME,
    changed: int = CHANGED,
    turns: tuple[int, int] = TURNS,
    processes: tuple[int, int] | None = None,
    steps: int = STEPS,
    limit: float = LIMIT_S,
    draw: tuple[int, int] = (drawn.SAME, drawn.CHANGED),
) -> dict[str, Any]:
    """As much as there is time for, and what there is so far of all runs."""
    mode, began = mode or ("gpu" if has_gpu() else "cpu"), time.perf_counter()
    lines = _Lines(FOLDER / "compare.jsonl", mode, steps)
    archive = FOLDER / f"compare_profiles_{mode}_{steps}.zip"
    _profile(archive, mode, steps, processes or PROCESSES[mode], began + _SHARE_OF_PROFILES * limit)
    for found in _turns(mode, steps, [n - there for n, there in zip(turns, lines.done("turns"), strict=True)],
                        began + limit):  # fmt: skip
        lines.add("turns", found)
    for found in _pairs(archive, 1 if mode == "gpu" else 3, (same, changed), lines, began + limit):
        lines.add("profiles", found)
    simulated = drawn.simulated(*draw) if draw[0] else []
    counted = counts(lines.rows, (same, changed), turns)
    return {
        "mode": mode, "steps": steps, "processes": len(_names(archive)), "counted": counted, "drawn": simulated,
        "kept": _KEPT, "lines": [json.dumps([row.get(name) for name in _KEPT]) for row in lines.rows],
        "claims": claims(mode, counted, len(_names(archive))) + drawn.claims(simulated),
    }  # fmt: skip


_KEPT = "kind", "changed", "sides", "how", "real", "busy", "ratio", "busy_ratio"


class _Lines:
    """The answers there are: a line each, of all runs."""

    def __init__(self, file: Path, mode: str, steps: int) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._file, self._of = file, {"mode": mode, "steps": steps}
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        self.rows = [row for row in map(json.loads, lines) if self._of.items() <= row.items()]

    def add(self, kind: str, found: dict[str, Any]) -> None:
        """One more."""
        self.rows.append({**self._of, "kind": kind, **found})
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(self.rows[-1]) + "\n")

    def done(self, kind: str) -> tuple[int, int]:
        """How many there are of the same net, and of a changed one."""
        of = [row["changed"] for row in self.rows if row["kind"] == kind]
        return of.count(False), of.count(True)


def _profile(archive: Path, mode: str, steps: int, wanted: tuple[int, int], end: float) -> None:
    """A process a profile, the changed among the others by chance, so that both kinds see the same weather."""
    names = [f"{kind}{i}.json" for kind, number in zip(_KINDS, wanted, strict=True) for i in range(number)]
    random.Random(0).shuffle(names)
    for name in names:
        if name in _names(archive):
            continue
        if time.perf_counter() > end:
            return
        profile = _taken("profile", mode, name.startswith(_KINDS[1]), steps)
        with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as into:
            into.write(profile.save(Path(folder) / name), name)


_KINDS = "same", "slower"


def _names(archive: Path) -> list[str]:
    if not archive.exists():
        return []
    with zipfile.ZipFile(archive) as file:
        return file.namelist()


def _pairs(archive: Path, runs: int, wanted: tuple[int, int], lines: _Lines, end: float) -> Iterator[dict[str, Any]]:
    """Comparisons of so many profiles a side, drawn of all that there are."""
    same, slower = ([name for name in _names(archive) if name.startswith(kind)] for kind in _KINDS)
    known = {tuple(row["sides"]) for row in lines.rows if row["kind"] == "profiles"}
    profiles: dict[str, Profile] = {}
    for changed, number in zip((False, True), wanted, strict=True):
        for sides in itertools.islice(_drawn(same, slower if changed else [], runs), number):
            if time.perf_counter() > end:
                return
            if sides not in known:
                profiles |= {n: _read(archive, n) for n in itertools.chain(*map(str.split, sides)) if n not in profiles}
                old, new = ([profiles[name] for name in side.split()] for side in sides)
                yield {"sides": sides, **_told(compare(old, new), changed)}


def _drawn(same: Sequence[str], slower: Sequence[str], runs: int) -> Iterator[tuple[str, str]]:
    """Two sides again and again, none twice: of the same, or of the same and the slower."""
    draw, seen = random.Random(1), set[tuple[str, str]]()
    for _ in range(20_000 if len(same) >= runs * (1 if slower else 2) and (not slower or len(slower) >= runs) else 0):
        both = draw.sample(same, runs * (1 if slower else 2))
        sides = " ".join(sorted(both[:runs])), " ".join(sorted(draw.sample(slower, runs) if slower else both[runs:]))
        if sides not in seen and sides[::-1] not in seen:
            seen.add(sides)
            yield sides


def _read(archive: Path, name: str) -> Profile:
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(archive) as file:
        return Profile.load(file.extract(name, folder))


def _turns(mode: str, steps: int, missing: Sequence[int], end: float) -> Iterator[dict[str, Any]]:
    """Two nets in turns, a process each time."""
    kinds = [False] * missing[0] + [True] * missing[1]
    random.Random(2).shuffle(kinds)
    for slower in kinds:
        if time.perf_counter() > end:
            return
        yield _told(_taken("turns", mode, slower, steps), slower)


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
        "busy": [each.name for each in found.rows if each.busy_verdict == REAL],
        "found": (row.verdict == REAL and row.ratio < 1) or (row.busy_verdict == REAL and row.busy_ratio < 1),
        **{name: getattr(row, name) for name in ("ratio", "high", "floor", "busy_ratio", "busy_high")},
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
            "called different": sum(bool(row["real"] or row["busy"]) for row in same),
            "by busy": sum(bool(row["busy"]) for row in same),
            "rows called": sorted({name for row in same for name in row["real"] + row["busy"]}),
            "changed": len(changed),
            "found": sum(row["found"] for row in changed),
            "by time": sum(own in row["real"] for row in changed),
            "another called": sum(bool(set(row["real"] + row["busy"]) - {own, "(step)"}) for row in changed),
            "wanted": list(wanted),
        }
    return found


def claims(mode: str, found: dict[str, Any], processes: int) -> list[Claim]:
    """What was asked for beside what came out so far."""
    lines = []
    for kind, each in found.items():
        what = f"pairs of profiles of {processes} processes" if kind == "profiles" else "models in turns"
        how = f"{what}, {mode}"
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
