"""`LayerManager`: layers, the data they learn from, and the verbs of the article's interface."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from cnn import storage
from cnn.checks import shown
from cnn.history import History
from cnn.inputs import check_lengths, pieces, placed_pair
from cnn.layerlist import LayerList
from cnn.layers import Output
from cnn.training import train
from cnn.xp import Array, array_module, to_cpu

# What one piece of an evaluation may take, in bytes: small enough for any device, large enough that
# the GPU has work; 64 MiB hold about 400 MNIST images in the article's net.
PIECE = 64 * 2**20


class LayerManager(LayerList):
    """A network and its data: a list of layers that can be trained and asked.

    Args:
        x: (x_train, x_test), inputs of shape (N, ...), such as images (N, C, H, W).
        t: (t_train, t_test), targets of shape (N, n), such as one-hot labels.
        mode: "cpu" (NumPy) or "gpu" (CuPy): where data and parameters are put, once.
        seed: of first weights, order of images and dropout; the same seed gives the same run.
        dtype: "float32" or "float64", of everything.

    Attributes:
        x_train, x_test, y_train, y_test: the data on its device (y are the targets).
        layers: the layers in order. history: the `History` of the last training, or None.
        steps: training steps done so far.

    Raises:
        TypeError: not two pairs of arrays.
        ValueError: data that is empty, not finite, not of one length, or not one-hot.
        RuntimeError: mode "gpu" with no GPU.
    """

    def __init__(self, x: Any, t: Any, mode: str = "cpu", seed: int | None = None, dtype: Any = "float32") -> None:
        self.x_train, self.x_test = placed_pair("x", x, mode, dtype)
        self.y_train, self.y_test = placed_pair("t", t, mode, dtype)
        check_lengths("x_train", self.x_train, "t_train", self.y_train)
        check_lengths("x_test", self.x_test, "t_test", self.y_test)
        super().__init__(self.x_train.shape[1:], mode, dtype, np.random.default_rng(seed))
        self.history: History | None = None
        self.steps = 0

    def forward(self, x: Array, train: bool = False) -> Array:
        """The outputs (N, n) for inputs `x`, through all layers.

        Many images at once run in pieces of bounded memory, unless `train`; then the layers keep
        nothing for a backward, but the last layer's `get_error` still has all outputs.
        """
        self.check_layers()
        x = array_module(self.mode).asarray(x, dtype=self.dtype)
        size = self._piece()
        if train or len(x) <= size:
            return self._through(x, train)
        y = array_module(self.mode).concatenate([self._through(x[piece], train) for piece in pieces(len(x), size)])
        for layer in self.layers:
            layer.y_shape = None
        if isinstance(self.layers[-1], Output):
            self.layers[-1].y = y
        return y

    def backward(self, t: Array) -> Array:
        """The gradient by the last input, from the targets `t`; each layer then has its own gradients."""
        self.check_layers()
        dy = array_module(self.mode).asarray(t, dtype=self.dtype)
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
        return dy

    def update(self) -> None:
        """Step every layer's optimizer, and count the step."""
        for layer in self.layers:
            layer.update()
        self.steps += 1

    def training(
        self,
        epoch: int,
        n_batch: int = 16,
        threshold: float = 1e-8,
        show_error: bool = True,
        show_train_error: bool = False,
        steps: int | None = None,
    ) -> History:
        """Train, and return the `History`, which is also kept as `lm.history`.

        Ends after `epoch` passes over the images, after `steps` steps, when the test error is no longer
        finite, or when it moves by less than `threshold` in an epoch. Ctrl-C ends it too and keeps
        weights and history. `History.reason` says which it was.

        Args:
            epoch: passes over the training images, each in a new order.
            n_batch: images in a step; the last batch of an epoch may be short.
            threshold: see above; 0 never ends a training.
            show_error: a progress bar with the running error on stderr, and at the end, in a notebook or
                where matplotlib is interactive, the error curve. Nothing is shown when False.
            show_train_error: measure the error of all training images, too, after each epoch.
            steps: at most so many steps in this call.

        Raises:
            ValueError: no layers, a last layer that is no Output, or targets that do not fit it.
        """
        self.check_model()
        self.history = train(self, epoch, n_batch, threshold, show_error, show_train_error, steps)
        return self.history

    def error(self, x: Array, t: Array) -> float:
        """The mean loss over all images of `x` with targets `t`, in bounded memory; waits once."""
        self.check_model()
        if len(x) != len(t) or not len(x):
            raise ValueError(f"x has {len(x)} images, t {len(t)} targets; expected the same number, 1 or more")
        xp = array_module(self.mode)
        output: Any = self.layers[-1]
        total: Array = 0.0
        for piece in pieces(len(x), self._piece()):
            self.forward(x[piece])
            targets = xp.asarray(t[piece], dtype=self.dtype)
            total = total + output.get_error(targets) * (len(targets) / len(x))
        return float(total)

    def predict(self, x: Array = None, y: Array = None) -> Array:
        """The class of each image, (N,) on the device; prints 16 of them and the accuracy rate.

        Args:
            x: images; those of the test set by default.
            y: their targets, one-hot (N, n) or class numbers (N,); without them nothing is compared.
        """
        if x is None and y is None:
            x, y = self.x_test, self.y_test
        elif x is None:
            raise ValueError("predict got y without x: the targets of which images? give both or none")
        classes = _classes(self.predict_proba(x))
        if y is not None:
            truth = _classes(array_module(self.mode).asarray(y))
            if len(truth) != len(classes):
                raise ValueError(f"x has {len(classes)} images, y {len(truth)} targets; expected the same number")
            print(f"correct: {to_cpu(truth[:16])}")
        print(f"predict: {to_cpu(classes[:16])}")
        if y is not None:
            hits = int((truth == classes).sum())
            print(f"accuracy rate: {100 * hits / len(classes):.2f} % ({hits}/{len(classes)})")
        return classes

    def predict_proba(self, x: Array = None) -> Array:
        """The outputs (N, n) for `x` (the test images by default), in bounded memory."""
        return self.forward(self.x_test if x is None else x)

    def summary(self) -> None:
        """Print a table: each layer, the shape of its output, its parameters, and their sum."""
        rows = [(layer.name, type(layer).__name__, shown(layer.O_shape), layer.n_parameters) for layer in self.layers]
        width = max([5, *(len(name) for name, *_ in rows)])
        print(f"{'layer':<{width}}  {'kind':<9}  {'output':<18}  parameters")
        for name, kind, shape, parameters in rows:
            print(f"{name:<{width}}  {kind:<9}  {shape:<18}  {parameters:>10,}")
        print(f"{'sum':<{width}}  {'':<9}  {'':<18}  {sum(row[-1] for row in rows):>10,}")

    def show_errors(self, ax: Any = None) -> Any:
        """Draw the error curve of the last training; returns its Axes, or RuntimeError before the first."""
        if self.history is None:
            raise RuntimeError("there is no training to show yet; call lm.training(epoch) first")
        return self.history.show(ax)

    def save(self, path: str | Path) -> None:
        """Write parameters, optimizer states and step counts, but no state of random numbers, to an .npz file."""
        storage.save(path, self.layers, self.steps)

    def load(self, path: str | Path) -> None:
        """Read what `save` wrote; ValueError unless names, shapes and optimizers are the same."""
        self.steps = storage.load(path, self.layers)

    def check_layers(self) -> None:
        """Raise ValueError when there are no layers."""
        if not self.layers:
            raise ValueError('the model has no layers; add some, the last with lm.append(name="o", n=n_class)')

    def check_model(self) -> None:
        """Raise ValueError unless the layers fit each other, and the targets the last one; waits."""
        self.check_layers()
        for i, layer in enumerate(self.layers):
            self.check_fit(self.layers[:i], layer)
        self._check_output()
        output: Any = self.layers[-1]
        if self.y_train.shape[1:] != output.O_shape:
            raise ValueError(
                f"{output.name} gives {output.n} numbers an image, the targets have {self.y_train.shape[1]}: "
                f"make the layer with n={self.y_train.shape[1]}, or encode the labels for {output.n} classes"
            )
        output.loss.check_targets(self.y_train)
        output.loss.check_targets(self.y_test)

    def _check_output(self) -> None:
        for i, layer in enumerate(self.layers):
            if isinstance(layer, Output) != (i == len(self.layers) - 1):
                raise ValueError(f"expected one Output layer, the last; {layer.name} is number {i + 1} of {len(self)}")

    def _through(self, x: Array, train: bool) -> Array:
        for layer in self.layers:
            x = layer.forward(x, train=train)
        return x

    def _piece(self) -> int:
        """How many images of an evaluation fit into `PIECE` bytes in the widest layer."""
        return max(1, PIECE // (self.dtype.itemsize * max(layer.kept() for layer in self.layers)))


def _classes(y: Array) -> Array:
    """Class numbers (N,) from outputs or one-hot targets (N, n); (N, 1) is read as yes or no."""
    if y.ndim == 1:
        return y.astype("int64")
    return (y[:, 0] > 0.5).astype("int64") if math.prod(y.shape[1:]) == 1 else y.argmax(axis=1)
