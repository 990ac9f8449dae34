"""The kinds of layers by their codes, and how a model makes one from a code and keywords."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from cnn.checks import check_keywords, choose, keywords_of, required_keywords
from cnn.layers import (
    ActivationLayer,
    AvgPool2d,
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    Layer,
    MaxPool2d,
    Output,
)
from cnn.xp import Shape

CODES: dict[str, type[Layer]] = {
    "c": Conv2d,
    "conv": Conv2d,
    "convolution": Conv2d,
    "p": MaxPool2d,
    "pool": MaxPool2d,
    "pooling": MaxPool2d,
    "maxpool": MaxPool2d,
    "avg": AvgPool2d,
    "avgpool": AvgPool2d,
    "average": AvgPool2d,
    "m": Dense,
    "mid": Dense,
    "middle": Dense,
    "dense": Dense,
    "o": Output,
    "out": Output,
    "output": Output,
    "d": Dropout,
    "drop": Dropout,
    "dropout": Dropout,
    "b": BatchNorm,
    "norm": BatchNorm,
    "batchnorm": BatchNorm,
    "f": Flatten,
    "flatten": Flatten,
    "a": ActivationLayer,
    "act": ActivationLayer,
    "activation": ActivationLayer,
}
OWN = ("name", "mode", "dtype", "seed")  # keywords of a layer that a model fills in itself


def made(
    code: str,
    label: str | None,
    before: Sequence[Layer],
    comes: Shape,
    own: Mapping[str, Any],
    keywords: Mapping[str, Any],
) -> Layer:
    """A new layer of the kind `code`.

    Args:
        code: as in `CODES`, regardless of case and punctuation.
        label: its name, or None for a running one.
        before: the layers it comes behind, which tell its number.
        comes: the shape of what they give.
        own: what the model gives each layer that takes it: mode, dtype, seed.
        keywords: a person's, which go before `own` and what follows from `comes`.

    Raises:
        TypeError: a keyword that the layer does not have, or one that is missing.
        ValueError: an unknown kind; or what the layer has to say.
    """
    cls: Any = choose("layer", code, CODES)
    number = 1 + sum(isinstance(layer, cls) for layer in before)
    name = label if label is not None else f"{cls.role}{number}"
    check_keywords(name, cls, keywords, hidden=OWN)
    context = {"name": name, **own, "prev": math.prod(comes), "I_shape": comes}
    taken = keywords_of(cls)
    given = {key: value for key, value in context.items() if key in taken} | dict(keywords)
    missing = [key for key in required_keywords(cls) if key not in given]
    if missing:
        raise TypeError(f"{name} needs {', '.join(missing)}, as in {cls.__name__}: add the keyword")
    layer: Layer = cls(**given)
    layer.label = label
    return layer
