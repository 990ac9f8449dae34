"""`Deep`: two convolutions, a max pooling, a dense and an output layer, with dropout: a step in seven kernels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from cnn.augment import Augment
from cnn.kernels.fused import HEAD, NO_DROPOUT, Fused, head_bytes, learned, moves, up
from cnn.kernels.launching import Device, Launch, does
from cnn.kernels.pattern import named_parts
from cnn.xp import Array

THREADS, DENSE = 256, 512  # of a block
TEXTS = ("images", "head", "halves", "deep", "deepforward", "deepdense", "deepback")


def constants(layers: Sequence[Any], n_batch: int, device: Device, tensor: bool, precise: bool) -> dict[str, int]:
    """What deep.cu is compiled with."""
    first, between, second, pool, dense, output, *_ = named_parts(layers)
    (C, H, W), (M1, K1H, K1W), (_, H1, W1) = first.I_shape, first.F_shape, second.I_shape
    (_, Z1H, Z1W), P1 = first.O_shape, 1 if between is None else between.F_shape[0]
    (M2, K2H, K2W), (_, H2, W2), (_, QH, QW) = second.F_shape, second.O_shape, pool.O_shape
    sizes = {"C": C, "H": H, "W": W, "M1": M1, "K1H": K1H, "K1W": K1W, "H1": H1, "W1": W1}
    sizes |= {"Z1H": Z1H, "Z1W": Z1W, "P1": P1}
    sizes |= {"M2": M2, "K2H": K2H, "K2W": K2W, "H2": H2, "W2": W2, "P": pool.F_shape[0], "QH": QH, "QW": QW}
    for i, conv in enumerate((first, second), 1):
        sizes |= {f"PAD{i}Y": conv.pad_state[0][0], f"PAD{i}X": conv.pad_state[1][0]}
    sizes |= {"HID": dense.n, "CLS": output.n, "LAYERS": 4}
    sizes |= {
        "THREADS": THREADS,
        "REST_PARTS": 4 if n_batch <= 16 else 16,
        "HEAD": HEAD,
        "TENSOR": int(tensor),
        "PRECISE": int(tensor and precise),
    }
    return sizes | _cut(sizes, n_batch, device)


def shared_bytes(sizes: dict[str, int]) -> dict[str, int]:
    """The shared memory of a block of each kernel, as deep.cu lays it out."""
    c = sizes
    hid, taps2, m1, cell = c["HID"], c["K2H"] * c["K2W"], up(c["M1"], 16), 2 if c["TENSOR"] else 4
    xh, xw = c["Z1H"] + c["K1H"] - 1, c["Z1W"] + c["K1W"] - 1
    image, across = c["C"] * xh * up(xw + 6, 4), c["W2"] + c["K2W"] - 1
    narrow, wide, units = (_row(cells, cell) for cells in (m1, c["M2"], up(hid, 16)))
    filters, run = cell * taps2 * c["M2"] * narrow, c["M2"] * (c["R"] // c["P"]) * c["QW"]
    seen = cell * (c["R"] + c["K2H"] - 1) * across * narrow
    spread = cell * (c["RD"] + c["K2H"] - 1) * (c["W1"] + c["K2W"] - 1) * wide
    taps = c["C"] * c["K1H"] * c["K1W"] + 1
    back = 4 * max(c["RD"] * c["W1"] * (c["M1"] + 1), 32 * c["PWARPS"] * taps)
    pixels = up(c["RW"] * across, 16)
    rows = cell * (pixels * (narrow + wide) + ((c["K2H"] - 1) * across + c["K2W"] - 1) * narrow)
    windows = 4 * (4 * c["FWARPS"] + 2 * c["M2"] + up(c["R"] * c["W2"], 4) + 4) + 3 * run
    return {
        "deep_forward": 4 * image + windows + seen + filters,
        "deep_dense": (1 + c["PRECISE"]) * cell * (c["TI"] * _row(c["SLICE"], cell) + c["SLICE"] * units),
        "net_head": head_bytes(c),
        "deep_dense_back": 4 * (3 * c["BSLICE"] * (hid + 4) + DENSE // 16)
        + cell * (c["BTI"] * (_row(c["BSLICE"], cell) + units) + c["BSLICE"] * units),
        "deep_pixels": 4 * image + max(spread + filters, back),
        "deep_filters": rows,
        "deep_learn": 16 * THREADS,
    }


def _cut(sizes: dict[str, int], n_batch: int, device: Device) -> dict[str, int]:
    """How blocks are cut: as large as leaves enough of them for the device, and as there is shared memory for."""
    blocks, limit, P = device.multiprocessors / n_batch, device.shared_limit, sizes["P"]

    others = {"R": P, "RD": 1, "RW": 1, "FWARPS": 16, "PWARPS": 16, "SLICE": 16, "TI": 16, "BSLICE": 16, "BTI": 16}

    def largest(name: str, kernel: str, whole: int, unit: int, share: float) -> int:
        best = unit
        for count in range(-(-whole // unit), 0, -1):  # tiles an image
            size = -(-whole // (unit * count)) * unit
            cut = sizes | others | {name: size}
            if shared_bytes(cut)[kernel] <= limit and (count >= share * blocks or size == unit):
                best = size
        return best

    cut = {"R": largest("R", "deep_forward", sizes["QH"] * P, P, 0.7)}
    cut["RD"] = largest("RD", "deep_pixels", sizes["H1"], 1, 0.45)
    cut["RW"] = largest("RW", "deep_filters", sizes["H2"], 1, 0.36)
    features = sizes["M2"] * sizes["QH"] * sizes["QW"]
    cut["BSLICE"], cut["BTI"] = _dense(sizes | others, n_batch, -(-features // device.multiprocessors), limit)
    cut["SPLIT"] = 2 if n_batch > 64 else 1  # fewer parts for net_head to add up
    cut["SLICE"], cut["TI"] = cut["SPLIT"] * cut["BSLICE"], min(cut["BTI"], 64)
    cut["SLICES"] = -(-features // cut["SLICE"])
    windows, tiles = -(-cut["R"] // P * sizes["QW"] // 16), -(-cut["RD"] * sizes["W1"] // 16)
    across = 4 if P <= 2 and windows > 2 else 2  # products side by side of a warp in deep_forward
    cut["FWN"] = sizes["M2"] // 8 // across
    cut["FWARPS"] = min(max(windows * cut["FWN"], 16), {3: 12, 4: 8}.get(P, 18))
    wide = up(sizes["M1"], 16) // 16
    cut["DWN"] = wide if tiles <= 8 or wide > 2 else 1
    cut["PWARPS"] = 16 // cut["DWN"] * cut["DWN"]
    return cut


def _dense(sizes: dict[str, int], n_batch: int, wanted: int, limit: int) -> tuple[int, int]:
    """Features of a block in deep_dense_back, one block a multiprocessor if there is room, and images at a time."""
    images = [each for each in (128, 64, 32, 16) if each < 2 * n_batch or each == 16]
    for slices in range(min(up(wanted, 16), 128), 16, -16):
        for count in images:
            if shared_bytes(sizes | {"BSLICE": slices, "BTI": count})["deep_dense_back"] <= limit:
                return slices, count
    return 16, 16


class Deep(Fused):
    """The kernels of a net that has no `misfit`; they change its parameters in place.

    Where `tensor` says so, factors are rounded to halves, times powers of two that keep them in range: 11 significant
    bits, as in TF32. Sums are of float32. With `precise` those sums of the second convolution that rounding could put
    in another order are computed once more in float32: if another pixel of a window is the largest, a gradient goes
    elsewhere.
    """

    kernels = 7

    def __init__(
        self,
        layers: Sequence[Any],
        n_batch: int,
        device: Device,
        augment: Augment | None = None,
        tensor: bool = True,
        precise: bool = True,
        **sizes: int,
    ) -> None:
        xp = device.xp
        self.named = named = named_parts(layers)
        first, second, dense, output = named.learning
        c = constants(layers, n_batch, device, tensor, precise) | moves(augment) | sizes
        super().__init__(TEXTS, c, shared_bytes(c), n_batch, device, dense, output)
        self.multiprocessors = device.multiprocessors
        self.tiles = {name: -(-rows // c[cut]) for name, rows, cut in (
            ("forward", c["QH"] * c["P"], "R"), ("pixels", c["H1"], "RD"), ("filters", c["H2"], "RW"),
        )}  # fmt: skip
        features = n_batch * c["M2"] * c["QH"] * c["QW"]
        self.pooled, self.gradient = xp.empty(features, "float32"), xp.empty(features, "float32")
        self.places, self.peaks = xp.empty(features, "uint8"), xp.zeros(2, "uint32")
        self.places1 = xp.zeros(n_batch * c["H1"] * c["W1"] * c["M1"], "uint8")  # of the first pooling, and of ReLU
        self.lengths = xp.empty(len(second.W), "float32")  # of the second filters
        padded = second.W.size // c["M1"] * up(c["M1"], 16)
        self.packed = xp.empty(padded, "uint16" if tensor else "float32")
        seen = n_batch * c["H1"] * c["W1"] * up(c["M1"], 16)  # the first layer's output, and its scales
        self.first = xp.zeros(seen, self.packed.dtype), xp.empty(2 * n_batch, "float32")
        self.sums1 = xp.empty(n_batch * self.tiles["pixels"] * (first.W.size + len(first.W)), "float32")
        blocks = self._blocks(n_batch)
        self.sums2, self.sumsb = (
            xp.empty(blocks * second.W.size, "float32"),
            xp.empty(blocks * len(second.W), "float32"),
        )
        self.learned = {layer.name: tuple(learned(layer)) for layer in named.learning}
        convolved = (second, named.pool, named.before)
        self.does = {
            "deep_forward": does("forward", first, named.between, *convolved),
            "deep_dense": does("forward", dense),
            "net_head": does("forward backward", dense, named.behind, output),
            "deep_dense_back": does("backward update", dense),
            "deep_pixels": does("backward", first, named.between, *convolved),
            "deep_filters": does("backward", *convolved),
            "deep_learn": does("backward update", first, second, dense, output),
            "net_advance": does(""),
        }

    def launches(
        self, x: Array, t: Array, orders: Array, table: Array, step: Array, offset: int, n: int
    ) -> Iterator[Launch]:
        """The kernels of one step, as `Shallow.launches`; `table` is (steps, 4, 8)."""
        c, (first, second, dense, output) = self.sizes, self.named.learning
        now, size = (step, np.int32(offset)), np.int32(self.n_batch)
        images, following = self.queue[offset % 2], self.queue[(offset + 1) % 2]
        when = (images, *now, size)
        before, behind = _dropout(self.named.before), _dropout(self.named.behind)
        forward = (x, *when, first.W, first.b, second.W, second.b, self.packed, self.lengths, *before)
        forward = (*forward, self.pooled, self.places, self.places1, *self.first, self.peaks)
        yield self._launch("deep_forward", n * self.tiles["forward"], 32 * c["FWARPS"], forward, offset > 0)
        parts = (np.int32(n), self.pooled, self.peaks, dense.W, self.parts, second.W, self.lengths)
        blocks = c["SLICES"] * c["SPLIT"] + -(-c["M2"] // (DENSE // 32))
        yield self._launch("deep_dense", blocks, DENSE, parts)
        head = (self.parts, dense.b, output.W, output.b, t, images, orders, *now, size, following, np.int32(n))
        behind = (np.float32(output.loss.smoothing), *behind)
        yield self._launch("net_head", n, HEAD, (*head, *behind, self.hidden, self.dz2, self.dz1, self.loss))
        weights = self.learned[dense.name]
        errors = (self.dz1, self.dz2, output.W, behind[-1])
        back = (*now, np.int32(n), table, self.pooled, *errors, self.gradient, self.peaks, *weights[:3])
        yield self._launch("deep_dense_back", -(-dense.W.size // (dense.n * c["BSLICE"])), DENSE, back)
        shared = (before[2], self.gradient, self.places, self.peaks)
        blocks = n * self.tiles["pixels"]
        pixels = (x, *when, self.packed, self.places1, *shared, self.sums1)
        yield self._launch("deep_pixels", blocks, 32 * c["PWARPS"], pixels)
        filters = (np.int32(n), *self.first, *shared, self.sums2, self.sumsb)
        yield self._launch("deep_filters", self._blocks(n), 64 * c["K2H"] * c["K2W"], filters)
        numbers = (*now, np.int32(n), table, np.int32(blocks), np.int32(self._blocks(n)))
        sums = (self.sums1, self.sums2, self.sumsb, self.hidden, self.dz2, self.dz1, self.peaks, self.packed)
        rest = (*self.learned[first.name], *self.learned[second.name], *weights[3:], *self.learned[output.name])
        filters, others = first.n_parameters + second.n_parameters, output.n_parameters + dense.n
        grid = -(-filters // 64) + -(-others * c["REST_PARTS"] // THREADS)
        yield self._launch("deep_learn", grid, THREADS, (*numbers, *sums, *rest))

    def begin(self, orders: Array) -> None:
        """Before the first step of `orders`."""
        super().begin(orders)
        given = (self.named.second.W, self.packed, self.lengths)
        self.run(Launch("deep_pack", -(-max(self.packed.size, 32 * self.lengths.size) // 256), 256, 0, given))

    def end(self, orders: Array, table: Array, step: Array, steps: int) -> Iterator[Launch]:  # noqa: ARG002  # Shallow's
        """Behind so many steps: `step` is counted on, the next batch is looked up."""
        yield self._advance(orders, step, steps)

    def _blocks(self, n: int) -> int:
        """In how many parts the second filters' gradient is summed."""
        return min(n * self.tiles["filters"], self.multiprocessors)


def _dropout(layer: Any) -> tuple[Any, ...]:
    """Seed, what falls of 2^32, and the factor of what does not."""
    if layer is None or not layer.ratio:
        return NO_DROPOUT
    return np.uint32(layer.seed), np.uint32(round(layer.ratio * 2**32)), np.float32(1 / (1 - layer.ratio))


def _row(cells: int, size: int) -> int:
    """`row_of` in halves.cu: from row to row in shared memory."""
    return (up(cells * size, 16) // 16 | 1) * 16 // size
