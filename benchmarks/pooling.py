"""Does the profile tell the truth about the article's pooling? The layer's gain, against steps that were really mended.

For each batch size both routes are trained without a profiler, in turns, and the wall clock over drained steps
gives the true gain; then each is profiled. Kept: raw step times, the verdicts, the tables.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import gpuprof
from benchmarks.net import article_net, data, has_gpu
from benchmarks.results import FOLDER, keep
from cnn import LayerManager
from gpuprof.results.layersteps import layer_steps

ROUTES = ("article", "first", "ties")


def main(batches: tuple[int, ...] = (2, 8, 32), rounds: int = 21) -> None:
    """Measure, print a short table, keep everything."""
    mode = "gpu" if has_gpu() else "cpu"
    images = data()
    found = []
    for n_batch in batches:
        nets = {route: article_net(mode, route, images=images) for route in ROUTES}
        steps = dict.fromkeys(ROUTES, {2: 120, 4: 120, 8: 40, 16: 30, 32: 10}.get(n_batch, 5))
        if mode == "cpu":
            rounds, steps = 5, {"article": 320 // n_batch**2 + 3, "first": 40, "ties": 40}
        plain = plain_steps(nets, n_batch, steps, rounds)
        for route, net in nets.items():
            found.append(profiled(net, route, n_batch, 5 * steps[route], plain))
    print(f"wrote {keep('pooling', {'mode': mode, 'net': 'article', 'dtype': 'float32', 'runs': found})}")


def plain_steps(
    nets: dict[str, LayerManager], n_batch: int, steps: dict[str, int], rounds: int
) -> dict[str, list[float]]:
    """Seconds a step without a profiler: the routes in turns, `rounds` times, each over `steps` drained steps."""
    times: dict[str, list[float]] = {route: [] for route in nets}
    for net in nets.values():
        run(net, n_batch, 3)
    for _ in range(rounds):
        for route, net in nets.items():
            times[route].append(run(net, n_batch, steps[route]) / steps[route])
    return times


def run(net: LayerManager, n_batch: int, steps: int) -> float:
    """Seconds for `steps` training steps on data already there, the device drained before and after."""
    x, t = net.x_train, net.y_train
    drain(net)
    start = time.perf_counter()
    for i in range(steps):
        at = i * n_batch % (len(x) - n_batch)
        net.forward(x[at : at + n_batch], train=True)
        net.backward(t[at : at + n_batch])
        net.update()
    drain(net)
    return time.perf_counter() - start


def drain(net: LayerManager) -> None:
    """Wait for the device."""
    if net.mode == "gpu":
        import cupy

        cupy.cuda.runtime.deviceSynchronize()


def profiled(net: LayerManager, route: str, n_batch: int, steps: int, plain: dict[str, list[float]]) -> dict[str, Any]:
    """One profile and the truth beside it."""
    with gpuprof.layertime(net) as timing:
        net.training(1, n_batch=n_batch, steps=steps, show_error=False, graph=False)
    profile = timing.profile
    if n_batch in (8, 32) and route == "article":
        FOLDER.mkdir(parents=True, exist_ok=True)
        profile.save(FOLDER / f"profile_{route}_{n_batch}.json.gz")
    medians = {name: statistics.median(times) for name, times in plain.items()}
    pool = profile["Pool1", "backward"]
    whole = layer_steps(profile.account, profile.pace, profile.table)["Pool1"].gain
    truth = statistics.median(1 - mended / as_is for mended, as_is in zip(plain["first"], plain[route], strict=True))
    step, own = profile.pace.step, profile.own_share
    print(
        f"n_batch {n_batch:3d} {route:8s} plain {medians[route] * 1e6:6.0f} µs a step, profiled {step * 1e6:6.0f}, "
        f"less the profiler {profile.pace.plain * 1e6:6.0f}; bound by {profile.pace.bound:6s}; Pool1.backward gain "
        f"{pool.gain:.3f}, its GPU work {pool.gpu_gain:.3f}, all of Pool1 {whole:.3f}, truly (against 'first') "
        f"{truth:.3f}; closure {profile.closure:.4f}; own {own:.3f}\n   {profile.verdict}"
    )
    return {
        "n_batch": n_batch,
        "route": route,
        "plain_s": plain[route],
        "profiled_step_s": profile.pace.step,
        "host_s": float(profile.pace.host.sum()),
        "certain_work_s": float(profile.pace.work.sum()),
        "bound": profile.pace.bound,
        "verdict": profile.verdict,
        "layer_gain": whole,
        "true_gain": truth,
        "closure": profile.closure,
        "own_share": profile.own_share,
        "unprofiled_step_s": profile.pace.plain,
        "table": profile.table.drop(columns=["busy_us", "idle_us", "launches"]).to_dict("records"),
    }


if __name__ == "__main__":
    main()
