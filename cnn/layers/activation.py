"""An activation as a layer of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnn.activations import Identity
from cnn.checks import generator, naming, sizes
from cnn.layers.activated import Activated
from cnn.optimizers import get_optimizer
from cnn.xp import Array, Seed


class ActivationLayer(Activated):
    """y = act(x), such as between a batch normalisation and what follows it.

    Args:
        I_shape: the shape of one input; the output has the same.
        act, act_dic: the activation and its keywords; one that learns has its parameters here, such as
            `alpha` of a PReLU, (C,): one a channel, which is what axis 1 of x counts.
        name: a name of its own instead of a running one.
        opt, opt_dic: the optimizer of what is learned, and its keywords.
        mode, dtype: as in Conv2d.
        seed: of an activation, or an optimizer, that draws random numbers.
    """

    role = "Activation"

    def __init__(
        self,
        I_shape: Any,
        act: str = "ReLU",
        act_dic: Mapping[str, Any] | None = None,
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
        self.make_activation(act, act_dic, seed)
        with naming(self.name):
            optimizer = get_optimizer(opt, opt_dic, generator(f"{self.name}: seed", seed))
        self.optimizer = optimizer if self.parameter_names else None

    def forward(self, x: Array, train: bool = False) -> Array:
        """act(x), in the shape of x."""
        y = self.activate(self.check_input(x), train)
        self.y_shape = y.shape
        return y

    def backward(self, dy: Array) -> Array:
        """The gradient by x; sets those of learned parameters."""
        return self.activate_back(self.check_gradient(dy))

    def work(self, phase: str, N: int) -> tuple[int, int]:
        """One operation a number forward, two backward; forward reads x, writes y, backward dy, x or y, and dx."""
        if isinstance(self.activation, Identity):
            return 0, 0
        if phase == "forward":
            return N * self.n, 2 * N * self.n + self.n_parameters
        return 2 * N * self.n, 3 * N * self.n + 2 * self.n_parameters
