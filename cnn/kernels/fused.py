"""`Fused`: what the kernels of whole nets have in common, whose last two layers are those of head.cu."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from cnn.augment import Augment
from cnn.kernels.launching import Device, Does, Launch, source
from cnn.xp import Array

HEAD = 1024  # threads of a block in net_head
UNKNOWN = "the kernels know nets of one or two Conv2d with MaxPool2d, a Dense and an Output; this one is another"
NO_DROPOUT = (np.uint32(0), np.uint32(0), np.float32(1))  # seed, what falls, scale


class Fused:
    """Kernels for batches of up to `n_batch`, with what net_head reads and writes.

    Args:
        texts: the .cu files.
        sizes: what they are compiled with.
        shared: bytes of shared memory of a block, by kernel.

    Attributes:
        kernels: how many a step takes.
        loss: of each image of the last batch, in nats, (n_batch,).
        does: what each kernel does, by its name.

    Raises:
        ValueError: a block has too little shared memory on this device.
    """

    kernels: ClassVar[int]
    does: dict[str, Does]

    def __init__(
        self,
        texts: Sequence[str],
        sizes: Mapping[str, int],
        shared: Mapping[str, int],
        n_batch: int,
        device: Device,
        dense: Any,
        output: Any,
    ) -> None:
        kernel = max(shared, key=shared.__getitem__)
        if shared[kernel] > device.shared_limit:
            raise ValueError(f"{kernel} needs {shared[kernel]} bytes of shared memory; {device.shared_limit} are")
        self.sizes, self.shared, self.n_batch = sizes, shared, n_batch
        self.run = device.compiled(source(texts, sizes))
        xp, hidden = device.xp, n_batch * dense.n
        self.parts = xp.empty(hidden * sizes["SLICES"], "float32")
        self.hidden, self.dz1 = xp.empty(hidden, "float32"), xp.empty(hidden, "float32")
        self.dz2, self.loss = xp.empty(n_batch * output.n, "float32"), xp.zeros(n_batch, "float32")
        self.queue = xp.zeros((2, n_batch), "int32")

    def begin(self, orders: Array) -> None:
        """Before the first step of `orders`."""
        self.queue[0] = orders[: self.n_batch]

    def _advance(self, orders: Array, step: Array, steps: int) -> Launch:
        """Counts `step` on, and looks the next batch up."""
        given = (step, np.int32(steps), orders, np.int32(self.n_batch), self.queue[0])
        return Launch("net_advance", 1, 256, 0, given)

    def _launch(self, kernel: str, grid: int, block: int, args: tuple[Any, ...], early: bool = True) -> Launch:
        return Launch(kernel, grid, block, self.shared[kernel], args, early)


def head_bytes(sizes: Mapping[str, int]) -> int:
    """The shared memory of a block of net_head, as head.cu lays it out."""
    hid, classes = sizes["HID"], sizes["CLS"]
    return 4 * ((HEAD // hid + 1 + classes) * hid + 2 * classes)


def moves(augment: Augment | None) -> dict[str, int]:
    """What images.cu is compiled with."""
    given = Augment() if augment is None else augment
    fill = int(np.float32(given.fill).view("int32"))
    return {"UPDOWN": given.shift[0], "SIDEWAYS": given.shift[1], "MIRRORED": int(given.flip), "FILL": fill}


def learned(layer: Any) -> Iterator[Array]:
    """Each parameter, and what Adam keeps beside it: in the order the kernels take them, weights first."""
    state = layer.optimizer.state
    for i, parameter in enumerate(layer.parameters()):
        yield from (parameter, state["m"][i], state["v"][i])


def beside(pool: Any) -> bool:
    """Whether its windows are squares that lie beside each other, without padding."""
    high, wide = pool.F_shape
    return high == wide and pool.stride == pool.F_shape and not any(map(any, pool.pad_state))


def up(n: int, to: int) -> int:
    """`n`, or the next number that `to` divides."""
    return over(n, to) * to


def over(n: int, size: int) -> int:
    """How many pieces of `size` hold `n`."""
    return -(-n // size)
