"""Functions of one number that NumPy lacks, or that overflow when written as in a book.

Without `where`: on NumPy it takes several times as long as arithmetic, for it guesses wrong at each sign.
"""

from __future__ import annotations

import functools

import numpy as np

from cnn.xp import Array, get_array_module, gpu_normal_cdf

# (1 + 2a) exp(a²) erfc(a) as a Chebyshev series in (a - 3.75) / (a + 3.75), which holds for all a >= 0: the form of
# Shepherd and Laframboise, "Chebyshev approximation of (1 + 2x) exp(x²) erfc x" (1981). The numbers were computed
# with mpmath at 80 nodes and 50 digits.
_SERIES = (
    *(1.1775789345674018, -4.590054580646477e-3, -8.424913336651792e-2, 5.920993999819189e-2, -2.6658668435305753e-2),
    *(9.074997670705265e-3, -2.413163540417608e-3, 4.907758365258087e-4, -6.916973302501206e-5, 4.139027986073010e-6),
    *(7.740383066198491e-7, -2.188640104923439e-7, 1.076499946567091e-8, 4.521959811218287e-9, -7.754400208831351e-10),
    *(-6.318088340886684e-11, 2.868795010930670e-11, 1.945586854577735e-13, -9.654696748433439e-13),
    *(3.252548148148740e-14, 3.347811948280605e-14, -1.864562880419313e-15, -1.250795053064709e-15),
)
_TERMS = {np.dtype("float32"): 11, np.dtype("float64"): len(_SERIES)}  # what the dtype can hold


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)): nothing overflows, and small values keep their digits."""
    xp = get_array_module(x)
    return xp.exp(xp.minimum(x, 0)) / (1 + xp.exp(-abs(x)))


def softplus(x: Array) -> Array:
    """log(1 + exp(x)), the same in both tails."""
    xp = get_array_module(x)
    return xp.maximum(x, 0) + xp.log1p(xp.exp(-abs(x)))


def normal_cdf(x: Array) -> Array:
    """How likely a standard normal number is below `x`, in its dtype; small values keep their digits."""
    if x.dtype == np.float16:
        return normal_cdf(x.astype("float32")).astype(x.dtype)
    if get_array_module(x) is not np:
        return gpu_normal_cdf(x)
    far = np.minimum(abs(x), 40)  # beyond that it is 0 or 1, and x² might overflow
    a = far * 0.5**0.5
    t = (a - 3.75) / (a + 3.75)
    first, *others = _powers(_TERMS.get(x.dtype, len(_SERIES)))
    series = np.full_like(t, first)
    for factor in others:  # Horner's scheme, in place
        series *= t
        series += factor
    tail = np.exp(-0.5 * far * far) * series / (2 + 4 * a)
    return tail + (x > 0) * (1 - 2 * tail)


def normal_pdf(x: Array) -> Array:
    """The density of the standard normal distribution at `x`."""
    xp = get_array_module(x)
    far = xp.minimum(abs(x), 40)
    return xp.exp(-0.5 * far * far) * (2 * np.pi) ** -0.5


@functools.cache
def _powers(terms: int) -> list[float]:
    """The first `terms` of the series as a polynomial, its highest power first."""
    powers: list[float] = np.polynomial.chebyshev.cheb2poly(_SERIES[:terms])[::-1].tolist()
    return powers
