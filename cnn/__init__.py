"""A small framework for convolutional networks, on NumPy and, unchanged, on CuPy."""

from cnn.augment import Augment
from cnn.batches import batches
from cnn.datasets import load_digits, load_fashion_mnist, load_mnist
from cnn.layers import (
    ActivationLayer,
    AvgPool2d,
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    MaxPool2d,
    Output,
    hooked,
)
from cnn.manager import LayerManager

__all__ = [
    "ActivationLayer",
    "Augment",
    "AvgPool2d",
    "BatchNorm",
    "Conv2d",
    "Dense",
    "Dropout",
    "Flatten",
    "LayerManager",
    "MaxPool2d",
    "Output",
    "batches",
    "hooked",
    "load_digits",
    "load_fashion_mnist",
    "load_mnist",
]
