"""cnn's ways: layer by layer, and through CUDA graphs."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np

from benchmarks.accuracy.recipes import keras_net
from benchmarks.epoch import IMAGES, Way
from benchmarks.net import article_net
from cnn import batches
from cnn.captured import captured
from cnn.training import step


def images(seed: int = 0) -> Any:
    """Random images and labels in the shape of MNIST."""
    rng = np.random.default_rng(seed)
    x = rng.random((IMAGES + 16, 1, 28, 28), dtype=np.float32)
    t = np.eye(10, dtype=np.float32)[rng.integers(10, size=len(x))]
    return (x[:IMAGES], t[:IMAGES]), (x[IMAGES:], t[IMAGES:])


def made(net: str, mode: str = "gpu") -> Any:
    """The article's net or Keras's, with its data."""
    return article_net(mode, images=images()) if net == "article" else keras_net(images(), mode, 0)


def drain(model: Any) -> None:
    """Wait for the device."""
    if model.mode == "gpu":
        import cupy

        cupy.cuda.Device().synchronize()


def plain_way(model: Any, n_batch: int) -> Way:
    """Layer by layer, an epoch at most at a time."""

    def run(steps: int) -> None:
        for x, t in islice(batches(model.x_train, model.y_train, n_batch, seed=model.rng), steps):
            step(model, x, t)
        drain(model)

    return Way(run, IMAGES // n_batch)


def plain(net: str, n_batch: int, mode: str = "gpu") -> Way:
    """The net layer by layer."""
    return plain_way(made(net, mode), n_batch)


def captured_way(model: Any, n_batch: int, in_a_graph: int | None = None) -> Way:
    """Through graphs of so many steps, an epoch at most at a time; ValueError where the model cannot be captured."""
    fast, _ = captured(model, n_batch, model.stepper, None, True)
    assert fast is not None
    fast.in_a_graph = in_a_graph or fast.in_a_graph

    def run(steps: int) -> None:
        for _ in fast.epoch(steps):
            pass

    return Way(run, IMAGES // n_batch)


def captured_net(net: str, n_batch: int) -> Way:
    """The net through graphs."""
    return captured_way(made(net), n_batch)
