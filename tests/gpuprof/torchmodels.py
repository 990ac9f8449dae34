"""Torch modules that spend time on a fake clock in their forwards and backwards; PyTorch must be there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gpuprof.testing import FakeClock


class _Spent(torch.autograd.Function):
    """x, after time in the forward; the gradient, after time in the backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, work: Callable[[str], None]) -> Tensor:
        ctx.work = work
        work("forward")
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        ctx.work("backward")
        return gradient.clone(), None


class Work(nn.Module):
    """Takes `forward` and `backward` seconds: of the fake device, where it has one, else of the host."""

    def __init__(self, clock: FakeClock, forward: float = 1e-3, backward: float = 2e-3) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self._clock = [clock]
        self._takes = {"forward": forward, "backward": backward}

    def work(self, phase: str) -> None:
        self._clock[0].launch(self._takes[phase])

    def forward(self, x: Tensor) -> Tensor:
        return _Spent.apply(x * self.weight, self.work)


class Spent(nn.Module):
    """The same without a parameter, and nothing else."""

    def __init__(self, clock: FakeClock, forward: float = 1e-3, backward: float = 2e-3) -> None:
        super().__init__()
        self.work = Work(clock, forward, backward).work

    def forward(self, x: Tensor) -> Tensor:
        return _Spent.apply(x, self.work)


class Net(nn.Module):
    """What `forward` does with the modules given."""

    def __init__(self, forward: Callable[..., Any], **modules: nn.Module) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self._does = forward

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._does(self, *args, **kwargs)


def spend(clock: FakeClock, x: Tensor, forward: float, backward: float) -> Tensor:
    """x, with time taken here and in its backward, in no module."""

    def work(phase: str) -> None:
        clock.launch({"forward": forward, "backward": backward}[phase])

    return _Spent.apply(x, work)


def ones(requires_grad: bool = False) -> Tensor:
    """An input."""
    return torch.ones(2, 3, requires_grad=requires_grad)
