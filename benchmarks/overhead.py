"""What profiling costs: one logged call, one mark, and a step of the article's net with and without it, in turns."""

from __future__ import annotations

import statistics
import time

import gpuprof
from benchmarks.net import article_net, data, has_gpu
from benchmarks.pooling import run
from benchmarks.results import keep
from gpuprof.record.clocks import Clock, HostClock


def main(rounds: int = 15, n_batch: int = 8, steps: int = 200) -> None:
    """Measure, print a short table, keep everything."""
    mode = "gpu" if has_gpu() else "cpu"
    clocks: dict[str, Clock] = {"host": HostClock()}
    if mode == "gpu":
        from gpuprof.record.cuda import CupyClock

        clocks["cupy"] = CupyClock()
    costs = {name: {"mark_s": mark_cost(clock)} for name, clock in clocks.items()}
    net = article_net(mode, images=data())
    plain, profiled, own = [], [], []
    run(net, n_batch, 50)
    for _ in range(rounds):
        plain.append(run(net, n_batch, steps) / steps)
        with gpuprof.layertime(net) as timing:
            profiled.append(run(net, n_batch, steps) / steps)
        own.append(timing.profile.own_share)
    ratio = statistics.median(b / a for a, b in zip(plain, profiled, strict=True))
    for name, cost in costs.items():
        print(f"{name}: a mark {cost['mark_s'] * 1e6:.2f} µs")
    said = statistics.median(own)
    a, b = (statistics.median(times) * 1e6 for times in (plain, profiled))
    print(f"a step: plain {a:.0f} µs, profiled {b:.0f} µs, ratio {ratio:.4f}; the profile says +{said:.4f}")
    content = {
        "mode": mode,
        "n_batch": n_batch,
        "costs": costs,
        "plain_s": plain,
        "profiled_s": profiled,
        "ratio": ratio,
        "own_shares": own,
    }
    print(f"wrote {keep('overhead', content)}")


def mark_cost(clock: Clock, marks: int = 1000) -> float:
    """Seconds a mark, the median of runs of ten."""
    clock.wait()
    took = []
    for _ in range(marks // 10):
        start = time.perf_counter()
        for _ in range(10):
            clock.mark()
        took.append((time.perf_counter() - start) / 10)
    clock.wait()
    return statistics.median(took)


if __name__ == "__main__":
    main()
