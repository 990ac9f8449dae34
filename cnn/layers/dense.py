"""The fully connected layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from cnn.activations import Identity
from cnn.checks import LARGEST, shown, whole
from cnn.kernels.layerwise import overrides
from cnn.layers.activated import Activated
from cnn.layers.base import Layer
from cnn.xp import Array, Seed, Shape


class Dense(Activated):
    """y = act(x W + b); an input of more axes, such as (N, C, H, W), is flattened here.

    Args:
        prev: numbers in.
        n: numbers out.
        name, wb_width, init, init_dic, act, act_dic, opt, opt_dic, mode, dtype, seed: as in Conv2d.

    W is (prev, n), b is (n,).
    """

    role = "Middle"
    parameter_names = ("W", "b")
    flattens = True

    def __init__(
        self,
        prev: int,
        n: int,
        *,
        name: str | None = None,
        wb_width: float = 0.05,
        init: str = "normal",
        init_dic: Mapping[str, Any] | None = None,
        act: str = "ReLU",
        act_dic: Mapping[str, Any] | None = None,
        opt: str = "Adam",
        opt_dic: Mapping[str, Any] | None = None,
        mode: str = "cpu",
        dtype: Any = "float32",
        seed: Seed = None,
    ) -> None:
        who = name or self.role
        prev, n = whole(f"{who}: prev", prev, most=LARGEST), whole(f"{who}: n", n, most=LARGEST)
        super().__init__((prev,), (n,), name=name, mode=mode, dtype=dtype)
        self.make_parameters((prev, n), n, wb_width, init, init_dic, opt, opt_dic, seed)
        self.make_activation(act, act_dic, seed)
        self.x_shape: Shape | None = None
        self.x: Array = None  # the last input, flattened

    def forward(self, x: Array, train: bool = False) -> Array:
        """(N, n) from (N, ...)."""
        return biased(self, taken(self, x) @ self.W, train)

    def backward(self, dy: Array) -> Array:
        """The gradient in the shape of x, from (N, n); sets dW and db."""
        return bent_back(self, self.check_gradient(dy))

    def work(self, phase: str, N: int) -> tuple[int, int]:
        """As `affine_work` says."""
        return affine_work(self, phase, N, bent=not isinstance(self.activation, Identity))


def taken(layer: Any, x: Array) -> Array:
    """`x` as rows of the layer's dtype, (N, prev), checked and remembered."""
    layer.check_array("forward", "x", x)
    if x.ndim < 2 or math.prod(x.shape[1:]) != layer.prev:
        raise ValueError(
            f"{layer.name}.forward expects x of shape {shown(layer.I_shape)} or more axes of as many numbers; "
            f"got {tuple(x.shape)}"
        )
    layer.x_shape, layer.y_shape = x.shape, (len(x), layer.n)
    layer.x = layer.own(x).reshape(len(x), layer.prev)
    return layer.x


def biased(layer: Any, sums: Array, train: bool) -> Array:
    """The activation of `sums` + b."""
    kernels = overrides(sums)
    if kernels is None:
        return layer.activate(sums + layer.b, train)
    return layer.activated(kernels.units_out(sums, layer.b, layer.bent), train)


def bent_back(layer: Any, dy: Array) -> Array:
    """The gradient in the shape that x had, from that by the activation; sets dW and db."""
    kernels = overrides(dy)
    if kernels is None:
        dz = layer.activate_back(dy)
        return product_back(layer, dz, dz.sum(axis=0))
    back = kernels.units_back(dy, layer.y) if layer.bent else kernels.units_back(layer.activate_back(dy), None)
    return product_back(layer, *back)


def product_back(layer: Any, dz: Array, db: Array) -> Array:
    """The gradient in the shape that x had, from those by x W + b and by b; sets dW and db."""
    layer.dW, layer.db = layer.x.T @ dz, db
    return (dz @ layer.W.T).reshape(layer.x_shape) if layer.asked_dx() else None


def affine_work(layer: Layer, phase: str, N: int, *, bent: bool) -> tuple[int, int]:
    """Forward 2·N·prev·n + 2·N·n flops, backward twice the product and 3·N·n.

    Forward reads x, W, b, writes y; backward reads dy, y, x, W and writes dx, dW, db. What is not `bent`
    by an activation saves N·n, 2·N·n, and in backward y; a backward that left dx out a product, W and dx.
    """
    flops = 2 * N * layer.prev * layer.n
    if phase == "forward":
        return flops + (1 + bent) * N * layer.n, N * (layer.prev + layer.n) + layer.n_parameters
    numbers = N * (layer.prev + (1 + bent) * layer.n) + layer.n_parameters
    if layer.gave_dx:
        flops, numbers = 2 * flops, numbers + N * layer.prev + layer.W.size
    return flops + (1 + 2 * bent) * N * layer.n, numbers
