"""The machine: what a result was measured on, and what `%gpu_info` prints."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
import sys
from importlib import metadata
from typing import Any

INSTALL = 'pip install "ipython-gpuprof[cuda13,kernels13]" (driver 580 or newer) or "[cuda12,kernels12]" (525 or newer)'
_OURS = "ipython-gpuprof"


def machine() -> dict[str, str]:
    """What to store with a result: GPU, driver, versions, processor, Python. Missing parts are left out."""
    return {**_fixed(), **clocks()}


@functools.cache
def _fixed() -> dict[str, str]:
    found = {
        "gpu": _cupy_gpu() or _nvidia_smi("name"),
        "driver": _nvidia_smi("driver_version"),
        "cuda": _cuda_runtime(),
        "cupy": version("cupy-cuda13x", "cupy-cuda12x", "cupy"),
        "numpy": version("numpy"),
        "gpuprof": version(_OURS),
        "python": platform.python_version(),
        "processor": _processor(),
        "system": platform.platform(terse=True),
    }
    return {name: value for name, value in found.items() if value}


def clocks() -> dict[str, str]:
    """The GPU's clocks and temperature now; empty without a GPU."""
    values = _nvidia_smi("clocks.sm", "clocks.mem", "temperature.gpu")
    if not values:
        return {}
    sm, memory, celsius = values.split(", ")
    return {"clock_sm": sm, "clock_memory": memory, "temperature": f"{celsius} °C"}


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
    here = machine()
    lines = [
        (
            "GPU",
            " · ".join(filter(None, [here.get("gpu"), here.get("clock_sm"), here.get("temperature")])) or missing_gpu(),
        ),
        ("driver", here.get("driver", "none found")),
        ("CUDA", here.get("cuda", "none found")),
        ("CuPy", here.get("cupy", "not installed")),
        ("kernel records", version("cupti-python") and f"cupti-python {version('cupti-python')} is installed"),
        ("NumPy", f"{here['numpy']} · {blas()}"),
        ("Python", f"{here['python']} · {here['processor']} · {here['system']}"),
        ("gpuprof", here.get("gpuprof", "not installed as a distribution") + shadow()),
    ]
    return "\n".join(f"{name:<15}{value or '–'}" for name, value in lines)


def missing_gpu() -> str:
    """Why no GPU can be used here, and what to do; "" where one can."""
    if not version("cupy-cuda13x", "cupy-cuda12x", "cupy"):
        driver = _nvidia_smi("driver_version")
        return (
            f"CuPy is not installed: {INSTALL}"
            if driver
            else "none (no NVIDIA driver found); NumPy and the host clock are used"
        )
    import cupy

    if cupy.cuda.is_available():
        return ""
    return "CuPy finds no CUDA device (no driver, or CUDA_VISIBLE_DEVICES hides it); NumPy and the host clock are used"


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


def _cupy_gpu() -> str:
    cupy: Any = sys.modules.get("cupy")
    if cupy is None or not cupy.cuda.is_available():
        return ""
    properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.runtime.getDevice())
    return str(properties["name"].decode())


def _cuda_runtime() -> str:
    cupy: Any = sys.modules.get("cupy")
    if cupy is None:
        return ""
    number = cupy.cuda.runtime.runtimeGetVersion()
    return f"{number // 1000}.{number % 1000 // 10}"


def _nvidia_smi(*fields: str) -> str:
    """The named fields of the first visible GPU, as the driver's own tool prints them; "" without it."""
    try:
        answer = subprocess.run(  # noqa: S603 - a fixed command
            ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader", *_first_visible()],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip().split("\n")[0]


def _first_visible() -> list[str]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    return [f"--id={visible}"] if visible else []


def _processor() -> str:
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123 - a device file
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return f"{names[0] if names else name}, {os.cpu_count()} cores"
