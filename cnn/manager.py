"""`LayerManager`: layers, the data they learn from, and the verbs of the article's interface."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from cnn import storage
from cnn.checks import shown
from cnn.history import History
from cnn.layerlist import LayerList
from cnn.layers import Output
from cnn.training import pieces, train
from cnn.xp import Array, array_module, float_dtype, to_cpu

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

    def __init__(
        self, x: Any, t: Any, mode: str = "cpu", seed: int | None = None, dtype: Any = "float32"
    ) -> None:
        xp, self.dtype = array_module(mode), float_dtype(dtype)
        self.x_train, self.x_test = (
            _placed(f"x_{name}", each, xp, self.dtype) for name, each in _two("x", x)
        )
        self.y_train, self.y_test = (
            _placed(f"t_{name}", each, xp, self.dtype) for name, each in _two("t", t)
        )
        _check_pairs("train", self.x_train, self.y_train)
        _check_pairs("test", self.x_test, self.y_test)
        for what, train_shape, test_shape in (
            ("x", self.x_train.shape, self.x_test.shape),
            ("t", self.y_train.shape, self.y_test.shape),
        ):
            if train_shape[1:] != test_shape[1:]:
                raise ValueError(
                    f"{what}_train is {train_shape}, {what}_test {test_shape}: all but N has to agree"
                )
        super().__init__(self.x_train.shape[1:], mode, self.dtype, np.random.default_rng(seed))
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
        y = array_module(self.mode).concatenate(
            [self._through(x[piece], train) for piece in pieces(len(x), size)]
        )
        for layer in self.layers:
            layer.y_shape = None
        if isinstance(self.layers[-1], Output):
            self.layers[-1].y = y
        return y

    def backward(self, t: Array) -> Array:
        """The gradient by the last input, from the targets `t`; each layer has its own gradients afterwards."""
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
        """The mean loss over all images of `x` with targets `t`, in bounded memory; waits for the device once."""
        self.check_model()
        if len(x) != len(t) or not len(x):
            raise ValueError(
                f"x has {len(x)} images, t {len(t)} targets; expected the same number, 1 or more"
            )
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
                raise ValueError(
                    f"x has {len(classes)} images, y {len(truth)} targets; expected the same number"
                )
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
        rows = [
            (layer.name, type(layer).__name__, shown(layer.O_shape), layer.n_parameters)
            for layer in self.layers
        ]
        width = max([5, *(len(name) for name, *_ in rows)])
        print(f"{'layer':<{width}}  {'kind':<9}  {'output':<18}  parameters")
        for name, kind, shape, parameters in rows:
            print(f"{name:<{width}}  {kind:<9}  {shape:<18}  {parameters:>10,}")
        print(f"{'sum':<{width}}  {'':<9}  {'':<18}  {sum(row[-1] for row in rows):>10,}")

    def show_errors(self, ax: Any = None) -> Any:
        """Draw the error curve of the last training and return its Axes; RuntimeError before the first one."""
        if self.history is None:
            raise RuntimeError("there is no training to show yet; call lm.training(epoch) first")
        return self.history.show(ax)

    def save(self, path: str | Path) -> None:
        """Write parameters, optimizer states and step counts to an .npz file (not the state of the random numbers)."""
        storage.save(path, self.layers, self.steps)

    def load(self, path: str | Path) -> None:
        """Read what `save` wrote, for a model of the same names, shapes and optimizers; ValueError otherwise."""
        self.steps = storage.load(path, self.layers)

    def check_layers(self) -> None:
        """Raise ValueError when there are no layers."""
        if not self.layers:
            raise ValueError(
                'the model has no layers; add some, the last with lm.append(name="o", n=n_class)'
            )

    def check_model(self) -> None:
        """Raise ValueError unless the layers fit each other and the targets fit the last one; waits for the device."""
        self.check_layers()
        for i, layer in enumerate(self.layers):
            self.check_fit(self.layers[:i], layer)
            if isinstance(layer, Output) != (i == len(self.layers) - 1):
                raise ValueError(
                    f"expected one Output layer, as the last one; {layer.name} is number {i + 1} of {len(self)}"
                )
        output: Any = self.layers[-1]
        if self.y_train.shape[1:] != output.O_shape:
            raise ValueError(
                f"{output.name} gives {output.n} numbers an image, the targets have {self.y_train.shape[1]}: "
                f"make the layer with n={self.y_train.shape[1]}, or encode the labels for {output.n} classes"
            )
        output.loss.check_targets(self.y_train)
        output.loss.check_targets(self.y_test)

    def _through(self, x: Array, train: bool) -> Array:
        for layer in self.layers:
            x = layer.forward(x, train=train)
        return x

    def _piece(self) -> int:
        """How many images of an evaluation fit into `PIECE` bytes in the widest layer."""
        return max(1, PIECE // (self.dtype.itemsize * max(layer.kept() for layer in self.layers)))


def _two(what: str, value: Any) -> list[tuple[str, Any]]:
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        kind = type(value).__name__
        raise TypeError(
            f"{what} has to be a pair, ({what}_train, {what}_test); got a {kind} of {np.size(value)} values"
        )
    return [("train", value[0]), ("test", value[1])]


def _placed(name: str, value: Any, xp: Any, dtype: np.dtype[Any]) -> Array:
    """`value` as an array of `dtype` where `xp` works; ValueError if it holds NaN or infinities, or nothing."""
    try:
        array = xp.asarray(to_cpu(value) if xp is np else value, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} is not an array of numbers: {error}") from error
    if array.ndim < 2 or not array.size:
        what = (
            "inputs (N, ...)"
            if name.startswith("x")
            else "targets (N, n); for class numbers numpy.eye(n_class)[labels]"
        )
        raise ValueError(
            f"{name} has shape {array.shape}; expected {what}" + (", not one-hot" if name[0] == "t" else "")
        )
    bad = int((~xp.isfinite(array)).sum())
    if bad:
        raise ValueError(f"{name} holds {bad} values that are NaN or infinite; remove or replace them first")
    return array


def _check_pairs(name: str, x: Array, t: Array) -> None:
    if len(x) != len(t):
        raise ValueError(f"x_{name} has {len(x)} images, t_{name} {len(t)} targets; expected the same number")


def _classes(y: Array) -> Array:
    """Class numbers (N,) from outputs or one-hot targets (N, n); (N, 1) counts as yes or no; (N,) is returned."""
    if y.ndim == 1:
        return y.astype("int64")
    return (y[:, 0] > 0.5).astype("int64") if math.prod(y.shape[1:]) == 1 else y.argmax(axis=1)
