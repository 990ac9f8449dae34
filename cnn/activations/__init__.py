"""Activation functions: each class holds the value and, beside it, the derivative.

To add one, write its class and put it into `ACTIVATIONS`; its dataclass fields become what
`act_dic` may hold. One family a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnn.activations.acon import AconA, AconB, AconC
from cnn.activations.base import Activation, Learned
from cnn.activations.gated import GELU, Mish, Swish, TanhExp
from cnn.activations.leaky import CELU, ELU, SELU, LeakyReLU, PReLU, RReLU
from cnn.activations.pieces import (
    HardShrink,
    HardSigmoid,
    HardTanh,
    Identity,
    ReLU,
    ReLU6,
    SoftShrink,
    Step,
    Threshold,
)
from cnn.activations.smooth import BentIdentity, LogSigmoid, Sigmoid, Softplus, Softsign, Tanh, TanhShrink
from cnn.activations.softmax import LogSoftmax, Softmax, Softmin
from cnn.checks import build

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "HardSigmoid",
    "Identity",
    "Learned",
    "LogSoftmax",
    "RReLU",
    "ReLU",
    "Sigmoid",
    "Softmax",
    "Softmin",
    "Step",
    "get_activation",
]

ACTIVATIONS: dict[str, type[Activation | Learned]] = {
    "step": Step,
    "identity": Identity,
    "bent identity": BentIdentity,
    "hard shrink": HardShrink,
    "soft shrink": SoftShrink,
    "threshold": Threshold,
    "sigmoid": Sigmoid,
    "hard sigmoid": HardSigmoid,
    "log sigmoid": LogSigmoid,
    "tanh": Tanh,
    "tanh shrink": TanhShrink,
    "hard tanh": HardTanh,
    "ReLU": ReLU,
    "ReLU6": ReLU6,
    "leaky ReLU": LeakyReLU,
    "lReLU": LeakyReLU,
    "ELU": ELU,
    "SELU": SELU,
    "CELU": CELU,
    "softmax": Softmax,
    "softmin": Softmin,
    "log softmax": LogSoftmax,
    "softplus": Softplus,
    "softsign": Softsign,
    "Swish": Swish,
    "Mish": Mish,
    "tanhExp": TanhExp,
    "PReLU": PReLU,
    "RReLU": RReLU,
    "GELU": GELU,
    "ACON-A": AconA,
    "ACON-B": AconB,
    "ACON-C": AconC,
}


def get_activation(name: str, keywords: Mapping[str, Any] | None = None) -> Any:
    """The activation called `name`, in any case and punctuation, made with `keywords` (an `act_dic`).

    An `Activation`, or a `Learned` one, whose parameters a layer has to keep.
    """
    return build("activation", name, ACTIVATIONS, keywords)
