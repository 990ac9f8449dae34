"""CUPTI calls back where calls of CUDA begin and end: one subscription a process, and one callback kept for good."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from ctypes import CFUNCTYPE, Structure, byref, c_uint32, c_void_p
from types import FrameType
from typing import Any, Protocol

from gpuprof.record import cupti
from gpuprof.record.cupti import NoRecordsError

ENTER, EXIT = 0, 1
"""A call's beginning and its end: `Data.site`."""


class Data(Structure):
    """CUpti_CallbackData."""

    _fields_ = (
        ("site", c_uint32),
        ("name", c_void_p),
        ("parameters", c_void_p),
        ("returned", c_void_p),
        ("symbol", c_void_p),
        ("context", c_void_p),
        ("context_number", c_uint32),
        ("shared", c_void_p),
        ("correlation", c_uint32),
    )


class Watcher(Protocol):
    """What is called back."""

    missed: int
    """Callbacks in which it failed."""

    def see(self, key: int, data: Data, frame: FrameType | None) -> None:
        """A call, `key` as in `apis`, that the code of this frame made; None on a thread without Python code."""


_active: Watcher | None = None


def _called(_user: int | None, domain: int, number: int, address: int | None) -> None:
    """CUPTI's callback. What it raises would be printed and lost."""
    watch = _active
    if watch is None or address is None:  # a call that began before the end
        return
    try:
        watch.see(domain << 16 | number, Data.from_address(address), sys._getframe().f_back)
    except Exception:  # the user's call goes on
        watch.missed += 1


_callback = CFUNCTYPE(None, c_void_p, c_uint32, c_uint32, c_void_p)(_called)  # kept: CUPTI may call late


@contextmanager
def subscribed(watch: Watcher, keys: Iterable[int]) -> Iterator[None]:
    """Have CUPTI call back for these calls; those that its version does not know are left out.

    Raises NoRecordsError where another tool has subscribed, or it knows none of them.
    """
    global _active
    subscriber, library = c_void_p(), cupti.library()
    numbers = [(c_uint32(key >> 16), c_uint32(key & 0xFFFF)) for key in keys]
    cupti.call("cuptiSubscribe", byref(subscriber), _callback, None)
    try:
        _active = watch
        refused = [library.cuptiEnableCallback(c_uint32(1), subscriber, *number) for number in numbers]
        if all(refused):
            raise NoRecordsError(f"cuptiEnableCallback refused every call, at first with status {refused[0]}")
        with _interrupts_kept():
            yield
    finally:
        _active = None
        for number in numbers:
            library.cuptiEnableCallback(c_uint32(0), subscriber, *number)
        library.cuptiUnsubscribe(subscriber)


@contextmanager
def _interrupts_kept() -> Iterator[None]:
    """Ctrl-C while the host waits rises in the callback, the first Python code after, where it would be lost: again."""
    before = sys.unraisablehook

    def told(lost: Any) -> None:
        if lost.exc_type is KeyboardInterrupt and "ctypes callback" in (lost.err_msg or ""):
            _thread.start_new_thread(_interrupt_soon, ())
        else:
            before(lost)

    sys.unraisablehook = told
    try:
        yield
    finally:
        if sys.unraisablehook is told:
            sys.unraisablehook = before


def _interrupt_soon() -> None:
    time.sleep(1e-3)  # the callback has returned by then
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
