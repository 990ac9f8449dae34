"""`Activated`, a layer that ends in an activation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cnn.activations import Learned, ReLU, RReLU, get_activation
from cnn.checks import generator, naming
from cnn.layers.base import Layer
from cnn.xp import Array, Seed, array_module


class Activated(Layer):
    """Keeps what its activation, a pure function, may need: `z`, `y`, learned parameters, random numbers.

    On a GPU, one kernel may add the biases and do the ReLU: then `z` is None, for a ReLU goes back by `y`.

    A subclass calls `make_activation` when it is made, `activate` in forward, `activate_back` in backward.
    Parameters of the activation are the layer's: with act="PReLU" it has an `alpha` and a `dalpha`.
    """

    activation: Any
    z: Array = None  # the sums before the activation
    y: Array = None
    bent = False  # whether the activation is a ReLU
    act_seed: int | None = None  # of an activation that draws
    act_rng: Any = None  # made at the first training step, on the device of z

    def make_activation(self, act: str, act_dic: Mapping[str, Any] | None, seed: Seed) -> None:
        """Give the layer the activation called `act`, and its parameters, one a channel: (O_shape[0],)."""
        with naming(self.name):
            self.activation = get_activation(act, act_dic)
        self.bent = type(self.activation) is ReLU
        if isinstance(self.activation, RReLU):
            self.act_seed = int(generator(f"{self.name}: seed", seed).integers(2**31))
            self.seed_names = ("act_seed",)
        if isinstance(self.activation, Learned):
            names = self.activation.parameter_names
            self.check_room(self.O_shape[0])
            for name in names:
                with naming(self.name):
                    first = self.first_values(np.full, self.O_shape[0], getattr(self.activation, name))
                setattr(self, name, array_module(self.mode).asarray(first))
                setattr(self, f"d{name}", None)
            self.parameter_names, self.undecayed = (*self.parameter_names, *names), names

    def to(self, mode: str) -> None:
        """As for every layer."""
        super().to(mode)
        self.act_rng = None  # a device has generators of its own

    def begin_epoch(self, step: int) -> None:
        """As for every layer."""
        super().begin_epoch(step)
        self.act_rng = None

    def activate(self, z: Array, train: bool) -> Array:
        """The activation of `z`; both are kept."""
        self.z = z
        if train and isinstance(self.activation, RReLU):
            if self.act_rng is None:
                self.act_rng = self.random_numbers(self.act_seed or 0, z)
            self.y = self.activation.training(z, self.act_rng)
        else:
            self.y = self.activation.forward(z, *self._learned())
        return self.y

    def activated(self, z: Array, train: bool) -> Array:
        """As `activate`, of sums that a kernel has sent through the activation already, if that is a ReLU."""
        if not self.bent:
            return self.activate(z, train)
        self.z, self.y = None, z
        return z

    def activate_back(self, dy: Array) -> Array:
        """The gradient by the last `z`, from that by its activation; sets those of learned parameters."""
        if not isinstance(self.activation, Learned):
            dz: Array = self.activation.backward(dy, self.z, self.y)
            return dz
        dz, *gradients = self.activation.backward(dy, self.z, self.y, *self._learned())
        for name, gradient in zip(self.activation.parameter_names, gradients, strict=True):
            setattr(self, f"d{name}", gradient)
        return dz

    def _learned(self) -> list[Array]:
        names = self.activation.parameter_names if isinstance(self.activation, Learned) else ()
        return [getattr(self, name) for name in names]
