"""The CUDA driver, for the few things gpuprof launches itself: no CuPy, no PyTorch, no compiler is needed for them."""

from __future__ import annotations

import ctypes
import functools
from ctypes import Array, byref, c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p
from pathlib import Path
from typing import Any, ClassVar

Word = c_uint  # what `host_words` hands out

_PORTABLE_MAPPED = 0x1 | 0x2  # CU_MEMHOSTALLOC_PORTABLE | _DEVICEMAP


@functools.cache
def library() -> ctypes.CDLL | None:
    """libcuda, initialised; None where there is no driver."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    return cuda if cuda.cuInit(0) == 0 else None


def call(name: str, *arguments: Any) -> None:
    """Call a function of the driver. Raises RuntimeError with the driver's own words where it fails."""
    cuda = library()
    if cuda is None:
        raise RuntimeError("no CUDA driver (libcuda.so.1) was found")
    status = getattr(cuda, name)(*arguments)
    if status:
        text = c_char_p()
        cuda.cuGetErrorString(status, byref(text))
        raise RuntimeError(f"{name}: {(text.value or b'unknown error').decode()} ({status})")


def context() -> int:
    """The address of the calling thread's current CUDA context; 0 for none."""
    current = c_void_p()
    call("cuCtxGetCurrent", byref(current))
    return current.value or 0


def enter(device: int) -> None:
    """Make the device's context, the one that CuPy and PyTorch share, this thread's, where it has none yet."""
    if context():
        return
    ordinal, primary = c_int(), c_void_p()
    call("cuDeviceGet", byref(ordinal), c_int(device))
    call("cuDevicePrimaryCtxRetain", byref(primary), ordinal)  # kept for the process's life, as the libraries do
    call("cuCtxSetCurrent", primary)


@functools.cache
def host_words(count: int, _context: int) -> Array[Word]:
    """`count` 32-bit words of host memory that kernels may read and write at the same address; kept for good."""
    address = c_void_p()
    call("cuMemHostAlloc", byref(address), c_size_t(4 * count), c_uint(_PORTABLE_MAPPED))
    words = (Word * count).from_address(address.value or 0)
    ctypes.memset(words, 0, 4 * count)
    return words


def launch(kernel: str, stream: int, *arguments: Any, blocks: int = 1, threads: int = 1) -> None:
    """Queue one of the kernels of gate.cu on a stream of the current context; arguments are ctypes values."""
    pointers = (c_void_p * len(arguments))(*(ctypes.cast(ctypes.pointer(value), c_void_p) for value in arguments))
    grid, block = (c_uint(blocks), c_uint(1), c_uint(1)), (c_uint(threads), c_uint(1), c_uint(1))
    call("cuLaunchKernel", _function(kernel, context()), *grid, *block, c_uint(0), c_void_p(stream), pointers, None)


@functools.cache
def _function(kernel: str, _context: int) -> c_void_p:
    function = c_void_p()
    call("cuModuleGetFunction", byref(function), _module(_context), kernel.encode())
    # loaded now, also where CUDA loads lazily: a load while the gate holds would wait for it
    call("cuFuncGetAttribute", byref(c_int()), c_int(4), function)  # CU_FUNC_ATTRIBUTE_NUM_REGS
    return function


@functools.cache
def _module(_context: int) -> c_void_p:
    module = c_void_p()
    code = Path(__file__).with_name("gate.ptx").read_bytes() + b"\0"
    call("cuModuleLoadData", byref(module), c_char_p(code))
    return module


def fill(address: int, count: int, stream: int) -> None:
    """Queue the zeroing of `count` 32-bit words of device memory."""
    call("cuMemsetD32Async", c_uint64(address), c_uint(0), c_size_t(count), c_void_p(stream))


class Fills:
    """Fills of four bytes with a value, each context's on a stream of its own that nothing else waits for."""

    _lanes: ClassVar[dict[int, tuple[c_void_p, c_uint64]]] = {}
    """Stream and address by context; kept for the process's life."""

    def __init__(self) -> None:
        cuda = library()
        if cuda is None:
            raise RuntimeError("no CUDA driver (libcuda.so.1) was found")
        self._fill = cuda.cuMemsetD32Async
        self._current = cuda.cuCtxGetCurrent
        self._one = c_size_t(1)

    def fill(self, value: int) -> None:
        """Queue a fill with `value`, 32 bits, in the calling thread's context; without a context, nothing."""
        context = c_void_p()
        self._current(byref(context))
        if context.value:
            stream, word = self._lanes.get(context.value) or self._lane(context.value)
            self._fill(word, c_uint(value), self._one, stream)

    def _lane(self, context: int) -> tuple[c_void_p, c_uint64]:
        stream = c_void_p()
        call("cuStreamCreate", byref(stream), c_uint(1))  # CU_STREAM_NON_BLOCKING
        return self._lanes.setdefault(context, (stream, c_uint64(allocate(4))))


def capturing(stream: int) -> bool:
    """Whether work queued on `stream` now would be captured into a graph instead of being done."""
    status = c_int()
    call("cuStreamIsCapturing", c_void_p(stream), byref(status))
    return status.value != 0


def l2_bytes() -> int:
    """The size of the current device's L2 cache."""
    device, size = c_int(), c_int()
    call("cuCtxGetDevice", byref(device))
    call("cuDeviceGetAttribute", byref(size), c_int(38), device)  # CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE
    return size.value


def allocate(size: int) -> int:
    """The address of `size` bytes of device memory, outside every pool. Raises RuntimeError where there is no room."""
    address = c_uint64()
    call("cuMemAlloc_v2", byref(address), c_size_t(size))
    return address.value


def free(address: int) -> None:
    """Give back what `allocate` gave; waits for the device."""
    call("cuMemFree_v2", c_uint64(address))
