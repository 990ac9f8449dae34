"""Do the comparisons keep what they promise? Runs are drawn at random, with noise as steps have it and a known truth.

Same seeds, same answer. Of 400 pairs in which nothing changed at most 8 may be called different in any row; of 100 in
which one layer takes 3 % longer, 500 steps a side should find it in 90.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.layers.kept import claim
from benchmarks.tables import Claim
from gpuprof.judge.floors import LEAST, held_to_controls
from gpuprof.judge.simultaneous import Estimates, in_turns, middles, repeats, two_runs, whole
from gpuprof.modelpair import ROUNDS
from gpuprof.results.rowchange import REAL, word

Floats = NDArray[np.float64]

SAME, CHANGED, ROWS, STEPS, BY = 400, 100, (12, 40), 500, 1.03
TICK_S = 5e-7
"""Of CUDA events."""


class Noise(NamedTuple):
    """How steps scatter, as shares; standard deviations but for `bursts`."""

    call: tuple[float, float] = (0.02, 0.05)
    """Of single calls, from the steadiest row to the wildest; a hundredth of them take half as long again."""
    alike: float = 0.01
    """Of what neighbouring steps of a row share (first order, 0.8)."""
    common: float = 0.02
    """Of what all rows of neighbouring steps share (first order, 0.95), and of the drift from end to end."""
    bursts: float = 0.002
    """How often a dozen steps are slowed by 30 %, all rows alike."""
    process: float = 0.03
    """Of what all rows of a process share."""
    placed: float = 0.001
    """Of how a row differs between processes, or between copies of a model, by where memory lies: Student's t with 5
    degrees of freedom, and twice as far in every fifth row."""


def correlated(rng: np.random.Generator, steps: int, rho: float) -> Floats:
    """Noise of variance 1 of which neighbours correlate by `rho`."""
    steady = rng.normal(0, np.sqrt(1 - rho**2), steps + 100)
    return np.convolve(steady, rho ** np.arange(100))[100 : 100 + steps]


def common(rng: np.random.Generator, steps: int, noise: Noise) -> Floats:
    """By how much each step is slower, all rows alike: logarithms."""
    slow = np.convolve(rng.random(steps) < noise.bursts, np.ones(12))[:steps] > 0
    drift = rng.normal(0, noise.common) * np.linspace(-1, 1, steps)
    return noise.common * correlated(rng, steps, 0.95) + drift + np.log(1.3) * slow


def placed(rng: np.random.Generator, rows: int, noise: Noise) -> Floats:
    """By how much each row is slower where its memory lies now: logarithms."""
    return rng.standard_t(5, rows) * noise.placed * (1 + (np.arange(rows) % 5 == 4))


def calls(rng: np.random.Generator, steps: int, rows: int, noise: Noise) -> Floats:
    """What is of single calls, and of neighbours: logarithms."""
    sizes = rng.permutation(np.linspace(*noise.call, rows))
    far = np.log(1.5) * (rng.random((steps, rows)) < 0.01)
    near = np.stack([correlated(rng, steps, 0.8) for _ in range(rows)], axis=1)
    return sizes * rng.normal(size=(steps, rows)) + noise.alike * near + far


def lengths(rows: int) -> Floats:
    """Seconds of the rows without any noise."""
    return np.geomspace(2e-5, 5e-4, rows)


def run(rng: np.random.Generator, rows: int, steps: int, noise: Noise, slower: Floats) -> Floats:
    """A process's steps, in whole ticks: (steps, rows)."""
    parts = calls(rng, steps, rows, noise) + common(rng, steps, noise)[:, None] + placed(rng, rows, noise)
    seconds = lengths(rows) * slower * np.exp(parts + rng.normal(0, noise.process))
    return np.floor(seconds / TICK_S + rng.random(seconds.shape)) * TICK_S


Way = Callable[[np.random.Generator, int, Noise, Floats], tuple[Estimates, Floats]]
"""Estimates and floors of the rows and the step, of a pair in which the second is so much slower in each row."""


def by_controls(rng: np.random.Generator, rows: int, noise: Noise, slower: Floats) -> tuple[Estimates, Floats]:
    """One run a side; every row launches the same kernels."""
    sides = [whole(middles(run(rng, rows, STEPS, noise, s)), np.ones(rows)) for s in (np.ones(rows), slower)]
    controls = np.append(np.ones(rows, dtype=bool), False)
    found = two_runs(sides[0], sides[1], controls)
    return found, held_to_controls(found, controls, LEAST[True]).floor


def by_repeats(rng: np.random.Generator, rows: int, noise: Noise, slower: Floats) -> tuple[Estimates, Floats]:
    """Three runs a side, and nothing to hold them against."""
    sides = [
        np.log([whole(middles(run(rng, rows, STEPS, noise, s)), np.ones(rows)).value for _ in range(3)])
        for s in (np.ones(rows), slower)
    ]
    return repeats(sides[0], sides[1], np.append(np.ones(rows, dtype=bool), False)), np.full(rows + 1, LEAST[True])


def by_turns(rng: np.random.Generator, rows: int, noise: Noise, slower: Floats) -> tuple[Estimates, Floats]:
    """Rounds of both, each over other memory, as ABBA in what the process goes through."""
    kept = -(-STEPS // (2 * ROUNDS))
    through = common(rng, ROUNDS * 4 * kept, noise).reshape(ROUNDS, 4, kept)
    rounds = []
    for blocks in through:
        logs = []
        for pair, factor in (((0, 3), np.ones(rows)), ((1, 2), slower)):
            parts = calls(rng, 2 * kept, rows, noise) + np.concatenate([blocks[i] for i in pair])[:, None]
            seconds = lengths(rows) * factor * np.exp(parts + placed(rng, rows, noise))
            logs.append(np.log(whole(middles(seconds, 1), np.ones(rows)).value))
        rounds.append(logs[0] - logs[1])
    return in_turns(np.array(rounds)), np.full(rows + 1, LEAST[True])


WAYS: dict[str, Way] = {"controls": by_controls, "repeats": by_repeats, "turns": by_turns}


def simulated(same: int = SAME, changed: int = CHANGED, rows: tuple[int, ...] = ROWS) -> list[dict[str, Any]]:
    """Each way, with so many rows: how often something is called real where nothing changed, and a change is found."""
    return [counted(name, way, n, same, changed, Noise()) for name, way in WAYS.items() for n in rows]


def counted(name: str, way: Way, rows: int, same: int, changed: int, noise: Noise) -> dict[str, Any]:
    """One way with one number of rows."""
    rng = np.random.default_rng(rows)
    false, found, wrong, halves, seconds = 0, 0, 0, [], []
    for i in range(same + changed):
        slower = np.ones(rows)
        row = int(rng.integers(rows))
        slower[row] = BY if i >= same else 1.0
        start = time.perf_counter()
        estimates, floor = way(rng, rows, noise, slower)
        seconds.append(time.perf_counter() - start)
        words = [word(*each) for each in zip(estimates.value, estimates.half, floor, strict=True)]
        if i < same:
            false += REAL in words
            halves.append(float(np.median(estimates.half)))
        else:
            found += bool(words[row] == REAL and estimates.value[row] < 0)
            wrong += REAL in [each for j, each in enumerate(words[:-1]) if j != row]
    return {
        "way": name, "rows": rows, "same": same, "called different": false, "changed": changed, "found": found,
        "another called": wrong, "half": float(np.median(halves or [np.nan])), "seconds": float(np.median(seconds)),
    }  # fmt: skip


def claims(found: list[dict[str, Any]]) -> list[Claim]:
    """What was asked for beside what came out."""
    lines = []
    for each in found:
        what = f"drawn, by {each['way']}, {each['rows']} rows"
        least, most = 0.9 * each["changed"], 0.02 * each["same"]
        false, right = each["called different"], each["found"]
        lines += [
            claim(
                f"{what}: nothing changed, called different",
                f"≤ {most:.0f}",
                f"{false} of {each['same']}",
                false <= most,
            ),
            claim(
                f"{what}: one layer 3 % slower, found in {STEPS} steps",
                f"≥ {least:.0f}" if each["way"] != "repeats" else "",
                f"{right} of {each['changed']}",
                right >= least if each["way"] != "repeats" else None,
            ),
        ]
    return lines


if __name__ == "__main__":
    for each in claims(simulated()):
        print("  ".join(each))
