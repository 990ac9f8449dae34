"""Nets of the shapes that the kernels know, and one step of theirs beside the plain one."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from cnn import Dropout, LayerManager
from cnn.captured import adam_rows, begin
from cnn.kernels.deep import Deep
from cnn.kernels.shallow import Shallow
from cnn.xp import get_array_module, to_cpu

# C, side, padding of both, filters, filters, hidden units, classes, n_batch, images of the step
DEEP_CASES = [
    (1, 10, "valid", 8, 32, 32, 4, 5, 5),
    (1, 11, "valid", 8, 32, 40, 3, 20, 11),
    (3, 9, "same", 16, 32, 32, 4, 5, 4),
]
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


def deep_net(case: tuple[Any, ...], mode: str = "cpu", dropout: bool = True, **keywords: Any) -> LayerManager:
    C, side, pad, M1, M2, hidden, classes, n_batch, _ = case
    rng = np.random.default_rng(7)
    x = rng.random((2 * n_batch + 1, C, side, side), dtype=np.float32) - np.float32(0.3)
    t = np.eye(classes, dtype=np.float32)[rng.integers(classes, size=len(x))]
    lm = LayerManager((x, x[:5]), (t, t[:5]), mode=mode, seed=3)
    for M in (M1, M2):
        lm.append(name="c", F_shape=(M, 3, 3), pad=pad, **keywords)
    lm.append(name="p", pool=2)
    if dropout:
        lm.append(name="d", ratio=0.25)
    lm.append(name="m", n=hidden, **keywords)
    if dropout:
        lm.append(name="d", ratio=0.5)
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


def fused_step(fused: Shallow | Deep, lm: LayerManager, places: np.ndarray, xp: Any = np, step: int = 0) -> float:
    """The same through the kernels, and the loss; everything that they write first is NaN."""
    learning = [layer for layer in lm.layers if layer.optimizer is not None]
    table = np.stack([adam_rows(layer.optimizer, np.ones(1)) for layer in learning], axis=1)
    for each in vars(fused).values():
        if getattr(each, "dtype", None) == np.float32:
            each[...] = np.nan
    orders = xp.asarray(np.pad(places, (0, fused.n_batch - len(places))).astype("int32"))
    at = xp.asarray(np.array([0, step], "int32"))
    given = (lm.x_train, lm.y_train, orders, xp.asarray(table), at)
    for launch in fused.launches(*given, 0, len(places)):
        fused.run(launch)
    for layer in learning:
        layer.optimizer.t += 1
    return float(fused.loss[: len(places)].mean())


def prepared(lm: LayerManager) -> LayerManager:
    """With Adam's averages there, as the kernels need them."""
    for layer in lm.layers:
        if layer.optimizer is not None:
            begin(layer)
    return lm


def counted(lm: LayerManager, step: int) -> None:
    """Let plain dropout draw what the kernels draw in this step."""
    for layer in lm.layers:
        if isinstance(layer, Dropout):
            layer._draw = functools.partial(_mask, layer, step)


def _mask(layer: Dropout, step: int, x: Any) -> Any:
    kept = philox(np.arange(x.size), step, layer.seed) >= round(layer.ratio * 2**32)
    mask = (kept / np.float32(1 - layer.ratio)).astype("float32").reshape(x.shape)
    return get_array_module(x).asarray(mask)


def philox(place: np.ndarray, step: int, seed: int) -> np.ndarray:
    """Number `place` % 4 of the four that Philox4x32-10 gives for the counter (place / 4, step, 0, 0)."""
    low, high = np.uint64(0xFFFFFFFF), np.uint64(32)
    a = (place // 4).astype("uint64")
    b, c, d = np.full_like(a, step), np.zeros_like(a), np.zeros_like(a)
    left, right = np.uint64(seed), np.uint64(0)
    for _ in range(10):
        first, second = np.uint64(0xD2511F53) * a, np.uint64(0xCD9E8D57) * c
        a, b, c, d = (second >> high) ^ b ^ left, second & low, (first >> high) ^ d ^ right, first & low
        left, right = (left + np.uint64(0x9E3779B9)) & low, (right + np.uint64(0xBB67AE85)) & low
    return np.choose(place % 4, (a, b, c, d))


def error(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference, by the largest number of `a`."""
    return float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-30))


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """The norm of the difference, by the norm of `a`."""
    return float(np.linalg.norm(a - b) / max(np.linalg.norm(a), 1e-30))
