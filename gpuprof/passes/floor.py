"""The floor: what the events read where there is nothing to read, measured on this device with the same gate."""

from __future__ import annotations

import weakref

import numpy as np

from gpuprof.judge.figures import Floor
from gpuprof.record.clocks import DeviceClock

_TIMES = 25
_LAUNCHES = 16


_known: dict[tuple[str, int], Floor] = {}
_others: weakref.WeakKeyDictionary[DeviceClock, Floor] = weakref.WeakKeyDictionary()


def floor_of(clock: DeviceClock) -> Floor:
    """The floor of this kind of clock on the device in use; measured once a process, in about 5 ms.

    A clock of no library (`gpuprof.testing.FakeClock`) has a floor of its own.
    """
    if not getattr(clock, "library", ""):
        if clock not in _others:
            _others[clock] = _measured(clock)
        return _others[clock]
    key = (clock.name, int(clock.where(np.array([clock.mark()]))[0][0]))
    if key not in _known:
        _known[key] = _measured(clock)
    return _known[key]


def _measured(clock: DeviceClock) -> Floor:
    pairs = [_batch(clock, 0) for _ in range(_TIMES)]
    pair = float(np.median(pairs))
    many = float(np.median([_batch(clock, _LAUNCHES) for _ in range(_TIMES)]))
    steps = np.diff(np.unique(pairs))
    return Floor(pair, max(0.0, many - pair) / _LAUNCHES, tick=float(steps.min()) if len(steps) else 0.0)


def _batch(clock: DeviceClock, launches: int) -> float:
    clock.wait()
    with clock.gate(5e-3) as gate:
        first = clock.mark()
        for _ in range(launches):
            clock.launch_empty()
        last = clock.mark()
        gate.release()
    clock.wait()
    start, end = clock.resolve(np.array([first, last]))
    clock.tidy()
    return float(end - start) * 1e-9


def launch_cost(clock: DeviceClock) -> float:
    """Seconds that a launch takes the host: the least of some rows of them, for whatever else happens adds to it."""
    found = []
    for _ in range(4 * _TIMES):
        clock.wait()
        start = clock.host()
        for _ in range(_LAUNCHES):
            clock.launch_empty()
        found.append((clock.host() - start) * 1e-9 / _LAUNCHES)
    return float(np.quantile(found, 0.05))
