"""Where an array lives: apart from CUDA kernels, the only file that knows CuPy exists."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

# numpy.ndarray or cupy.ndarray: the two share no type that a checker could hold us to.
Array: TypeAlias = Any
Shape: TypeAlias = tuple[int, ...]
Seed: TypeAlias = int | np.random.Generator | None

INSTALL = 'pip install "ipython-gpuprof[cuda12]" (driver 525 or newer) or "ipython-gpuprof[cuda13]" (driver 580)'


def get_array_module(x: Array) -> ModuleType:
    """The module that `x` belongs to: CuPy for an array on the GPU, NumPy for everything else."""
    cupy = sys.modules.get("cupy")  # nothing can be CuPy's array before somebody has imported CuPy
    if cupy is not None and isinstance(x, cupy.ndarray):
        return cupy
    return np


def array_module(mode: str) -> ModuleType:
    """NumPy for "cpu", CuPy for "gpu".

    Raises:
        ValueError: another word.
        RuntimeError: "gpu" on a machine where CuPy or the GPU is missing; the text says which.
    """
    if mode == "cpu":
        return np
    if mode == "gpu":
        return _cupy()
    raise ValueError(f"mode is {mode!r}; expected 'cpu' (NumPy) or 'gpu' (CuPy)")


def to_gpu(x: Array) -> Array:
    """`x` on the current GPU, as it is if it is there already; RuntimeError where there is none."""
    return _cupy().asarray(x)


def to_cpu(x: Array) -> Array:
    """`x` as a NumPy array; from the GPU this waits until `x` has been computed."""
    return np.asarray(x) if get_array_module(x) is np else x.get()


def float_dtype(dtype: Any) -> np.dtype[Any]:
    """The NumPy dtype of "float32" or "float64"; ValueError for another one."""
    found: np.dtype[Any] = np.dtype(dtype)
    if found not in (np.dtype("float32"), np.dtype("float64")):
        raise ValueError(f"dtype is {dtype!r}; expected 'float32' or 'float64'")
    return found


def _cupy() -> ModuleType:
    try:
        import cupy
    except ImportError as error:
        raise RuntimeError(
            f"mode='gpu' needs CuPy, and importing it failed ({error}). Install it with {INSTALL}, or use mode='cpu'."
        ) from error
    if not cupy.cuda.is_available():
        raise RuntimeError(
            f"mode='gpu' needs an NVIDIA GPU and its driver: CuPy {cupy.__version__} is installed and finds none. "
            f"See nvidia-smi; the CuPy to have is {INSTALL}; or use mode='cpu'."
        )
    module: ModuleType = cupy
    return module
