"""The GPU's state, and what two of them say against a measurement."""

import os
import subprocess
import time
from types import SimpleNamespace
from typing import Any

import pytest

from gpuprof import environment

STEADY = {"clock_sm_mhz": 1980, "clock_memory_mhz": 3201, "temperature_c": 41, "throttle": [], "other_processes": 0}


class FakeNVML:
    """pynvml as far as it is asked here; a question in `refused` raises NVMLError."""

    NVMLError = type("NVMLError", (Exception,), {})
    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0
    answers: dict[str, Any] = {  # noqa: RUF012 - read only
        "nvmlDeviceGetClockInfo": lambda _, kind: {1: 1980, 2: 3201}[kind],
        "nvmlDeviceGetMaxClockInfo": lambda *_: 1980,
        "nvmlDeviceGetTemperature": lambda *_: 41,
        "nvmlDeviceGetPowerUsage": lambda _: 698_500,
        "nvmlDeviceGetEnforcedPowerLimit": lambda _: 700_000,
        "nvmlDeviceGetCurrentClocksEventReasons": lambda _: 0x4,
        "nvmlDeviceGetCurrentClocksThrottleReasons": lambda _: 0x20,
        "nvmlDeviceGetMigMode": lambda _: [0, 0],
        "nvmlDeviceGetComputeRunningProcesses": lambda _: [SimpleNamespace(pid=p) for p in (os.getpid(), 1, 2)],
        "nvmlDeviceGetUUID": lambda _: "GPU-8a",
        "nvmlDeviceGetName": lambda _: "NVIDIA X",
        "nvmlSystemGetDriverVersion": lambda: "580.65",
    }

    def __init__(self, *refused: str) -> None:
        self.refused = refused

    def __getattr__(self, name: str) -> Any:
        if name in self.refused:

            def refuse(*_: object) -> None:
                raise self.NVMLError

            return refuse
        return self.answers[name]


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch):
    """Let NVML, or nvidia-smi's lines for each query in turn, answer."""

    def answer(ml: FakeNVML | None, *lines: str) -> list[list[str]]:
        asked: list[list[str]] = []
        left = iter(lines)

        def run(command: list[str], **_: object) -> subprocess.CompletedProcess:
            asked.append(command)
            return subprocess.CompletedProcess(command, 0, stdout=next(left, ""))

        monkeypatch.setattr(environment, "gpu_id", lambda: "0000:18:00.0")
        monkeypatch.setattr(environment, "nvml", lambda _: ml and (ml, "handle"))
        monkeypatch.setattr(subprocess, "run", run)
        return asked

    return answer


def test_nvml_tells_everything(says, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = says(FakeNVML())
    assert environment.state() == {
        "clock_sm_mhz": 1980,
        "clock_memory_mhz": 3201,
        "temperature_c": 41,
        "power_w": 698.5,
        "power_limit_w": 700.0,
        "throttle": ["power cap"],
        "mig": False,
        "other_processes": 2,
    }
    assert asked == []


def test_what_nvml_refuses_is_left_out(says) -> None:
    says(FakeNVML("nvmlDeviceGetMigMode", "nvmlDeviceGetPowerUsage"))
    assert {"mig", "power_w"}.isdisjoint(environment.state())


def test_an_old_driver_is_asked_by_the_old_name(says) -> None:
    says(FakeNVML("nvmlDeviceGetCurrentClocksEventReasons"))
    assert environment.state()["throttle"] == ["thermal slowdown by software"]


def test_without_nvml_the_drivers_tool_is_run_once(says) -> None:
    asked = says(None, "1980 MHz, 3201 MHz, 41, 72.50 W, 700.00 W, [N/A], 0x0000000000000001\n")
    assert environment.state() == {
        "clock_sm_mhz": 1980,
        "clock_memory_mhz": 3201,
        "temperature_c": 41,
        "power_w": 72.5,
        "power_limit_w": 700.0,
        "throttle": ["idle"],
    }
    assert len(asked) == 1


def test_a_tool_too_old_for_the_new_field_is_asked_for_the_old_one(says) -> None:
    line = "1980 MHz, 3201 MHz, 41, 72.50 W, 700.00 W, Enabled, 0x0000000000000044\n"
    asked = says(None, "", line)
    found = environment.state()
    assert (found["mig"], found["throttle"]) == (True, ["power cap", "thermal slowdown by hardware"])
    assert "clocks_throttle_reasons.active" in asked[1][1]


def test_without_a_gpu_there_is_no_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "gpu_id", lambda: None)
    assert environment.state() == {}
    assert environment.identity() == ""


def test_a_reason_without_a_name_is_shown_as_its_bit() -> None:
    assert environment._words(0x200 | 0x8) == ["hardware slowdown", "reason 0x200"]


@pytest.mark.parametrize(
    ("pids", "contained", "others"),
    [
        ({os.getpid()}, False, 0),
        ({os.getpid()}, True, "unknown"),
        ({os.getpid(), 1}, True, 1),
        ({1, 2}, False, "unknown"),
        (set(), False, "unknown"),
    ],
)
def test_processes_are_counted_only_where_they_can_be_seen(
    monkeypatch: pytest.MonkeyPatch, pids: set[int], contained: bool, others: object
) -> None:
    monkeypatch.setattr(environment, "_contained", lambda: contained)
    assert environment._others(pids) == others


def test_a_gpu_is_known_by_its_uuid_name_driver_and_highest_clock(says) -> None:
    says(FakeNVML())
    assert environment.identity() == "GPU-8a · NVIDIA X · 580.65 · 1980 MHz"
    says(None, "GPU-8a, NVIDIA X, 580.65, 1980 MHz\n")
    assert environment.identity() == "GPU-8a · NVIDIA X · 580.65 · 1980 MHz"
    says(FakeNVML("nvmlDeviceGetUUID"))
    assert environment.identity() == ""


@pytest.mark.parametrize("after", [{}, {"clock_sm_mhz": 1965}, {"throttle": ["idle"]}, {"other_processes": "unknown"}])
def test_a_steady_gpu_gets_no_sentence(after: dict[str, object]) -> None:
    assert environment.changes(STEADY, {**STEADY, **after}) == []


def test_states_that_nobody_told_get_no_sentence() -> None:
    assert environment.changes({}, {}) == []


@pytest.mark.parametrize(
    ("after", "says"),
    [
        ({"clock_sm_mhz": 1755}, "the SM clock went from 1980 to 1755 MHz (-11 %)"),
        ({"clock_memory_mhz": 2619}, "the memory clock went from 3201 to 2619 MHz"),
        ({"throttle": ["power cap"], "power_w": 698.5, "power_limit_w": 700.0}, "power cap (698 of 700 W)"),
        ({"throttle": ["thermal slowdown by hardware"]}, "held back by: thermal slowdown by hardware"),
        ({"other_processes": 1}, "another process computes on this GPU"),
        ({"other_processes": 3}, "3 other processes compute on this GPU"),
        ({"temperature_c": 63}, "warmed from 41 to 63 °C"),
    ],
)
def test_each_disturbance_has_its_sentence(after: dict[str, object], says: str) -> None:
    (sentence,) = environment.changes(STEADY, {**STEADY, **after})
    assert says in sentence


def test_clocks_of_an_idle_gpu_prove_nothing() -> None:
    assert environment.changes({**STEADY, "clock_sm_mhz": 345, "throttle": ["idle"]}, STEADY) == []


@pytest.mark.gpu
def test_the_gpus_state_is_told_quickly() -> None:
    import cupy

    pynvml = pytest.importorskip("pynvml")
    cupy.zeros(3)
    environment.state()
    start = time.perf_counter()
    found = environment.state()
    assert time.perf_counter() - start < 3e-3
    assert pynvml.nvmlDeviceGetCount() >= 1
    assert 100 < found["clock_sm_mhz"] < 5000
    assert 0 < found["temperature_c"] < 120
    assert environment.identity().startswith("GPU-")
