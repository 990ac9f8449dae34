"""A performance test without noise: it counts kernels, not microseconds. Run it with `pytest examples/perf_test.py`."""

from __future__ import annotations

import pytest

from cnn import LayerManager, load_mnist

pytest_plugins = ["gpuprof.testing"]


def on_gpu() -> bool:
    try:
        import cupy
    except ImportError:
        return False
    return bool(cupy.cuda.is_available())


@pytest.fixture
def lm() -> LayerManager:
    (x_train, t_train), (x_test, t_test) = load_mnist(sample=True)
    lm = LayerManager((x_train, x_test), (t_train, t_test), mode="gpu" if on_gpu() else "cpu", seed=0)
    lm.append(name="c", F_shape=(4, 3, 3))
    lm.append(name="p", pool=2)
    lm.append(name="o", n=10, act="softmax", err_func="Cross")
    return lm


def train_step(lm: LayerManager, images: int) -> None:
    lm.forward(lm.x_train[:images], train=True)
    lm.backward(lm.y_train[:images])
    lm.update()


def test_pooling_goes_back_in_at_most_three_kernels(lm: LayerManager, layer_profile) -> None:
    profile = layer_profile(lm, train_step, lm, 32)  # skips, with the reason, where kernels cannot be counted
    assert profile["Pool1", "backward"].launches <= 3


def test_a_step_calls_each_layer_once(lm: LayerManager, layer_profile) -> None:
    profile = layer_profile(lm, train_step, lm, 32, steps=5, kernels="optional")
    assert (profile.table.calls == 5).all()
