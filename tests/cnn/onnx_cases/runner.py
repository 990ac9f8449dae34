"""What cnn makes of a case: the layer or function that means the same, run on the case's inputs.

Images of one axis (N, C, L) run as (N, C, 1, L). `Outside` is raised, with the reason, where a case asks
for what cnn does not have.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from cnn import AvgPool2d, BatchNorm, Conv2d, Dense, Dropout, Flatten, MaxPool2d
from cnn.activations import get_activation
from cnn.im2col import col2im
from cnn.losses import Cross
from cnn.optimizers import get_optimizer
from cnn.windows import pad_state
from cnn.xp import get_array_module
from tests.cnn.onnx_cases.stored import Case, arrays

Run = Callable[[dict[str, Any], list[Any], Case], list[Any]]


class Outside(Exception):
    """A case that is not for us; the text says why."""


def run(case: Case, inputs: list[Any]) -> list[Any]:
    """The outputs for `inputs`, arrays on either device (whole numbers and texts on the host)."""
    types = {each[1] for each in (*case.inputs, *case.outputs) if each}
    if not types or None in (case.inputs[0], case.outputs[0]):
        raise Outside("sequences and optional values")
    if "bfloat16" in types:
        raise Outside("NumPy has no bfloat16")
    if case.inputs[0] and case.inputs[0][1].startswith(("int", "uint")):
        raise Outside("whole numbers: ours compute in floating point")
    return RUNS[case.ops[0] if len(case.ops) == 1 else case.name](case.attributes, inputs, case)


def reason(case: Case) -> str | None:
    """Why a case is outside, or None; one that is not stored is asked with zeros."""
    try:
        run(case, arrays(case)[0] if case.keys else [_zeros(each) for each in case.inputs])
    except Outside as outside:
        return str(outside)
    return None


def _zeros(each: Any) -> Any:
    return None if each is None else np.zeros(each[0], each[1] if each[1] != "bfloat16" else "float32")


def mode_of(x: Any) -> str:
    return "cpu" if get_array_module(x) is np else "gpu"


# Images


def as_images(x: Any) -> Any:
    if x.ndim not in (3, 4):
        raise Outside(f"images of {x.ndim - 2} axes: ours have two (one runs as one row)")
    return x if x.ndim == 4 else x[:, :, None]


def fields(a: dict[str, Any], x: Any, window: list[int]) -> tuple[tuple[int, int], Any, Any, tuple[int, int]]:
    """(window, stride, pad, dilation) of the attributes, for images of two axes."""
    n = len(window)
    stride, dilation = a.get("strides", [1] * n), a.get("dilations", [1] * n)
    pads = a.get("pads", [0] * (2 * n))
    if n == 1:
        window, stride, dilation, pads = [1, *window], [1, *stride], [1, *dilation], [0, pads[0], 0, pads[1]]
    window, stride, dilation = (tuple(each) for each in (window, stride, dilation))
    pad: Any = ((pads[0], pads[2]), (pads[1], pads[3]))
    auto = a.get("auto_pad", "NOTSET")
    if auto.startswith("SAME"):
        reach = tuple(d * (k - 1) + 1 for d, k in zip(dilation, window, strict=True))
        same = pad_state(x.shape[2:], reach, stride, "same")
        pad = same if auto == "SAME_UPPER" else tuple(each[::-1] for each in same)
    if a.get("ceil_mode"):
        reach = tuple(d * (k - 1) + 1 for d, k in zip(dilation, window, strict=True))
        pad = tuple(map(_ceiled, x.shape[2:], reach, stride, pad))
    return window, stride, pad, dilation


def _ceiled(size: int, reach: int, stride: int, pad: tuple[int, int]) -> tuple[int, int]:
    """The padding with which as many windows fit whole as with ceil_mode fit in part."""
    out = -(-(size + sum(pad) - reach) // stride) + 1
    out -= (out - 1) * stride >= size + pad[0]  # a window that would begin behind the image
    return pad[0], max(pad[1], (out - 1) * stride + reach - size - pad[0])


def conv(a: dict[str, Any], inputs: list[Any], case: Case) -> list[Any]:
    x, W = as_images(inputs[0]), as_images(inputs[1])
    b = inputs[2] if len(inputs) > 2 else get_array_module(x).zeros(len(W), dtype=x.dtype)
    window, stride, pad, dilation = fields(a, x, list(inputs[1].shape[2:]))
    layer = Conv2d(
        x.shape[1:], (len(W), *window), stride, pad, dilation=dilation, groups=a.get("group", 1), act="identity",
        mode=mode_of(x),
    )  # fmt: skip
    assert layer.W.shape == W.shape
    layer.W, layer.b = W, b
    return [layer.forward(x).reshape(case.outputs[0][0])]


def pool(a: dict[str, Any], inputs: list[Any], case: Case, cls: Any, **keywords: Any) -> tuple[Any, Any]:
    x = as_images(inputs[0])
    window, stride, pad, dilation = fields(a, x, a.get("kernel_shape", list(inputs[0].shape[2:])))
    if dilation != (1, 1):
        raise Outside("pooling has no dilation")
    layer = cls(x.shape[1:], window, stride, pad, mode=mode_of(x), **keywords)
    return layer, layer.forward(x).reshape(case.outputs[0][0])


def max_pool(a: dict[str, Any], inputs: list[Any], case: Case) -> list[Any]:
    layer, y = pool(a, inputs, case, MaxPool2d)
    if len(case.outputs) == 1:
        return [y]
    # max_index is a place in the window, Indices one in the whole input; and they count channels last and first
    (N, C, H, W), (_, OH, OW) = inputs[0].shape, layer.O_shape
    xp, KW, (down, across) = get_array_module(y), layer.F_shape[1], layer.stride
    i, j = (each.reshape(N, OH, OW, C).transpose(0, 3, 1, 2) for each in divmod(layer.max_index.astype("int64"), KW))
    row = down * xp.arange(OH)[:, None] + i - layer.pad_state[0][0]
    column = across * xp.arange(OW) + j - layer.pad_state[1][0]
    planes = xp.arange(N * C).reshape(N, C, 1, 1) * (H * W)
    return [y, planes + (column * H + row if a.get("storage_order") else row * W + column)]


def average_pool(a: dict[str, Any], inputs: list[Any], case: Case) -> list[Any]:
    return [pool(a, inputs, case, AvgPool2d, count_include_pad=bool(a.get("count_include_pad", 0)))[1]]


def average_pool_of_columns(a: dict[str, Any], inputs: list[Any], case: Case) -> list[Any]:
    """A graph that makes its (N, C, L) an (N, C, L, 1)."""
    return average_pool(a, [inputs[0][..., None]], case)


def global_pool(cls: Any) -> Run:
    return lambda a, inputs, case: [pool(a, inputs, case, cls)[1]]


def columns_to_images(a: dict[str, Any], inputs: list[Any], case: Case) -> list[Any]:
    cols, size, window = inputs
    if len(size) != 2:
        raise Outside(f"images of {len(size)} axes: ours have two (one runs as one row)")
    N, K, L = cols.shape
    pads = a.get("pads", [0] * 4)
    ours = cols.transpose(1, 0, 2).reshape(K, N * L)
    pad = ((pads[0], pads[2]), (pads[1], pads[3]))
    window, size = tuple(window.tolist()), case.outputs[0][0]
    return [col2im(ours, size, window, tuple(a.get("strides", (1, 1))), pad, tuple(a.get("dilations", (1, 1))))]


# Rows of numbers


def dense(x: Any, W: Any, b: Any) -> Any:
    layer = Dense(*W.shape, act="identity", mode=mode_of(x))
    layer.W, layer.b = W, b
    return layer.forward(x)


def gemm(a: dict[str, Any], inputs: list[Any], case: Case) -> list[Any]:
    x, W, xp = inputs[0].T if a.get("transA") else inputs[0], inputs[1], get_array_module(inputs[0])
    W = a.get("alpha", 1.0) * (W.T if a.get("transB") else W)
    b = inputs[2] if len(inputs) > 2 and inputs[2] is not None else xp.zeros(1, dtype=x.dtype)
    if b.ndim == 2 and len(b) > 1:
        raise Outside("a bias of its own for each row")
    return [dense(x, W, a.get("beta", 1.0) * xp.broadcast_to(xp.asarray(b).reshape(-1), W.shape[1]))]


def linear_without_bias(a: dict[str, Any], inputs: list[Any], case: Case) -> list[Any]:
    x, W = inputs
    return [dense(x, W.T, get_array_module(x).zeros(len(W), dtype=x.dtype))]


def flatten(a: dict[str, Any], inputs: list[Any], case: Case) -> list[Any]:
    (x,) = inputs
    if a.get("axis", 1) % x.ndim != 1:
        raise Outside("another axis than 1: the first axis is always the batch")
    return [Flatten(x.shape[1:], mode=mode_of(x)).forward(x)]


def batch_norm(a: dict[str, Any], inputs: list[Any], case: Case) -> list[Any]:
    x, gamma, beta, mean, var = inputs
    layer = BatchNorm(x.shape[1:], 1 - a.get("momentum", 0.9), a.get("epsilon", 1e-5), mode=mode_of(x))
    layer.gamma, layer.beta, layer.mean, layer.var = gamma, beta, mean.copy(), var.copy()
    if not a.get("training_mode"):
        return [layer.forward(x)]
    n, old = x.size // len(gamma), (1 - layer.momentum) * var
    y = layer.forward(x, train=True)
    return [y, layer.mean, old + (layer.var - old) * (n - 1) / n]  # theirs takes the variance over n


class Drawn:
    """The numbers that ONNX draws for its masks."""

    def __init__(self, seed: int, xp: Any) -> None:
        self.rng, self.xp = np.random.RandomState(seed), xp

    def random(self, shape: Any, dtype: Any) -> Any:
        return self.xp.asarray(self.rng.uniform(0, 1, shape))


def dropout(a: dict[str, Any], inputs: list[Any], case: Case) -> list[Any]:
    x, xp = inputs[0], get_array_module(inputs[0])
    given = float(inputs[1]) if len(inputs) > 1 and inputs[1] is not None else a.get("ratio", 0.5)
    layer = Dropout(x.reshape(1, *x.shape).shape[1:], given, mode=mode_of(x))
    layer.rng = Drawn(a.get("seed", 0), xp)
    y = layer.forward(x[None], train=len(inputs) > 2 and bool(inputs[2]))[0]
    mask = xp.ones(x.shape, dtype=bool) if layer.mask is None else layer.mask[0] != 0
    return [y, mask][: len(case.outputs)]


# Activations


def along_axis_1(name: str) -> Run:
    """The softmax family, whose axis is moved to 1; before version 13 x was made a matrix there."""

    def ran(a: dict[str, Any], inputs: list[Any], case: Case) -> list[Any]:
        x, act, xp = inputs[0], get_activation(name), get_array_module(inputs[0])
        if case.opset < 13:
            axis = a.get("axis", 1) % x.ndim
            return [act.forward(x.reshape(math.prod(x.shape[:axis]), -1)).reshape(x.shape)]
        axis = a.get("axis", -1) % x.ndim
        return [xp.moveaxis(act.forward(xp.moveaxis(x, axis, 1)), 1, axis)]

    return ran


def activation(name: str, **keywords: str) -> Run:
    """The activation called `name`; `keywords` are its keywords, with the attributes that they have there."""

    def ran(a: dict[str, Any], inputs: list[Any], case: Case) -> list[Any]:
        return [get_activation(name, {ours: a[key] for ours, key in keywords.items() if key in a}).forward(inputs[0])]

    return ran


def shrink(a: dict[str, Any], inputs: list[Any], case: Case) -> list[Any]:
    lambd, bias = a.get("lambd", 0.5), a.get("bias", 0.0)
    if bias not in (0.0, lambd):
        raise Outside("a bias that is neither 0 (hard shrink) nor lambd (soft shrink)")
    return [get_activation("soft shrink" if bias else "hard shrink", {"lambd": lambd}).forward(inputs[0])]


def clip(a: dict[str, Any], inputs: list[Any], case: Case) -> list[Any]:
    low, high = (None if each is None else float(each) for each in (*inputs[1:], None, None)[:2])
    low, high = a.get("min", low), a.get("max", high)
    name = {(-1.0, 1.0): "hard tanh", (0.0, 6.0): "ReLU6"}.get((low, high))
    if name is None:
        raise Outside("other bounds than -1 and 1 (hard tanh) or 0 and 6 (ReLU6)")
    return [get_activation(name).forward(inputs[0])]


def prelu(a: dict[str, Any], inputs: list[Any], case: Case) -> list[Any]:
    (x, slope), xp = inputs, get_array_module(inputs[0])
    act = get_activation("PReLU")
    if slope.shape == x.shape:  # each number is a channel
        return [act.forward(x.reshape(1, -1), slope.ravel()).reshape(x.shape)]
    if case.opset < 7 or slope.size == 1:
        return [act.forward(x, slope)]
    return [xp.moveaxis(act.forward(xp.moveaxis(x, -1, 1), slope), 1, -1)]


# Losses and optimizers


def rows(x: Any, labels: Any) -> tuple[Any, Any]:
    """(n, C) numbers and one-hot targets of (N, C, ...) and (N, ...)."""
    xp, C = get_array_module(x), x.shape[1]
    return xp.moveaxis(x, 1, -1).reshape(-1, C), xp.asarray(np.eye(C, dtype=x.dtype)[labels.ravel()])


def of_means(a: dict[str, Any], inputs: list[Any]) -> None:
    if a.get("reduction", "mean") != "mean":
        raise Outside("a loss other than the mean over the batch")
    if "ignore_index" in a:
        raise Outside("labels that are not counted (ignore_index)")
    if len(inputs) > 2 and inputs[2] is not None:
        raise Outside("weights of the classes")


def softmax_cross_entropy(a: dict[str, Any], inputs: list[Any], case: Case) -> list[Any]:
    of_means(a, inputs)
    error = Cross().of_sums(*rows(inputs[0], inputs[1]))
    return [error, get_activation("log softmax").forward(inputs[0])][: len(case.outputs)]


def negative_log_likelihood(a: dict[str, Any], inputs: list[Any], case: Case) -> list[Any]:
    of_means(a, inputs)
    x, t = rows(inputs[0], inputs[1])
    return [Cross().value(get_array_module(x).exp(x), t)]


def optimizer(name: str, **keywords: str) -> Run:
    """One step of the optimizer called `name`, with these attributes as keywords."""

    def ran(a: dict[str, Any], inputs: list[Any], case: Case) -> list[Any]:
        rate, steps, *arrays = inputs
        if float(steps) or a.get("norm_coefficient_post"):
            raise Outside("a step other than the first, or decay after it")
        kind = "NAG" if a.get("mode") == "nesterov" else name
        given = {ours: a[key] for ours, key in keywords.items()} | {"weight_decay": a["norm_coefficient"]}
        opt = get_optimizer(kind, given)
        setattr(opt, opt.rate, float(rate))
        n = len(arrays) // (2 + len(opt.slots))
        params, grads, *beside = ([each.copy() for each in arrays[i : i + n]] for i in range(0, len(arrays), n))
        if name == "Momentum":  # ours holds -η times theirs
            beside = [[-float(rate) * v for v in beside[0]]]
        opt.t = 10**6  # where the bias of averages is corrected no longer, as theirs is not in the first step
        opt.state = dict(zip(opt.slots, beside, strict=True))
        opt.update(params, grads)
        if name == "Momentum":
            beside = [[v / -float(rate) for v in beside[0]]]
        return [*params, *(each for slot in beside for each in slot)]

    return ran


RUNS: dict[str, Run] = {
    "Conv": conv,
    "MaxPool": max_pool,
    "GlobalMaxPool": global_pool(MaxPool2d),
    "AveragePool": average_pool,
    "GlobalAveragePool": global_pool(AvgPool2d),
    "test_AvgPool1d": average_pool_of_columns,
    "test_AvgPool1d_stride": average_pool_of_columns,
    "Col2Im": columns_to_images,
    "Flatten": flatten,
    "Gemm": gemm,
    "test_Linear_no_bias": linear_without_bias,
    "BatchNormalization": batch_norm,
    "Dropout": dropout,
    "Softmax": along_axis_1("softmax"),
    "test_Softmin": along_axis_1("softmin"),
    "LogSoftmax": along_axis_1("log softmax"),
    "SoftmaxCrossEntropyLoss": softmax_cross_entropy,
    "NegativeLogLikelihoodLoss": negative_log_likelihood,
    "Adam": optimizer("Adam", beta1="alpha", beta2="beta", eps="epsilon"),
    "Adagrad": optimizer("AdaGrad", eps="epsilon"),
    "Momentum": optimizer("Momentum", mu="alpha"),
    "Identity": activation("identity"),
    "Relu": activation("ReLU"),
    "LeakyRelu": activation("leaky ReLU", alpha="alpha"),
    "PRelu": prelu,
    "Elu": activation("ELU", alpha="alpha"),
    "Selu": activation("SELU", alpha="alpha", scale="gamma"),
    "Celu": activation("CELU", alpha="alpha"),
    "Sigmoid": activation("sigmoid"),
    "HardSigmoid": activation("hard sigmoid", alpha="alpha", beta="beta"),
    "Tanh": activation("tanh"),
    "Softplus": activation("softplus"),
    "Softsign": activation("softsign"),
    "test_Softsign": activation("softsign"),
    "Mish": activation("Mish"),
    "Swish": activation("Swish", beta="alpha"),
    "Gelu": activation("GELU", approximate="approximate"),
    "Shrink": shrink,
    "ThresholdedRelu": activation("threshold", threshold="alpha"),
    "Clip": clip,
}
