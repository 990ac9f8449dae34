"""`Gpu`: kernels compiled by NVRTC through CuPy, and recorded into CUDA graphs."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any

from cnn.kernels.early import early_driver, launch_early
from cnn.kernels.launching import Launch, Runner, kernel_names
from cnn.xp import array_module

_STATIC = 48 * 1024  # bytes of shared memory that a block has without being allowed more
_EARLY_DRIVER = 12030  # of CUDA 12.3: from there on early launches may be captured


class Gpu:
    """The current device of CuPy; RuntimeError where there is none."""

    def __init__(self) -> None:
        self.xp: ModuleType = array_module("gpu")
        self._cuda: Any = self.xp.cuda
        device = self._cuda.Device()
        self.shared_limit = int(device.attributes["MaxSharedMemoryPerBlockOptin"])
        self.multiprocessors = int(device.attributes["MultiProcessorCount"])
        self._device = int(device.id)
        driver = int(self._cuda.runtime.driverGetVersion())
        new = int(device.compute_capability) >= 90 and driver >= _EARLY_DRIVER
        self._early = new and early_driver() is not None
        self._stream: Any = None
        self._behind: deque[Any] = deque()

    def compiled(self, text: str) -> Runner:
        """What launches the kernels of `text`; compiled once a process, and kept on disk by CuPy."""
        kernels = _kernels(self._device, text)

        def run(launch: Launch) -> None:
            kernel = kernels[launch.kernel]
            if launch.shared > _STATIC and kernel.max_dynamic_shared_size_bytes < launch.shared:
                kernel.max_dynamic_shared_size_bytes = launch.shared
            if launch.early and self._early:
                launch_early(kernel.kernel.ptr, launch, self._cuda.get_current_stream().ptr)
                return
            kernel((launch.grid,), (launch.block,), launch.args, shared_mem=launch.shared)

        return run

    def recorded(self, work: Callable[[], None]) -> Callable[[], None]:
        """The launches of `work` as one CUDA graph; inside `working` only. Without early ones, if those are refused."""
        try:
            graph = self._graph(work)
        except RuntimeError:
            if not self._early:
                raise
            self._early = False
            graph = self._graph(work)
        return functools.partial(graph.launch, self._stream)

    def _graph(self, work: Callable[[], None]) -> Any:
        stream = self._stream
        stream.begin_capture()
        try:
            work()
        except BaseException:
            with suppress(Exception):  # of a capture that is no more: what ended it is of interest
                stream.end_capture()
            raise
        return stream.end_capture()

    @contextmanager
    def working(self) -> Iterator[None]:
        """A stream of its own, for graphs cannot be captured on the default one; waits before and after."""
        self._cuda.get_current_stream().synchronize()
        if self._stream is None:
            self._stream = self._cuda.Stream(non_blocking=True)
        with self._stream:
            try:
                yield
            finally:
                self._behind.clear()
                self._stream.synchronize()

    def keep_up(self, ahead: int) -> None:
        """Wait until no more than `ahead` of the calls so far still have work to do."""
        event = self._cuda.Event(disable_timing=True)
        event.record(self._stream)
        self._behind.append(event)
        if len(self._behind) > ahead:
            self._behind.popleft().synchronize()


@functools.cache
def _kernels(device: int, text: str) -> dict[str, Any]:  # noqa: ARG001  # a module belongs to a device
    """The kernels of `text` by name, loaded: nothing can be loaded while a stream is captured."""
    module = array_module("gpu").RawModule(code=text, options=("--std=c++17",))
    return {name: module.get_function(name) for name in kernel_names(text)}
