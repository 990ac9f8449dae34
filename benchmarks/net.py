"""The article's network, on the data at hand."""

from __future__ import annotations

import os
from typing import Any

from cnn import LayerManager, load_mnist


def data() -> Any:
    """The whole of MNIST where CNN_DATA_DIR has it, else the sample in the package."""
    return load_mnist(sample="CNN_DATA_DIR" not in os.environ)


def article_net(mode: str, route: str = "first", seed: int = 0, images: Any = None) -> LayerManager:
    """Conv 10×3×3, pad 1 – max pooling 2 – dense 100 – softmax 10; everything else by default."""
    (x_train, t_train), (x_test, t_test) = images or data()
    lm = LayerManager((x_train, x_test), (t_train, t_test), mode=mode, seed=seed)
    lm.append(name="c", I_shape=x_train.shape[1:], F_shape=(10, 3, 3), pad=1)
    lm.append(name="p", I_shape=lm[-1].O_shape, pool=2, route=route)
    lm.append(name="m", n=100)
    lm.append(name="o", n=10, act="softmax", err_func="Cross")
    return lm


def has_gpu() -> bool:
    """Whether CuPy can use a GPU here."""
    try:
        import cupy
    except ImportError:
        return False
    return bool(cupy.cuda.is_available())
