"""The layers: one class a file, `Layer` under all of them."""

from cnn.layers.base import Layer, hooked
from cnn.layers.conv import Conv2d
from cnn.layers.dense import Dense
from cnn.layers.dropout import Dropout
from cnn.layers.output import Output
from cnn.layers.pool import MaxPool2d

__all__ = ["Conv2d", "Dense", "Dropout", "Layer", "MaxPool2d", "Output", "hooked"]
