"""Do the statistics keep what they promise? Simulated on the CPU: what is drawn has a truth that is known.

Same seeds, same answer. What the intervals cover, how often drift and two modes are found or imagined, how often two
statements are called different that are not, and how long it takes to ask whether samples are enough.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.results import keep
from gpuprof.judge.figures import Sample
from gpuprof.judge.shape import drift, modes
from gpuprof.judge.stats import LAST_LOOK, batch_interval, enough, looks
from gpuprof.passes.pair import compared

Draw = Callable[[np.random.Generator, int], tuple[NDArray[np.float64], float]]
"""So many samples, and the truth."""

COUNTS = (20, 60, 200, 1000)
RUNS, STOPPED_RUNS, SHAPE_RUNS, PAIR_RUNS = 4000, 2000, 1000, 1000


class Kind(NamedTuple):
    """One way in which samples scatter."""

    draw: Draw
    tick: float
    """The clock's step as the interval is told it; 0: it is not, and reads it from ties."""
    precisions: tuple[float, ...]
    """Half widths to stop at."""


def normal(size: float) -> Draw:
    return lambda rng, n: (1 + size * rng.normal(size=n), 1.0)


def lognormal(size: float) -> Draw:
    return lambda rng, n: (np.exp(size * rng.normal(size=n)), 1.0)


def alike(size: float, rho: float = 0.6) -> Draw:
    """Neighbours correlate by `rho`."""

    def draw(rng: np.random.Generator, n: int) -> tuple[NDArray[np.float64], float]:
        steps = rng.normal(0, np.sqrt(1 - rho**2), n + 40)
        return 1 + size * np.convolve(steps, rho ** np.arange(40))[40 : 40 + n], 1.0

    return draw


def ticking(jitter: float) -> Draw:
    """About 100 ticks and `jitter` ticks of noise, in whole ticks of a clock whose phase is random."""

    def draw(rng: np.random.Generator, n: int) -> tuple[NDArray[np.float64], float]:
        truth = rng.uniform(100, 101)
        return np.floor(truth + jitter * rng.normal(size=n) + rng.uniform(size=n)), truth

    return draw


KINDS = {
    "independent, normal 1 %": Kind(normal(0.01), 0, (0.005, 0.002)),
    "independent, lognormal 5 %": Kind(lognormal(0.05), 0, (0.02, 0.01)),
    "autocorrelated 0.6": Kind(alike(0.01), 0, (0.006, 0.004)),
    "coarse tick, no jitter": Kind(ticking(0), 1, (0.005, 0.001)),
    "coarse tick, 0.2 ticks of jitter": Kind(ticking(0.2), 1, (0.005, 0.001)),
    "coarse tick, 1 tick of jitter": Kind(ticking(1), 1, (0.005, 0.002)),
}


def main() -> None:
    """Simulate, print tables, keep everything."""
    coverage = [interval_coverage(name, kind, count) for name, kind in KINDS.items() for count in COUNTS]
    unaided = [
        interval_coverage(name, kind._replace(tick=0), count)
        for name, kind in KINDS.items()
        if kind.tick
        for count in COUNTS
    ]
    for title, rows in (("interval", coverage), ("interval, tick read from ties", unaided)):
        print(f"{title}: " + "; ".join(_in_a_line(name, rows) for name in dict.fromkeys(r["kind"] for r in rows)))
    stopped = [stopping(name, kind, precision) for name, kind in KINDS.items() for precision in kind.precisions]
    print("stopped: " + "; ".join(f"{r['kind']} at {r['precision']:.1%}: {r['covered']:.1%}" for r in stopped))
    shapes = found_shapes() + imagined_shapes()
    for what, worst in (("flagged", min), ("false", max)):
        row = worst((r for r in shapes if r["what"] == what), key=lambda r: r["share"])
        print(f"shapes, the worst {what}: {row['kind']}, {row['count']} samples: {row['share']:.1%}")
    ratios = [pairs(*scene) for scene in pair_scenes()]
    print("ratios: " + "; ".join(f"{r['kind']}, {r['change']:.0%}: {r['words']}" for r in ratios))
    asked = asking_s()
    print(f"asking whether {LAST_LOOK} samples are enough: {asked * 1e3:.2f} ms")
    found = {"coverage": coverage, "unaided": unaided, "stopped": stopped, "shapes": shapes, "ratios": ratios}
    keep("coverage", found | {"asking_s": asked})


def _in_a_line(name: str, rows: list[dict[str, Any]]) -> str:
    return f"{name} " + " ".join(f"{r['covered']:.1%}" for r in rows if r["kind"] == name)


def interval_coverage(name: str, kind: Kind, count: int) -> dict[str, Any]:
    """How often the interval of `count` samples holds the truth; where the tick is not told, as a result shows it."""
    rng = np.random.default_rng(count)
    hits = 0
    for _ in range(RUNS):
        samples, truth = kind.draw(rng, count)
        interval = batch_interval(samples, tick=kind.tick) if kind.tick else Sample(tuple(samples)).interval
        hits += interval.low <= truth <= interval.high
    return {"kind": name, "count": count, "runs": RUNS, "covered": hits / RUNS}


def stopping(name: str, kind: Kind, precision: float) -> dict[str, Any]:
    """How often the interval holds the truth where sampling stops as soon as it is narrow enough."""
    rng = np.random.default_rng(1)
    hits, counts = 0, []
    for _ in range(STOPPED_RUNS):
        samples, truth = kind.draw(rng, LAST_LOOK)
        counts.append(next(n for n in looks() if n == LAST_LOOK or enough(samples[:n], precision, kind.tick)))
        interval = batch_interval(samples[: counts[-1]], tick=kind.tick)
        hits += interval.low <= truth <= interval.high
    middle = int(np.median(counts))
    return {"kind": name, "precision": precision, "count": middle, "runs": STOPPED_RUNS, "covered": hits / STOPPED_RUNS}


def found_shapes() -> list[dict[str, Any]]:
    """The share of drifts and of two modes that are flagged."""
    rng = np.random.default_rng(2)
    rows = []
    for count in (100, 200, 1000):
        for change in (0.03, -0.03):
            ramp = np.linspace(0, change, count)
            hits = sum(drift(1 + rng.normal(0, 0.005, count) + ramp) != 0 for _ in range(SHAPE_RUNS))
            rows.append(_shape(f"drift of {100 * change:+.0f} %, noise 0.5 %", count, hits, "flagged"))
        for share in (0.5, 0.15):
            hits = sum(bool(modes(_two(rng, count, share))) for _ in range(SHAPE_RUNS))
            rows.append(_shape(f"two modes 6 sigma apart, {100 * share:.0f} % in the upper", count, hits, "flagged"))
    return rows


def _two(rng: np.random.Generator, count: int, share: float) -> NDArray[np.float64]:
    return np.asarray(1 + rng.normal(0, 0.01, count) + 0.06 * (rng.uniform(size=count) < share))


def imagined_shapes() -> list[dict[str, Any]]:
    """The share of steady runs in which a drift or two modes are flagged that are not there."""
    rows = []
    for name, kind in KINDS.items():
        for count in (60, 200, 1000):
            rng = np.random.default_rng(3)
            runs = [kind.draw(rng, count)[0] for _ in range(SHAPE_RUNS)]
            rows.append(_shape(f"drift where there is none: {name}", count, sum(drift(r) != 0 for r in runs), "false"))
            rows.append(
                _shape(f"two modes where there are none: {name}", count, sum(map(bool, map(modes, runs))), "false")
            )
    return rows


def _shape(kind: str, count: int, hits: int, what: str) -> dict[str, Any]:
    return {"kind": kind, "count": count, "runs": SHAPE_RUNS, "share": hits / SHAPE_RUNS, "what": what}


def pair_scenes() -> list[tuple[str, Draw, float, float]]:
    """Name, noise, how far memory of its own moves a statement (a standard deviation), and the true change."""
    noises = {"noise 0.3 %": normal(0.003), "noise 1 %": normal(0.01), "autocorrelated 1 %": alike(0.01)}
    plain = [(name, noise, 0.0, change) for change in (0.0, 0.02) for name, noise in noises.items()]
    placed = [
        (f"noise 0.3 %, placement {100 * p:.1f} %", noises["noise 0.3 %"], p, c)
        for c in (0.0, 0.02)
        for p in (0.001, 0.003)
    ]
    return plain + placed


def pairs(name: str, noise: Draw, placement: float, change: float) -> dict[str, Any]:
    """The words for B that takes `change` longer than A, each of them and of A's copies a little off by its memory."""
    rng = np.random.default_rng(4)
    words: Counter[str] = Counter()
    for _ in range(PAIR_RUNS):
        series, at = noise(rng, 2048)[0], iter(range(2048))

        b, *copies = 1 + placement * rng.normal(size=4)
        first, second, *more = (_take(series, at, length) for length in (1.0, (1 + change) * b, *copies))
        words[compared("device", first, second, more, lambda: False).word] += 1
    return {"kind": name, "change": change, "runs": PAIR_RUNS, "words": dict(words)}


def _take(series: NDArray[np.float64], at: Iterator[int], length: float) -> Callable[[], float]:
    """Measures one batch of a call of this length; the noise goes on from batch to batch, whoever's turn it is."""
    return lambda: length * float(series[next(at)])


def asking_s() -> float:
    """Seconds to ask whether 2000 samples are enough."""
    samples = np.random.default_rng(5).normal(1, 0.01, LAST_LOOK)
    start = time.process_time()
    for _ in range(200):
        enough(samples, 0.001)
    return (time.process_time() - start) / 200


if __name__ == "__main__":
    main()
