"""Were two profiles taken alike? Machine, versions, clocks, ways of measuring, data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gpuprof.judge.changes import Traits
from gpuprof.record.calls import Scope
from gpuprof.record.schedule import Mode
from gpuprof.results.measured import Measured
from gpuprof.units import several

_MACHINE = {"gpu": "GPU", "processor": "processor"}
_VERSIONS = ("driver", "cuda", "cupy", "torch", "jax", "numpy", "gpuprof", "python", "system")
_CLOCKS = {"clock_sm": "SM clock", "clock_memory": "memory clock"}
_MOVED = 0.01
_MOST = 3


def other_machine(old: Measured, new: Measured) -> str:
    """Why no difference in time can be the code's; "" where it can."""
    if old.clock != new.clock:
        return f"the one was timed by {old.clock}, the other by {new.clock}"
    found = [_differs(name, old.about.get(key, ""), new.about.get(key, "")) for key, name in _MACHINE.items()]
    return ", ".join(filter(None, found))


def unlike(
    old: Measured, new: Measured, before: Mapping[Scope, Traits], now: Mapping[Scope, Traits]
) -> tuple[str, ...]:
    """What else differs, to be told before any figure."""
    versions = [_differs(key, old.about.get(key, ""), new.about.get(key, "")) for key in _VERSIONS]
    shapes = list(_shapes(before, now))
    more = f", and {several(len(shapes) - _MOST, 'more row')}" if len(shapes) > _MOST else ""
    told = [
        *versions,
        *_clocks(old.about, new.about),
        _ways(old, new),
        f"other shapes: {', '.join(shapes[:_MOST])}{more}" if shapes else "",
        *_types(old, new),
    ]
    return tuple(filter(None, told))


def _differs(name: str, before: str, now: str) -> str:
    return f"{name} was {before or 'none'} and is {now or 'none'}" if before != now else ""


def _clocks(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for key, name in _CLOCKS.items():
        rates = [about.get(key, "").partition(" ")[0] for about in (before, now)]
        if all(rate.isdecimal() for rate in rates) and abs(int(rates[0]) - int(rates[1])) > _MOVED * int(rates[0]):
            yield f"the {name} was {before[key]} and is {now[key]}"


def _ways(old: Measured, new: Measured) -> str:
    """Whether the times of one are of steps with kernel records, and those of the other are not."""
    ways = []
    for each in (old, new):
        steps = each.account.marked_steps()
        ways.append(len(steps) > 0 and bool(each.account.step_mode[steps[0]] & int(Mode.RECORDS)))
    if ways[0] == ways[1]:
        return ""
    which = "old" if ways[0] else "new"
    return f"the {which} times are of steps with kernel records, which slow the host; the others' are not"


def _shapes(before: Mapping[Scope, Traits], now: Mapping[Scope, Traits]) -> Iterator[str]:
    for scope, traits in now.items():
        was = before.get(scope, Traits()).shape
        if was is not None and traits.shape is not None and was != traits.shape:
            yield f"{'.'.join(filter(None, scope))} was given {was} and is given {traits.shape}"


def _types(old: Measured, new: Measured) -> Iterator[str]:
    """The types that the layers compute in, where they are others."""
    types = [{work.dtype for work in each.seen.work.values() if work.dtype} for each in (old, new)]
    if all(types) and types[0] != types[1]:
        before, now = (" and ".join(sorted(each)) for each in types)
        yield f"layers computed in {before} and compute in {now}"
