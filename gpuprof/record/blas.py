"""cuBLAS's products through CuPy in a stream capture: cuBLAS allows that, and CuPy refuses it beforehand.

CuPy asks before each call of cuBLAS whether the stream is being captured, and raises NotImplementedError if so (its
issue 6290). While `let_through` is entered, the two functions that CuPy's products end in are called in the library
itself, with CuPy's own handle and arguments, on the thread that captures; all else of CuPy and cuBLAS is as ever.
"""

from __future__ import annotations

import ctypes
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ctypes import c_int, c_longlong, c_size_t, c_void_p
from pathlib import Path
from typing import Any

_HANDLE, _INT, _ADDRESS, _STRIDE = c_void_p, c_int, c_void_p, c_longlong
_OPERAND, _STRIDED = (_ADDRESS, _INT, _INT), (_ADDRESS, _INT, _INT, _STRIDE)
_HEAD = (_HANDLE, *(_INT,) * 5, _ADDRESS)  # handle; two transpositions; m, n, k; alpha
_PRODUCTS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "gemmEx": ("cublasGemmEx", (*_HEAD, *_OPERAND, *_OPERAND, _ADDRESS, *_OPERAND, _INT, _INT)),
    "gemmStridedBatchedEx": (
        "cublasGemmStridedBatchedEx",
        (*_HEAD, *_STRIDED, *_STRIDED, _ADDRESS, *_STRIDED, _INT, _INT, _INT),
    ),
}
"""By the name in CuPy: the function of cuBLAS, and the types of its arguments, the last but one the arithmetic's."""
_ARITHMETIC = {0: 68, 4: 68, 1: 70, 5: 70, 2: 64}
"""cublasComputeType_t of a cudaDataType, which older callers give: 32F, C_32F, 64F, C_64F, 16F."""
_SMALL, _LARGE = 4 << 20, 32 << 20


@contextmanager
def let_through(
    module: Any, library: Any, stream: int, workspace: tuple[int, int], count: Callable[[], object]
) -> Iterator[None]:
    """Inside, products through CuPy on this thread are queued on `stream`, also while that is being captured.

    `module` is CuPy's of cuBLAS, `library` what `loaded` gave; without either nothing changes. `workspace` is an
    address on the device and its size, for cuBLAS would put allocations of its own into the graph. `count` is told of
    each product.
    """
    known = {name: getattr(module, name, None) for name in _PRODUCTS}
    if library is None or not all(callable(each) for each in known.values()):
        yield
        return
    handles: set[int] = set()
    thread = threading.get_ident()

    def direct(name: str) -> Callable[..., None]:
        own, (symbol, types) = known[name], _PRODUCTS[name]
        function = getattr(library, symbol)

        def product(*arguments: Any) -> None:
            if threading.get_ident() != thread:
                own(*arguments)  # type: ignore[misc] # a function: asked above
                return
            handle, *rest, arithmetic, algorithm = arguments
            handles.add(handle)
            _check("cublasSetStream", library.cublasSetStream_v2(c_void_p(handle), c_void_p(stream)))
            place, size = workspace
            _check(
                "cublasSetWorkspace",
                library.cublasSetWorkspace_v2(c_void_p(handle), c_void_p(place), c_size_t(size)),
            )
            given = (handle, *rest, _ARITHMETIC.get(arithmetic, arithmetic), algorithm)
            _check(symbol, function(*(kind(value) for kind, value in zip(types, given, strict=True))))
            count()

        return product

    for name in known:
        setattr(module, name, direct(name))
    try:
        yield
    finally:
        for name, own in known.items():
            setattr(module, name, own)
        for handle in handles:  # CuPy sets the stream before each call, and with it cuBLAS's own workspace comes back
            with suppress(Exception):
                library.cublasSetStream_v2(c_void_p(handle), c_void_p(0))


def loaded() -> Any:
    """The cuBLAS that this process has loaded; None where that is none, or several: which is CuPy's is not known."""
    try:
        maps = Path("/proc/self/maps").read_text(encoding="utf-8")
        files = sorted(set(re.findall(r"/\S*libcublas\.so\.\d\S*", maps)))
        return ctypes.CDLL(files[0]) if len(files) == 1 else None
    except OSError:
        return None


def workspace_size(capability: str) -> int:
    """What cuBLAS takes for itself on a device of this compute capability ("90"), by its documentation."""
    return _LARGE if capability.isdecimal() and int(capability) >= 90 else _SMALL


def _check(symbol: str, status: int) -> None:
    if status:
        raise RuntimeError(f"{symbol}: cuBLAS status {status}")
