"""What is trained: the article's net and a Keras tutorial's, in cnn; and the article's in PyTorch, for the peers."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.net import article_net, data
from cnn import LayerManager


def keras_net(mode: str, seed: int = 0, images: Any = None) -> LayerManager:
    """Conv 32 – conv 64 – max pooling 2 – dropout – dense 128 – dropout – softmax 10, as in Keras's MNIST example."""
    (x_train, t_train), (x_test, t_test) = images or data()
    lm = LayerManager((x_train, x_test), (t_train, t_test), mode=mode, seed=seed)
    lm.append(name="c", I_shape=x_train.shape[1:], F_shape=(32, 3, 3))
    lm.append(name="c", I_shape=lm[-1].O_shape, F_shape=(64, 3, 3))
    lm.append(name="p", I_shape=lm[-1].O_shape, pool=2, route="first")
    lm.append(name="d", ratio=0.25)
    lm.append(name="m", n=128)
    lm.append(name="d", ratio=0.5)
    lm.append(name="o", n=10, act="softmax", err_func="Cross")
    return lm


def both_nets(mode: str, batch: int = 8, keras_batch: int = 32) -> dict[str, tuple[LayerManager, int]]:
    """By name: a net and its batch size."""
    images = data()
    return {
        "article's net": (article_net(mode, "first", images=images), batch),
        "Keras net": (keras_net(mode, images=images), keras_batch),
    }


class TorchStep:
    """Training steps of the article's net in eager PyTorch on one batch: no gather, Adam fused."""

    def __init__(self, n_batch: int = 8, device: str = "cuda") -> None:
        import torch

        nn = torch.nn
        torch.manual_seed(0)
        self.torch, self.device = torch, device
        self.net = nn.Sequential(
            nn.Conv2d(1, 10, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(1960, 100), nn.ReLU(), nn.Linear(100, 10),
        ).to(device)  # fmt: skip
        self._adam = torch.optim.Adam(self.net.parameters(), fused=device == "cuda")
        self._loss = nn.CrossEntropyLoss()
        self._x = torch.rand(n_batch, 1, 28, 28, device=device)
        self._t = torch.randint(10, (n_batch,), device=device)

    def run(self, steps: int) -> float:
        """Seconds for so many steps, drained before and after."""
        self.drain()
        start = time.perf_counter()
        for _ in range(steps):
            self._adam.zero_grad()
            self._loss(self.net(self._x), self._t).backward()
            self._adam.step()
        self.drain()
        return time.perf_counter() - start

    def drain(self) -> None:
        """Wait for the device."""
        if self.device == "cuda":
            self.torch.cuda.synchronize()
