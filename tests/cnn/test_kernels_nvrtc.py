"""The CUDA sources compile for every GPU they promise, without one; printed: registers and what is spilled."""

from __future__ import annotations

import pytest

from cnn.kernels import shallow
from cnn.kernels.launching import source
from tests.cnn import nvrtc
from tests.cnn.shallow_nets import net

pytestmark = pytest.mark.skipif(nvrtc.library() is None, reason="needs NVRTC: pip install nvidia-cuda-nvrtc")

ARTICLE = (1, 28, 10, 3, 1, 100, 10, 8, 8)


@pytest.mark.parametrize("arch", ["sm_75", "sm_80", "sm_90"])
@pytest.mark.parametrize("tile", [8, 64])
def test_the_shallow_kernels_compile_and_spill_next_to_nothing(arch, tile):
    found = nvrtc.compiled(source(("head", "shallow"), shallow.constants(net(ARTICLE).layers, tile)), arch)
    for kernel, taken in found.items():
        print(arch, f"tile {tile}", kernel, *(f"{key} {value}" for key, value in taken._asdict().items()))
    assert set(found) == {"shallow_forward", "net_head", "shallow_backward", "net_advance"}
    assert all(taken.spilled <= 64 for taken in found.values())
