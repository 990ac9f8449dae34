"""Fixtures that every test may use: the array module under test and the clean-up checks."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from types import ModuleType

# One thread for the products of small matrices, here and in what tests start: several wait for each other, on a busy
# machine so long that the tests of cnn take five times as long. Before NumPy, which reads this once.
for _pool in ("OPENBLAS", "OMP", "MKL"):
    os.environ.setdefault(f"{_pool}_NUM_THREADS", "1")

import matplotlib as mpl  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

mpl.use("Agg")


def _cupy() -> ModuleType | None:
    """CuPy where a GPU can be used; with GPUPROF_TEST_GPU=1 its absence is an error, not a skip."""
    wanted = os.environ.get("GPUPROF_TEST_GPU") == "1"
    try:
        import cupy
    except ImportError:
        if wanted:
            raise
        return None
    if cupy.cuda.is_available():
        return cupy
    if wanted:
        raise RuntimeError("GPUPROF_TEST_GPU=1, but CuPy finds no CUDA device")
    return None


CUPY = _cupy()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out, with the reason, what needs a GPU on a machine without one."""
    for item in items:
        if "gpu" in item.keywords and CUPY is None:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device: make gpu-test"))


@pytest.fixture(params=["numpy", pytest.param("cupy", marks=pytest.mark.gpu)])
def xp(request: pytest.FixtureRequest) -> ModuleType:
    """The array module: NumPy, and CuPy where there is a GPU; one suite for both."""
    return np if request.param == "numpy" else CUPY


@pytest.fixture
def mode(xp: ModuleType) -> str:
    """LayerManager's word for where `xp` lives."""
    return "cpu" if xp is np else "gpu"


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    """After every test no profile is being taken and no figure is open."""
    yield
    profiling = sys.modules.get("gpuprof.profiling")
    assert profiling is None or profiling._open == []
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close("all")
