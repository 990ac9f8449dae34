"""The CUDA kernels, run on the CPU by the emulator, against the plain layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cnn import LayerManager
from cnn.kernels import shallow
from tests.cnn.emulated.device import COMPILER, Emulated
from tests.cnn.shallow_nets import CASES, averages, error, fused_step, net, parameters, plain_step

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs g++ to compile the kernels for the CPU")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("emulated")


@pytest.mark.parametrize("case", CASES)
def test_a_step_of_the_shallow_kernels_is_the_plain_step(case, folder):
    plain, fused = net(case), net(case)
    n_batch, n = case[-2:]
    for places in np.random.default_rng(1).permutation(len(plain.x_train))[: 2 * n].reshape(2, n):
        loss = plain_step(plain, places)
        kernels = fused_step(fused, places, n_batch, Emulated(folder))
        assert kernels.loss[:n].mean() == pytest.approx(loss, rel=1e-5)
        assert max(map(error, averages(plain), averages(fused))) < 1e-5
        assert max(map(error, parameters(plain), parameters(fused))) < 1e-5


def test_no_order_of_threads_and_blocks_changes_a_bit(folder):
    found = []
    for order in range(4):
        lm = net(CASES[1])
        fused_step(lm, np.arange(9), 12, Emulated(folder, order))
        found.append([each.tobytes() for each in parameters(lm)])
    assert all(each == found[0] for each in found)


def test_the_tile_of_images_changes_nothing_beyond_rounding(folder):
    steps = [net(CASES[2]) for _ in range(2)]
    for lm, tile in zip(steps, (8, 32), strict=True):
        fused_step(lm, np.arange(12), 12, Emulated(folder), tile)
    assert max(map(error, *map(averages, steps))) < 1e-6


def test_weight_decay_of_both_kinds_and_smoothing_are_in_the_kernels(folder):
    for decoupled in (False, True):
        keywords = {"opt_dic": {"weight_decay": 0.1, "decoupled": decoupled}}
        plain, fused = net(CASES[0], **keywords), net(CASES[0], **keywords)
        for lm in (plain, fused):
            lm[-1].loss.smoothing = 0.2
        plain_step(plain, np.arange(8))
        fused_step(fused, np.arange(8), 8, Emulated(folder))
        assert max(map(error, averages(plain), averages(fused))) < 1e-5
        assert max(map(error, parameters(plain), parameters(fused))) < 1e-5


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"stride": 2}, "Conv1 has a stride or a dilation other than 1"),
        ({"act": "tanh"}, "the activation of Conv1 is not ReLU"),
        ({"F_shape": (2, 7, 7)}, "Conv1 has filters of more than 32 numbers"),
    ],
)
def test_what_the_shallow_kernels_do_not_know_is_named(change, reason):
    x, t = np.zeros((4, 1, 8, 8)), np.eye(3)[[0, 1, 2, 0]]
    lm = LayerManager((x, x), (t, t))
    lm.append(name="c", **({"F_shape": (2, 3, 3)} | change))
    lm.append(name="p", pool=2)
    lm.append(name="m", n=5)
    lm.append(name="o", n=3)
    assert shallow.misfit(lm.layers) == reason
