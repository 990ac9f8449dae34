"""Where an array lives: apart from CUDA kernels, the only file that knows CuPy exists."""

from __future__ import annotations

import sys
from contextlib import suppress
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


def is_array(x: object) -> bool:
    """Whether `x` is an array of NumPy's or CuPy's."""
    return isinstance(x, np.ndarray) or get_array_module(x) is not np


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


def found(x: Any) -> Array:
    """`x` as an array where it is: on the GPU what lies there, as NumPy's array all else."""
    if get_array_module(x) is np and hasattr(x, "__cuda_array_interface__"):  # another library's array
        return _cupy().asarray(x)
    return x if get_array_module(x) is not np else np.asarray(x)


def put(x: Array, mode: str, dtype: Any = None) -> Array:
    """`x` as an array of `dtype` (its own, if None) where `mode` says; `x` itself if it is that."""
    return array_module(mode).asarray(to_cpu(x) if mode == "cpu" else x, dtype=dtype)


def float_dtype(dtype: Any) -> np.dtype[Any]:
    """The NumPy dtype of "float32" or "float64"; ValueError for another one."""
    if isinstance(dtype, (str, type, np.dtype)):  # of other things np.dtype makes what nobody meant: None is float64
        for known in (np.dtype("float32"), np.dtype("float64")):
            with suppress(TypeError, ValueError):  # NumPy's, for what it has never heard of
                if np.dtype(dtype) == known:
                    return known
    raise ValueError(f"dtype is {dtype!r}; expected 'float32' or 'float64'")


def gpu_normal_cdf(x: Array) -> Array:
    """The normal distribution function of an array on the GPU, in one kernel; float16 is not among its types."""
    from cupyx.scipy.special import ndtr

    return ndtr(x)


class Later:
    """A scalar that is still being computed: asked for now, read when it is there, waited for by nobody.

    On the GPU its copy to the host is queued behind its computation, with an event behind the copy.
    """

    def __init__(self, scalar: Array) -> None:
        self.scalar = scalar
        self.event: Any = None
        if get_array_module(scalar) is not np:
            self.event, self.scalar = _cupy_copy(scalar)

    def ready(self) -> bool:
        """Whether `value` can be read; always so on the CPU. Does not wait."""
        return self.event is None or bool(self.event.done)

    def value(self) -> float:
        """The number; it counts for something once it is `ready`."""
        return float(self.scalar)


def _cupy_copy(scalar: Array) -> tuple[Any, Array]:
    """An event, and the page-locked array that holds a copy of `scalar` once the event is done."""
    import cupy
    import cupyx

    copy = cupyx.empty_pinned(scalar.shape, scalar.dtype)  # from other memory a copy would wait
    scalar.get(out=copy, blocking=False)
    event = cupy.cuda.Event(disable_timing=True)
    event.record()
    return event, copy


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
