"""Work of a known size for the current device, a copy and a matrix product, through CuPy or PyTorch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from importlib import import_module
from typing import Any, Protocol

import numpy as np

from gpuprof.record.clocks import Clock
from gpuprof.record.cuda import CupyClock, TorchClock


class Gpu(Protocol):
    """A library's way to the current device."""

    clock: Clock
    name: str
    """Of the device, with its number of SMs: a MIG slice has fewer."""
    l2: int
    """Size of the L2 cache, bytes; 0 where the library does not tell."""

    def free(self) -> int:
        """Bytes of device memory that nobody holds."""

    def working(self, dtype: str) -> AbstractContextManager[None]:
        """Inside, float32 is multiplied in TF32 for "tf32" alone; at the end memory taken inside is given back."""

    def copy(self, size: int) -> Callable[[], object]:
        """A function that copies `size` bytes (a multiple of 8) on the device."""

    def product(self, side: int, dtype: str) -> Callable[[], object]:
        """A function that multiplies two matrices of this side and type."""


def current_gpu() -> Gpu | None:
    """The current device through CuPy, or through PyTorch where that is in use; None without a GPU."""
    with suppress(ImportError):
        cupy = import_module("cupy")
        if cupy.cuda.is_available():
            return CupyGpu(cupy)
    return _torch_gpu()


def gpu_for(dtype: str, gpu: Gpu) -> Gpu | None:
    """What can multiply this type: `gpu` itself, for bfloat16 PyTorch; None where that is not in use."""
    return gpu if dtype != "bfloat16" or isinstance(gpu, TorchGpu) else _torch_gpu()


def does_tf32(library: str) -> bool:
    """Whether this library, "cupy" or "torch", is set to multiply float32 in TF32."""
    module: Any = sys.modules.get(library)
    if module is None or library not in ("cupy", "torch"):
        return False
    if library == "cupy":
        return bool(module._core.get_compute_type(np.float32) == module._core._routines_linalg.COMPUTE_TYPE_TF32)
    name, on, _ = _torch_switch(module)
    return bool(getattr(module.backends.cuda.matmul, name) == on)


class CupyGpu:
    """Through CuPy, in a memory pool of its own."""

    def __init__(self, cupy: Any) -> None:
        self._cupy = cupy
        self._runtime = cupy.cuda.runtime
        properties = self._runtime.getDeviceProperties(self._runtime.getDevice())
        self.name = f"{properties['name'].decode()}, {properties['multiProcessorCount']} SMs"
        self.l2 = int(properties["l2CacheSize"])
        self.clock: Clock = CupyClock()

    def free(self) -> int:
        """Bytes of device memory that nobody holds."""
        return int(self._runtime.memGetInfo()[0])

    @contextmanager
    def working(self, dtype: str) -> Iterator[None]:
        """Inside, float32 is multiplied in TF32 for "tf32" alone; at the end the pool is emptied."""
        pool = self._cupy.cuda.MemoryPool()
        core = self._cupy._core  # CuPy has no public switch: CUPY_TF32 is read once
        types = core._routines_linalg
        before = core.get_compute_type(np.float32)
        core.set_compute_type(np.float32, types.COMPUTE_TYPE_TF32 if dtype == "tf32" else types.COMPUTE_TYPE_DEFAULT)
        try:
            with self._cupy.cuda.using_allocator(pool.malloc):
                yield
        finally:
            core.set_compute_type(np.float32, before)
            self.clock.wait()
            pool.free_all_blocks()

    def copy(self, size: int) -> Callable[[], object]:
        """A function that copies `size` bytes on the device."""
        source, target = (self._cupy.arange(size // 8, dtype=np.int64) for _ in range(2))
        return lambda: target.data.copy_from_device_async(source.data, size)

    def product(self, side: int, dtype: str) -> Callable[[], object]:
        """A function that multiplies two matrices of this side and type."""
        # numbers that look random, for zeros draw less power; not from cupy.random, whose state is the user's
        mixed = self._cupy.arange(side * side, dtype=np.uint32) * np.uint32(2654435761) >> np.uint32(8)
        a = (mixed.astype(np.float32) / 2**24 - 0.5).astype(_stored(dtype)).reshape(side, side)
        b = a.T.copy()
        return lambda: a @ b


class TorchGpu:
    """Through PyTorch, whose cache of memory is emptied afterwards."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        properties = torch.cuda.get_device_properties(torch.cuda.current_device())
        self.name = f"{properties.name}, {properties.multi_processor_count} SMs"
        self.l2 = int(getattr(properties, "L2_cache_size", 0))
        self.clock: Clock = TorchClock()

    def free(self) -> int:
        """Bytes of device memory that nobody holds."""
        return int(self._torch.cuda.mem_get_info()[0])

    @contextmanager
    def working(self, dtype: str) -> Iterator[None]:
        """Inside, float32 is multiplied in TF32 for "tf32" alone; at the end unused memory is given back."""
        settings = self._torch.backends.cuda.matmul
        name, on, off = _torch_switch(self._torch)
        before = getattr(settings, name)
        setattr(settings, name, on if dtype == "tf32" else off)
        try:
            with self._torch.no_grad():
                yield
        finally:
            setattr(settings, name, before)
            self.clock.wait()
            self._torch.cuda.empty_cache()

    def copy(self, size: int) -> Callable[[], object]:
        """A function that copies `size` bytes on the device."""
        source, target = (self._torch.arange(size // 8, device="cuda") for _ in range(2))
        return lambda: target.copy_(source)

    def product(self, side: int, dtype: str) -> Callable[[], object]:
        """A function that multiplies two matrices of this side and type."""
        random = self._torch.Generator(device="cuda").manual_seed(0)
        a, b = (self._torch.rand(side, side, generator=random, device="cuda") - 0.5 for _ in range(2))
        a, b = (matrix.to(getattr(self._torch, _stored(dtype))) for matrix in (a, b))
        return lambda: a @ b


def _torch_gpu() -> Gpu | None:
    torch: Any = sys.modules.get("torch")
    return TorchGpu(torch) if torch is not None and torch.cuda.is_available() else None


def _torch_switch(torch: Any) -> tuple[str, object, object]:
    """What PyTorch's setting for TF32 is called, on and off; allow_tf32 raises where the newer name has been used."""
    if hasattr(torch.backends.cuda.matmul, "fp32_precision"):  # 2.9
        return "fp32_precision", "tf32", "ieee"
    return "allow_tf32", True, False


def _stored(dtype: str) -> str:
    """The type that elements have in memory."""
    return "float32" if dtype == "tf32" else dtype
