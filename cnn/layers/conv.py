"""Convolution as one matrix product over the columns of im2col."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from cnn.activations import Identity
from cnn.checks import naming, whole, whole_shape
from cnn.im2col import columns, images
from cnn.kernels.layerwise import Layerwise, few_taps, overrides
from cnn.layers.activated import Activated
from cnn.layers.images import Images, fitted, image_shape
from cnn.xp import Array, Seed, Shape


class Conv2d(Activated, Images):
    """Two-dimensional convolution (cross-correlation, as in the field), then an activation.

    Args:
        I_shape: (C, H, W) of an image, or (H, W).
        F_shape: (M, KH, KW): M filters of that size, or (KH, KW) for one.
        stride: a number or (down, across).
        pad: "same" (O = ceil(I / stride)), "valid" (none), a number, or (vertical, horizontal).
        dilation: from one pixel of a window to the next, a number or (down, across).
        groups: the channels, and the filters, are cut into so many groups, and each filter sees the
            channels of its own group; as many groups as channels make a depthwise convolution.
        name: a name of its own instead of a running one.
        wb_width: weights and biases start as wb_width times a standard normal, unless `init` says otherwise.
        init, init_dic: how they start, and its keywords: "normal", "He normal", "He uniform", "Glorot normal" or
            "Glorot uniform", with biases of 0 for all but the first.
        act, act_dic: the activation and its keywords.
        opt, opt_dic: the optimizer and its keywords.
        mode, dtype: where parameters live, "cpu" or "gpu", and "float32" or "float64".
        seed: for the first weights; a number or a numpy Generator.

    W is (M, C / groups, KH, KW), b is (M,).
    """

    role = "Conv"
    parameter_names = ("W", "b")

    def __init__(
        self,
        I_shape: Shape,
        F_shape: Shape,
        stride: Any = 1,
        pad: Any = "same",
        *,
        dilation: Any = 1,
        groups: int = 1,
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
        C, H, W = image_shape(f"{who}: I_shape", I_shape)
        if isinstance(F_shape, (tuple, list)) and len(F_shape) == 2:
            F_shape = (1, *F_shape)
        M, KH, KW = whole_shape(f"{who}: F_shape", F_shape, "M, KH, KW")
        self.windows = fitted(who, (H, W), (KH, KW), stride, pad, dilation)
        super().__init__((C, H, W), (M, *self.windows.out), name=name, mode=mode, dtype=dtype)
        self.F_shape = (M, KH, KW)
        with naming(self.name):
            self.groups = _groups(groups, C, M)
        self.make_parameters((M, C // self.groups, KH, KW), M, wb_width, init, init_dic, opt, opt_dic, seed)
        self.make_activation(act, act_dic, seed)
        self.x: Array = None  # the last input, where there are no columns of it yet
        self._cols: Array = None

    @property
    def cols(self) -> Array:
        """The columns of the last x; where a kernel went without, they are made when they are asked for."""
        if self._cols is None and self.x is not None:
            self._cols = columns(self.x, self.windows)
        return self._cols

    @property
    def multiply_adds(self) -> int:
        """Each output with the window and the channels it sees, the padding's zeros too."""
        return self.n * int(math.prod(self.W.shape[1:]))

    def forward(self, x: Array, train: bool = False) -> Array:
        """(N, M, OH, OW) from (N, C, H, W): the filters as rows times the windows as columns."""
        x = self.check_input(x)
        M, OH, OW = self.O_shape
        self.x, self._cols, self.y_shape = x, None, (len(x), M, OH, OW)
        kernels = self._direct(x)
        if kernels is not None:
            return self.activated(kernels.convolution(x, self.W, self.b, self.windows, self.bent), train)
        sums = (self._by_group(self.W.reshape(M, -1)) @ self._by_group(self.cols)).reshape(M, -1, OH, OW)
        kernels = overrides(sums)
        if kernels is not None:
            return self.activated(kernels.filters_out(sums, self.b, self.bent), train)
        sums += self.b[:, None, None, None]
        return self.activate(sums.transpose(1, 0, 2, 3), train)

    def backward(self, dy: Array) -> Array:
        """(N, C, H, W) from (N, M, OH, OW); sets dW and db."""
        dy = self.check_gradient(dy)
        kernels = self._direct(dy)
        if kernels is not None and not self.wants_dx:
            self.gave_dx = False
            y, dz = (self.y, dy) if self.bent else (None, self.activate_back(dy))
            self.dW, self.db = kernels.convolution_back(dz, y, self.x, self.W, self.windows)
            return None
        dz, self.db = self._sums_back(dy)
        dz, W = self._by_group(dz), self._by_group(self.W.reshape(len(self.W), -1))
        self.dW = (dz @ self._by_group(self.cols).swapaxes(-1, -2)).reshape(self.W.shape)
        if not self.asked_dx():
            return None
        return images((W.swapaxes(-1, -2) @ dz).reshape(self.cols.shape), self.windows, len(dy))

    def _direct(self, x: Array) -> Layerwise | None:
        """The kernels that go without columns, where filters have few numbers; for `x` (N, ...)."""
        C = self.I_shape[0]
        if not few_taps(C, self.windows) or self.W.shape[1:] != (C, *self.windows.window):  # those of groups are others
            return None
        return overrides(x, len(x) * max(self.n, self.prev))

    def _sums_back(self, dy: Array) -> tuple[Array, Array]:
        """The gradients by the sums, (M, N·OH·OW), and by the biases, (M,)."""
        kernels = overrides(dy)
        if kernels is not None:
            return kernels.filters_back(dy, self.y) if self.bent else kernels.filters_back(self.activate_back(dy), None)
        dz = self.activate_back(dy).transpose(1, 0, 2, 3).reshape(len(self.W), -1)
        return dz, dz.sum(axis=1)

    def _by_group(self, rows: Array) -> Array:
        """(groups, rows / groups, ...) for a product group by group; as they are, where there is one group."""
        return rows if self.groups == 1 else rows.reshape(self.groups, -1, rows.shape[-1])

    def work(self, phase: str, N: int) -> tuple[int, int]:
        """Of K = C·KH·KW / groups and P = N·OH·OW positions: forward 2MKP + 2MP flops.

        Backward 4MKP + 3MP, and KP a group to add the columns up. The padding's zeros are multiplied, too.
        Forward reads x, W, b, writes y; backward reads dy, y, x, W and writes dx, dW, db. The identity
        saves MP, 2MP, and in backward y; a backward that left dx out 2MKP, what adds columns up, W and dx.
        """
        M, K = self.O_shape[0], math.prod(self.W.shape[1:])
        P, bent = N * self.n // M, not isinstance(self.activation, Identity)
        if phase == "forward":
            return 2 * M * K * P + (1 + bent) * M * P, N * (self.prev + self.n) + self.n_parameters
        flops, numbers = 2 * M * K * P + (1 + 2 * bent) * M * P, N * (self.prev + (1 + bent) * self.n)
        if self.gave_dx:
            flops, numbers = flops + 2 * M * K * P + self.groups * K * P, numbers + N * self.prev + self.W.size
        return flops, numbers + self.n_parameters

    def kept(self) -> int:
        """Input, columns, sums and outputs."""
        _, OH, OW = self.O_shape
        return self.prev + OH * OW * math.prod(self.F_shape[1:]) * self.I_shape[0] + 3 * self.n


def _groups(groups: Any, C: int, M: int) -> int:
    """`groups` as a number that divides the channels `C` and the filters `M`."""
    count = whole("groups", groups)
    for what, size in (("channels", C), ("filters", M)):
        if size % count:
            raise ValueError(f"the {what} (={size}) cannot be cut into groups (={count}) of the same size")
    return count
