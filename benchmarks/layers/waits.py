"""Hidden waits: is each found, on its line, and its cost that of a stopwatch around it?"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

from benchmarks.layers.kept import claim
from gpuprof.profiling import LayerTime
from gpuprof.record.schedule import Block, Mode

COST = 0.2
SPIN_US = 1000
_BLOCKS = [Block(Mode.EVENTS | Mode.INSPECT, 1 << 62, 1e9)]


class Waiting:
    """A layer that launches a millisecond of work and then, by one statement, waits for it."""

    line = ""
    """The statement's text."""

    def __init__(self, name: str, spin: Callable[[], None], x: Any, drain: Callable[[], None]) -> None:
        self.name, self._spin, self._x, self._drain = name, spin, x, drain
        self.took: list[float] = []
        """Seconds of the statement, by a stopwatch."""

    def forward(self) -> None:
        """Work, wait, and say how long that took."""
        self._drain()
        self._spin()
        start = time.perf_counter()
        self.wait(self._x)
        self.took.append(time.perf_counter() - start)

    def wait(self, x: Any) -> object:
        """The statement."""
        raise NotImplementedError


class Get(Waiting):
    """A copy to the host."""

    line = "return x.get()"

    def wait(self, x: Any) -> object:
        """The statement."""
        return x.get()


class Float(Waiting):
    """A number of Python's from an array."""

    line = "return float(x[0])"

    def wait(self, x: Any) -> object:
        """The statement."""
        return float(x[0])


class Mask(Waiting):
    """An array as long as a mask has ones."""

    line = "return x[x > 0]"

    def wait(self, x: Any) -> object:
        """The statement."""
        return x[x > 0]


class Branch(Waiting):
    """The truth of an array."""

    line = "return bool(x.any())"

    def wait(self, x: Any) -> object:
        """The statement."""
        return bool(x.any())


class ToDevice(Waiting):
    """A copy from pageable memory."""

    line = "x.set(self.host)"
    host: Any = None

    def wait(self, x: Any) -> object:
        """The statement."""
        x.set(self.host)
        return None


KINDS: tuple[type[Waiting], ...] = (Get, Float, Mask, Branch, ToDevice)


def measure(steps: int = 40) -> dict[str, Any]:
    """The layers' stopwatches without a profile, then the profile's waits."""
    import cupy as cp

    from benchmarks.kernels import Spin

    x = cp.ones(1000, dtype=cp.float32)
    ToDevice.host = x.get()
    layers = [kind(kind.__name__, Spin(SPIN_US), x, cp.cuda.runtime.deviceSynchronize) for kind in KINDS]
    for layer in layers * 3:
        layer.forward()
    alone = stopwatch(layers, steps)
    with LayerTime(tuple(layers), blocks=_BLOCKS) as profiling:
        watched = stopwatch(layers, steps)
    profile = profiling.profile
    found = compared([wait._asdict() for wait in profile.seen.waits], layers, alone, watched, steps)
    return {"steps": steps, "inspected": profile.seen.inspected, "waits": found, "why": profile.seen.no_records,
            "claims": claims(found)}  # fmt: skip


def stopwatch(layers: list[Waiting], steps: int) -> dict[str, list[float]]:
    """Seconds of each layer's statement, by its own stopwatch."""
    for layer in layers:
        layer.took.clear()
    for _ in range(steps):
        for layer in layers:
            layer.forward()
    return {layer.name: list(layer.took) for layer in layers}


def compared(
    rows: list[dict[str, Any]], layers: list[Waiting], alone: dict[str, Any], watched: dict[str, Any], steps: int
) -> dict[str, Any]:
    """For each layer the waits found on its line, a step, beside the stopwatch's medians."""
    found = {}
    for layer in layers:
        mine = [row for row in rows if row["source"] == layer.line]
        found[layer.name] = {
            "line": layer.line,
            "rows": mine,
            "found_s": sum(row["seconds"] for row in mine) / steps,
            "stopwatch_s": statistics.median(alone[layer.name]),
            "stopwatch_watched_s": statistics.median(watched[layer.name]),
        }
    return found


def claims(found: dict[str, Any]) -> list[Any]:
    """Each found on its line, at its cost; one that the stopwatch says did not wait, not found at all."""
    lines = []
    for name, one in found.items():
        kinds = ", ".join(row["kind"] for row in one["rows"]) or "nothing"
        if one["stopwatch_s"] < SPIN_US * 0.25e-6:
            told = f"{kinds}; the stopwatch says {one['stopwatch_s'] * 1e6:.0f} µs"
            lines.append(claim(f"{name}: `{one['line']}` does not wait", "nothing", told, not one["rows"]))
            continue
        lines.append(claim(f"{name}: `{one['line']}` is found", "on its line", kinds, bool(one["rows"])))
        off = one["found_s"] / one["stopwatch_s"] - 1
        text = f"{one['found_s'] * 1e6:.0f} µs against {one['stopwatch_s'] * 1e6:.0f} ({off:+.0%})"
        lines.append(claim(f"{name}: its cost against a stopwatch", f"± {COST:.0%}", text, abs(off) <= COST))
    return lines
