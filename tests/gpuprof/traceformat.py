"""What the Trace Event Format asks of a trace, and what Perfetto makes of it."""

from __future__ import annotations

import json
import math
from typing import Any

_NEEDED = {
    "X": {"name", "cat", "ph", "pid", "tid", "ts", "dur", "args"},
    "M": {"name", "ph", "pid", "tid", "args"},
    "C": {"name", "cat", "ph", "pid", "tid", "ts", "args"},
    "s": {"name", "cat", "id", "ph", "pid", "tid", "ts"},
    "f": {"name", "cat", "id", "ph", "bp", "pid", "tid", "ts"},
}
_META = {"process_name": str, "thread_name": str, "process_sort_index": int, "thread_sort_index": int}


def check(text: str) -> dict[str, Any]:
    """The trace in JSON `text`; AssertionError where it breaks a rule."""

    def refused(word: str) -> Any:
        raise AssertionError(f"{word} is not JSON")

    trace: dict[str, Any] = json.loads(text, parse_constant=refused)
    assert set(trace) == {"traceEvents", "displayTimeUnit", "otherData"}
    assert trace["displayTimeUnit"] in ("ms", "ns")
    assert all(isinstance(value, str) for value in trace["otherData"].values())
    events = trace["traceEvents"]
    for event in events:
        _check_event(event)
    _check_names(events)
    _check_nesting(events)
    _check_flows(events)
    return trace


def ns(time: float) -> int:
    """A time of the file, which is in µs."""
    return round(time * 1000)


def of_kind(trace: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """The events whose `ph` is that."""
    return [event for event in trace["traceEvents"] if event["ph"] == kind]


def lanes(trace: dict[str, Any]) -> dict[tuple[int, int], str]:
    """What each lane is called, by process and thread."""
    return {(e["pid"], e["tid"]): e["args"]["name"] for e in of_kind(trace, "M") if e["name"] == "thread_name"}


def _check_event(event: dict[str, Any]) -> None:
    assert set(event) == _NEEDED[event["ph"]], event
    assert isinstance(event["name"], str)
    assert all(isinstance(event[key], int) and 0 <= event[key] < 1 << 31 for key in ("pid", "tid"))
    assert min(event["pid"], event["tid"]) > 0  # Perfetto takes 0 for what is idle
    for key in ("ts", "dur"):
        if key in event:
            assert isinstance(event[key], (int, float))
            assert math.isfinite(event[key])
            assert abs(event[key] * 1000 - ns(event[key])) < 1e-3  # whole ns
    assert event.get("dur", 0) >= 0
    if event["ph"] == "M":
        ((_, value),) = event["args"].items()
        assert isinstance(value, _META[event["name"]])
    if event["ph"] == "C":
        assert all(isinstance(value, (int, float)) for value in event["args"].values())
    if event["ph"] == "f":
        assert event["bp"] == "e"


def _check_names(events: list[dict[str, Any]]) -> None:
    processes = [e["pid"] for e in events if e["name"] == "process_name"]
    named = [(e["pid"], e["tid"]) for e in events if e["name"] == "thread_name" and e["ph"] == "M"]
    assert len(set(processes)) == len(processes)
    assert len({lane for _, lane in named}) == len(named)  # Perfetto names a lane by its own number alone
    assert not {lane for _, lane in named} & set(processes)
    assert {e["pid"] for e in events} <= set(processes)
    assert {(e["pid"], e["tid"]) for e in events if e["ph"] in "Xsf"} <= set(named)


def _check_nesting(events: list[dict[str, Any]]) -> None:
    """On a lane slices lie in each other or apart: what overlaps otherwise, viewers draw wrongly."""
    by_lane: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for each in events:
        if each["ph"] == "X":
            start = ns(each["ts"])
            by_lane.setdefault((each["pid"], each["tid"]), []).append((start, start + ns(each["dur"])))
    for slices in by_lane.values():
        ends: list[int] = []
        for start, end in sorted(slices, key=lambda each: (each[0], -each[1])):
            while ends and ends[-1] <= start:
                ends.pop()
            assert not ends or end <= ends[-1]
            ends.append(end)


def _check_flows(events: list[dict[str, Any]]) -> None:
    """Each arrow has one beginning and one end, and both lie in a slice of their lane."""
    at = {(each["ph"], each.get("id")): place for place, each in enumerate(events) if each["ph"] in "sf"}
    assert all(at["s", number] < at["f", number] for kind, number in at if kind == "s")
    ids = {kind: [e["id"] for e in events if e["ph"] == kind] for kind in "sf"}
    assert sorted(ids["s"]) == sorted(ids["f"]) == sorted(set(ids["s"]))
    spans: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for each in events:
        if each["ph"] == "X":
            start = ns(each["ts"])
            spans.setdefault((each["pid"], each["tid"]), []).append((start, start + ns(each["dur"])))
    for each in events:
        if each["ph"] in "sf":
            found = spans[each["pid"], each["tid"]]
            assert any(start <= ns(each["ts"]) <= end for start, end in found)
