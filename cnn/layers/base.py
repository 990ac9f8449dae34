"""`Layer`, what every layer promises."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, ClassVar

import numpy as np

from cnn.checks import MOST, generator, naming, shown
from cnn.initializers import get_initializer
from cnn.layers.costs import Costs
from cnn.optimizers import Optimizer, get_optimizer
from cnn.xp import Array, Seed, Shape, array_module, float_dtype, get_array_module, is_array, put


class Layer(Costs):
    """A step of the network: `forward(x, train)`, `backward(dy)`, and `update()` for what it learns.

    The contract: `forward` takes (N, *I_shape) and gives (N, *O_shape); `backward` takes the
    gradient of what `forward` gave and returns the gradient of what it took, in its shape (or None,
    where `wants_dx` is False); `update` steps the layer's own optimizer. Gradients are those of the
    mean loss over the batch.

    Attributes:
        name: unique within a model, such as "Conv1".
        label: the name a person chose, or None for a running one.
        I_shape: the shape of one input; O_shape: of one output.
        mode: "cpu" or "gpu", where parameters were put; dtype: theirs.
        W, b, dW, db: parameters and their gradients, in layers that have them; a layer with others says
            so in `parameter_names`, and calls the gradient of "gamma" dgamma. What it gathers without
            learning it, such as running means, is in `statistic_names`; the seeds of what it draws while it
            works are in `seed_names`.
    """

    role: ClassVar[str] = "Layer"
    parameter_names: tuple[str, ...] = ()
    undecayed: tuple[str, ...] = ()  # those of them that weight decay leaves alone
    statistic_names: ClassVar[tuple[str, ...]] = ()
    seed_names: tuple[str, ...] = ()
    begun = 0  # the step at which the epoch began, as `begin_epoch` heard of it
    wants_dx = True  # whether anybody has a use for what backward returns: `training` has none for the first layer's
    gave_dx = True  # whether the last backward returned it
    flattens: ClassVar[bool] = False  # whether inputs of more axes than I_shape are taken, too
    optimizer: Optimizer | None = None

    def __init__(self, I_shape: Shape, O_shape: Shape, *, name: str | None, mode: str, dtype: Any) -> None:
        if name is not None and not isinstance(name, str):
            raise TypeError(f"a layer's name or label is {name!r}; expected a text, such as 'Conv1'")
        if name is not None and not name.isprintable():
            raise ValueError(f"a layer's name or label is {name!r}; expected a text that can be printed in one line")
        self.label = name
        self.name = name or self.role
        with naming(self.name):
            array_module(mode)
            self.dtype = float_dtype(dtype)
        self.mode = mode
        self.I_shape = I_shape
        self.O_shape = O_shape
        for what, shape in (("input", I_shape), ("output", O_shape)):
            if math.prod(shape) > MOST:
                raise ValueError(
                    f"{self.name}: one {what} {shape} would have more than {MOST:,} numbers: make it smaller"
                )
        self.y_shape: Shape | None = None
        self.W: Array = None
        self.b: Array = None
        self.dW: Array = None
        self.db: Array = None

    def to(self, mode: str) -> None:
        """Move everything to "cpu" or "gpu"; the next random numbers are new ones, from the layer's seed.

        RuntimeError with no GPU; ValueError for another word.
        """
        with naming(self.name):
            array_module(mode)
        for key, value in vars(self).items():
            if is_array(value):
                setattr(self, key, put(value, mode))
        if self.optimizer is not None:
            stepper = self.optimizer.stepper
            stepper.state = {slot: [put(each, mode) for each in arrays] for slot, arrays in stepper.state.items()}
        self.mode = mode

    def forward(self, x: Array, train: bool = False) -> Array:
        """The outputs for `x`; `train` is for layers that act differently while they learn."""
        raise NotImplementedError(f"{type(self).__name__} has no forward(x, train)")

    def backward(self, dy: Array) -> Array:
        """The gradient by the last `x`, from the gradient by the last output."""
        raise NotImplementedError(f"{type(self).__name__} has no backward(dy)")

    def update(self) -> None:
        """Step the layer's own optimizer; a layer that learns nothing has nothing to do."""
        if self.optimizer is not None:
            self.optimizer.update(self.parameters(), self.gradients(), self.spared())

    def spared(self) -> tuple[int, ...]:
        """The places in `parameter_names` of those that weight decay leaves alone."""
        return tuple(i for i, name in enumerate(self.parameter_names) if name in self.undecayed)

    def begin_epoch(self, step: int) -> None:
        """Draw from here on what the layer's seed, and the number of this step of the model, alone determine.

        So a training that goes on from a file draws what one that never stopped does.
        """
        self.begun = step

    def random_numbers(self, seed: int, x: Array) -> Any:
        """A new generator of random numbers on the device of `x`, for this epoch."""
        state = np.random.SeedSequence((seed, self.begun)).generate_state(1)
        return get_array_module(x).random.default_rng(int(state[0]))

    def parameters(self) -> list[Array]:
        """What the layer learns, in the order of `parameter_names`."""
        return [getattr(self, name) for name in self.parameter_names]

    def gradients(self) -> list[Array]:
        """Their gradients in the same order; RuntimeError before the first backward."""
        gradients = [getattr(self, f"d{name}") for name in self.parameter_names]
        if any(gradient is None for gradient in gradients):
            raise RuntimeError(f"{self.name}.update: there are no gradients yet; call forward and backward first")
        return gradients

    def own(self, x: Array) -> Array:
        """`x` in this layer's dtype, so that a float64 or integer array widens nothing; `x` itself if it is."""
        return x if x.dtype == self.dtype else x.astype(self.dtype)

    def check_input(self, x: Array) -> Array:
        """`x` in this layer's dtype; ValueError unless it is a batch of this layer's inputs."""
        self.check_array("forward", "x", x)
        if x.shape[1:] != self.I_shape:
            raise ValueError(f"{self.name}.forward expects x of shape {shown(self.I_shape)}; got {tuple(x.shape)}")
        return self.own(x)

    def check_gradient(self, dy: Array) -> Array:
        """`dy` in this layer's dtype; raises unless it has the shape of the last output."""
        if self.y_shape is None:
            raise RuntimeError(
                f"{self.name}.backward: there is no forward to go back from; call forward(x) first (over many images "
                "at once a model works in pieces and keeps nothing for backward, unless train=True)"
            )
        self.check_array("backward", "an array", dy)
        if dy.shape != self.y_shape:
            raise ValueError(
                f"{self.name}.backward expects the shape of its last output, {self.y_shape}; got {tuple(dy.shape)}"
            )
        return self.own(dy)

    def asked_dx(self) -> bool:
        """Whether backward is to return the gradient by x; remembered for `cost`."""
        self.gave_dx = self.wants_dx
        return self.wants_dx

    def check_array(self, verb: str, what: str, x: Any) -> None:
        """Raise TypeError unless `x` is an array of real numbers where the parameters are; NaN and inf pass."""
        if not is_array(x):
            raise TypeError(f"{self.name}.{verb} expects {what} as an array; got a {type(x).__name__}")
        if x.dtype.kind not in "fbiu":
            raise TypeError(f"{self.name}.{verb} expects real numbers; got an array of {x.dtype}")
        if isinstance(x, np.ma.MaskedArray):
            raise TypeError(f"{self.name}.{verb} expects plain numbers; got a masked array: take its filled(0), or so")
        here = get_array_module(x)
        home = get_array_module(getattr(self, self.parameter_names[0])) if self.parameter_names else here
        if here is not home:
            where = ("on the GPU", "to_gpu") if home is not np else ("on the host", "to_cpu")
            raise TypeError(
                f"{self.name}.{verb} expects {what} {where[0]}, where its parameters are; got one that is not: take "
                f"cnn.xp.{where[1]} of it"
            )

    def check_room(self, *shape: int) -> None:
        """Raise ValueError for an array of parameters that no machine has room for."""
        count = math.prod(shape)
        if count > MOST:
            raise ValueError(f"{self.name} would learn {count:,} numbers; expected {MOST:,} or fewer: make it smaller")

    def first_values(self, draw: Callable[..., Any], *args: Any) -> np.ndarray[Any, Any]:
        """What `draw` gives, in this layer's dtype; ValueError where that cannot hold it."""
        with np.errstate(over="ignore", invalid="ignore"), suppress(OverflowError):
            values: np.ndarray[Any, Any] = np.asarray(draw(*args)).astype(self.dtype)
            if np.isfinite(values).all():
                return values
        raise ValueError(f"the first values of its parameters are too large for {self.dtype}; choose smaller ones")

    def make_parameters(
        self,
        W_shape: Shape,
        n_bias: int,
        wb_width: float,
        init: str,
        init_dic: Mapping[str, Any] | None,
        opt: str,
        opt_dic: Mapping[str, Any] | None,
        seed: Seed,
    ) -> None:
        """Give the layer `W` and `b` as `init` says, "normal" with the width `wb_width`, and an optimizer of its own.

        The numbers are drawn on the host, so that one seed means the same parameters on either device.
        """
        self.check_room(*W_shape)
        rng, xp = generator(f"{self.name}: seed", seed), array_module(self.mode)
        with naming(self.name):
            first = get_initializer(init, init_dic, wb_width)
            self.W = xp.asarray(self.first_values(first.weights, W_shape, rng))
            self.b = xp.asarray(self.first_values(first.biases, n_bias, rng))
            self.optimizer = get_optimizer(opt, opt_dic, rng)

    def __repr__(self) -> str:
        kind = type(self).__name__
        return f"<{self.name}: {kind} {self.I_shape} -> {self.O_shape}, {self.n_parameters} parameters>"
