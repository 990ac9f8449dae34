"""`Costs`: what a layer's work needs at the least, in arithmetic and in memory."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from cnn.checks import shown
from cnn.optimizers import Optimizer
from cnn.xp import Array, Shape

_FORWARD = ("forward", "evaluate", "recompute")  # forward under the names it has in a profile


class Costs:
    """The part of a `Layer` that says what a call costs; of the rest it reads what is declared here."""

    name: str
    I_shape: Shape
    O_shape: Shape
    dtype: Any
    W: Array
    parameter_names: tuple[str, ...]
    undecayed: tuple[str, ...]
    flattens: ClassVar[bool]
    gave_dx: bool
    optimizer: Optimizer | None

    @property
    def prev(self) -> int:
        """How many numbers come in for one image."""
        return math.prod(self.I_shape)

    @property
    def n(self) -> int:
        """How many numbers go out for one image."""
        return math.prod(self.O_shape)

    @property
    def n_parameters(self) -> int:
        """How many numbers the layer learns."""
        return sum(getattr(self, name).size for name in self.parameter_names)

    @property
    def multiply_adds(self) -> int:
        """How many multiply-adds the forward of one image takes, in products with W alone: one a weight."""
        return 0 if self.W is None else int(self.W.size)

    def cost(self, phase: str, x_shape: Shape | None) -> tuple[int, int]:
        """What `phase` needs at the least, as (flops, bytes).

        A multiply-add counts as 2 flops, any other arithmetic on one number as 1: an activation too, and
        its derivative with the product as 2 (none for the identity). Bytes: each operand read once, each
        result written once, nothing in between (the layer's own formulas are in its `work`). An update
        reads a parameter, its gradient and the optimizer's slots, and writes all but the gradient.

        Args:
            phase: "forward", "backward" or "update"; "evaluate" and "recompute" count as "forward".
            x_shape: of the call's first argument: of x; for "backward" of dy (or of x, as N is what counts),
                for the output layer of the targets; for "update" anything.

        Raises:
            ValueError: another phase, or a shape that the call would not take.
        """
        if phase not in (*_FORWARD, "backward", "update"):
            raise ValueError(
                f"{self.name}.cost: unknown phase {phase!r}; known: {', '.join(_FORWARD)}, backward, update"
            )
        if phase == "update":
            flops, values = self._update_work()
        else:
            flops, values = self.work("forward" if phase in _FORWARD else phase, self._batch(phase, x_shape))
        return flops, values * self.dtype.itemsize

    def work(self, phase: str, N: int) -> tuple[int, int]:
        """(flops, numbers read and written) of "forward" or "backward" with `N` images."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it costs")

    def kept(self) -> int:
        """How many numbers one image takes while the layer works, roughly; it bounds an evaluation's pieces."""
        return self.prev + self.n

    def _batch(self, phase: str, shape: Shape | None) -> int:
        """N of an input's shape, or in backward of an output's; ValueError if it is neither."""
        backward = phase == "backward"
        N, *sizes = shape if isinstance(shape, (tuple, list)) and shape else (0,)
        taken = self.I_shape, *((self.O_shape,) if backward else ())
        if tuple(sizes) not in taken and not (self.flattens and sizes and math.prod(sizes) == self.prev):
            wanted = f"dy of shape {shown(self.O_shape)}" if backward else f"x of shape {shown(self.I_shape)}"
            raise ValueError(f"{self.name}.cost: {phase} expects {wanted}; got {shape}")
        return int(N)

    def _update_work(self) -> tuple[int, int]:
        if self.optimizer is None:
            return 0, 0
        slots, still = len(self.optimizer.slots), sum(getattr(self, name).size for name in self.undecayed)
        flops = self.optimizer.flops * self.n_parameters - self.optimizer.stepper.decay_flops * still
        return flops, (3 + 2 * slots) * self.n_parameters
