"""The CUDA kernels, run on the CPU by the emulator, against the plain layers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cnn import Augment, LayerManager
from cnn.kernels import deep, shallow
from cnn.kernels.deep import Deep
from cnn.kernels.shallow import Shallow
from tests.cnn.emulated.device import COMPILER, Emulated
from tests.cnn.kernel_nets import (
    CASES,
    DEEP_CASES,
    averages,
    counted,
    deep_net,
    distance,
    error,
    fused_step,
    moved,
    net,
    parameters,
    philox,
    plain_step,
    prepared,
)

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs g++ to compile the kernels for the CPU")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("emulated")


@pytest.mark.parametrize("case", CASES)
def test_a_step_of_the_shallow_kernels_is_the_plain_step(case, folder):
    plain, lm = net(case), prepared(net(case))
    n_batch, n = case[-2:]
    fused = Shallow(lm.layers, n_batch, Emulated(folder))
    for places in np.random.default_rng(1).permutation(len(plain.x_train))[: 2 * n].reshape(2, n):
        assert fused_step(fused, lm, places) == pytest.approx(plain_step(plain, places), rel=1e-5)
        assert max(map(error, averages(plain), averages(lm))) < 1e-5
        assert max(map(error, parameters(plain), parameters(lm))) < 1e-5


@pytest.mark.parametrize("case", DEEP_CASES)
@pytest.mark.parametrize("dropout", [True, False])
def test_a_step_of_the_deep_kernels_is_the_plain_step(case, dropout, folder):
    plain, lm = deep_net(case, dropout=dropout), prepared(deep_net(case, dropout=dropout))
    n_batch, n = case[-2:]
    fused = Deep(lm.layers, n_batch, Emulated(folder), tensor=False)
    for step, places in enumerate(np.random.default_rng(1).permutation(len(plain.x_train))[: 2 * n].reshape(2, n)):
        counted(plain, step)
        assert fused_step(fused, lm, places, step=step) == pytest.approx(plain_step(plain, places), rel=1e-5)
        assert max(map(error, averages(plain), averages(lm))) < 1e-5
        assert max(map(error, parameters(plain), parameters(lm))) < 1e-4  # Adam divides small gradients by small ones


@pytest.mark.parametrize("size", [1, 1e5, 1e-5])
def test_with_tensor_cores_only_factors_are_rounded_however_large_the_images(size, folder):
    plain, lm = deep_net(DEEP_CASES[0]), prepared(deep_net(DEEP_CASES[0]))
    for each in (plain, lm):
        each.x_train *= size
        for layer in each.layers[:2]:
            layer.b[...] = 0  # beside which all images would look alike
    counted(plain, 0)
    plain_step(plain, np.arange(5))
    fused_step(Deep(lm.layers, 5, Emulated(folder), tensor=True), lm, np.arange(5))
    distances = list(map(distance, averages(plain), averages(lm)))
    assert 1e-5 < max(distances) < 2e-3


def test_windows_that_rounding_could_decide_otherwise_are_decided_in_float32(folder):
    """Nearly even images: all pixels of a window are nearly as large as each other."""
    plain = deep_net(DEEP_CASES[0], dropout=False)
    plain.x_train[...] = 0.5 + plain.x_train / 500
    plain.forward(plain.x_train[:5], train=True)
    y = plain.layers[1].y.reshape(5, 32, 3, 2, 3, 2).transpose(0, 1, 2, 4, 3, 5).reshape(-1, 4)
    expected = np.where(y.max(axis=1) > 0, y.argmax(axis=1), 255)
    assert len(set(expected)) == 5
    otherwise = []
    for precise in (True, False):
        lm = prepared(deep_net(DEEP_CASES[0], dropout=False))
        lm.x_train[...] = plain.x_train
        fused = Deep(lm.layers, 5, Emulated(folder), precise=precise)
        fused_step(fused, lm, np.arange(5))
        otherwise.append((fused.places != expected).mean())
    assert otherwise[0] < 0.002
    assert otherwise[1] > 0.02


@pytest.mark.parametrize(("make", "of", "case"), [(net, Shallow, CASES[1]), (deep_net, Deep, DEEP_CASES[1])])
def test_no_order_of_threads_and_blocks_changes_a_bit(make, of, case, folder):
    found = []
    for order in range(4):
        lm = prepared(make(case))
        fused_step(of(lm.layers, case[-2], Emulated(folder, order)), lm, np.arange(case[-1]))
        found.append([each.tobytes() for each in parameters(lm)])
    assert all(each == found[0] for each in found)


@pytest.mark.parametrize(
    "sizes",
    [
        {"TILE": 8, "SPLIT": 2, "BACK_TILE": 8, "BACK_SPLIT": 2, "EIGHTS": 1},
        {"TILE": 8, "SPLIT": 1, "BACK_TILE": 4, "BACK_SPLIT": 2, "EIGHTS": 2},
        {"TILE": 4, "SPLIT": 8, "BACK_TILE": 16, "BACK_SPLIT": 3, "EIGHTS": 4, "THREADS": 256},
    ],
)
def test_how_the_blocks_are_cut_changes_nothing_beyond_rounding(sizes, folder):
    plain, lm = net(CASES[2]), prepared(net(CASES[2]))
    plain_step(plain, np.arange(12))
    fused_step(Shallow(lm.layers, 12, Emulated(folder), **sizes), lm, np.arange(12))
    assert max(map(error, averages(plain), averages(lm))) < 1e-5


@pytest.mark.parametrize("sizes", [{"R": 2, "RD": 3, "RW": 3}, {"R": 6, "RD": 8, "RW": 6, "FWN": 2, "DWN": 1}])
def test_how_the_blocks_of_the_deep_kernels_are_cut_changes_nothing_beyond_rounding(sizes, folder):
    plain, lm = deep_net(DEEP_CASES[0]), prepared(deep_net(DEEP_CASES[0]))
    counted(plain, 0)
    plain_step(plain, np.arange(5))
    fused_step(Deep(lm.layers, 5, Emulated(folder), tensor=False, **sizes), lm, np.arange(5))
    assert max(map(error, averages(plain), averages(lm))) < 1e-5


def test_weight_decay_of_both_kinds_and_smoothing_are_in_the_kernels(folder):
    for decoupled in (False, True):
        keywords = {"opt_dic": {"weight_decay": 0.1, "decoupled": decoupled}}
        plain, lm = net(CASES[0], **keywords), prepared(net(CASES[0], **keywords))
        for each in (plain, lm):
            each[-1].loss.smoothing = 0.2
        plain_step(plain, np.arange(8))
        fused_step(Shallow(lm.layers, 8, Emulated(folder)), lm, np.arange(8))
        assert max(map(error, averages(plain), averages(lm))) < 1e-5
        assert max(map(error, parameters(plain), parameters(lm))) < 1e-5


@pytest.mark.parametrize(("make", "of", "case"), [(net, Shallow, CASES[2]), (deep_net, Deep, DEEP_CASES[2])])
def test_moved_and_mirrored_images_are_seen_alike_by_all_kernels(make, of, case, folder):
    augment, n = Augment(shift=(2, 1), flip=True, fill=0.25), case[-1]
    plain, lm = prepared(make(case)), prepared(make(case))
    counted(plain, 5)
    plain.x_train[:n] = moved(augment, plain.x_train[:n], 5)
    assert not np.array_equal(plain.x_train, lm.x_train)
    plain_step(plain, np.arange(n))
    keywords = {} if of is Shallow else {"tensor": False}
    fused_step(of(lm.layers, case[-2], Emulated(folder), augment, **keywords), lm, np.arange(n), step=5)
    assert max(map(error, averages(plain), averages(lm))) < 1e-5


@pytest.mark.parametrize(("kibibytes", "multiprocessors"), [(64, 40), (99, 84), (163, 108), (227, 132)])
@pytest.mark.parametrize("n_batch", [1, 8, 128, 1000])
def test_blocks_of_the_deep_kernels_fit_the_shared_memory_there_is(kibibytes, multiprocessors, n_batch):
    device = SimpleNamespace(shared_limit=kibibytes * 1024, multiprocessors=multiprocessors)
    layers = deep_net((1, 28, "valid", 32, 64, 128, 10, 8, 8)).layers
    sizes = deep.constants(layers, n_batch, device, tensor=True, precise=True)
    assert max(deep.shared_bytes(sizes).values()) <= device.shared_limit
    assert sizes["SLICE"] * sizes["SLICES"] >= sizes["M2"] * sizes["QH"] * sizes["QW"]


def test_dropout_keeps_the_share_it_says(folder):
    lm = prepared(deep_net(DEEP_CASES[1]))
    fused = Deep(lm.layers, 20, Emulated(folder))
    fused_step(fused, lm, np.arange(20))
    kept = philox(np.arange(100_000), 3, 12345) >= 2**30
    assert kept.mean() == pytest.approx(0.75, abs=0.005)
    assert (fused.places == 255).mean() > 0.25


def test_philox_gives_the_numbers_of_its_authors():
    """The first of their known answers: counter and key 0 (Random123, kat_vectors)."""
    assert [int(each) for each in philox(np.arange(4), 0, 0)] == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


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
