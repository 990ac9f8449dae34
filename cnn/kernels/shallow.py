"""`Shallow`: a convolution, a max pooling, a dense and an output layer, a training step in three kernels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from cnn.activations import Softmax
from cnn.activations.pieces import ReLU
from cnn.augment import Augment
from cnn.kernels.fused import HEAD, NO_DROPOUT, UNKNOWN, Fused, beside, head_bytes, learned, moves, over, up
from cnn.kernels.launching import Device, Launch, does
from cnn.layers import Conv2d, Dense, MaxPool2d, Output
from cnn.losses import Cross
from cnn.xp import Array

THREADS = 256  # of a block
AT_ONCE = 3  # of them on a multiprocessor
TILES = (8, 16, 32, 64)  # images that one works on at a time
SOURCES = ("images", "head", "tiles", "shallow", "shallowback")
SEEN = 4  # numbers that say which image is seen, and how it is moved


def misfit(layers: Sequence[Any]) -> str:
    """Why these layers are not a net for `Shallow`, or "" if they are."""
    kinds = tuple(type(layer) for layer in layers)
    if kinds != (Conv2d, MaxPool2d, Dense, Output):
        return UNKNOWN
    conv, pool, dense, output = layers
    wanted = (
        (conv.stride == (1, 1) and conv.dilation == (1, 1), f"{conv.name} has a stride or a dilation other than 1"),
        (conv.groups == 1, f"{conv.name} has groups"),
        (conv.W[0].size <= 32, f"{conv.name} has filters of more than 32 numbers"),
        (beside(pool), f"{pool.name} has windows that are not squares beside each other, or padding"),
        (pool.route == "first", f"{pool.name} has route={pool.route!r}"),
        (max(pool.F_shape) <= 4, f"{pool.name} has windows larger than 4×4"),
        (pool.O_shape[2] <= 32, f"{pool.name} gives rows of more than 32 pixels"),
        (dense.n <= 256, f"{dense.name} has more than 256 outputs"),
        (output.n <= 32, f"{output.name} has more than 32 outputs"),
        (type(conv.activation) is ReLU, f"the activation of {conv.name} is not ReLU"),
        (type(dense.activation) is ReLU, f"the activation of {dense.name} is not ReLU"),
        (type(output.activation) is Softmax, f"the activation of {output.name} is not softmax"),
        (type(output.loss) is Cross, f"the loss of {output.name} is not cross entropy"),
    )
    return next((reason for fits, reason in wanted if not fits), "")


def constants(layers: Sequence[Any], n_batch: int, device: Device) -> dict[str, int]:
    """What shallow.cu is compiled with."""
    conv, pool, dense, output = layers
    (C, H, W), (M, KH, KW) = conv.I_shape, conv.F_shape
    ((top, _), (left, _)), (_, QH, QW) = conv.pad_state, pool.O_shape
    sizes = {"C": C, "H": H, "W": W, "M": M, "KH": KH, "KW": KW, "PADY": top, "PADX": left}
    sizes |= {"P": pool.F_shape[0], "QH": QH, "QW": QW, "HID": dense.n, "CLS": output.n}
    sizes |= {"HEAD": HEAD, "TENSOR": 1, "SLICES": M * QH, "LAYERS": 3, "THREADS": THREADS, "EIGHTS": 1}
    return sizes | _cut(sizes, n_batch, device)


def shared_bytes(sizes: dict[str, int]) -> dict[str, int]:
    """The shared memory of a block of each kernel, as shallow.cu and shallowback.cu lay it out."""
    c = sizes
    taps, hid, warps, tile, back = c["C"] * c["KH"] * c["KW"], c["HID"], c["THREADS"] // 32, c["TILE"], c["BACK_TILE"]
    line = up(-c["PADX"] % 4 + c["P"] * c["QW"] + c["KW"] - 1, 4)
    image = c["C"] * (c["P"] + c["KH"] - 1) * line
    row = up(c["QW"], 16) + 4
    copies = min(warps // over(back, 16), over(hid, 16))
    units = 16 * (over(hid, 16) | 1)
    pixels = c["QW"] * units + back * (image + max(units, copies * row + c["QW"]) + c["QW"] + SEEN)
    return {
        "shallow_forward": 4 * (up(tile * image, 4) + up(tile, 16) * row + tile * SEEN + up(taps + 1, 4)),
        "net_head": head_bytes(c),
        "shallow_backward": 4 * max(pixels, c["THREADS"]),
    }


class Shallow(Fused):
    """The kernels of a net that has no `misfit`; they change its parameters in place."""

    kernels = 3

    def __init__(
        self,
        layers: Sequence[Any],
        n_batch: int,
        device: Device,
        augment: Augment | None = None,
        **sizes: int,
    ) -> None:
        xp, (conv, _, dense, output) = device.xp, layers
        self.layers, c = layers, constants(layers, n_batch, device) | moves(augment) | sizes
        super().__init__(SOURCES, c, shared_bytes(c), n_batch, device, dense, output)
        pixels = n_batch * c["SLICES"] * up(c["QW"], 16)
        self.pooled, self.places = xp.empty(pixels, "float32"), xp.empty(pixels, "uint8")
        self.sums = xp.empty(c["SLICES"] * c["BACK_SPLIT"] * (conv.W[0].size + 1), "float32")
        self.kept = xp.empty(6 * c["M"] * (conv.W[0].size + 1), "float32")
        self.other = xp.empty_like(dense.W)  # where every other step leaves the dense weights
        self.learned = tuple(array for layer in (conv, dense, output) for array in learned(layer))
        self.does = {
            "shallow_forward": does("update forward", *layers[:3]),  # the filters' update of the step before
            "net_head": does("forward backward", dense, output),
            "shallow_backward": does("backward update", *layers),
            "shallow_settle": does("update", conv),
            "net_advance": does(""),
        }

    def launches(
        self, x: Array, t: Array, orders: Array, table: Array, step: Array, offset: int, n: int
    ) -> Iterator[Launch]:
        """The kernels of one step: on `n` images, the ones that `orders` names from (step + offset) · n_batch on.

        `x` and `t` are all images and targets; `orders` int32, places in them, with a batch more than there are;
        `table` (steps, 3, 8) the optimizers' numbers; `step` int32 (3,): the first step of the graph, counted on by
        `end`, the model's steps before the table's, and the seed of moves; `offset` is how far behind the first this
        step is.
        """
        c, (_, _, dense, output) = self.sizes, self.layers
        now, following = self.queue[offset % 2], self.queue[(offset + 1) % 2]
        weights, changed = (dense.W, self.other)[:: -1 if offset % 2 else 1]
        at = (step, np.int32(offset), np.int32(self.n_batch))
        kept = (self.pooled, self.places)
        filters = (table, self.sums, self.kept, *self.learned[:6])
        forward = (x, now, *at, np.int32(n), *filters, weights, *kept, self.parts)
        blocks = c["SLICES"] * min(c["SPLIT"], over(n, c["TILE"]))
        yield self._launch("shallow_forward", blocks, c["THREADS"], forward, early=offset > 0)
        head = (self.parts, dense.b, output.W, output.b, t, now, orders, *at, following, np.int32(n))
        rest = (np.float32(output.loss.smoothing), *NO_DROPOUT, self.hidden, self.dz2, self.dz1, self.loss)
        yield self._launch("net_head", n, HEAD, (*head, *rest))
        warps = c["SLICES"] * over(over(dense.n, 8), c["EIGHTS"])
        blocks = c["SLICES"] * c["BACK_SPLIT"] + over(warps, c["THREADS"] // 32)
        blocks += over(output.n_parameters + dense.n, c["THREADS"] // 4)
        given = (x, now, *at, np.int32(n), table, following, *kept, self.hidden, self.dz2, self.dz1, self.sums)
        yield self._launch("shallow_backward", blocks, c["THREADS"], (*given, weights, changed, *self.learned[7:]))

    def end(self, orders: Array, table: Array, step: Array, steps: int) -> Iterator[Launch]:
        """Behind so many steps: filters and weights are in the layers, `step` is counted on, a batch is looked up."""
        settle = (step, np.int32(steps), table, self.sums, self.kept, *self.learned[:7], self.other)
        yield Launch("shallow_settle", 64, 256, 0, settle)
        yield self._advance(orders, step, steps)


def _cut(sizes: dict[str, int], n_batch: int, device: Device) -> dict[str, int]:
    """How the batch is cut into tiles, and these over blocks: into so many that all are at work at once."""
    at_once = max(AT_ONCE * device.multiprocessors // sizes["SLICES"], 1)

    def cut(tile: int) -> dict[str, int]:
        split, back = min(over(n_batch, tile), at_once), min(tile, 32)
        return {"TILE": tile, "SPLIT": split, "BACK_TILE": back, "BACK_SPLIT": split * tile // back}

    room = [tile for tile in TILES if max(shared_bytes(sizes | cut(tile)).values()) <= device.shared_limit // 2]
    return cut(next((tile for tile in room if over(n_batch, tile) <= at_once), max(room, default=min(TILES))))
