"""`launch_early`: a kernel that may begin while the one before it ends, where driver and device can do that."""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import numpy as np

from cnn.kernels.launching import Launch

_ALLOWED = 6  # CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION
_SCALARS: dict[str, Any] = {"int32": ctypes.c_int32, "uint32": ctypes.c_uint32, "float32": ctypes.c_float}


class _Attribute(ctypes.Structure):
    """CUlaunchAttribute: what is asked for, and 64 bytes of how."""

    _fields_ = (("id", ctypes.c_int), ("unused", ctypes.c_int), ("value", ctypes.c_int * 16))


class _Config(ctypes.Structure):
    """CUlaunchConfig."""

    _fields_ = (
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared", ctypes.c_uint),
        ("stream", ctypes.c_void_p),
        ("attributes", ctypes.POINTER(_Attribute)),
        ("count", ctypes.c_uint),
    )


@functools.cache
def early_driver() -> Any:
    """The CUDA driver's `cuLaunchKernelEx`, or None where there is none."""
    for name in ("libcuda.so.1", "nvcuda.dll"):
        try:
            return ctypes.CDLL(name).cuLaunchKernelEx
        except (OSError, AttributeError):
            continue
    return None


def launch_early(function: int, launch: Launch, stream: int) -> None:
    """Launch a kernel that calls `follow` (common.cu), given by the driver's handles of itself and of the stream.

    Raises:
        RuntimeError: the driver refuses, with its number.
    """
    allowed = _Attribute(_ALLOWED, 0, (ctypes.c_int * 16)(1))
    one = ctypes.c_uint * 3
    grid, block = one(launch.grid, 1, 1), one(launch.block, 1, 1)
    config = _Config(grid, block, launch.shared, stream, ctypes.pointer(allowed), 1)
    holders = [_holder(arg) for arg in launch.args]
    given = (ctypes.c_void_p * len(holders))(*(ctypes.addressof(each) for each in holders))
    status = early_driver()(ctypes.byref(config), ctypes.c_void_p(function), given, None)
    if status:
        raise RuntimeError(f"the CUDA driver does not launch {launch.kernel}: cuLaunchKernelEx gave {status}")


def _holder(arg: Any) -> Any:
    """What lies in memory as the kernel reads this argument: an array's address, or a scalar of NumPy's."""
    if isinstance(arg, np.generic):
        return _SCALARS[arg.dtype.name](arg.item())
    return ctypes.c_void_p(arg.data.ptr)
