"""Does it measure rightly on this machine? Clocks, events, kernel records and sums, held against each other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from gpuprof.device import missing_gpu
from gpuprof.passes.floor import floor_of
from gpuprof.passes.measurement import Wishes
from gpuprof.profiling import LayerTime
from gpuprof.record.clocks import Clock, HostClock
from gpuprof.results.profile import Profile
from gpuprof.results.timing import Timing
from gpuprof.statement import from_function
from gpuprof.timer import time_code
from gpuprof.units import percent, seconds_text, several
from gpuprof.workloads import Gpu, current_gpu

_TRIES, _STEPS, _CALLS, _COPIES = 5, 24, 32, 3
_SPIN_S = 0.02
_SAME = 0.02  # two ways of measuring one thing may differ by this share, and by
_LATE_S = 2e-5  # what taking the times themselves takes
_RATES = 1e-3  # clocks of one machine run alike within this share: NTP slews by half of it
_SIDE, _SIZE = 2048, 1 << 26
_NEAR_US = 50.0  # how far a record may lie beyond the marks around its call: two clocks, put on one axis


class Check(NamedTuple):
    """One thing measured in two ways."""

    what: str
    ok: bool | None
    """None: it cannot be had here."""
    told: str

    def __str__(self) -> str:
        word = {True: "ok", False: "FAILED", None: "–"}[self.ok]
        return f"{word:<8}{self.what:<20}{self.told}"


def checks() -> Iterator[Check]:
    """Each check as it is done: of the host's clock and layers on the host, then of the GPU where there is one."""
    yield from host_checks(HostClock(), _spin)
    with suppress(ImportError):
        import_module("torch" if missing_gpu() else "cupy")  # current_gpu() takes PyTorch where that is loaded
    gpu = current_gpu()
    if gpu is None:
        yield Check("GPU", None, missing_gpu())
        return
    yield Check("GPU", True, f"{gpu.name}, through {getattr(gpu.clock, 'library', gpu.clock.name)}")
    try:
        with gpu.working("float32"):
            yield from gpu_checks(gpu)
    except Exception as error:  # CUDA's, or no room on the device
        yield Check("GPU", False, f"{type(error).__name__}: {error}")


def host_checks(
    clock: Clock, spend: Callable[[float], object], other: Callable[[], int] | None = None
) -> Iterator[Check]:
    """The host's clock against `other`, ns; and the rows of layers that `spend` seconds against their own times."""
    apart = min(_rates_apart(clock.host, other or _other_clock(), spend) for _ in range(_TRIES))
    yield Check("host clock", apart <= _RATES, f"runs like the system's other clock, within {percent(apart)}")
    layers = [_Layer("short", clock, lambda: spend(1e-4)), _Layer("long", clock, lambda: spend(4e-4))]
    profile = _profile(layers, clock)
    for layer in layers:
        own, found = float(np.median(layer.took[1:])) * 1e-9, float(profile[layer.name, "forward"].median_us) * 1e-6
        told = f"{layer.name}: {seconds_text(found)} by its row, {seconds_text(own)} by its own clock"
        yield Check("layers", abs(found - own) <= _SAME * own + _LATE_S, told)
    yield _sums(profile)


def gpu_checks(gpu: Gpu) -> Iterator[Check]:
    """Events against the host's clock, kernel records against events, and the rows of two layers against both."""
    clock: Any = gpu.clock
    product, copy = gpu.product(_SIDE, "float32"), gpu.copy(_SIZE)
    product(), copy()
    yield _events(clock, product)
    if why := clock.no_gate():
        yield Check("gate", None, why)
    else:
        floor = floor_of(clock)
        told = f"behind it two marks read {seconds_text(floor.pair)}, a launch {seconds_text(floor.launch)} more"
        yield Check("gate", 0 <= floor.pair < 1e-4, told)
    timing = time_code(from_function(product), Wishes(repeat=_STEPS), clock=clock)
    yield _kernels(timing)

    def copies() -> None:
        for _ in range(_COPIES):
            copy()

    layers = [_Layer("product", clock, product), _Layer("copies", clock, copies)]
    profile = _profile(layers, clock, kernels=True)
    yield _sums(profile)
    if not len(profile.kernels):
        yield Check("layers' kernels", None, profile.seen.no_records)
        return
    yield _launches(profile, timing)
    yield _places(profile)


class _Layer:
    """A call as a layer, which takes its own times besides, ns."""

    def __init__(self, name: str, clock: Clock, work: Callable[[], object]) -> None:
        self.name = name
        self.took: list[int] = []
        self._clock = clock
        self._work = work

    def forward(self) -> None:
        """Do it."""
        begun = self._clock.host()
        self._work()
        self.took.append(self._clock.host() - begun)


def _profile(layers: list[_Layer], clock: Clock, kernels: bool | None = None) -> Profile:
    with LayerTime((layers,), clock, kernels=kernels) as run:
        for _ in range(_STEPS):
            for layer in layers:
                layer.forward()
    return run.profile


def _spin(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def _other_clock() -> Callable[[], int]:
    """A clock that is not the one `perf_counter` reads, ns."""
    raw = getattr(time, "CLOCK_MONOTONIC_RAW", None)
    return time.time_ns if raw is None else lambda: time.clock_gettime_ns(raw)


def _rates_apart(one: Callable[[], int], other: Callable[[], int], spend: Callable[[float], object]) -> float:
    """By what share two clocks differ over a time."""
    begun = one(), other()
    spend(_SPIN_S)
    passed = one() - begun[0], other() - begun[1]
    return abs(passed[0] / passed[1] - 1) if min(passed) > 0 else 1.0


def _sums(profile: Profile) -> Check:
    steps = several(profile.account.steps, "step")
    told = f"{steps}: the rows' sum and the wall clock differ by {percent(profile.closure)}"
    return Check("sums", profile.closure <= _SAME, told)


def _events(clock: Any, work: Callable[[], object]) -> Check:
    """Many calls between two events, and by the host from an idle GPU to an idle GPU, which others may delay."""
    wall, span = min((_by_both(clock, work) for _ in range(_TRIES)), key=lambda times: abs(times[0] - times[1]))
    told = f"{_CALLS} products take {seconds_text(span)} by events, {seconds_text(wall)} by the host's clock"
    return Check("events", abs(wall - span) <= _SAME * wall + 10 * _LATE_S, told)


def _by_both(clock: Any, work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of many calls by the host's clock and by events."""
    clock.wait()
    begun, first = clock.host(), clock.mark()
    for _ in range(_CALLS):
        work()
    last = clock.mark()
    clock.wait()
    wall = (clock.host() - begun) * 1e-9
    start, end = clock.resolve(np.array([first, last]))
    return wall, float(end - start) * 1e-9


def _kernels(timing: Timing) -> Check:
    """A call by events and by its kernels' records."""
    if not timing.kernels.samples:
        return Check("kernel records", None, timing.records)
    events, records = timing.device.median, timing.kernels.median
    told = f"a product takes {seconds_text(events)} by events, {seconds_text(records)} by its kernels' records"
    return Check("kernel records", abs(events - records) <= _SAME * events + _LATE_S, told)


def _launches(profile: Profile, timing: Timing) -> Check:
    """The launches that each row has, and those there were."""
    expected = {"product": timing.kernel_count, "copies": _COPIES}
    found = {name: float(profile[name, "forward"].launches) for name in expected}
    told = ", ".join(f"{name} {found[name]:g} of {expected[name]:g}" for name in expected if expected[name] is not None)
    return Check("launches", all(found[name] == n for name, n in expected.items() if n is not None), told)


def _places(profile: Profile) -> Check:
    """Whether kernels' records lie between the events around the call that launched them."""
    both = profile.kernels.merge(profile.calls[["call", "start_us", "span_us"]], on="call", suffixes=("", "_call"))
    both = both[both["span_us_call"].notna()]
    early = (both["start_us_call"] - both["start_us"]).max()
    late = (both["start_us"] + both["span_us"] - both["start_us_call"] - both["span_us_call"]).max()
    beyond = max(0.0, float(early), float(late)) if len(both) else 0.0
    told = f"{several(len(both), 'kernel')} lie within {seconds_text(beyond * 1e-6)} of the events around their calls"
    return Check("records and events", beyond <= _NEAR_US, told)
