"""Synthetic layers of known spin time, nested and shared and on two threads: is each kernel given to its layer?

Every layer's kernels have a length of their own, so each record can be checked, whatever its attribution says.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, NamedTuple

import numpy as np

from benchmarks.layers.kept import claim
from benchmarks.layers.lab import GpuLab, Lab, Spinning, in_threads
from gpuprof.profiling import LayerTime
from gpuprof.record.schedule import KERNELS, Block
from gpuprof.results.profile import Profile

STEPS = 64  # as many launches as a spin remembers
LENGTHS_US = (2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
SLOPE = 0.01
BEYOND_US = 0.6  # a spin's record is about so much longer than the spin
_BLOCKS = [Block(KERNELS, 1 << 62, 1e9)]


class SpinLayer:
    """A layer that spins, then calls the layers inside it, then spins again if there are any."""

    def __init__(
        self,
        name: str,
        spin: Spinning,
        *layers: SpinLayer,
        stream: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self.name, self.spin, self.layers, self._stream = name, spin, list(layers), stream

    def forward(self, deep: int = 0, fails: bool = False) -> None:
        """Call itself `deep` times inside; raise ValueError at the end where it `fails`."""
        with self._stream():
            self.spin()
            if deep:
                self.forward(deep - 1)
            for layer in self.layers:
                layer.forward()
            if self.layers:
                self.spin()
        if fails:
            raise ValueError("as it should")


class Scene(NamedTuple):
    """Layers, and a step of them."""

    models: list[SpinLayer]
    step: Callable[[], None]
    """Run once for each of the steps."""
    launches: dict[str, int]
    """A step's, by path."""
    all_at_once: bool = False
    """Whether `step` makes all the steps by itself."""


def measure(lab: Lab | None = None, steps: int = STEPS, lengths: tuple[int, ...] = LENGTHS_US) -> dict[str, Any]:
    """Every scene, each in a profile of its own; from the first, busy against the spins' own clock."""
    lab = lab or GpuLab()
    found: dict[str, Any] = {}
    for name, make in scenes(steps, lengths).items():
        scene = make(lab)
        times = 1 if scene.all_at_once else steps
        scene.step()  # compiles
        lab.clock.wait()
        with LayerTime((scene.models,), lab.clock, blocks=_BLOCKS) as profiling:
            for _ in range(times):
                scene.step()
        found[name] = checked(profiling.profile, scene, steps)
    return {"steps": steps, "scenes": found, "claims": claims(found)}


def scenes(steps: int, lengths: tuple[int, ...]) -> dict[str, Callable[[Lab], Scene]]:
    """By name, what makes each."""
    return {
        "side by side": lambda lab: _side_by_side(lab, lengths),
        "nested": _nested,
        "recursive": _recursive,
        "shared": _shared,
        "raising": _raising,
        "two streams": _two_streams,
        "two threads": lambda lab: _two_threads(lab, steps),
    }


def _side_by_side(lab: Lab, lengths: tuple[int, ...]) -> Scene:
    layers = [SpinLayer(f"{us} µs", lab.spin(us)) for us in lengths]

    def step() -> None:
        for layer in layers:
            layer.forward()

    return Scene(layers, step, {layer.name: 1 for layer in layers})


def _nested(lab: Lab) -> Scene:
    inner = SpinLayer("Inner", lab.spin(40))
    middle = SpinLayer("Middle", lab.spin(120), inner)
    outer = SpinLayer("Outer", lab.spin(360), middle)
    return Scene([outer], lambda: outer.forward(), {"Outer": 2, "Outer/Middle": 2, "Outer/Middle/Inner": 1})


def _recursive(lab: Lab) -> Scene:
    before, again = SpinLayer("Before", lab.spin(40)), SpinLayer("Again", lab.spin(150))

    def step() -> None:
        before.forward()
        again.forward(deep=3)

    return Scene([before, again], step, {"Before": 1, "Again": 4})


def _shared(lab: Lab) -> Scene:
    one, other = SpinLayer("One", lab.spin(40)), SpinLayer("Other", lab.spin(150))

    def step() -> None:
        for layer in (one, other, one, one):
            layer.forward()

    return Scene([one, other], step, {"One": 3, "Other": 1})


def _raising(lab: Lab) -> Scene:
    before, fails, after = (SpinLayer(n, lab.spin(us)) for n, us in (("Before", 40), ("Fails", 120), ("After", 360)))

    def step() -> None:
        before.forward()
        with suppress(ValueError):
            fails.forward(fails=True)
        after.forward()

    return Scene([before, fails, after], step, {"Before": 1, "Fails": 1, "After": 1})


def _two_streams(lab: Lab) -> Scene:
    one = SpinLayer("One", lab.spin(150), stream=lab.stream())
    other = SpinLayer("Other", lab.spin(400), stream=lab.stream())

    def step() -> None:
        one.forward()
        other.forward()
        lab.clock.wait()

    return Scene([one, other], step, {"One": 1, "Other": 1})


def _two_threads(lab: Lab, steps: int) -> Scene:
    one = SpinLayer("One", lab.spin(40), stream=lab.stream())
    other = SpinLayer("Other", lab.spin(150), SpinLayer("Inner", lab.spin(500)), stream=lab.stream())

    def work(layer: SpinLayer) -> Callable[[], None]:
        def steadily() -> None:
            for _ in range(steps):
                layer.forward()

        return steadily

    def step() -> None:
        in_threads(lab, work(one), work(other))
        lab.clock.wait()

    return Scene([one, other], step, {"One": 1, "Other": 2, "Other/Inner": 1}, all_at_once=True)


def spins_of(models: list[SpinLayer], above: str = "") -> dict[str, Spinning]:
    """Every layer's spin, by its path."""
    found: dict[str, Spinning] = {}
    for layer in models:
        path = f"{above}{layer.name}"
        found |= {path: layer.spin} | spins_of(layer.layers, f"{path}/")
    return found


def checked(profile: Profile, scene: Scene, steps: int) -> dict[str, Any]:
    """Each record's layer by its length against the one it was given to; each layer's busy against its spins."""
    own = {path: spin.own() * 1e6 for path, spin in spins_of(scene.models).items()}
    kernels = profile.kernels
    paths, lengths = np.array(kernels["path"], dtype=object), kernels["span_us"].to_numpy()
    names = list(own)
    near = np.abs(
        np.log(np.maximum(lengths, 1e-3))[:, None] - np.log([own[name] + BEYOND_US for name in names])[None, :]
    )
    meant = np.array(names, dtype=object)[near.argmin(axis=1)] if len(lengths) else paths
    expected = {path: number * steps for path, number in scene.launches.items()}
    rows = {}
    for path, mean in own.items():
        given = kernels[paths == path]
        rows[path] = {
            "own_us": mean,
            "span_us": float(given["span_us"].mean()) if len(given) else math.nan,
            "busy_us": float(given["busy_us"].mean()) if len(given) else math.nan,
            "records": len(given),
            "launched": expected[path],
            "table_busy_us": float(profile[path, "forward"].busy_us),
            "table_launches": float(profile[path, "forward"].launches),
            "calls": int(profile[path, "forward"].calls),
        }
    return {
        "rows": rows,
        "launched": sum(expected.values()),
        "recorded": len(kernels),
        "right": int((paths == meant).sum()),
        "unknown": profile.seen.kernels.unknown,
        "dropped": profile.seen.kernels.dropped,
        "busy_us": float(kernels["busy_us"].sum()),
        "union_us": union(kernels["start_us"].to_numpy(), kernels["span_us"].to_numpy()),
        "closure": profile.closure,
    }


def union(start: Any, length: Any) -> float:
    """How long at least one ran: the sum over sorted intervals, by a way of its own."""
    total, reached = 0.0, -math.inf
    for begin, end in sorted(zip(start, start + length, strict=True)):
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total


def claims(found: dict[str, Any]) -> list[Any]:
    """Slope and attribution, and that shared instants are shared."""
    rows = list(found["side by side"]["rows"].values())
    own = [row["own_us"] for row in rows]
    lines = []
    for what in ("busy_us", "table_busy_us"):
        slope, zero = np.polyfit(own, [row[what] for row in rows], 1)
        text = f"slope {slope:.4f}, intercept {zero:.2f} µs"
        name = "busy against the spins' own clock" + (" (the table's median)" if what != "busy_us" else "")
        lines.append(claim(name, f"slope 1 ± {SLOPE:.0%}", text, abs(slope - 1) <= SLOPE))
    for name, scene in found.items():
        right = scene["right"] == scene["recorded"] == scene["launched"] and not scene["unknown"] + scene["dropped"]
        text = f"{scene['right']} of {scene['launched']} ({scene['recorded']} recorded, {scene['unknown']} unknown)"
        lines.append(claim(f"{name}: attributed", "100 %", text, right))
        per_call = all(
            math.isclose(row["table_launches"] * row["calls"], row["launched"], rel_tol=1e-9)
            for row in scene["rows"].values()
        )
        lines.append(claim(f"{name}: launches a call", "exact", "exact" if per_call else "not", per_call))
        off = scene["busy_us"] / scene["union_us"] - 1 if scene["union_us"] else math.nan
        lines.append(claim(f"{name}: rows' busy against their union", "± 0.1 %", f"{off:+.3%}", abs(off) <= 1e-3))
    return lines
