"""Calls as a Chrome trace, for Perfetto (ui.perfetto.dev) and chrome://tracing."""

from __future__ import annotations

from typing import Any

_KERNELS = 1000  # process numbers from here on are devices as kernel records see them


def chrome_trace(calls: Any, kernels: Any, about: dict[str, Any]) -> dict[str, Any]:
    """The trace as a JSON-ready dict: complete events ("ph": "X"), times in µs, the host and each stream a row.

    Streams are there twice, as events see them and as kernel records do.

    Format: Trace Event Format, Google, sections "Complete Events" and "Metadata Events".
    """
    events: list[dict[str, Any]] = [_named("process_name", 0, 0, "host")]
    seen = calls[calls["span_us"].notna()]
    events += [_named("process_name", int(d) + 1, 0, f"device {d} (events)") for d in sorted(set(seen["device"]))]
    places = sorted(set(zip(seen["device"], seen["stream"], strict=True)))
    events += [_named("thread_name", int(d) + 1, int(stream), f"stream {stream:#x}") for d, stream in places]
    for call in calls.itertuples():
        name = f"{call.path}.{call.phase}"
        args = {"step": int(call.step), "shape": str(call.shape), "status": call.status}
        events.append(_complete(name, call.phase, 0, int(call.thread), call.host_start_us, call.host_us, args))
        if call.span_us == call.span_us:  # not NaN: the call was marked on a device
            place = int(call.device) + 1, int(call.stream)
            events.append(_complete(name, call.phase, *place, call.start_us, call.span_us, args))
    recorded = sorted(set(zip(kernels["device"], kernels["stream"], strict=True)))
    devices = sorted({device for device, _ in recorded})
    events += [_named("process_name", _KERNELS + int(d), 0, f"device {d} (kernels)") for d in devices]
    events += [_named("thread_name", _KERNELS + int(d), int(s), f"CUPTI's stream {s}") for d, s in recorded]
    for each in kernels.itertuples():
        args = {"of": f"{each.path}.{each.phase}", "threads": int(each.threads), "registers": int(each.registers)}
        place = _KERNELS + int(each.device), int(each.stream)
        events.append(_complete(each.name, "kernel", *place, each.start_us, each.span_us, args))
    other = {key: str(value) for key, value in about.items()}
    return {"traceEvents": events, "displayTimeUnit": "ns", "otherData": other}


def _complete(
    name: str, phase: str, pid: int, tid: int, start: float, length: float, args: dict[str, Any]
) -> dict[str, Any]:
    return {"name": name, "cat": phase, "ph": "X", "pid": pid, "tid": tid, "ts": start, "dur": length, "args": args}


def _named(what: str, pid: int, tid: int, name: str) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": pid, "tid": tid, "args": {"name": name}}
