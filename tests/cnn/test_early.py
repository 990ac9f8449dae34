"""Launches that may begin early: what the CUDA driver is told, and what is said when it refuses."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace

import numpy as np
import pytest

import cnn.kernels.early
from cnn.kernels.early import launch_early
from cnn.kernels.launching import Launch


@pytest.fixture
def driver(monkeypatch):
    """A driver that notes what it is told; its answer can be set."""
    told = SimpleNamespace(status=0)

    def launch(config, function, given, extra):
        told.config, told.function, told.extra = config._obj, function.value, extra
        told.attribute = told.config.attributes[0]
        told.given = given
        told.read = [ctypes.cast(given[k], ctypes.POINTER(kind))[0] for k, kind in enumerate(KINDS)]
        return told.status

    monkeypatch.setattr(cnn.kernels.early, "early_driver", lambda: launch)
    return told


KINDS = (ctypes.c_size_t, ctypes.c_int32, ctypes.c_uint32, ctypes.c_float)
ARRAY = SimpleNamespace(data=SimpleNamespace(ptr=0x7F00_1234_5600))
LAUNCH = Launch("kernel", 140, 256, 50_000, (ARRAY, np.int32(-3), np.uint32(2**32 - 1), np.float32(0.5)))


def test_the_driver_is_told_the_launch_and_that_it_may_begin_early(driver):
    launch_early(77, LAUNCH, stream=88)
    config = driver.config
    assert (driver.function, driver.extra, config.stream, config.shared) == (77, None, 88, 50_000)
    assert ([*config.grid], [*config.block]) == ([140, 1, 1], [256, 1, 1])
    assert (config.count, driver.attribute.id, driver.attribute.value[0]) == (1, 6, 1)
    assert driver.read == [0x7F00_1234_5600, -3, 2**32 - 1, 0.5]


def test_what_is_told_lies_as_in_cuda_h(driver):
    launch_early(77, LAUNCH, stream=88)
    assert ctypes.sizeof(driver.attribute) == 72
    assert type(driver.config).stream.offset == 32
    assert type(driver.config).count.offset == 48
    assert type(driver.attribute).value.offset == 8


def test_a_refusal_names_the_kernel_and_the_drivers_number(driver):
    driver.status = 801
    with pytest.raises(RuntimeError, match="does not launch kernel: cuLaunchKernelEx gave 801"):
        launch_early(77, LAUNCH, stream=88)
