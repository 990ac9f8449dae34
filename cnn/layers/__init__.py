"""The layers: one class a file, `Layer` under all of them."""

from cnn.layers.activation import ActivationLayer
from cnn.layers.average import AvgPool2d
from cnn.layers.base import Layer
from cnn.layers.conv import Conv2d
from cnn.layers.dense import Dense
from cnn.layers.dropout import Dropout
from cnn.layers.flatten import Flatten
from cnn.layers.hooks import hooked
from cnn.layers.norm import BatchNorm
from cnn.layers.output import Output
from cnn.layers.pool import MaxPool2d

__all__ = [
    "ActivationLayer",
    "AvgPool2d",
    "BatchNorm",
    "Conv2d",
    "Dense",
    "Dropout",
    "Flatten",
    "Layer",
    "MaxPool2d",
    "Output",
    "hooked",
]
