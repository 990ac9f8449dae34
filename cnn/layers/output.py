"""The last layer: fully connected, with the loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnn.activations import Activation, HardSigmoid, Identity, Sigmoid, Softmax, Softmin, Step
from cnn.checks import LARGEST, naming, whole
from cnn.kernels.layerwise import few_outputs, overrides
from cnn.layers.activated import Activated
from cnn.layers.dense import affine_work, bent_back, biased, product_back, taken
from cnn.losses import Binary, Cross, Loss, Square, get_loss
from cnn.xp import Array, Seed, Shape

# Each activation's partner, with which the derivative is y - t (softmin's, as the softmax of -z: t - y): Bishop (2006),
# section 5.2, "canonical link".
CANONICAL: dict[type[Activation], type[Loss]] = {Softmax: Cross, Softmin: Cross, Sigmoid: Binary, Identity: Square}
# What the outputs have to be for a loss, and the activations that make them so.
NEEDS: dict[type[Loss], tuple[str, tuple[type[Activation], ...]]] = {
    Cross: ("a distribution", (Softmax, Softmin)),
    Binary: ("between 0 and 1", (Sigmoid, Softmax, Softmin, HardSigmoid, Step)),
}


class Output(Activated):
    """y = act(x W + b), and the loss: its `backward` takes the targets, not a gradient.

    Args:
        prev: numbers in.
        n: numbers out, one a class.
        act: "softmax", "sigmoid", "identity", or another activation.
        err_func: the loss: by default the activation's partner, "Cross" for softmax (and softmin),
            "Binary" for sigmoid, "Square" for all others. Cross entropy takes only those, as others give no
            distribution; "Binary" takes what lies between 0 and 1: also softmax, softmin, hard sigmoid, step.
        err_dic: the loss's keywords, such as {"smoothing": 0.1} for "Cross" and "Binary".
        name, wb_width, init, init_dic, act_dic, opt, opt_dic, mode, dtype, seed: as in Conv2d.

    W is (prev, n), b is (n,).
    """

    role = "Output"
    parameter_names = ("W", "b")
    flattens = True

    def __init__(
        self,
        prev: int,
        n: int,
        act: str = "softmax",
        err_func: str | None = None,
        *,
        name: str | None = None,
        wb_width: float = 0.05,
        init: str = "normal",
        init_dic: Mapping[str, Any] | None = None,
        act_dic: Mapping[str, Any] | None = None,
        err_dic: Mapping[str, Any] | None = None,
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
        with naming(self.name):
            self.loss = _loss(self.activation, act, err_func, err_dic)
        self.canonical = CANONICAL.get(type(self.activation)) is type(self.loss)
        self.turned = isinstance(self.activation, Softmin)
        self.x_shape: Shape | None = None
        self.x: Array = None  # the last input, flattened
        self.y: Array = None  # the last output, as `z` is the last sums; after an evaluation in pieces, of all pieces

    def forward(self, x: Array, train: bool = False) -> Array:
        """(N, n) from (N, ...)."""
        x = taken(self, x)
        kernels = overrides(x) if type(self.activation) is Softmax else None
        if kernels is None:
            return biased(self, x @ self.W, train)
        if few_outputs(x, self.W):
            self.z, self.y = kernels.few_out(x, self.W, self.b)
        else:
            self.z, self.y = kernels.softmax_out(x @ self.W, self.b)
        return self.y

    def backward(self, t: Array) -> Array:
        """The gradient of the mean loss by x, in its shape, from the targets (N, n); sets dW and db."""
        t = self.check_gradient(t)
        if not self.canonical:
            return bent_back(self, self.loss.gradient(self.y, t))
        over = -len(t) if self.turned else len(t)
        kernels, shares = overrides(self.y), self.loss.shares(self.n)
        if kernels is not None and few_outputs(self.x, self.W):
            self.dW, self.db, dx = kernels.few_back(self.y, t, self.x, self.W, shares, over, self.asked_dx())
            return None if dx is None else dx.reshape(self.x_shape)
        if kernels is not None:
            return product_back(self, *kernels.output_back(self.y, t, shares, over))
        dz = (self.y - self.loss.targets(t)) / over
        return product_back(self, dz, dz.sum(axis=0))

    def get_error(self, t: Array) -> Array:
        """The mean loss of the last forward against the targets `t`, as a scalar on the device: `float` waits."""
        if self.y is None:
            raise RuntimeError(f"{self.name}.get_error: there is no output yet; call forward(x) first")
        self.check_array("get_error", "the targets", t)
        if t.shape != self.y.shape:
            raise ValueError(
                f"{self.name}.get_error: the last forward gave {self.y.shape}, the targets are {tuple(t.shape)}; "
                "call forward with the images that belong to these targets first, or use lm.error(x, t)"
            )
        t = self.own(t)
        if not self.canonical:
            return self.loss.value(self.y, t)
        return self.loss.of_sums(-self.z if self.turned else self.z, t)

    def work(self, phase: str, N: int) -> tuple[int, int]:
        """As for Dense; backward reads the targets in place of dy, and y - t and its 1/N count as 2·N·n."""
        bent = phase == "backward" or not isinstance(self.activation, Identity)
        return affine_work(self, phase, N, bent=bent)


def _loss(activation: Activation, act: str, err_func: str | None, err_dic: Mapping[str, Any] | None) -> Loss:
    """The loss asked for, or the partner of the activation; ValueError for one that its outputs are not made for."""
    partner = CANONICAL.get(type(activation), Square)
    loss = get_loss(partner.__name__ if err_func is None else err_func, err_dic)
    what, takes = NEEDS.get(type(loss), ("", (object,)))
    if not isinstance(activation, takes):
        first = "softmax" if isinstance(loss, Cross) else "sigmoid"
        raise ValueError(
            f"err_func={err_func!r} needs outputs that are {what}, which act={act!r} does not give: use "
            f"err_func={partner.__name__!r}, which is the default for it, or act={first!r}"
        )
    return loss
