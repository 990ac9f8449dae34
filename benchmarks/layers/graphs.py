"""What `%%layertime --graph` says of a step against the step itself, captured by hand with its real arrays.

By hand means CuPy's own stream capture around one forward, backward and update of a second net like the first, on a
real batch. CuPy refuses to capture cuBLAS, so its products are let through there as they are by `--graph`. Profiles and
replays by hand take turns.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable
from typing import Any

from benchmarks.layers.kept import claim
from benchmarks.net import article_net, data
from benchmarks.pooling import run
from gpuprof.profiling import LayerTime
from gpuprof.record import blas
from gpuprof.record.clocks import Clock
from gpuprof.record.graphs import captured_on, launches_in
from gpuprof.results.graphs import STEP
from gpuprof.results.profile import Profile

WITHIN = 0.1
REPLAYS = 20


def measure(
    mode: str = "gpu",
    rounds: int = 5,
    steps: int = 60,
    n_batch: int = 8,
    clock: Clock | None = None,
    by_hand: Callable[[Any, int], ByHand] | None = None,
) -> dict[str, Any]:
    """The article's net at batch 8, profiled with `--graph`, and its twin captured by hand, in turns."""
    images = data()
    net, twin = (article_net(mode, images=images) for _ in range(2))
    for each in (net, twin):
        run(each, n_batch, 50 if mode == "gpu" else 2)
    hand = (by_hand or ByHand)(twin, n_batch)
    found: list[dict[str, Any]] = []
    for _ in range(rounds):
        before: list[bytes] = []
        with LayerTime((net,), clock, graph=True) as profiling:
            run(net, n_batch, steps)
            before = parameters(net)
        same = parameters(net) == before
        found.append(told(profiling.profile) | {"same": same, "hand_ms": hand.replay(REPLAYS)})
    return {
        "n_batch": n_batch,
        "steps": steps,
        "launches_by_hand": hand.launches,
        "rounds": found,
        "claims": claims(found, hand.launches),
    }


def told(profile: Profile) -> dict[str, Any]:
    """What a profile says of the step and of its calls."""
    table = profile.graph
    if table.empty:
        return {"why": profile.seen.graphs.why, "step": None, "calls": {}}
    rows = {f"{row.path}.{row.phase}".rstrip("."): row._asdict() for row in table.itertuples(index=False)}
    step = rows.pop(STEP)
    return {"why": step["why"], "step": step | table.attrs, "calls": rows}


def claims(rounds: list[dict[str, Any]], by_hand: int | None) -> list[Any]:
    """The step as a graph against that by hand; its launches; what it would gain; what is left of the user's."""
    why = next((each["why"] for each in rounds if each["why"]), "")
    calls = [(call, row) for each in rounds for call, row in each["calls"].items() if row["a_step"]]
    refused = {call: row["why"] for call, row in calls if row["why"] not in ("", "it launches nothing")}
    lines = [
        claim("article's net: a step is captured", "yes", why or "yes", None if why else True),
        claim(
            "its calls are captured, but those that launch nothing",
            "all",
            "; ".join(f"{call}: {reason}" for call, reason in refused.items()) or "all",
            not refused if calls else None,
        ),
        claim("arrays of the layers, after against before", "the same bytes", "", all(each["same"] for each in rounds)),
    ]
    known = [each for each in rounds if each["step"] and not each["why"]]
    return lines + _of_steps(known, by_hand) if known else lines


def _of_steps(rounds: list[dict[str, Any]], by_hand: int | None) -> list[Any]:
    """The same of rounds in which the step was captured."""
    ours = [each["step"]["graph_ms"] for each in rounds]
    hand = [statistics.median(each["hand_ms"]) for each in rounds]
    off = statistics.median(a / b for a, b in zip(ours, hand, strict=True)) - 1
    names = ("gain_ms", "now_ms", "plain_ms")
    gain, now, plain = (statistics.median(each["step"][name] for each in rounds) for name in names)
    launches = rounds[-1]["step"]["launches"]
    return [
        claim(
            "a step as a graph, told against captured by hand",
            f"± {WITHIN:.0%}",
            f"{off:+.1%} ({statistics.median(ours) * 1e3:.1f} µs against {statistics.median(hand) * 1e3:.1f})",
            abs(off) <= WITHIN,
        ),
        claim("its launches", "the same", f"{launches:.0f} and {by_hand}", by_hand and launches == by_hand),
        claim(
            "what a graph would gain",
            "",
            f"{gain:.3f} of {now:.3f} ms (the copies' plain steps: {plain:.3f} ms)",
            None,
        ),
    ]


def parameters(net: Any) -> list[bytes]:
    """What the layers learn, as bytes; waits for the device."""
    arrays = (getattr(layer, name) for layer in net.layers for name in layer.parameter_names)
    return [(array.get() if hasattr(array, "get") else array).tobytes() for array in arrays]


class ByHand:
    """A step of a net on one real batch, captured; or on what `batch` gives, captured with it."""

    def __init__(self, net: Any, n_batch: int, batch: Callable[[], tuple[Any, Any]] | None = None) -> None:
        import cupy

        self._cuda = cupy.cuda
        self._stream = cupy.cuda.Stream(non_blocking=True)
        self._pool = cupy.cuda.MemoryPool()
        first = net.x_train[:n_batch].copy(), net.y_train[:n_batch].copy()
        batch = batch or (lambda: first)

        def step() -> None:
            x, t = batch()
            net.forward(x, train=True)
            net.backward(t)
            net.update()

        cupy.cuda.Device().synchronize()
        from cupy_backends.cuda.libs import cublas

        size = blas.workspace_size(str(cupy.cuda.Device().compute_capability))
        self._workspace = cupy.cuda.alloc(size)
        place = (self._workspace.ptr, size)
        with self._stream, cupy.cuda.using_allocator(self._pool.malloc):
            for _ in range(3):
                step()
            self._stream.synchronize()
            with blas.let_through(cublas, blas.loaded(), self._stream.ptr, place, int):
                self._graph, _ = captured_on(self._stream, step)
        self.launches = launches_in(self._graph.graph)
        self._kept = (net, batch)

    def run(self, times: int) -> None:
        """So many replays, done at the end."""
        for _ in range(times):
            self._graph.launch(self._stream)
        self._stream.synchronize()

    def replay(self, times: int) -> list[float]:
        """Milliseconds of each replay, one behind the other."""
        events = [self._cuda.Event() for _ in range(times + 1)]
        self._graph.launch(self._stream)
        for event in events:
            event.record(self._stream)
            if event is not events[-1]:
                self._graph.launch(self._stream)
        self._stream.synchronize()
        return [float(self._cuda.get_elapsed_time(a, b)) for a, b in itertools.pairwise(events)]
