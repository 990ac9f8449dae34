"""The gate: a one-thread kernel that holds a stream while work is queued behind it, then lets it run without gaps.

It opens when the host says so, or by itself once its limit has passed on the device: it cannot hang.
"""

from __future__ import annotations

import itertools
import os
import threading
from ctypes import addressof, c_uint, c_uint64, sizeof
from pathlib import Path
from types import TracebackType

from gpuprof.record import driver

_tickets = itertools.count(1)
_held = threading.Lock()
CAPTURING = "the stream is being captured into a graph"
_TOOLS = ("libcuda-injection", "libToolsInjection", "libsanitizer-collection", "libnsys", "libcudadebugger")
_INJECTED = ("CUDA_INJECTION64_PATH", "NSYS_PROFILING_SESSION_ID", "NV_COMPUTE_SANITIZER_INJECTION_PATH")


class CaptureError(RuntimeError):
    """The stream is being captured: nothing queued on it now would run."""


class GateTakenError(RuntimeError):
    """Another thread of this process holds the gate, and there is one a process."""


class Gate:
    """`with Gate(stream, limit):` holds the stream of the current context until `release()`, or `limit` seconds."""

    held = False
    """Whether a gate of this process holds a stream now."""

    def __init__(self, stream: int, limit: float) -> None:
        self._stream = stream
        self._limit_ns = round(limit * 1e9)
        self._words = driver.host_words(2, driver.context())
        self._ticket = 0

    def __enter__(self) -> Gate:
        if not _held.acquire(timeout=1.0):  # a hold ends within its limit, 250 ms at most
            raise GateTakenError("another thread of this process holds the gate")
        try:
            self._ticket = next(_tickets)
            flag, expired = (c_uint64(addressof(self._words) + i * sizeof(driver.Word)) for i in range(2))
            driver.launch("gpuprof_gate", self._stream, flag, expired, c_uint(self._ticket), c_uint64(self._limit_ns))
        except BaseException:
            _held.release()
            raise
        Gate.held = True
        return self

    def release(self) -> None:
        """Let the stream run."""
        self._words[0] = self._ticket

    @property
    def expired(self) -> bool:
        """Whether it opened by itself, so that the work behind it ran while more was being queued."""
        return self._words[1] == self._ticket

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
        Gate.held = False
        _held.release()


def forbidden(stream: int) -> str:
    """Why work on `stream` must not be held by a gate; "" where it may."""
    if os.environ.get("CUDA_LAUNCH_BLOCKING", "0") not in ("", "0"):
        return "CUDA_LAUNCH_BLOCKING is set: every launch waits"
    if tool := injected_tool():
        return f"{tool} is attached to this process"
    if driver.capturing(stream):
        return CAPTURING
    return ""


def injected_tool() -> str:
    """What profiles or debugs this process from inside (nsys, ncu, compute-sanitizer); "" for nothing."""
    for name in _INJECTED:
        if os.environ.get(name):
            return f"a CUDA tool ({name})"
    try:
        maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return next((f"a CUDA tool ({name})" for name in _TOOLS if name in maps), "")
