"""What a kernel's name says: whether it indexes, reduces, or computes in double precision; its function alone."""

from __future__ import annotations

import re

INDEXING = re.compile(
    r"scatter|gather|getitem|setitem|index_?(put|elementwise|select|func|copy|add|fill)|indexing|cupy_(take|put|choose)",
    re.IGNORECASE,
)  # CuPy's _routines_indexing.pyx (cupy_scatter_update, cupy_take, cupy_getitem_mask, …) and PyTorch's IndexKernel.cu
REDUCING = re.compile(r"sum|mean|max|min|prod|norm|reduc|scan|sort", re.IGNORECASE)
_DOUBLE = re.compile(
    r"float64|complex128|(?<![a-z])f64|(?<![a-z])[dz]\d*(gem[mv]|syrk|trsm|dot|axpy)|(?<![a-z])double(?!_?buf|[a-z])",
    re.IGNORECASE,
)  # cupy_add__float64_…, volta_dgemm, …_d884gemm, xmma_gemm_f64f64; not double_buffer, nor "float", a Python scalar
_TOKEN = re.compile(r"[STA][0-9A-Z]*_|L[a-z]n?\d+E|(\d+)|.")
_DOUBLE_TYPE = re.compile(r"I[a-z]*d|PK?d")  # of a mangled name without its identifiers: f<…, double>, double*


def is_double(kernel: str) -> bool:
    """Whether its name says that it computes in double precision."""
    name, types = _parts(kernel)
    return bool(_DOUBLE.search(name) or _DOUBLE_TYPE.search(types))


def function(kernel: str) -> str:
    """Its name; of a mangled one of C++ that of the function alone."""
    return _parts(kernel)[0]


def _parts(kernel: str) -> tuple[str, str]:
    """A kernel's name, and of a mangled one of C++ what is left without identifiers and numbers: its types' letters."""
    if not kernel.startswith("_Z"):
        return kernel, ""
    name, types, at = kernel, "", 2
    while at < len(kernel):
        token = _TOKEN.match(kernel, at)
        if token is None:
            break
        at = token.end()
        if token[1]:
            at += int(token[1])
            name = kernel[token.end() : at] if types in ("", "N") else name
        elif len(token[0]) == 1:
            types += token[0]
    return name, types
