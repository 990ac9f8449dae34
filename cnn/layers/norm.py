"""Batch normalisation, of numbers or of channels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnn.checks import generator, naming, number, sizes
from cnn.layers.base import Layer
from cnn.optimizers import get_optimizer
from cnn.xp import Array, Seed, Shape, array_module, get_array_module


class BatchNorm(Layer):
    """y = gamma (x - mean) / √(var + eps) + beta, channel by channel. Ioffe and Szegedy (2015).

    A channel is what axis 1 counts: of images (N, C, H, W) one of C, over N, H and W; of (N, n) one of n
    numbers, over N. While training, mean and variance are those of the batch (the variance over n, not
    n - 1), and the running ones follow them; otherwise the running ones are used, and `backward` then
    takes them as given.

    Args:
        I_shape: the shape of one input, a number or (C, H, W); the output has the same.
        momentum: the share of the new batch in the running statistics, as in PyTorch:
            mean = (1 - momentum) mean + momentum (the batch's mean). Keras and ONNX give the share that is
            kept: their 0.9 is 0.1 here. The running variance takes the batch's over n - 1.
        eps: added to the variance.
        name: a name of its own instead of a running one.
        opt, opt_dic: the optimizer of gamma and beta and its keywords.
        mode, dtype: as in Conv2d.
        seed: of an optimizer that draws random numbers.

    gamma (C,) starts as 1, beta (C,) as 0; mean (C,) as 0, var (C,) as 1.
    """

    role = "BatchNorm"
    parameter_names = ("gamma", "beta")
    statistic_names = ("mean", "var")

    def __init__(
        self,
        I_shape: Any,
        momentum: float = 0.1,
        eps: float = 1e-5,
        *,
        name: str | None = None,
        opt: str = "Adam",
        opt_dic: Mapping[str, Any] | None = None,
        mode: str = "cpu",
        dtype: Any = "float32",
        seed: Seed = None,
    ) -> None:
        shape = sizes(f"{name or self.role}: I_shape", I_shape)
        super().__init__(shape, shape, name=name, mode=mode, dtype=dtype)
        self.momentum = number(f"{self.name}: momentum", momentum, below=1)
        self.eps = number(f"{self.name}: eps", eps)
        with naming(self.name):
            self.optimizer = get_optimizer(opt, opt_dic, generator("seed", seed))
        self.check_room(shape[0])
        xp, C = array_module(mode), shape[0]
        self.gamma: Array = xp.ones(C, dtype=self.dtype)
        self.beta: Array = xp.zeros(C, dtype=self.dtype)
        self.dgamma: Array = None
        self.dbeta: Array = None
        self.mean: Array = xp.zeros(C, dtype=self.dtype)
        self.var: Array = xp.ones(C, dtype=self.dtype)
        self.normal: Array = None  # the last x, normalised
        self.scale: Array = None  # by what it was multiplied, 1 / √(var + eps)
        self.trained = False  # whether its own mean and variance were used

    def forward(self, x: Array, train: bool = False) -> Array:
        """`x`, normalised, stretched and moved."""
        x = self.check_input(x)
        if train:
            mean, var = self._of_batch(x)
        else:
            mean, var = self._wide(self.mean), self._wide(self.var)
        self.trained, self.y_shape = train, x.shape
        self.scale = 1 / get_array_module(x).sqrt(var + self.eps)
        self.normal = (x - mean) * self.scale
        return self.normal * self._wide(self.gamma) + self._wide(self.beta)

    def backward(self, dy: Array) -> Array:
        """The gradient by x, in its shape; sets dgamma and dbeta."""
        dy = self.check_gradient(dy)
        axes, n = self._axes(dy), dy.size // len(self.gamma)
        self.dgamma = (dy * self.normal).sum(axis=axes)
        self.dbeta = dy.sum(axis=axes)
        if self.trained:  # mean and variance moved with x
            dy = dy - self._wide(self.dbeta / n) - self.normal * self._wide(self.dgamma / n)
        return dy * (self.scale * self._wide(self.gamma))

    def _of_batch(self, x: Array) -> tuple[Array, Array]:
        """Mean and variance of the channels of `x`; the running ones follow."""
        n = x.size // len(self.gamma)
        if n < 2:
            raise ValueError(
                f"{self.name}.forward: a channel has one number in this batch of {len(x)}, which has no variance to "
                "train with; use a larger n_batch, or train=False"
            )
        mean = x.mean(axis=self._axes(x))
        centred = x - self._wide(mean)
        var = (centred * centred).mean(axis=self._axes(x))
        self.mean += self.momentum * (mean - self.mean)
        self.var += self.momentum * (var * (n / (n - 1)) - self.var)
        return self._wide(mean), self._wide(var)

    def _axes(self, x: Array) -> Shape:
        """All but that of the channels."""
        return 0, *range(2, x.ndim)

    def _wide(self, channels: Array) -> Array:
        """(C,) as (C, 1, 1), to go with (N, C, H, W)."""
        return channels.reshape(-1, *(1 for _ in self.I_shape[1:]))

    def work(self, phase: str, N: int) -> tuple[int, int]:
        """Seven operations a number, forward in training and backward; what is done once a channel is left out.

        Forward reads x, writes y; backward reads dy and x, writes dx; both read or write gamma and beta.
        """
        return 7 * N * self.n, (2 if phase == "forward" else 3) * N * self.n + 2 * self.n_parameters

    def cost(self, phase: str, x_shape: Shape | None) -> tuple[int, int]:
        """As for every layer; an evaluation takes four operations a number."""
        flops, moved = super().cost(phase, x_shape)
        return (flops * 4 // 7 if phase == "evaluate" else flops), moved

    def kept(self) -> int:
        """Input, what comes between, and output."""
        return 4 * self.n
