"""The machine: what a result was measured on, and what `%gpu_info` prints."""

from __future__ import annotations

import ctypes.util
import functools
import os
import platform
import subprocess
import sys
from contextlib import suppress
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

INSTALL = 'pip install "ipython-gpuprof[cuda13,kernels13]" (driver 580 or newer) or "[cuda12,kernels12]" (525 or newer)'
_OURS = "ipython-gpuprof"


def machine() -> dict[str, str]:
    """What to store with a result: GPU, driver, versions, processor, Python. Missing parts are left out."""
    found = {
        **_driver(gpu_id()),
        "cuda": _cuda_runtime(),
        "cupy": version("cupy-cuda13x", "cupy-cuda12x", "cupy"),
        **{name: version(name) for name in ("torch", "jax") if name in sys.modules},
        "numpy": version("numpy"),
        "gpuprof": version(_OURS),
        "python": platform.python_version(),
        "processor": _processor(),
        "system": " ".join([platform.system(), *platform.libc_ver()]).strip(),
        **clocks(),
    }
    return {name: value for name, value in found.items() if value}


def clocks() -> dict[str, str]:
    """The GPU's clocks and temperature now; empty without a GPU. Through NVML where it is installed."""
    gpu = gpu_id()
    values = _nvml_clocks(gpu) or nvidia_smi(gpu, "clocks.sm", "clocks.mem", "temperature.gpu")
    found = dict(zip(("clock_sm", "clock_memory", "temperature"), values, strict=False))
    return found and {**found, "temperature": f"{found['temperature']} °C"}


@functools.cache
def _driver(gpu: str | None) -> dict[str, str]:
    return dict(zip(("gpu", "driver"), nvidia_smi(gpu, "name", "driver_version"), strict=False))


def version(*distributions: str) -> str:
    """The version of the first of these distributions that is installed; "" for none."""
    for name in distributions:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return ""


def info() -> str:
    """The text of `%gpu_info`: machine, versions, clocks; without a GPU what is missing and what to install."""
    with suppress(ImportError):
        import_module("cupy")  # it knows the GPU's CUDA version
    here = machine()
    lines = [
        (
            "GPU",
            " · ".join(filter(None, [here.get("gpu"), here.get("clock_sm"), here.get("temperature")])) or missing_gpu(),
        ),
        ("driver", here.get("driver", "none found")),
        ("CUDA", here.get("cuda", "none found")),
        ("CuPy", here.get("cupy", "not installed")),
        ("kernel records", libcupti() or f"none: libcupti was not found; {INSTALL}"),
        ("NumPy", f"{here['numpy']} · {blas()}"),
        ("Python", f"{here['python']} · {here['processor']} · {here['system']}"),
        ("gpuprof", here.get("gpuprof", "run from its source") + shadow()),
    ]
    return "\n".join(f"{name:<15}{value or '–'}" for name, value in lines)


def libcupti() -> str:
    """Where kernel records would come from: NVIDIA's wheel with its version, or the CUDA toolkit; "" for nowhere."""
    for wheel in ("nvidia-cuda-cupti", "nvidia-cuda-cupti-cu12"):
        if found := version(wheel):
            return f"libcupti of {wheel} {found}"
    in_use = (ctypes.util.find_library("cupti") or "").endswith((".so", ".12", ".13"))  # what record/kernels.py reads
    if in_use or next(Path("/usr/local").glob("cuda*/**/libcupti.so.1?"), None):
        return "libcupti of the CUDA toolkit"
    return ""


def missing_gpu() -> str:
    """Why no GPU can be used here, and what to do; "" where one can."""
    if not version("cupy-cuda13x", "cupy-cuda12x", "cupy"):
        if _driver(gpu_id()):
            return f"CuPy is not installed: {INSTALL}"
        return f"none (no NVIDIA driver found), so NumPy and the host clock; with a GPU: its driver, then {INSTALL}"
    import cupy

    if cupy.cuda.is_available():
        return ""
    return "CuPy finds no CUDA device (no driver, or CUDA_VISIBLE_DEVICES hides it), so NumPy and the host clock"


def shadow() -> str:
    """A warning where the unrelated distribution named gpuprof is installed too: one import name, two projects."""
    try:
        other = metadata.version("gpuprof")
    except metadata.PackageNotFoundError:
        return ""
    return (
        f" · WARNING: the unrelated distribution 'gpuprof' {other} is installed too and shares this import name; "
        f"pip uninstall gpuprof, then pip install --force-reinstall {_OURS}"
    )


def blas() -> str:
    """The BLAS behind NumPy and its threads."""
    import numpy  # noqa: F401 - it loads the BLAS that is asked about
    from threadpoolctl import threadpool_info

    found = [
        f"{pool['internal_api']} {pool.get('version') or ''}, {pool['num_threads']} threads"
        for pool in threadpool_info()
        if pool["user_api"] == "blas"
    ]
    return "; ".join(found) or "BLAS unknown"


def _cuda_runtime() -> str:
    cupy: Any = sys.modules.get("cupy")
    if cupy is None:
        torch: Any = sys.modules.get("torch")
        return str(torch.version.cuda or "") if torch else ""
    number = cupy.cuda.runtime.runtimeGetVersion()
    return f"{number // 1000}.{number % 1000 // 10}"


def gpu_id() -> str | None:
    """The GPU in use by its PCI address or UUID, as NVML and nvidia-smi order GPUs otherwise than CUDA does.

    None where all are hidden. Before CuPy is imported or PyTorch has used a GPU, what CUDA_VISIBLE_DEVICES names
    first; "" for the first of all.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    first = "" if visible is None else visible.split(",")[0].strip()
    if visible is not None and (not first or first.startswith("-")):
        return None
    cupy: Any = sys.modules.get("cupy")
    if cupy is not None and cupy.cuda.is_available():
        runtime = cupy.cuda.runtime
        return str(runtime.deviceGetPCIBusId(runtime.getDevice()))
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return f"GPU-{torch.cuda.get_device_properties(torch.cuda.current_device()).uuid}"
    return first


def nvidia_smi(gpu: str | None, *fields: str) -> tuple[str, ...]:
    """The named fields of a GPU, as the driver's own tool prints them; empty without it."""
    if gpu is None:
        return ()
    query = [f"--query-gpu={','.join(fields)}", "--format=csv,noheader", *([f"--id={gpu}"] if gpu else [])]
    try:
        answer = subprocess.run(  # noqa: S603 - a fixed command
            ["nvidia-smi", *query],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    values = tuple(value.strip() for value in answer.stdout.partition("\n")[0].split(","))
    return values if len(values) == len(fields) else ()  # "No devices were found"


@functools.cache
def nvml(gpu: str | None) -> tuple[Any, Any] | None:
    """The module pynvml and its handle of this GPU, opened once; None without NVML, a PCI address or a UUID."""
    if gpu is None or not (":" in gpu or gpu.startswith(("GPU-", "MIG-"))):
        return None
    try:
        import pynvml
    except ImportError:
        return None
    find = pynvml.nvmlDeviceGetHandleByPciBusId if ":" in gpu else pynvml.nvmlDeviceGetHandleByUUID
    try:
        pynvml.nvmlInit()
        return pynvml, find(gpu)
    except pynvml.NVMLError:
        return None


def _nvml_clocks(gpu: str | None) -> tuple[str, ...]:
    """SM clock, memory clock and temperature without starting a process; empty without NVML."""
    found = nvml(gpu)
    if found is None:
        return ()
    pynvml, handle = found
    try:
        sm, memory = (
            pynvml.nvmlDeviceGetClockInfo(handle, kind) for kind in (pynvml.NVML_CLOCK_SM, pynvml.NVML_CLOCK_MEM)
        )
        celsius = pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU)
    except pynvml.NVMLError:
        return ()
    return f"{sm} MHz", f"{memory} MHz", str(celsius)


def _processor() -> str:
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123 - a device file
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return f"{names[0] if names else name}, {os.cpu_count()} cores"
