"""The CUDA sources compile for every GPU they promise, without one; printed: registers and what is spilled."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from cnn.augment import Augment
from cnn.kernels import deep, layerwise, shallow
from cnn.kernels.launching import kernel_names, source
from cnn.kernels.rules import rule_text
from cnn.optimizers.adam import Adam
from tests.cnn import nvrtc
from tests.cnn.kernel_nets import deep_net, net

pytestmark = pytest.mark.skipif(nvrtc.library() is None, reason="needs NVRTC: pip install nvidia-cuda-nvrtc")

ARTICLE = (1, 28, 10, 3, 1, 100, 10, 8, 8)
KERAS = (1, 28, "valid", 32, 64, 128, 10, 8, 8)
STILL = shallow.moves(None)
MOVES = shallow.moves(Augment(shift=2))
# shared memory of a block and multiprocessors: T4, A100, H200
DEVICES = {"sm_75": (64, 40), "sm_80": (163, 108), "sm_90": (227, 132)}


@pytest.mark.parametrize("arch", ["sm_75", "sm_80", "sm_90"])
@pytest.mark.parametrize("n_batch", [8, 128])
def test_the_shallow_kernels_compile_and_spill_nothing(arch, n_batch):
    kibibytes, multiprocessors = DEVICES[arch]
    device = SimpleNamespace(shared_limit=kibibytes * 1024, multiprocessors=multiprocessors)
    sizes = shallow.constants(net(ARTICLE).layers, n_batch, device)
    found = nvrtc.compiled(source(shallow.SOURCES, sizes | STILL), arch)
    show(f"{arch}, batch {n_batch}", found)
    assert set(found) == {"shallow_forward", "net_head", "shallow_backward", "shallow_settle", "net_advance"}
    assert all(taken.spilled <= 128 for taken in found.values())


@pytest.mark.parametrize(
    ("arch", "n_batch"), [("sm_75", 8), ("sm_80", 8), ("sm_80", 128), ("sm_90", 8), ("sm_90", 128)]
)
def test_the_deep_kernels_compile_and_spill_little(arch, n_batch):
    kibibytes, multiprocessors = DEVICES[arch]
    device = SimpleNamespace(shared_limit=kibibytes * 1024, multiprocessors=multiprocessors)
    sizes = deep.constants(deep_net(KERAS).layers, n_batch, device, tensor=True, precise=True)
    found = nvrtc.compiled(source(deep.TEXTS, sizes | MOVES), arch)
    show(f"{arch}, batch {n_batch}", found)
    shared = deep.shared_bytes(sizes)
    assert set(found) == {"net_advance", "deep_pack", *shared}
    assert max(shared.values()) <= device.shared_limit
    assert all(taken.spilled <= 128 for taken in found.values())


@pytest.mark.parametrize("arch", DEVICES)
@pytest.mark.parametrize("text", [
    layerwise.layers_text(),
    *(layerwise.direct_text(*sizes) for sizes in ((1, 3, 3), (1, 5, 5), (3, 3, 3), (2, 4, 4))),
    rule_text(Adam.rule, 2, Adam.kernel, 2),
])  # fmt: skip
def test_the_kernels_of_single_layers_compile_and_spill_nothing(arch, text):
    found = nvrtc.compiled(text, arch)
    show(arch, found)
    assert set(found) == set(kernel_names(text))
    assert not any(taken.spilled for taken in found.values())


def show(title, found):
    for kernel, taken in found.items():
        print(f"{title}: {kernel}", *(f"{key} {value}" for key, value in taken._asdict().items()))
