"""`LayerManager`: layers, the data they learn from, and the verbs of the article's interface."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cnn import storage
from cnn.batches import Change
from cnn.checks import generator
from cnn.classes import misfit
from cnn.evaluation import check_images, in_pieces, piece_size, told
from cnn.history import History
from cnn.inputs import check_lengths, placed_pair, real_array
from cnn.layerlist import LayerList
from cnn.layers import Layer, Output
from cnn.schedules import Span
from cnn.stepping import Stepper
from cnn.summary import Summary, summarised
from cnn.training import train
from cnn.xp import Array, array_module, float_dtype, put


class LayerManager(LayerList):
    """A network and its data: a list of layers that can be trained and asked.

    Args:
        x: (x_train, x_test), inputs of shape (N, ...), such as images (N, C, H, W).
        t: (t_train, t_test), targets of shape (N, n): for a softmax one-hot labels, for others numbers.
        mode: "cpu" (NumPy) or "gpu" (CuPy): where data and parameters are put, once.
        seed: of first weights, order of images and dropout; the same seed gives the same run.
        dtype: "float32" or "float64", of everything.

    Attributes:
        x_train, x_test, y_train, y_test: the data on its device (y are the targets).
        layers: the layers in order.
        history: the `History` of the last training, also of one that ended in an error, or None.
        steps: training steps done so far; epochs: whole passes over the training images, by `training`.
        stepper: the schedule and the clipping of `update`: a `cnn.stepping.Stepper`, to be replaced by another.

    Raises:
        TypeError: not two pairs of arrays.
        ValueError: an unknown dtype or mode; data that is empty, not finite, not of one length, or has
            too few axes. Whether labels are one-hot is asked by `training`, if the loss needs them so.
        RuntimeError: mode "gpu" with no GPU.
    """

    def __init__(self, x: Any, t: Any, mode: str = "cpu", seed: int | None = None, dtype: Any = "float32") -> None:
        dtype = float_dtype(dtype)
        self.x_train, self.x_test = placed_pair("x", x, mode, dtype)
        self.y_train, self.y_test = placed_pair("t", t, mode, dtype)
        check_lengths("x_train", self.x_train, "t_train", self.y_train)
        check_lengths("x_test", self.x_test, "t_test", self.y_test)
        super().__init__(self.x_train.shape[1:], mode, dtype, generator("seed", seed))
        self.history: History | None = None
        self.steps = 0
        self.epochs = 0
        self.stepper = Stepper()
        self.span: Span | None = None  # the training that is under way
        self.batch: tuple[Array, Array] = (None, None)  # inputs of the last forward, targets of the backward since

    def forward(self, x: Array, train: bool = False) -> Array:
        """The outputs (N, n) for inputs `x`, through all layers.

        Many images at once run in pieces of bounded memory, unless `train`; then the layers keep
        nothing for a backward, but the last layer's `get_error` still has all outputs.
        """
        self.check_layers()
        x = real_array("x", x)
        check_images(x, self.I_shape)
        size = len(x) if train else piece_size(self.layers, self.dtype.itemsize)
        whole = len(x) <= size
        self.batch = (x if whole else None), None
        return self._through(x, train) if whole else in_pieces(self.layers, x, size, self._through)

    def backward(self, t: Array) -> Array:
        """The gradient by the last input, from the targets `t`; each layer then has its own gradients."""
        self.check_layers()
        dy = put(real_array("t", t), self.mode, self.dtype)
        self.batch = self.batch[0], dy
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
        return dy

    def update(self) -> None:
        """Step every layer's optimizer as `stepper` says, and count the step.

        With SAM this takes a second forward and backward of the last batch; Eve waits for its loss.
        """
        self.stepper.step(self)
        self.steps += 1

    def training(
        self,
        epoch: int,
        n_batch: int = 16,
        threshold: float = 1e-8,
        show_error: bool = True,
        show_train_error: bool = False,
        steps: int | None = None,
        *,
        schedule: Any = None,
        clip_value: float | None = None,
        clip_norm: float | None = None,
        augment: Change | None = None,
        graph: bool | str = "auto",
    ) -> History:
        """Train, and return the `History`, which is also kept as `lm.history`.

        Ends after `epoch` passes over the images, after `steps` steps, when the test error is no longer
        finite, or when it moves by less than `threshold` in an epoch. Ctrl-C ends it too and keeps
        weights and history, as an error does before it goes on. `History.reason` says which it was.

        Args:
            epoch: passes over the training images, each in a new order.
            n_batch: images in a step; the last batch of an epoch may be short.
            threshold: see above; 0 never ends a training.
            show_error: a progress bar with the running error (on stderr, in a notebook on stdout), and at the
                end, in a notebook or where matplotlib is interactive, the error curve. Nothing is shown when False.
            show_train_error: measure the error of all training images, too, after each epoch.
            steps: at most so many steps in this call.
            schedule: of the learning rates of all layers: "constant", "step", "cosine", "one-cycle", "inverse-root",
                one with keywords, such as {"name": "step", "every": 2, "gamma": 0.5}, or an object of
                `cnn.schedules`; a layer's own goes into its `opt_dic`.
            clip_value: the most that any number of a gradient may be, up or down.
            clip_norm: the most that the norm of all gradients together may be. Where these three are None, they
                are as in `stepper`.
            augment: changes the images of each batch, such as `cnn.Augment(shift=2, flip=True)`.
            graph: "auto" trains a model on the GPU that the fused kernels know through CUDA graphs of many steps, with
                the same result to within rounding; all others, and one whose layers have a hook, layer by layer.
                `History.graph` says which, and why. False trains layer by layer in any case, so that a profiler sees
                each; True raises where graphs cannot be had. Through graphs the layers keep no gradients and nothing
                of the last batch.

        Raises:
            ValueError: no layers, a last layer that is no Output, targets that do not fit it, or graph=True for a
                model that cannot be captured.
        """
        self.check_model()
        stepper = self.stepper.changed(schedule=schedule, clip_value=clip_value, clip_norm=clip_norm)
        return train(self, epoch, n_batch, threshold, show_error, show_train_error, steps, stepper, augment, graph)

    def error(self, x: Array, t: Array) -> float:
        """The mean loss over all images of `x` with targets `t`, in bounded memory; waits once.

        The last layer then has the outputs of all of them, for its `get_error`.
        """
        x, t = real_array("x", x), put(real_array("t", t), self.mode, self.dtype)
        check_lengths("x", x, "t", t)
        self._check_chain(t)
        self.forward(x)
        output: Any = self.layers[-1]
        return float(output.get_error(t))

    def predict(self, x: Array = None, y: Array = None) -> Array:
        """The class of each image, (N,) on the device; prints 16 of them and the accuracy rate.

        Args:
            x: images; those of the test set by default.
            y: their targets, one-hot (N, n) or class numbers (N,) or (N, 1); a model of one output says
                yes (1) above 0.5. Without them nothing is compared.
        """
        if x is None and y is None:
            x, y = self.x_test, self.y_test
        elif x is None:
            raise ValueError("predict got y without x: the targets of which images? give both or none")
        return told(self.predict_proba(x), None if y is None else put(real_array("y", y), self.mode))

    def predict_proba(self, x: Array = None) -> Array:
        """The outputs (N, n) for `x` (the test images by default), in bounded memory."""
        return self.forward(self.x_test if x is None else x)

    def summary(self) -> Summary:
        """Print a table and return it: each layer, the shape of its output, its parameters, its multiply-adds an image.

        The returned `Summary` has the sums, and a pandas `table`.
        """
        found = summarised(self.layers, self.misfits())
        print(found)
        return found

    def show_errors(self, ax: Any = None) -> Any:
        """Draw the error curve of the last training; returns its Axes, or RuntimeError before the first."""
        if self.history is None:
            raise RuntimeError("there is no training to show yet; call lm.training(epoch) first")
        return self.history.show(ax)

    def save(self, path: str | Path) -> None:
        """Write to an .npz file all that the next steps depend on: parameters, statistics, optimizers, counts, seeds.

        A training that goes on from the file, at the start of an epoch, goes on as if it had never stopped, to the
        last bit on one device. ValueError where two layers have one name.
        """
        storage.save(path, self.layers, self._own())

    def load(self, path: str | Path) -> None:
        """Read what `save` wrote; ValueError unless names, shapes and optimizers are the same."""
        storage.load(path, self.layers, self._own())
        for layer in self.layers:
            layer.begin_epoch(self.steps)

    def _own(self) -> dict[str, storage.Place]:
        """What `save` writes besides the layers."""
        own = {name: storage.number_of(self, name) for name in ("steps", "epochs")}
        return own | {"rng": storage.stream_of(self.rng)}

    def to_gpu(self) -> None:
        """Move data, parameters and optimizer states to the GPU; RuntimeError where there is none."""
        self._to("gpu")

    def to_cpu(self) -> None:
        """Move data, parameters and optimizer states to the host."""
        self._to("cpu")

    def _to(self, mode: str) -> None:
        array_module(mode)
        for name in ("x_train", "x_test", "y_train", "y_test"):
            setattr(self, name, put(getattr(self, name), mode))
        for layer in self.layers:
            layer.to(mode)
        self.mode, self.batch = mode, (None, None)

    def check_layers(self) -> None:
        """Raise ValueError when there are no layers."""
        if not self.layers:
            raise ValueError('the model has no layers; add some, the last with lm.append(name="o", n=n_class)')

    def check_model(self) -> None:
        """Raise ValueError unless the layers fit each other, and the model's targets the last one; waits."""
        output: Any = self._check_chain(self.y_train)
        output.loss.check_targets(self.y_train)
        output.loss.check_targets(self.y_test)

    def _check_chain(self, t: Array) -> Layer:
        """The last layer; ValueError unless all fit each other, and `t` the last by its shape. Waits for nothing."""
        self.check_layers()
        for i, layer in enumerate(self.layers):
            self.check_fit(self.layers[:i], layer)
            if isinstance(layer, Output) != (i == len(self) - 1):
                raise ValueError(f"expected one Output layer, the last; {layer.name} is number {i + 1} of {len(self)}")
        if t.shape[1:] != layer.O_shape:
            raise ValueError(misfit(layer, t))
        return layer

    def _through(self, x: Array, train: bool = False) -> Array:
        x = put(x, self.mode, self.dtype)
        for layer in self.layers:
            x = layer.forward(x, train=train)
        return x
