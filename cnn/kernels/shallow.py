"""`Shallow`: a convolution, a max pooling, a dense and an output layer, a training step in three kernels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from cnn.activations import Softmax
from cnn.activations.pieces import ReLU
from cnn.augment import Augment
from cnn.kernels.launching import Device, Launch, does, source
from cnn.layers import Conv2d, Dense, MaxPool2d, Output
from cnn.losses import Cross
from cnn.xp import Array

THREADS, HEAD = 512, 1024  # threads of a block
REST = THREADS // 4  # parameters of the last two layers that one block learns
UNKNOWN = "the kernels know nets of one or two Conv2d with MaxPool2d, a Dense and an Output; this one is another"
NO_DROPOUT = (np.uint32(0), np.uint32(0), np.float32(1))  # seed, what falls, scale
TILES = (64, 32, 16, 8)  # images a block works on at a time


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


def constants(layers: Sequence[Any], tile: int) -> dict[str, int]:
    """What shallow.cu is compiled with."""
    conv, pool, dense, output = layers
    (C, H, W), (M, KH, KW) = conv.I_shape, conv.F_shape
    ((top, _), (left, _)), (_, QH, QW) = conv.pad_state, pool.O_shape
    sizes = {"C": C, "H": H, "W": W, "M": M, "KH": KH, "KW": KW, "PADY": top, "PADX": left}
    sizes |= {"P": pool.F_shape[0], "QH": QH, "QW": QW, "HID": dense.n, "CLS": output.n}
    return sizes | {"TN": tile, "THREADS": THREADS, "HEAD": HEAD} | {"SLICES": M * QH, "LAYERS": 3}


def shared_bytes(sizes: dict[str, int]) -> dict[str, int]:
    """The shared memory of a block of each kernel, as shallow.cu lays it out."""
    c = sizes
    image = c["C"] * (c["P"] + c["KH"] - 1) * (c["P"] * c["QW"] + c["KW"] - 1)
    qp = _up(c["QW"], 8)
    pairs = (c["HID"] + 1) // 2
    parts, groups = THREADS // (c["TN"] * (qp // 8)), THREADS // (pairs * (qp // 8))
    scratch = max(
        c["TN"] * (image + 2 * pairs + 1) + 3 + parts * c["TN"] * (qp + 4),
        groups * qp * c["HID"],
        (c["C"] * c["KH"] * c["KW"] + 1) * THREADS // 32,
        THREADS,
    )
    return {
        "shallow_forward": 4 * (_up(c["TN"] * image, 4) + c["TN"] * (qp + 3) + c["C"] * c["KH"] * c["KW"] + 1),
        "net_head": 4 * ((HEAD // c["HID"] + 1 + c["CLS"]) * c["HID"] + 2 * c["CLS"]),
        "shallow_backward": 4 * (_up(scratch, 4) + c["TN"] * (qp + 3) + c["HID"] * (qp + 4)) + c["TN"] * qp,
    }


class Shallow:
    """The kernels of a net that has no `misfit`, for batches of up to `n_batch`; they change its parameters in place.

    Attributes:
        kernels: how many a step takes.
        loss: of each image of the last batch, in nats, (n_batch,).
        does: what each kernel does, by its name.
    """

    kernels = 3

    def __init__(
        self,
        layers: Sequence[Any],
        n_batch: int,
        device: Device,
        augment: Augment | None = None,
        tile: int | None = None,
    ) -> None:
        xp, (conv, _, dense, output) = device.xp, layers
        self.layers, self.n_batch = layers, n_batch
        self.sizes = constants(layers, tile or _tile(layers, n_batch, device.shared_limit)) | moves(augment)
        self.shared = shared_bytes(self.sizes)
        self.slices = self.sizes["M"] * self.sizes["QH"]
        self.run = device.compiled(source(("images", "head", "shallow"), self.sizes))
        pixels, hidden = n_batch * self.slices * _up(self.sizes["QW"], 8), n_batch * dense.n
        self.pooled, self.places = xp.empty(pixels, "float32"), xp.empty(pixels, "uint8")
        self.parts = xp.empty(hidden * self.slices, "float32")
        self.hidden, self.dz1 = xp.empty(hidden, "float32"), xp.empty(hidden, "float32")
        self.dz2, self.loss = xp.empty(n_batch * output.n, "float32"), xp.zeros(n_batch, "float32")
        self.sums = xp.empty(self.slices * (conv.W[0].size + 1), "float32")
        self.kept = xp.empty(6 * self.sizes["M"] * (conv.W[0].size + 1), "float32")
        self.queue = xp.zeros((2, n_batch), "int32")
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
        _, _, dense, output = self.layers
        now, following = self.queue[offset % 2], self.queue[(offset + 1) % 2]
        at = (step, np.int32(offset), np.int32(self.n_batch))
        kept = (self.pooled, self.places)
        filters = (table, self.sums, self.kept, *self.learned[:6])
        forward = (x, now, *at, np.int32(n), *filters, dense.W, *kept, self.parts)
        yield self._launch("shallow_forward", self.slices, THREADS, forward)
        head = (self.parts, dense.b, output.W, output.b, t, now, orders, *at, following, np.int32(n))
        rest = (np.float32(output.loss.smoothing), *NO_DROPOUT, self.hidden, self.dz2, self.dz1, self.loss)
        yield self._launch("net_head", n, HEAD, (*head, *rest))
        blocks = self.slices + -(-(output.n_parameters + dense.n) // REST)
        given = (x, now, *at, np.int32(n), table, *kept, self.hidden, self.dz2, self.dz1, self.sums)
        yield self._launch("shallow_backward", blocks, THREADS, (*given, *self.learned[6:]))

    def begin(self, orders: Array) -> None:
        """Before the first step of `orders`."""
        self.queue[0] = orders[: self.n_batch]

    def end(self, orders: Array, table: Array, step: Array, steps: int) -> Iterator[Launch]:
        """Behind so many steps: the filters are learned, `step` is counted on, the next batch is looked up."""
        now = (step, np.int32(steps))
        numbered = len(self.sums) // self.sizes["QH"]
        settle = (*now, table, self.sums, self.kept, *self.learned[:6])
        yield Launch("shallow_settle", -(-numbered // 64), 64, 0, settle)
        yield advance(orders, step, steps, self.n_batch, self.queue)

    def _launch(self, kernel: str, grid: int, block: int, args: tuple[Any, ...]) -> Launch:
        return Launch(kernel, grid, block, self.shared[kernel], args)


def advance(orders: Array, step: Array, steps: int, n_batch: int, queue: Array) -> Launch:
    """Counts `step` on, and looks the next batch up."""
    return Launch("net_advance", 1, 256, 0, (step, np.int32(steps), orders, np.int32(n_batch), queue[0]))


def moves(augment: Augment | None) -> dict[str, int]:
    """What images.cu is compiled with."""
    given = Augment() if augment is None else augment
    fill = int(np.float32(given.fill).view("int32"))
    return {"UPDOWN": given.shift[0], "SIDEWAYS": given.shift[1], "MIRRORED": int(given.flip), "FILL": fill}


def learned(layer: Any) -> Iterator[Array]:
    """Each parameter, and what Adam keeps beside it: in the order of shallow.cu, weights first but for b1."""
    state = layer.optimizer.state
    for i, parameter in enumerate(layer.parameters()):
        yield from (parameter, state["m"][i], state["v"][i])


def beside(pool: Any) -> bool:
    """Whether its windows are squares that lie beside each other, without padding."""
    high, wide = pool.F_shape
    return high == wide and pool.stride == pool.F_shape and not any(map(any, pool.pad_state))


def _tile(layers: Sequence[Any], n_batch: int, limit: int) -> int:
    """The images a block works on at a time: the fewest that hold the batch, or as many as there is room for."""
    fitting = [tile for tile in TILES if max(shared_bytes(constants(layers, tile)).values()) <= limit // 2]
    holding = [tile for tile in fitting if tile >= n_batch]
    return min(holding) if holding else max(fitting, default=min(TILES))


def _up(n: int, to: int) -> int:
    return -(-n // to) * to
