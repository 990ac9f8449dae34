"""The machine, and the commands that print it."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

import gpuprof
from gpuprof import device
from gpuprof.__main__ import main
from gpuprof.testing import FakeClock

from .models import FakeModel
from .test_profile import profiled


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "nvidia_smi", lambda *_: ())
    device._driver.cache_clear()
    yield
    device._driver.cache_clear()


def says(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Let the driver's tool print `text`, and NVML not be there."""
    answer = subprocess.CompletedProcess([], 0, stdout=text)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: answer)
    monkeypatch.setattr(device, "_nvml_clocks", lambda _: ())


def installed(monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    def version(name: str) -> str:
        if name.replace("-", "_") in versions:
            return versions[name.replace("-", "_")]
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)


def test_a_machine_without_a_gpu_says_so(no_gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch)
    assert device.missing_gpu().startswith("none (no NVIDIA driver found)")
    assert "gpu" not in device.machine()


def test_a_driver_without_cupy_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch)
    monkeypatch.setattr(device, "_driver", lambda _: {"gpu": "NVIDIA X", "driver": "580.65"})
    assert 'pip install "ipython-gpuprof[cuda13' in device.missing_gpu()


def test_the_other_gpuprof_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, gpuprof="0.7.1")
    assert "unrelated distribution 'gpuprof' 0.7.1" in device.shadow()
    installed(monkeypatch)
    assert device.shadow() == ""


def test_clocks_are_read_from_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    says(monkeypatch, "1980 MHz, 3201 MHz, 41\n")
    assert device.clocks() == {"clock_sm": "1980 MHz", "clock_memory": "3201 MHz", "temperature": "41 °C"}


def test_a_driver_tool_that_fails_is_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object, **__: object) -> None:
        raise subprocess.CalledProcessError(9, "nvidia-smi")

    monkeypatch.setattr(subprocess, "run", failing)
    assert device.nvidia_smi("", "name") == ()


def test_a_driver_without_devices_has_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    says(monkeypatch, "No devices were found\n")
    assert device.nvidia_smi("", "name", "driver_version") == ()


@pytest.mark.parametrize(("visible", "gpu"), [(None, ""), ("", None), ("-1", None), ("3,1", "3"), ("GPU-8a", "GPU-8a")])
def test_the_gpu_in_use_is_the_first_visible_one(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, gpu: str | None
) -> None:
    for library in ("cupy", "torch"):
        monkeypatch.delitem(sys.modules, library, raising=False)
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert device.gpu_id() == gpu


def test_pytorchs_gpu_is_known_by_its_uuid_once_it_has_been_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    cuda = SimpleNamespace(
        is_initialized=lambda: True,
        current_device=lambda: 1,
        get_device_properties=lambda number: SimpleNamespace(uuid=f"8a-{number}"),
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    assert device.gpu_id() == "GPU-8a-1"


@pytest.mark.parametrize("gpu", [None, "", "3"])
def test_nvml_is_never_asked_by_a_number(gpu: str | None) -> None:
    assert device.nvml(gpu) is None


def test_hidden_gpus_are_not_asked_about() -> None:
    assert device.nvidia_smi(None, "name") == ()


def test_the_blas_and_its_threads_are_named() -> None:
    assert "thread" in device.blas() or device.blas() == "BLAS unknown"


@pytest.mark.parametrize(
    ("versions", "library", "says"),
    [
        ({"nvidia_cuda_cupti": "13.0.85"}, None, "libcupti of nvidia-cuda-cupti 13.0.85"),
        ({"nvidia_cuda_cupti_cu12": "12.8.90"}, None, "libcupti of nvidia-cuda-cupti-cu12 12.8.90"),
        ({}, "libcupti.so.13", "libcupti of the CUDA toolkit"),
    ],
)
def test_where_kernel_records_come_from_is_named(
    monkeypatch: pytest.MonkeyPatch, versions: dict, library: str | None, says: str
) -> None:
    installed(monkeypatch, **versions)
    monkeypatch.setattr(device.ctypes.util, "find_library", lambda _: library)
    assert device.libcupti() == says


def test_without_libcupti_info_says_what_to_install(no_gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "libcupti", lambda: "")
    line = next(line for line in device.info().splitlines() if line.startswith("kernel records"))
    assert "libcupti was not found" in line
    assert "kernels13" in line


def test_info_is_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    assert "NumPy" in capsys.readouterr().out


def test_show_prints_a_saved_profile(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    profile = profiled(FakeModel(FakeClock()))
    assert main(["show", str(profile.save(tmp_path / "p.json"))]) == 0
    assert capsys.readouterr().out.strip() == str(profile)


def test_show_prints_a_saved_timing(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    import gpuprof

    timing = gpuprof.timeit("1", number=1, repeat=6)
    assert main(["show", str(timing.save(tmp_path / "t.json"))]) == 0
    assert "host" in capsys.readouterr().out


@pytest.mark.parametrize("content", [None, "no json"])
def test_show_says_what_is_wrong_with_a_file(tmp_path, capsys: pytest.CaptureFixture[str], content: str | None) -> None:
    file = tmp_path / "x.json"
    if content:
        file.write_text(content)
    assert main(["show", str(file)]) == 2
    assert "x.json" in capsys.readouterr().err


@pytest.mark.gpu
def test_the_gpu_is_named() -> None:
    import cupy  # noqa: F401 - the name comes from CuPy once it is imported

    found = device.machine()
    assert "NVIDIA" in found["gpu"]
    assert found["clock_sm"].endswith("MHz")


def test_show_prints_a_saved_comparison_and_a_saved_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clock = FakeClock()
    comparison = gpuprof.compare(lambda: clock.spend(2e-3), lambda: clock.spend(1e-3), clock=clock)
    sweep = gpuprof.sweep(clock.spend, {"n": [1e-3, 2e-3]}, clock=clock)
    for result in (comparison, sweep):
        assert main(["show", str(result.save(tmp_path / "r.json"))]) == 0
        assert capsys.readouterr().out == f"{result}\n"
