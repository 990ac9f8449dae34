"""A stand-in for CuPy where there is no GPU: NumPy underneath, and as strict as CuPy about mixing the two.

Its arrays meet no array of NumPy's, turn into none by themselves, and a sum of them is one of them. So code that takes
an array for granted to be NumPy's fails here as on a GPU. It has what cnn and its tests call, and nothing of a device:
kernels of one's own, speed, waiting, rounding and random numbers are the real one's. All of cnn's tests for a GPU but
those of waiting:

    PYTHONPATH=tests/cnn/standin python -m pytest tests/cnn -k "cupy and not wait"
"""

from __future__ import annotations

import types
from typing import Any

import numpy as np

__version__ = "0, a stand-in"

FUNCTIONS = (  # that CuPy has, too
    "abs arange broadcast_to clip concatenate empty exp expm1 eye full hypot isfinite isnan linspace log log1p maximum "
    "minimum moveaxis ones ones_like shape sign sqrt square stack tanh where zeros zeros_like"
)
METHODS = "all any argmax copy item max mean min ravel reshape sum swapaxes take tolist transpose"
SCALARS = (int, float, complex, bool, np.generic)


class ndarray(np.lib.mixins.NDArrayOperatorsMixin):
    """An array `inside`, that only functions of this module see."""

    __hash__ = None

    def __init__(self, inside: np.ndarray) -> None:
        self.inside = inside

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **keywords: Any) -> Any:
        if method != "__call__" or not all(isinstance(each, (ndarray, *SCALARS)) for each in inputs):
            return NotImplemented
        return _called(ufunc, *inputs, **keywords)

    def __array_function__(self, func: Any, _types: Any, args: Any, keywords: Any) -> Any:
        if func.__name__ not in FUNCTIONS.split():
            raise TypeError(f"numpy.{func.__name__} of an array on the GPU")
        return _called(func, *args, **keywords)

    def __array__(self, *args: Any, **keywords: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def __getattr__(self, name: str) -> Any:
        if name in ("dtype", "flags", "nbytes", "ndim", "shape", "size", "strides"):
            return getattr(self.inside, name)
        if name not in METHODS.split():
            raise AttributeError(f"an array on the GPU has no {name}, as far as this stand-in goes")
        return lambda *args, **keywords: _called(getattr(self.inside, name), *args, **keywords)

    def __getitem__(self, key: Any) -> Any:
        return _outside(self.inside[_inside(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        self.inside[_inside(key)] = _inside(value)

    def __len__(self) -> int:
        return len(self.inside)

    def __bool__(self) -> bool:
        return bool(self.inside)

    def __float__(self) -> float:
        return float(self.inside)

    def __int__(self) -> int:
        return int(self.inside)

    def __index__(self) -> int:
        return self.inside.__index__()

    def __repr__(self) -> str:
        return repr(self.inside)

    def __format__(self, spec: str) -> str:
        return format(self.inside, spec)

    def __deepcopy__(self, memo: Any) -> ndarray:
        return self.copy()

    def __reduce__(self) -> Any:
        return ndarray, (self.inside,)

    @property
    def T(self) -> ndarray:
        return ndarray(self.inside.T)

    def astype(self, dtype: Any, copy: bool = True) -> ndarray:
        return self if not copy and self.dtype == dtype else ndarray(self.inside.astype(dtype))

    def get(self, out: Any = None, blocking: bool = True) -> np.ndarray:
        if out is None:
            return self.inside.copy()
        out[...] = self.inside
        return out


def _inside(value: Any) -> Any:
    """What NumPy is handed for `value`; TypeError for NumPy's own arrays, which no GPU can read."""
    if isinstance(value, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    if isinstance(value, (tuple, list)):
        return type(value)(_inside(each) for each in value)
    return value.inside if isinstance(value, ndarray) else value


def _outside(value: Any) -> Any:
    if isinstance(value, tuple):  # of divmod
        return tuple(map(_outside, value))
    return ndarray(np.asarray(value)) if isinstance(value, (np.ndarray, np.generic)) else value


def _called(func: Any, *args: Any, out: Any = None, **keywords: Any) -> Any:
    if isinstance(func, np.ufunc) and set(keywords) - {"dtype", "casting"}:
        raise TypeError(f"Wrong arguments {keywords}")
    target = out[0] if isinstance(out, tuple) else out
    more = {} if target is None else {"out": _inside(target)}
    result = func(*_inside(args), **keywords, **more)
    return _outside(result) if target is None else target


def asarray(x: Any, dtype: Any = None, order: Any = None) -> ndarray:
    """`x`, of either module, on the GPU; itself if it is that."""
    if isinstance(x, ndarray):
        return x if dtype is None or x.dtype == dtype else x.astype(dtype)
    return ndarray(np.array(_inside(x) if isinstance(x, (list, tuple)) else x, dtype=dtype, order=order or "K"))


def array(x: Any, dtype: Any = None, order: Any = None) -> ndarray:
    """A copy of `x` on the GPU."""
    return ndarray(np.array(x.inside if isinstance(x, ndarray) else x, dtype=dtype, order=order or "K"))


def __getattr__(name: str) -> Any:
    if name in FUNCTIONS.split():
        return lambda *args, **keywords: _called(getattr(np, name), *args, **keywords)
    if name in ("float16", "float32", "float64", "int64", "uint8", "newaxis", "inf", "nan", "pi"):
        return getattr(np, name)
    raise AttributeError(f"cupy has no {name}, as far as this stand-in goes")


class Generator:
    """Of random numbers, NumPy's."""

    def __init__(self, seed: int) -> None:
        self.numbers = np.random.default_rng(seed)

    def random(self, size: Any = None, dtype: Any = "float64") -> ndarray:
        return ndarray(np.asarray(self.numbers.random(size, dtype)))


class ElementwiseKernel:
    """A kernel whose body is Python, too."""

    def __init__(self, given: str, changed: str, body: str, name: str) -> None:
        self.names = [each.split()[-1] for each in f"{given}, {changed}".split(", ")]
        self.body = compile(body, name, "exec")

    def __call__(self, *args: Any) -> None:
        arrays = {name: _inside(arg) for name, arg in zip(self.names, args, strict=True)}
        exec(self.body, {"sqrt": np.sqrt}, arrays)


class Event:
    """One that is done as soon as it is there."""

    done = True

    def __init__(self, disable_timing: bool = False) -> None: ...

    def record(self) -> None: ...

    def synchronize(self) -> None: ...


def as_strided(x: ndarray, shape: Any, strides: Any) -> ndarray:
    """A view of `x`, as of `lib.stride_tricks`."""
    return _called(np.lib.stride_tricks.as_strided, x, shape, strides)


lib = types.SimpleNamespace(stride_tricks=types.SimpleNamespace(as_strided=as_strided))
random = types.SimpleNamespace(default_rng=Generator)
cuda = types.SimpleNamespace(is_available=lambda: True, Event=Event)
