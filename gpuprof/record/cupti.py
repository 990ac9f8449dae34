"""libcupti: found, called, and shared. CUPTI serves one tool a process, so whoever uses it asks here first."""

from __future__ import annotations

import ctypes
import functools
import sys
import threading
from collections.abc import Iterator
from ctypes import byref, c_char_p
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gpuprof.record.gate import injected_tool

_LIMIT_REACHED = 12  # CUPTI_ERROR_MAX_LIMIT_REACHED: what cuptiSubscribe of old says where another has subscribed
_HELD_BY_ANOTHER = 39  # CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED

in_use = threading.Lock()
"""Held while this process records through CUPTI, by the one who takes CUPTI off again (`detach`)."""


class NoRecordsError(RuntimeError):
    """CUPTI cannot be had here; the text says why."""


def library() -> ctypes.CDLL:
    """CUPTI itself. Raises NoRecordsError, with what to install, where there is none."""
    found = _library()
    if found is None:
        raise NoRecordsError(
            "libcupti was not found; it comes with: pip install nvidia-cuda-cupti (CUDA 13) or nvidia-cuda-cupti-cu12"
        )
    return found


def call(name: str, *arguments: Any) -> None:
    """Call a function of CUPTI. Raises NoRecordsError, in CUPTI's own words, where it fails."""
    checked(library(), name, *arguments)


def checked(cupti: Any, name: str, *arguments: Any) -> None:
    """`call` on the library given."""
    status = getattr(cupti, name)(*arguments)
    if status == _HELD_BY_ANOTHER or (status == _LIMIT_REACHED and name == "cuptiSubscribe"):
        raise NoRecordsError("another tool in this process holds CUPTI (a profiler, a debugger)")
    if status:
        text = c_char_p()
        cupti.cuptiGetResultString(status, byref(text))
        raise NoRecordsError(f"{name}: {(text.value or b'').decode()} ({status})")


def holder() -> str:
    """The tool that holds CUPTI in this process; "" for none that is known."""
    return "torch.profiler" if _torch_profiles() else injected_tool()


def refuse_where_held() -> None:
    """Raise NoRecordsError, with who it is, where another tool holds CUPTI."""
    if tool := holder():
        raise NoRecordsError(f"{tool} is recording in this process, and CUPTI serves one at a time")


def detach() -> None:
    """Take CUPTI off the process, else something of it stays on every launch; whatever state it is in."""
    library().cuptiFinalize()


def _torch_profiles() -> bool:
    """Whether a `torch.profiler` session is open."""
    torch: Any = sys.modules.get("torch")
    return bool(torch and getattr(torch.autograd.profiler, "_is_profiler_enabled", False))


@functools.cache
def _library() -> ctypes.CDLL | None:
    for place in _places():
        try:
            return ctypes.CDLL(place)
        except OSError:
            continue
    return None


def _places() -> Iterator[str]:
    """Where libcupti may be: loaded already, in NVIDIA's wheels, where the loader looks, in the toolkit."""
    maps = Path("/proc/self/maps")
    if maps.exists():
        lines = maps.read_text(encoding="utf-8", errors="replace").splitlines()
        yield from {line.split()[-1] for line in lines if "libcupti.so" in line}
    if spec := find_spec("nvidia"):
        for folder in spec.submodule_search_locations or ():
            yield from map(
                str, sorted(Path(folder).glob("*/lib/libcupti.so.*"), key=lambda file: file.suffix, reverse=True)
            )
    yield from ("libcupti.so.13", "libcupti.so.12", "libcupti.so")
    yield from map(str, sorted(Path("/usr/local").glob("cuda*/**/libcupti.so.1?"), reverse=True))
