"""A profile as a Chrome trace, for Perfetto (ui.perfetto.dev) and chrome://tracing.

Format: Trace Event Format, Google: sections "Complete Events", "Flow Events", "Counter Events", "Metadata Events".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

_HOST, _DEVICES = 1, 2
"""Process numbers: the host's, and of device 0. Perfetto takes 0 for what is idle, keeps 32 bits of a number, which a
stream's address does not fit, and names lanes by their own numbers, whatever process they are in: so these differ."""
_LANES = 1000


class _Slice(NamedTuple):
    """What lasted on a lane; times are whole ns, which are exact in the file's µs."""

    start: int
    end: int
    name: str
    kind: str
    args: dict[str, Any]
    flow: int = 0
    """The number of the arrow that ends at its beginning; 0 for none."""


class _Memory(NamedTuple):
    """A call that was watched for memory."""

    call: int
    peak: int
    retained: int


def chrome_trace(
    calls: Any,
    kernels: Any,
    about: Mapping[str, str],
    memory: Mapping[str, Iterable[int]] | None = None,
    left_out: Iterable[tuple[float, float, int]] = (),
) -> dict[str, Any]:
    """The trace as a JSON-ready dict, times in µs from the cell's beginning.

    Lanes: each thread of the host; of each device the calls on a stream as events see them, and the kernels on a stream
    as their records do. What overlaps on one lane without lying in each other goes on a second one. An arrow leads from
    the call that launched a kernel to it (from the call's beginning: when in it the launch was is not recorded). What a
    call's memory does (`memory`, columns call, peak and retained, by calls' numbers) is a counter; `left_out` has
    begin, end and number of steps that are not in `calls`.
    """
    lanes: dict[tuple[int, int, str], list[_Slice]] = {}
    calls = calls[calls["host_us"].notna()]  # of others it is only known that they came
    for call in calls.itertuples():
        args = {
            "call": int(call.call),
            "step": int(call.step),
            "shape": "×".join(map(str, call.shape)) or "none",
            "status": str(call.status),
        }
        name = f"{call.path}.{call.phase}"
        host = _slice(call.host_start_us, call.host_us, name, call.phase, args)
        lanes.setdefault((_HOST, 0, f"thread {call.thread}"), []).append(host)
        if call.span_us == call.span_us:  # not NaN: the call was marked on a device
            span = _slice(call.start_us, call.span_us, name, call.phase, args)
            place = (_DEVICES + int(call.device), 1, f"stream {int(call.stream):#x}, events")
            lanes.setdefault(place, []).append(span)
    for number, each in enumerate(kernels.itertuples(), 1):
        flow = number if each.call >= 0 else 0
        args = {"of": f"{each.path}.{each.phase}".rstrip("."), "step": int(each.step)}
        args |= {name: int(getattr(each, name)) for name in ("call", "threads", "registers", "bytes")}
        kernel = _slice(each.start_us, each.span_us, str(each.name), "kernel", args, flow)
        place = (_DEVICES + int(each.device), 2, f"kernels, stream {int(each.stream)}")
        lanes.setdefault(place, []).append(kernel)
    for begin, end, steps in left_out:
        gap = _slice(begin, end - begin, f"{steps} steps left out", "left out", {"steps": steps})
        lanes.setdefault((_HOST, 3, "left out"), []).append(gap)
    return {
        "traceEvents": [*_named(lanes, about), *_drawn(lanes, _launches(calls)), *_counted(calls, memory or {})],
        "displayTimeUnit": "ns",
        "otherData": {key: str(value) for key, value in about.items()},
    }


def _slice(start: float, length: float, name: str, kind: str, args: dict[str, Any], flow: int = 0) -> _Slice:
    begin = round(start * 1000)
    return _Slice(begin, begin + max(0, round(length * 1000)), name, kind or "outside", args, flow)


def _named(lanes: Iterable[tuple[int, int, str]], about: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """What the processes are called, and in which order they stand."""
    for process in sorted({_HOST, *(lane[0] for lane in lanes)}):
        machine = about.get("processor" if process == _HOST else "gpu", "")
        name = "host" if process == _HOST else f"GPU {process - _DEVICES}"
        yield _meta("process_name", process, process, name=f"{name}: {machine}" if machine else name)
        yield _meta("process_sort_index", process, process, sort_index=process)


def _drawn(lanes: Mapping[tuple[int, int, str], list[_Slice]], launches: Mapping[int, Any]) -> Iterator[dict[str, Any]]:
    """The slices on their lanes, with the arrows between them."""
    numbers: dict[int, int] = {}
    drawn: dict[int, tuple[int, int]] = {}
    for process, order, name in sorted(lanes):
        for further, slices in enumerate(_nested(lanes[process, order, name])):
            lane = numbers[process] = numbers.get(process, _LANES * process) + 1
            yield _meta("thread_name", process, lane, name=f"{name} ({further + 1})" if further else name)
            yield _meta("thread_sort_index", process, lane, sort_index=lane)
            for each in slices:
                place = {"pid": process, "tid": lane}
                yield {"name": each.name, "cat": each.kind, "ph": "X", **place, **_lasting(each), "args": each.args}
                if process == _HOST and order == 0:
                    drawn[each.args["call"]] = (process, lane)
                if each.flow and each.args["call"] in launches:  # the host's lanes come first
                    start = dict(zip(("pid", "tid"), drawn[each.args["call"]], strict=True))
                    arrow = {"name": "launch", "cat": "launch", "id": each.flow}
                    yield {**arrow, "ph": "s", **start, "ts": launches[each.args["call"]] / 1000}
                    yield {**arrow, "ph": "f", "bp": "e", **place, "ts": each.start / 1000}


def _lasting(each: _Slice) -> dict[str, float]:
    return {"ts": each.start / 1000, "dur": (each.end - each.start) / 1000}


def _nested(slices: Iterable[_Slice]) -> list[list[_Slice]]:
    """The slices by lane, so that on each they lie in each other or apart, as viewers need them to."""
    lanes: list[tuple[list[_Slice], list[int]]] = []
    for each in sorted(slices, key=lambda each: (each.start, -each.end)):
        free = next((lane for lane in lanes if _has_room(lane[1], each)), None)
        if free is None:
            lanes.append(free := ([], []))
        free[0].append(each)
        free[1].append(each.end)
    return [lane for lane, _ in lanes]


def _has_room(ends: list[int], each: _Slice) -> bool:
    """Whether on a lane, of which the slices that are open end so, another one lies within them."""
    while ends and ends[-1] <= each.start:
        ends.pop()
    return not ends or each.end <= ends[-1]


def _launches(calls: Any) -> dict[int, int]:
    """A moment, ns, at which each call was the innermost one open: its beginning, or where the calls inside it end."""
    begun: dict[int, int] = {}
    for call in calls.itertuples():
        begun[call.call] = start = round(call.host_start_us * 1000)
        if begun.get(call.parent) == start:
            begun[call.parent] = start + round(call.host_us * 1000)
    return begun


def _counted(calls: Any, memory: Mapping[str, Iterable[int]]) -> Iterator[dict[str, Any]]:
    """What is in use of the pool beyond what was when it was first watched, and the most in the call that is open."""
    rows = [_Memory(*map(int, row)) for row in zip(*(memory.get(n, ()) for n in _Memory._fields), strict=True)]
    watched = {row.call: row for row in rows}
    moments: list[tuple[int, int, int]] = []
    for call in calls[calls["call"].isin(list(watched))].itertuples():
        start = round(call.host_start_us * 1000)
        end = start + max(1, round(call.host_us * 1000))
        moments += [(start, 1, int(call.call)), (end, 0, -int(call.call))]
    in_use, before = 0, {}
    for when, begins, number in sorted(moments):
        row = watched[abs(number)]
        if begins:
            before[row.call] = in_use
            most = in_use + max(0, row.peak)
        else:
            in_use = before[row.call] + row.retained
            most = in_use
        for name, value in (("memory in use", in_use), ("memory, peak of the call", most)):
            counter = {"name": name, "cat": "memory", "ph": "C", "pid": _HOST, "tid": _LANES * _HOST + 1}
            yield {**counter, "ts": when / 1000, "args": {"bytes": value}}


def _meta(what: str, process: int, lane: int, **args: Any) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": process, "tid": lane, "args": args}
