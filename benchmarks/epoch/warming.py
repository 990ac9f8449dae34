"""Compilers' caches filled ahead: each way of each part in a process of its own, as many at once as there are cores."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from benchmarks.epoch import LIMIT_S, PARTS, makers, why

LONGEST = "torch, compile", "jax, scan", "jax, step"
"""The ways that compile longest: they begin first."""


def warm_all(parts: Sequence[str], limit_s: float = LIMIT_S) -> int:
    """Make every way of these parts and train a few steps; 1 where one fails. Times are not kept: they are shared."""
    jobs = [(part, way) for part in parts for way in makers(part.split("-")[0], PARTS[part])]
    jobs.sort(key=lambda job: LONGEST.index(job[1]) if job[1] in LONGEST else len(LONGEST))
    start = time.perf_counter()

    def warmed(job: tuple[str, str]) -> bool:
        command = [sys.executable, "-c", f"from benchmarks.epoch.warming import warm; warm(*{job!r})"]
        try:
            answer = subprocess.run(command, timeout=limit_s, capture_output=True, text=True, check=False)
            said = (answer.stdout.strip() or answer.stderr.strip() or f"ended with {answer.returncode}").splitlines()[
                -1
            ]
        except subprocess.TimeoutExpired:
            said = f"not done after {limit_s:.0f} s"
        print(f"{time.perf_counter() - start:5.1f} s  {job[0]} {job[1]}: {said}", flush=True)
        return said == _WARM

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return int(not all(list(pool.map(warmed, jobs))))


def warm(part: str, name: str) -> None:
    """Make a way and train a few steps, in this process."""
    os.environ["EPOCH_WAYS"] = name
    try:
        way = makers(part.split("-")[0], PARTS[part])[name]()
        for _ in range(3):
            way.run(way.steps if way.fixed else min(way.steps, 20))
        print(_WARM)
    except Exception as error:
        print(why(error))


_WARM = "warm"
