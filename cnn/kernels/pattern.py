"""Which nets `Deep` knows: their layers by what they are for, and why others are none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from cnn.activations import Softmax
from cnn.activations.pieces import ReLU
from cnn.kernels.fused import UNKNOWN, beside
from cnn.layers import Conv2d, Dense, Dropout, MaxPool2d, Output
from cnn.losses import Cross


class Parts(NamedTuple):
    """The layers by what they are for; None where there is none."""

    first: Any
    between: Any
    second: Any
    pool: Any
    dense: Any
    output: Any
    before: Any  # dropout before the dense layer
    behind: Any  # and before the output

    @property
    def learning(self) -> tuple[Any, ...]:
        """Those that learn."""
        return self.first, self.second, self.dense, self.output


def parts(layers: Sequence[Any]) -> Parts | None:
    """`layers` by what they are for, or None if they are others or in another order."""
    pattern = (
        (Conv2d,),
        (MaxPool2d, None),
        (Conv2d,),
        (MaxPool2d,),
        (Dropout, None),
        (Dense,),
        (Dropout, None),
        (Output,),
    )
    left, found = list(layers), []
    for kind, *rest in pattern:
        if left and type(left[0]) is kind:
            found.append(left.pop(0))
        elif rest:
            found.append(None)
        else:
            return None
    first, between, second, pool, before, dense, behind, output = found
    return None if left else Parts(first, between, second, pool, dense, output, before, behind)


def misfit(layers: Sequence[Any]) -> str:
    """Why these layers are not a net for `Deep`, or "" if they are."""
    named = parts(layers)
    if named is None:
        return UNKNOWN
    first, between, second, pool, dense, output, *_ = named
    pools = [each for each in (between, pool) if each is not None]
    wanted = (
        (all(c.stride == c.dilation == (1, 1) for c in (first, second)), "a stride or a dilation is not 1"),
        (first.groups == second.groups == 1, "a convolution has groups"),
        (first.W[0].size <= 32, f"{first.name} has filters of more than 32 numbers"),
        (first.F_shape[0] % 8 == 0 and first.F_shape[0] <= 64, f"{first.name} has not 8, 16, … 64 filters"),
        (second.F_shape[0] % 32 == 0 and second.F_shape[0] <= 128, f"{second.name} has not 32, 64, 96 or 128 filters"),
        (second.F_shape[1] * second.F_shape[2] in (1, 9), f"{second.name} has windows other than 1×1 and 3×3"),
        (all(side < each for pads, each in zip(second.pad_state, second.F_shape[1:], strict=True) for side in pads),
         f"{second.name} is padded by a window or more"),
        (all(map(beside, pools)), "a pooling has windows that are not squares beside each other, or padding"),
        (all(each.route == "first" for each in pools), "a pooling has another route than 'first'"),
        (max(pool.F_shape) <= 4, f"{pool.name} has windows larger than 4×4"),
        (between is None or between.F_shape[0] in (1, 2, 4), "the first pooling has windows other than 2×2 and 4×4"),
        (dense.n % 8 == 0 and 32 <= dense.n <= 256, f"{dense.name} has not 32, 40, … 256 outputs"),
        (output.n <= 32, f"{output.name} has more than 32 outputs"),
        (all(type(each.activation) is ReLU for each in (first, second, dense)), "an activation is not ReLU"),
        (type(output.activation) is Softmax, f"the activation of {output.name} is not softmax"),
        (type(output.loss) is Cross, f"the loss of {output.name} is not cross entropy"),
    )  # fmt: skip
    return next((reason for fits, reason in wanted if not fits), "")


def named_parts(layers: Sequence[Any]) -> Parts:
    """`parts`, or ValueError."""
    named = parts(layers)
    if named is None:
        raise ValueError(UNKNOWN)
    return named
