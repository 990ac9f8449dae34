"""The CUDA kernels on a GPU, against the plain layers there."""

from __future__ import annotations

import numpy as np
import pytest

from cnn.kernels.deep import Deep
from cnn.kernels.gpu import Gpu
from cnn.kernels.shallow import Shallow
from cnn.xp import to_cpu
from tests.cnn.kernel_nets import (
    CASES,
    DEEP_CASES,
    averages,
    counted,
    deep_net,
    distance,
    error,
    fused_step,
    net,
    parameters,
    plain_step,
    prepared,
)

pytestmark = pytest.mark.gpu

ARTICLE = (1, 28, 10, 3, 1, 100, 10)
KERAS = (1, 28, "valid", 32, 64, 128, 10)


@pytest.fixture
def gpu() -> Gpu:
    return Gpu()


@pytest.mark.parametrize("case", [*CASES, (*ARTICLE, 8, 8), (*ARTICLE, 128, 128), (*ARTICLE, 128, 96)])
def test_a_step_of_the_shallow_kernels_is_the_plain_step(case, gpu):
    plain, lm = net(case, "gpu"), prepared(net(case, "gpu"))
    n_batch, n = case[-2:]
    fused = Shallow(lm.layers, n_batch, gpu)
    for places in np.random.default_rng(1).permutation(len(plain.x_train))[: 2 * n].reshape(2, n):
        assert fused_step(fused, lm, places, gpu.xp) == pytest.approx(plain_step(plain, places), rel=1e-5)
        assert max(map(error, averages(plain), averages(lm))) < 1e-5


@pytest.mark.parametrize("tile", [8, 16, 32, 64])
@pytest.mark.parametrize("split", [1, 3])
@pytest.mark.parametrize("threads", [256, 512])
def test_how_the_blocks_are_cut_changes_nothing_beyond_rounding(tile, split, threads, gpu):
    case = (*ARTICLE, 128, 100)
    plain, lm = net(case, "gpu"), prepared(net(case, "gpu"))
    plain_step(plain, np.arange(100))
    cut = {"TILE": tile, "SPLIT": split, "BACK_TILE": tile, "BACK_SPLIT": split, "EIGHTS": split, "THREADS": threads}
    fused_step(Shallow(lm.layers, 128, gpu, **cut), lm, np.arange(100), gpu.xp)
    assert max(map(error, averages(plain), averages(lm))) < 1e-5


@pytest.mark.parametrize("case", [*DEEP_CASES, (*KERAS, 8, 8), (*KERAS, 128, 128), (*KERAS, 128, 96)])
@pytest.mark.parametrize("tensor", [False, True])
def test_a_step_of_the_deep_kernels_is_the_plain_step(case, tensor, gpu):
    """Where factors are rounded to 11 bits, what counts is the distance as a whole."""
    plain, lm = deep_net(case, "gpu"), prepared(deep_net(case, "gpu"))
    n_batch, n = case[-2:]
    counted(plain, 0)
    loss = plain_step(plain, np.arange(n))
    fused = Deep(lm.layers, n_batch, gpu, tensor=tensor)
    assert fused_step(fused, lm, np.arange(n), gpu.xp) == pytest.approx(loss, rel=1e-3 if tensor else 1e-5)
    means = [each for i, each in enumerate(zip(averages(plain), averages(lm), strict=True)) if i % 4 < 2]
    found = max(distance(*each) for each in means)
    print(f"{case} tensor={tensor}: {found:.2g}")
    assert found < (2e-3 if tensor else 1e-5)


@pytest.mark.parametrize("keywords", [{}, {"schedule": "cosine"}, {"steps": 17}])
def test_captured_training_is_plain_training(keywords):
    """Over 44 steps, the last batch of each epoch short; weights that rounding moves are few."""
    lms = [net((*ARTICLE, 60, 0), "gpu") for _ in range(2)]
    for lm, graph in zip(lms, (True, False), strict=True):
        lm.training(2, n_batch=8, show_error=False, graph=graph, **keywords)
    fast, plain = lms
    assert fast.history.graph.startswith("steps captured in CUDA graphs")
    assert fast.history.steps == plain.history.steps
    assert [epoch.test_error for epoch in fast.history.epochs] == pytest.approx(
        [epoch.test_error for epoch in plain.history.epochs], rel=1e-3
    )
    assert max(map(error, parameters(plain), parameters(fast))) < 0.02


def test_captured_training_twice_gives_the_same_bits():
    found = []
    for _ in range(2):
        lm = net((*ARTICLE, 60, 0), "gpu")
        lm.training(2, n_batch=8, show_error=False)
        found.append([each.tobytes() for each in parameters(lm)])
    assert found[0] == found[1]


def test_arrays_made_while_graphs_run_are_not_written_over():
    """What is allocated beside the graphs' own buffers stays what it was."""
    lm = net((*ARTICLE, 60, 0), "gpu")
    kept = [lm.x_train * 2 for _ in range(4)]
    lm.training(1, n_batch=8, show_error=False)
    more = [lm.x_train * 2 for _ in range(4)]
    lm.training(2, n_batch=8, show_error=False)
    for each in (*kept, *more):
        np.testing.assert_array_equal(to_cpu(each), to_cpu(lm.x_train * 2))
