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


def for_speed() -> None:
    """TF32 for products and convolutions, and cuDNN tries its algorithms and takes the fastest."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True


class Gathering(nn.Module):
    """The loss of the images at some places of the data, which is the module's own."""

    def __init__(self, net: nn.Module, x: Any, t: Any) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("x", x)
        self.register_buffer("t", t)

    def forward(self, places: Any) -> Any:
        """The mean cross entropy, a scalar."""
        x, t = self.x.index_select(0, places), self.t.index_select(0, places)
        return nn.functional.cross_entropy(self.net(x), t)


class Training:
    """A net, its data on the device in a shuffled order, and which batch is next."""

    def __init__(self, net: str, n_batch: int, device: str = "cuda", capturable: bool = False) -> None:
        torch.manual_seed(0)
        for_speed()
        (x, t), _ = images()
        self.device, self.n_batch, self.steps = device, n_batch, IMAGES // n_batch
        data = (torch.from_numpy(each) for each in (x, t.argmax(1)))
        self.loss: Callable[[Any], Any] = Gathering(model_of(net), *data).to(device)
        self.parameters = list(self.loss.parameters())
        cuda = device == "cuda"
        self.adam = torch.optim.Adam(self.parameters, fused=cuda, capturable=capturable and cuda)
        self.order = torch.zeros((self.steps, n_batch), dtype=torch.int64, device=device)
        self.at = 0

    def shuffle(self) -> None:
        self.at = 0
        places = torch.randperm(IMAGES, device=self.device)[: self.steps * self.n_batch]
        self.order.copy_(places.view(self.order.shape))

    def places(self) -> Any:
        """Where the next batch is, a row of the order."""
        self.at += 1
        return self.order[self.at - 1]

    def step(self) -> None:
        self.adam.zero_grad()
        self.loss(self.places()).backward()
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


class Counting(Training):
    """Which batch is next is a number on the device: a step that was recorded finds it."""

    def __init__(self, net: str, n_batch: int, device: str = "cuda") -> None:
        super().__init__(net, n_batch, device, capturable=True)
        self.counter = torch.zeros(1, dtype=torch.int64, device=device)

    def shuffle(self) -> None:
        super().shuffle()
        self.counter.zero_()

    def places(self) -> Any:
        """Where the next batch is, found on the device."""
        places = self.order.index_select(0, self.counter)[0]
        self.counter += 1
        return places


def eager(net: str, n_batch: int, device: str = "cuda") -> Way:
    """A step as it is written."""
    training = Training(net, n_batch, device)
    return training.way(training.step)


def compiled(net: str, n_batch: int, device: str = "cuda", **how: Any) -> Way:
    """Gather, loss and so their backward through torch.compile in its mode for small batches.

    Adam is fused as it is: with its step compiled, too, a step of the article's net took as long.
    """
    training = Training(net, n_batch, device)
    training.loss = torch.compile(training.loss, **(how or {"mode": "reduce-overhead"}))
    return training.way(training.step)


def graph(net: str, n_batch: int) -> Way:
    """The whole step in one CUDA graph, as PyTorch's notes on CUDA graphs have it."""
    training = Counting(net, n_batch)
    training.shuffle()
    recorded = record(training.step, training.adam)
    return training.way(recorded.replay)


def record(step: Callable[[], Any], adam: Any, times: int = 1) -> Any:
    """A graph of so many steps, recorded after three on another stream."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    recorded = torch.cuda.CUDAGraph()
    adam.zero_grad(set_to_none=True)
    with torch.cuda.graph(recorded):
        for _ in range(times):
            step()
    return recorded
