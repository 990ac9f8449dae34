"""PyTorch's side of the race: the whole step in a CUDA graph, with gather, moves and learning rate; on a CPU eager."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.epoch.torchways import for_speed, record
from cnn import Augment, Conv2d, Dense, Dropout, LayerManager, MaxPool2d, Output
from cnn.activations.pieces import ReLU
from cnn.schedules import Moment, Span
from cnn.xp import to_cpu

WAYS: dict[str, dict[str, Any]] = {
    "a step a graph": {},
    "10 steps a graph": {"in_a_graph": 10},
    "a step a graph, channels last": {"channels_last": True},
    "10 steps a graph, channels last": {"in_a_graph": 10, "channels_last": True},
}


def versions() -> dict[str, str]:
    """PyTorch's and cuDNN's."""
    return {"torch": torch.__version__, "cudnn": str(torch.backends.cudnn.version())}


def net_of(model: LayerManager) -> nn.Sequential:
    """The same layers with the same weights; ValueError for one that it does not know."""
    layers: list[nn.Module] = []
    for layer in model.layers:
        match layer:
            case Conv2d():
                (M, C, *window), ((top, _), (left, _)) = layer.W.shape, layer.pad_state
                layers.append(_with(nn.Conv2d(C, M, tuple(window), padding=(top, left)), layer.W, layer.b))
            case MaxPool2d():
                layers.append(nn.MaxPool2d(layer.F_shape))
            case Dropout():
                layers.append(nn.Dropout(layer.ratio))
            case Dense() | Output():
                layers += [nn.Flatten(), _with(nn.Linear(*layer.W.shape), layer.W.T, layer.b)]
            case _:
                raise ValueError(f"{layer.name} is a {type(layer).__name__}, which is in no race")
        if isinstance(getattr(layer, "activation", None), ReLU):
            layers.append(nn.ReLU())
    return nn.Sequential(*layers)


def _with(layer: Any, W: Any, b: Any) -> Any:
    """The layer with these weights, copied."""
    with torch.no_grad():
        for p, values in ((layer.weight, W), (layer.bias, b)):
            p.copy_(torch.from_numpy(np.ascontiguousarray(to_cpu(values))))
    return layer


class Peer:
    """What a recipe trains, from the weights that `model` has now, an epoch by Adam."""

    def __init__(
        self,
        model: LayerManager,
        training: Mapping[str, Any],
        seed: int,
        in_a_graph: int = 1,
        channels_last: bool = False,
    ) -> None:
        for_speed()
        self.device = "cuda" if model.mode == "gpu" else "cpu"
        self.n_batch, self.in_a_graph, self.seed = int(training["n_batch"]), in_a_graph, seed
        self.images = len(model.x_train)
        self.steps = math.ceil(self.images / self.n_batch)
        self.net = net_of(model).to(self.device)
        if channels_last:
            self.net = self.net.to(memory_format=torch.channels_last)
        self.loss = nn.CrossEntropyLoss(label_smoothing=model.layers[-1].loss.smoothing)
        self._data(model, training.get("augment"))
        self._adam(model)
        self.order = torch.zeros(self.steps * self.n_batch, dtype=torch.int64, device=self.device)
        self.counter = torch.zeros(1, dtype=torch.int64, device=self.device)
        self.first = [p.detach().clone() for p in self.net.parameters()]
        self.replays: dict[str, Any] = {}
        self._drain()

    def _data(self, model: LayerManager, augment: Augment | None) -> None:
        """The images, with a frame as wide as they may be moved, and their classes."""
        if augment is not None and (type(augment) is not Augment or augment.flip):
            raise ValueError(f"augment is {augment!r}; expected an Augment that moves alone")
        (down, right), fill = (0, 0) if augment is None else augment.shift, 0.0 if augment is None else augment.fill
        x = torch.as_tensor(model.x_train, device=self.device)
        self.x = nn.functional.pad(x, (right, right, down, down), value=fill).contiguous()
        self.t = torch.as_tensor(model.y_train, device=self.device).argmax(1)
        self.test = tuple(torch.as_tensor(each, device=self.device) for each in (model.x_test, model.y_test))
        self.shift, (_, self.C, self.H, self.W) = (down, right), x.shape
        C, H, W = (torch.arange(n, device=self.device) for n in x.shape[1:])
        high, wide = self.x.shape[2:]
        self.pixels = (C[:, None, None] * high + H[:, None]) * wide + W  # of an image that is not moved

    def _adam(self, model: LayerManager) -> None:
        """The optimizer, its learning rate on the device, and that of every step."""
        found = {repr(layer.optimizer) for layer in model.layers if layer.optimizer is not None}
        adam = next(layer.optimizer for layer in model.layers if layer.optimizer is not None)
        if len(found) != 1 or type(adam).__name__ != "Adam" or adam.weight_decay:
            raise ValueError(f"the layers learn by {', '.join(sorted(found))}; expected one Adam without weight decay")
        schedule, span = model.stepper.schedule, Span(0, self.steps, 0, 1)
        factors = [1.0 if schedule is None else schedule.factor(Moment(i, 0, span)) for i in range(self.steps)]
        self.rates = torch.tensor([adam.alpha * each for each in factors], dtype=torch.float32, device=self.device)
        cuda, betas = self.device == "cuda", (adam.beta1, adam.beta2)
        self.rate = torch.tensor(adam.alpha, dtype=torch.float32, device=self.device)
        parameters = self.net.parameters()
        self.adam = torch.optim.Adam(parameters, self.rate, betas, adam.eps, fused=True, capturable=cuda)

    def batch(self, n: int) -> tuple[Any, Any]:
        """Images and classes of the next step, each image moved by itself; all found on the device."""
        at = self.order.view(self.steps, self.n_batch).index_select(0, self.counter)[0, :n]
        t = self.t.index_select(0, at)
        if self.shift == (0, 0):
            return self.x.index_select(0, at), t
        down, right = (torch.randint(2 * most + 1, (n,), device=self.device) for most in self.shift)
        first = at * self.x[0].numel() + down * self.x.shape[3] + right
        return self.x.view(-1).take(first[:, None, None, None] + self.pixels), t

    def step(self, n: int) -> None:
        """One training step on the next `n` images."""
        self.adam.param_groups[0]["lr"].copy_(self.rates.index_select(0, self.counter)[0])
        x, t = self.batch(n)
        self.counter += 1
        self.adam.zero_grad(set_to_none=True)
        self.loss(self.net(x), t).backward()
        self.adam.step()

    def record(self) -> None:
        """Graphs of one step, of several and of the short last one, on a GPU; then all is as before."""
        if self.device == "cuda":
            rest = self.images % self.n_batch
            sizes = {"one": (self.n_batch, 1), "many": (self.n_batch, self.in_a_graph), "last": (rest, 1)}
            for name, (n, times) in sizes.items():
                if n and (name != "many" or times > 1):
                    self.counter.zero_()
                    self.replays[name] = record(lambda n=n: self.step(n), self.adam, times)
        self.reset()

    def train(self) -> None:
        """One epoch in a new order, done at the end."""
        self.order[: self.images].copy_(torch.randperm(self.images, device=self.device))
        self.counter.zero_()
        whole, rest = divmod(self.images, self.n_batch)
        many, left = divmod(whole, self.in_a_graph) if self.in_a_graph > 1 else (0, whole)
        for name, n, times in (("many", self.n_batch, many), ("one", self.n_batch, left), ("last", rest, bool(rest))):
            for _ in range(times):
                self._launch(name, n)
        self._drain()

    def _launch(self, name: str, n: int) -> None:
        if self.device == "cuda":
            self.replays[name].replay()
            return
        for _ in range(self.in_a_graph if name == "many" else 1):
            self.step(n)

    def reset(self) -> None:
        """First weights, averages of nothing, the seed's order and moves; waits until they are there."""
        with torch.no_grad():
            for p, first in zip(self.net.parameters(), self.first, strict=True):
                p.copy_(first)
            for state in self.adam.state.values():
                for slot in state.values():
                    slot.zero_()
        torch.manual_seed(self.seed)
        self._drain()

    def _drain(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()

    def accuracy(self) -> float:
        """The share of the test images whose class is found."""
        x, t = self.test
        self.net.eval()
        with torch.no_grad():
            found = torch.cat([self.net(part).argmax(1) for part in x.split(2000)])
        self.net.train()
        return float((found == t.argmax(1)).float().mean())
