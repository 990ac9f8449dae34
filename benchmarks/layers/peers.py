"""What others' layer times cost, on PyTorch's eager step of the article's net: hooks with events, torch.profiler."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.layers.kept import claim
from benchmarks.layers.nets import TorchStep
from benchmarks.layers.turns import added, in_turns, ratio


def peers(device: str = "cuda", rounds: int = 12, steps: int = 60, n_batch: int = 8) -> dict[str, Any]:
    """Seconds a step under each, in turns, and the seconds that torch.profiler takes to build a table of 200 steps."""
    step = TorchStep(n_batch, device)
    marks = [0]

    def under(watching: Callable[[], Any]) -> Callable[[], float]:
        def timed() -> float:
            with watching():
                step.run(2)
                return step.run(steps) / steps

        return timed

    ways = {
        "plain": lambda: step.run(steps) / steps,
        "hooks with events": under(lambda: hooks(step, marks)),
        "torch.profiler, CUDA": under(lambda: profiler(step, cpu=device == "cpu")),
        "torch.profiler, CPU + CUDA": under(lambda: profiler(step, cpu=True)),
    }
    step.run(100 if device == "cuda" else 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the hooks': a first layer's input needs no gradient
        hookless = {name: way for name, way in ways.items() if "profiler" not in name}
        before = in_turns(hookless, max(1, rounds // 2))  # before CUPTI's first use, which stays on every launch
        times = in_turns(ways, rounds)
    return {
        "torch": step.torch.__version__,
        "n_batch": n_batch,
        "before_profiler_step_s": before,
        "step_s": times,
        "boundaries": marks[0] / ((rounds + max(1, rounds // 2)) * (steps + 2)),
        "table_s": table_seconds(step, 200 if device == "cuda" else 2),
    }


def peer_claims(found: dict[str, Any]) -> list[Any]:
    """What each costs, for comparison: nothing is asked of them."""
    times, before = found["step_s"], found["before_profiler_step_s"]
    plain = statistics.median(before["plain"])
    hooked = added(before, "hooks with events") / found["boundaries"] * 1e6
    lines = [
        claim("peer: PyTorch's hooks with events, a boundary", "", f"{hooked:.2f} µs", None),
        claim(
            "peer: the same, ratio",
            "",
            f"{ratio(before, 'hooks with events'):.2f} of {plain * 1e3:.2f} ms ({found['boundaries']:.0f} boundaries)",
            None,
        ),
    ]
    profilers = [name for name in times if "profiler" in name]
    lines += [claim(f"peer: {name}, ratio", "", f"{ratio(times, name):.2f}", None) for name in profilers]
    lines.append(claim("peer: torch.profiler's table of 200 steps", "", f"{found['table_s']:.2f} s", None))
    return lines


@contextmanager
def hooks(step: TorchStep, marks: list[int]) -> Iterator[None]:
    """An event at the beginning and the end of each module's forward and backward; read at the end."""
    taken: list[Any] = []
    cuda = step.torch.cuda

    def mark(*_: Any) -> None:
        if step.device == "cuda":
            event = cuda.Event(enable_timing=True)
            event.record()
        else:
            event = time.perf_counter()
        taken.append(event)

    handles = [
        register(mark)
        for module in step.net
        for register in (
            module.register_forward_pre_hook,
            module.register_forward_hook,
            module.register_full_backward_pre_hook,
            module.register_full_backward_hook,
        )
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        marks[0] += len(taken)


@contextmanager
def profiler(step: TorchStep, *, cpu: bool) -> Iterator[Any]:
    """torch.profiler, of the device alone or of the host too."""
    kinds = step.torch.profiler.ProfilerActivity
    activities = [kinds.CPU] if cpu else []
    if step.device == "cuda":
        activities.append(kinds.CUDA)
    with step.torch.profiler.profile(activities=activities) as watching:
        yield watching


def table_seconds(step: TorchStep, steps: int) -> float:
    """From the end of so many steps under torch.profiler to its table."""
    watching = profiler(step, cpu=True)
    found = watching.__enter__()
    step.run(steps)
    start = time.perf_counter()
    watching.__exit__(None, None, None)
    found.key_averages().table(sort_by="self_cpu_time_total")
    return time.perf_counter() - start
