"""What may disturb a measurement: the GPU's clocks, what limits them, its temperature, and who else is on it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from gpuprof.device import gpu_id, nvidia_smi, nvml
from gpuprof.units import percent

# NVML API Reference, nvmlClocksEventReasons
_REASONS = {
    0x001: "idle",
    0x002: "applications clock setting",
    0x004: "power cap",
    0x008: "hardware slowdown",
    0x010: "sync boost",
    0x020: "thermal slowdown by software",
    0x040: "thermal slowdown by hardware",
    0x080: "power brake",
    0x100: "display clock setting",
}
_HARMLESS = ("idle", "applications clock setting")
_FIRST_PID_NAMESPACE = 0xEFFFFFFC  # Linux, include/linux/proc_ns.h: PROC_PID_INIT_INO
_MOVED = 0.01  # clocks that differ by more than this share
_WARMED = 10  # °C


def state() -> dict[str, object]:
    """The GPU now; what cannot be asked is left out, without a GPU everything.

    clock_sm_mhz, clock_memory_mhz, temperature_c (int), power_w, power_limit_w (float), throttle (list of words,
    why its clocks are not higher), mig (bool), other_processes (int, or "unknown" where a container hides them).
    NVML answers in under 3 ms; without it nvidia-smi is run once, and cannot tell the processes.
    """
    gpu = gpu_id()
    found = nvml(gpu)
    return _from_nvml(*found) if found else _from_tool(gpu)


def changes(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    """What two states say against what was measured between them, a sentence each; [] where nothing does."""
    return [
        *_clocks_moved(before, after),
        *_held_back(before, after),
        *_shared(before, after),
        *_warmed(before, after),
    ]


def identity() -> str:
    """The GPU's UUID, name, driver and highest SM clock in one line; "" where no tool tells them."""
    gpu = gpu_id()
    found = nvml(gpu)
    if not found:
        return " · ".join(nvidia_smi(gpu, "uuid", "name", "driver_version", "clocks.max.sm"))
    ml, handle = found
    try:
        clock = f"{ml.nvmlDeviceGetMaxClockInfo(handle, ml.NVML_CLOCK_SM)} MHz"
        names = (ml.nvmlDeviceGetUUID(handle), ml.nvmlDeviceGetName(handle), ml.nvmlSystemGetDriverVersion(), clock)
    except ml.NVMLError:
        return ""
    return " · ".join(names)


def _from_nvml(ml: Any, handle: Any) -> dict[str, object]:
    questions: dict[str, Callable[[], object]] = {
        "clock_sm_mhz": lambda: int(ml.nvmlDeviceGetClockInfo(handle, ml.NVML_CLOCK_SM)),
        "clock_memory_mhz": lambda: int(ml.nvmlDeviceGetClockInfo(handle, ml.NVML_CLOCK_MEM)),
        "temperature_c": lambda: int(ml.nvmlDeviceGetTemperature(handle, ml.NVML_TEMPERATURE_GPU)),
        "power_w": lambda: ml.nvmlDeviceGetPowerUsage(handle) / 1000,
        "power_limit_w": lambda: ml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000,
        "throttle": lambda: _words(_reasons(ml, handle)),
        "mig": lambda: bool(ml.nvmlDeviceGetMigMode(handle)[0]),
        "other_processes": lambda: _others({p.pid for p in ml.nvmlDeviceGetComputeRunningProcesses(handle)}),
    }
    found: dict[str, object] = {}
    for name, ask in questions.items():
        with suppress(ml.NVMLError):
            found[name] = ask()
    return found


def _reasons(ml: Any, handle: Any) -> int:
    """Why the clocks are not higher, as bits; by the name that drivers before 535 know where the new one fails."""
    with suppress(AttributeError, ml.NVMLError):
        return int(ml.nvmlDeviceGetCurrentClocksEventReasons(handle))
    return int(ml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))


def _words(bits: int) -> list[str]:
    unnamed = bits & ~sum(_REASONS)
    return [word for bit, word in _REASONS.items() if bits & bit] + ([f"reason {unnamed:#x}"] if unnamed else [])


def _others(pids: set[int]) -> int | str:
    """How many processes there are beside this one; "unknown" where that cannot be seen.

    In a container the pids may be another namespace's, or only those of the container: an own pid that is missing
    shows the first, and none beside it proves nothing.
    """
    own = os.getpid()
    others = len(pids - {own})
    return others if own in pids and (others or not _contained()) else "unknown"


def _contained() -> bool:
    """Whether this process sees only some of the machine's processes."""
    try:
        return Path("/proc/self/ns/pid").stat().st_ino != _FIRST_PID_NAMESPACE
    except OSError:  # not Linux
        return False


def _from_tool(gpu: str | None) -> dict[str, object]:
    """The state by one run of nvidia-smi; a second where the driver is too old for the new name of the reasons."""
    asked: dict[str, tuple[str, Callable[[str], object]]] = {
        "clock_sm_mhz": ("clocks.sm", lambda text: int(text.split()[0])),
        "clock_memory_mhz": ("clocks.mem", lambda text: int(text.split()[0])),
        "temperature_c": ("temperature.gpu", int),
        "power_w": ("power.draw", lambda text: float(text.split()[0])),
        "power_limit_w": ("power.limit", lambda text: float(text.split()[0])),
        "mig": ("mig.mode.current", {"Enabled": True, "Disabled": False}.__getitem__),
        "throttle": ("clocks_event_reasons.active", lambda text: _words(int(text, 16))),
    }
    *fields, reasons = (field for field, _ in asked.values())
    values = nvidia_smi(gpu, *fields, reasons) or nvidia_smi(gpu, *fields, "clocks_throttle_reasons.active")
    found: dict[str, object] = {}
    for (name, (_, read)), text in zip(asked.items(), values, strict=False):
        with suppress(ValueError, KeyError):  # "[N/A]"
            found[name] = read(text)
    return found


def _number(state: Mapping[str, object], name: str) -> float | None:
    value = state.get(name)
    return float(value) if isinstance(value, (int, float)) else None


def _throttle(state: Mapping[str, object]) -> list[str]:
    words = state.get("throttle")
    return [str(word) for word in words] if isinstance(words, (list, tuple)) else []


def _clocks_moved(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    """Clocks that moved under load; an idle GPU's clocks are on their way down and prove nothing."""
    if "idle" in _throttle(before) + _throttle(after):
        return []
    sentences = []
    for name, title in (("clock_sm_mhz", "SM"), ("clock_memory_mhz", "memory")):
        was, now = _number(before, name), _number(after, name)
        if was and now and abs(now / was - 1) > _MOVED:
            sentences.append(
                f"the {title} clock went from {was:.0f} to {now:.0f} MHz ({percent(now / was - 1)}) meanwhile: "
                "early and late batches differ by as much; measure again once it is steady"
            )
    return sentences


def _held_back(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    words = dict.fromkeys(word for word in _throttle(before) + _throttle(after) if word not in _HARMLESS)
    if not words:
        return []
    power, limit = _number(after, "power_w"), _number(after, "power_limit_w")
    evidence = f" ({power:.0f} of {limit:.0f} W)" if "power cap" in words and power and limit else ""
    return [f"the GPU's clocks are held back by: {', '.join(words)}{evidence}"]


def _shared(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    others = max(int(_number(state, "other_processes") or 0) for state in (before, after))
    if not others:
        return []
    who = "another process computes" if others == 1 else f"{others} other processes compute"
    return [f"{who} on this GPU: times include the waiting for it"]


def _warmed(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    was, now = _number(before, "temperature_c"), _number(after, "temperature_c")
    if was is None or now is None or now - was < _WARMED:
        return []
    return [f"the GPU warmed from {was:.0f} to {now:.0f} °C meanwhile: it was not warm yet; measure again"]
