"""A small framework for convolutional networks, on NumPy and, unchanged, on CuPy."""

from cnn.datasets import load_mnist
from cnn.layers import Conv2d, Dense, Dropout, MaxPool2d, Output, hooked
from cnn.manager import LayerManager

__all__ = ["Conv2d", "Dense", "Dropout", "LayerManager", "MaxPool2d", "Output", "hooked", "load_mnist"]
