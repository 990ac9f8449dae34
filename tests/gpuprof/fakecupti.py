"""A libcupti whose callbacks the tests fire. Its file counts as a library's, see the fixture in test_waits.py."""

import ctypes
from collections.abc import Callable
from typing import Any

from gpuprof.record import apis
from gpuprof.record.callbacks import ENTER, EXIT, Data


class FakeCupti:
    """A libcupti that keeps what it is asked for and calls back when a test says so."""

    def __init__(self) -> None:
        self.called: list[str] = []
        self.enabled: set[int] = set()
        self.unknown: frozenset[int] = frozenset()
        self.status: dict[str, int] = {}
        self.callback: Any = None
        self.correlation = 0

    def __getattr__(self, name: str) -> Callable[..., int]:
        if not name.startswith("cupti"):
            raise AttributeError(name)

        def called(*_: object) -> int:
            self.called.append(name)
            return self.status.get(name, 0)

        return called

    def cuptiSubscribe(self, subscriber: Any, callback: Any, _user: object) -> int:
        self.called.append("cuptiSubscribe")
        subscriber._obj.value = 1
        self.callback = callback
        return self.status.get("cuptiSubscribe", 0)

    def cuptiEnableCallback(self, on: Any, subscriber: Any, domain: Any, number: Any) -> int:
        assert subscriber.value == 1
        key = domain.value << 16 | number.value
        if key in self.unknown:
            return 1
        (self.enabled.add if on.value else self.enabled.discard)(key)
        return 0

    def site(self, site: int, key: int, parameters: Any = None, correlation: int = 0) -> None:
        """One callback, as CUPTI would."""
        address = ctypes.addressof(parameters) if parameters is not None else None
        data = Data(site=site, parameters=address, correlation=correlation or self.correlation)
        self.callback(None, key >> 16, key & 0xFFFF, ctypes.addressof(data))

    def runtime(self, number: int, parameters: Any = None, inside: int = 0) -> None:
        """A call of the runtime, with one of the driver inside where `inside` is one."""
        self.correlation += 1
        self.site(ENTER, apis.RUNTIME | number, parameters)
        if inside:
            self.driver(inside)
        self.site(EXIT, apis.RUNTIME | number, parameters)

    def driver(self, number: int, parameters: Any = None) -> None:
        self.site(ENTER, apis.DRIVER | number, parameters)
        self.site(EXIT, apis.DRIVER | number, parameters)


class Copy(ctypes.Structure):
    """The parameters of cudaMemcpyAsync."""

    _fields_ = (
        ("to", ctypes.c_void_p),
        ("of", ctypes.c_void_p),
        ("count", ctypes.c_size_t),
        ("kind", ctypes.c_int),
        ("stream", ctypes.c_void_p),
    )
