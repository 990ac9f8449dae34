"""Data and models that the tests of cnn share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

from cnn import LayerManager, load_mnist
from cnn.kernels.layerwise import off
from tests.conftest import CUPY


@pytest.fixture(scope="session", autouse=True)
def _no_kernels_on_the_stand_in() -> Iterator[None]:
    """The stand-in for CuPy compiles nothing."""
    with nullcontext() if CUPY is None or hasattr(CUPY, "RawModule") else off():
        yield


@pytest.fixture(scope="session")
def sample() -> Any:
    return load_mnist(sample=True)


@pytest.fixture
def tiny() -> Any:
    """(x_train, x_test), (t_train, t_test): 24 and 12 random images of 1×6×6 in 3 classes."""
    rng = np.random.default_rng(5)
    x = rng.random((36, 1, 6, 6))
    t = np.eye(3)[rng.integers(3, size=36)]
    return (x[:24], x[24:]), (t[:24], t[24:])


@pytest.fixture
def net(tiny: Any, mode: str) -> Callable[..., LayerManager]:
    """Makes the article's network, small: Conv1, Pool1, Middle1, Output1."""

    def make(seed: int = 3, **keywords: Any) -> LayerManager:
        lm = LayerManager(*tiny, mode=mode, seed=seed, **keywords)
        lm.append(name="c", F_shape=(2, 3, 3), pad=1)
        lm.append(name="p", pool=2)
        lm.append(name="m", n=5)
        lm.append(name="o", n=3)
        return lm

    return make
