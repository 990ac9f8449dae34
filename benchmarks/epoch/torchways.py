"""PyTorch's ways: eager, compiled, and the whole step in a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from benchmarks.epoch import IMAGES, Way
from benchmarks.epoch.ours import images


def model_of(net: str) -> nn.Module:
    """The article's net or Keras's."""
    if net == "article":
        layers = [nn.Conv2d(1, 10, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
        return nn.Sequential(*layers, nn.Linear(1960, 100), nn.ReLU(), nn.Linear(100, 10))
    layers = [nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25)]
    dense = [nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10)]
    return nn.Sequential(*layers, *dense)


class Training:
    """A net, its data on the device in a shuffled order, and which batch is next: a number on the device, too."""

    def __init__(self, net: str, n_batch: int, device: str = "cuda") -> None:
        torch.manual_seed(0)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        (x, t), _ = images()
        self.device, self.n_batch, self.steps = device, n_batch, IMAGES // n_batch
        self.x, self.t = torch.from_numpy(x).to(device), torch.from_numpy(t.argmax(1)).to(device)
        self.net = model_of(net).to(device)
        cuda = device == "cuda"
        self.adam = torch.optim.Adam(self.net.parameters(), fused=cuda, capturable=cuda)
        self.order = torch.zeros((self.steps, n_batch), dtype=torch.int64, device=device)
        self.at = torch.zeros(1, dtype=torch.int64, device=device)
        self.loss: Callable[[Any, Any], Any] = lambda x, t: nn.functional.cross_entropy(self.net(x), t)

    def shuffle(self) -> None:
        self.at.zero_()
        places = torch.randperm(IMAGES, device=self.device)[: self.steps * self.n_batch]
        self.order.copy_(places.view(self.order.shape))

    def batch(self) -> tuple[Any, Any]:
        """The next one, found on the device."""
        places = self.order.index_select(0, self.at)[0]
        self.at += 1
        return self.x.index_select(0, places), self.t.index_select(0, places)

    def step(self) -> None:
        x, t = self.batch()
        self.adam.zero_grad()
        self.loss(x, t).backward()
        self.adam.step()

    def drain(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()

    def way(self, step: Callable[[], Any]) -> Way:
        def run(steps: int) -> None:
            self.shuffle()
            for _ in range(steps):
                step()
            self.drain()

        return Way(run, self.steps)


def eager(net: str, n_batch: int, device: str = "cuda") -> Way:
    """A step as it is written."""
    training = Training(net, n_batch, device)
    return training.way(training.step)


def compiled(net: str, n_batch: int) -> Way:
    """The loss, and so its backward, through torch.compile in its mode for small batches."""
    training = Training(net, n_batch)
    training.loss = torch.compile(training.loss, mode="reduce-overhead")
    return training.way(training.step)


def graph(net: str, n_batch: int) -> Way:
    """The whole step in one CUDA graph, as PyTorch's notes on CUDA graphs have it."""
    training = Training(net, n_batch)
    training.shuffle()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            training.step()
    torch.cuda.current_stream().wait_stream(side)
    recorded = torch.cuda.CUDAGraph()
    training.adam.zero_grad(set_to_none=True)
    with torch.cuda.graph(recorded):
        training.step()
    return training.way(recorded.replay)
