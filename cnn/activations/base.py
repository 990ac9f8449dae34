"""What activations promise: `Activation`, and `Learned` for those with parameters of their own."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import ClassVar

from cnn.checks import number
from cnn.xp import Array


@dataclass(frozen=True)
class Keywords:
    """Checks the keywords of a subclass, its fields: numbers become Python floats, which widen no array."""

    not_negative: ClassVar[tuple[str, ...]] = ()  # those that may not be any number

    def __post_init__(self) -> None:
        for each in fields(self):
            if each.type == "float":
                least = 0.0 if each.name in self.not_negative else -math.inf
                value = number(f"{type(self).__name__}: {each.name}", getattr(self, each.name), least)
                object.__setattr__(self, each.name, value)


class Activation(Keywords):
    """A function of each number (or of each row), and its derivative; pure, so that the layer alone keeps state.

    Value and derivative are finite for any finite x (short of the last value of its dtype), in its dtype.
    At a kink the derivative is the one of the side that is named.
    """

    def forward(self, x: Array) -> Array:
        """The value at `x`, in its shape and dtype."""
        raise NotImplementedError(f"{type(self).__name__} has no forward(x)")

    def backward(self, dy: Array, x: Array, y: Array) -> Array:
        """The gradient at `x`, given the gradient `dy` at y = forward(x)."""
        raise NotImplementedError(f"{type(self).__name__} has no backward(dy, x, y)")


class Learned(Keywords):
    """An activation with parameters that learn, one a channel: (C,), along axis 1 of x, or one for all.

    Its keywords are their first values, by name; the arrays are the layer's, which hands them over. Weight decay
    leaves them alone: He et al. (2015) do so with PReLU's alpha, as it would draw alpha to 0, which is a ReLU, and
    a layer has one `opt_dic` for its weights and for them.
    """

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """The names of the parameters, in the order in which they are handed over."""
        return tuple(each.name for each in fields(self))

    def forward(self, x: Array, *parameters: Array) -> Array:
        """The value at `x`, in its shape and dtype."""
        raise NotImplementedError(f"{type(self).__name__} has no forward(x, *parameters)")

    def backward(self, dy: Array, x: Array, y: Array, *parameters: Array) -> tuple[Array, ...]:
        """The gradient at `x` and those of the parameters, each in its shape."""
        raise NotImplementedError(f"{type(self).__name__} has no backward(dy, x, y, *parameters)")


def along(parameter: Array, x: Array) -> Array:
    """`parameter` (C,) in the shape that goes along axis 1 of `x`."""
    return parameter.reshape(-1, *[1] * (x.ndim - 2))


def collected(gradient: Array, parameter: Array) -> Array:
    """The gradient of `parameter` (C,), from one for each number of x: summed over all axes but 1, or over all."""
    axes = tuple(i for i in range(gradient.ndim) if i != 1 or parameter.size == 1)
    return gradient.sum(axis=axes).reshape(parameter.shape)
