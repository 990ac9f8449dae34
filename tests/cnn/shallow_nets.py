"""Nets of the shape that the shallow kernels know, and one step of theirs beside the plain one."""

from __future__ import annotations

from typing import Any

import numpy as np

from cnn import LayerManager
from cnn.captured import adam_rows, begin
from cnn.kernels.launching import Device
from cnn.kernels.shallow import Shallow
from cnn.xp import to_cpu

# C, side, filters, filter side, padding, hidden units, classes, n_batch, images of the step
CASES = [
    (1, 8, 3, 3, 1, 10, 4, 8, 8),
    (1, 8, 3, 3, 1, 10, 4, 12, 9),
    (3, 9, 2, 3, 1, 33, 10, 12, 12),
    (1, 11, 2, 5, 0, 7, 3, 9, 9),
]


def net(case: tuple[int, ...], mode: str = "cpu", **keywords: Any) -> LayerManager:
    C, side, M, KH, pad, hidden, classes, n_batch, _ = case
    rng = np.random.default_rng(7)
    x = rng.random((3 * n_batch + 1, C, side, side), dtype=np.float32) - np.float32(0.3)
    t = np.eye(classes, dtype=np.float32)[rng.integers(classes, size=len(x))]
    lm = LayerManager((x, x[:5]), (t, t[:5]), mode=mode, seed=3)
    lm.append(name="c", F_shape=(M, KH, KH), pad=pad, **keywords)
    lm.append(name="p", pool=2)
    lm.append(name="m", n=hidden, **keywords)
    lm.append(name="o", n=classes, **keywords)
    return lm


def parameters(lm: LayerManager) -> list[np.ndarray]:
    return [to_cpu(p) for layer in lm.layers for p in layer.parameters()]


def averages(lm: LayerManager) -> list[np.ndarray]:
    """What Adam keeps: after one step the gradients and their squares, times a factor."""
    learning = [layer.optimizer for layer in lm.layers if layer.optimizer is not None]
    return [to_cpu(each) for optimizer in learning for slot in ("m", "v") for each in optimizer.state[slot]]


def plain_step(lm: LayerManager, places: np.ndarray) -> float:
    x, t = lm.x_train[places], lm.y_train[places]
    lm.forward(x, train=True)
    lm.backward(t)
    loss = float(lm.layers[-1].get_error(t))
    lm.update()
    return loss


def fused_step(lm: LayerManager, places: np.ndarray, n_batch: int, device: Device, tile: int | None = None) -> Shallow:
    """The same through the kernels, which are also returned; everything they write first is NaN."""
    learning = [layer for layer in lm.layers if layer.optimizer is not None]
    for layer in learning:
        begin(layer)
    xp = device.xp
    table = np.stack([adam_rows(layer.optimizer, np.ones(1)) for layer in learning], axis=1)
    fused = Shallow(lm.layers, n_batch, device, tile)
    for each in (fused.pooled, fused.parts, fused.hidden, fused.dz1, fused.dz2, fused.loss, fused.sums):
        each[...] = np.nan
    orders = xp.asarray(np.pad(places, (0, n_batch - len(places))).astype("int32"))
    given = (lm.x_train, lm.y_train, orders, xp.asarray(table), xp.zeros(2, "int32"))
    for launch in fused.launches(*given, 0, len(places)):
        fused.run(launch)
    for layer in learning:
        layer.optimizer.t += 1
    return fused


def error(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference, by the largest number of `a`."""
    return float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-30))
