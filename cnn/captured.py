"""`Captured`: training steps as CUDA graphs of fused kernels, many steps a graph, for models that the kernels know."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Generator, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnn.augment import Augment
from cnn.batches import Change
from cnn.kernels import pattern, shallow
from cnn.kernels.deep import Deep
from cnn.kernels.gpu import Gpu
from cnn.kernels.launching import Device, Launch
from cnn.kernels.shallow import Shallow
from cnn.layers import Conv2d
from cnn.optimizers.adam import Adam
from cnn.schedules import Moment
from cnn.stepping import Stepper
from cnn.watching import Watcher, Work, is_ours, launching, making, watchers
from cnn.xp import Array

STEPS = 50  # in one graph: each launch of one costs the host some 10 µs and the device 3
_UNWATCHED = Work(0, (), {}, True)
AHEAD = 4  # graphs that may wait in line: few, so that Ctrl-C is heard and the bar is true


def captured(
    model: Any, n_batch: int, stepper: Stepper, augment: Change | None, graph: bool | str
) -> tuple[Captured | None, str]:
    """What trains `model` through graphs, or None; and in words which it is ("" on the CPU, and where not asked for).

    `graph` is "auto" for graphs wherever they can be had, True for an error elsewhere, False for none; the rest is as
    in `train`.

    Raises:
        ValueError: True, but they cannot be had; or another word.
    """
    if not (isinstance(graph, bool) or graph == "auto"):
        raise ValueError(f"graph is {graph!r}; expected 'auto', True or False")
    if not graph or (graph == "auto" and not on_gpu(model)):
        return None, ""
    why = misfit(model, stepper, augment)
    if not why:
        try:
            moves = augment if isinstance(augment, Augment) else None
            found = Captured(model, n_batch, stepper, Gpu(), moves)
            found.try_out()
            return found, found.title
        except Exception as error:  # no compiler, too little memory, no capture: nothing has been trained yet
            if graph is True:
                raise
            why = f"{type(error).__name__}: {error}".splitlines()[0]
    if graph is True:
        raise ValueError(f"graph=True, but the steps cannot be captured: {why}; graph='auto' trains without")
    return None, f"steps not captured in a CUDA graph: {why}"


def on_gpu(model: Any) -> bool:
    """Whether the model's data and parameters are on a GPU."""
    return bool(model.mode == "gpu")


def misfit(model: Any, stepper: Stepper, augment: Change | None) -> str:
    """Why the steps of `model` cannot be captured, or ""."""
    optimizers = [layer.optimizer for layer in model.layers if layer.optimizer is not None]
    learning = [layer for layer in model.layers if layer.parameters()]
    kept = [each for adam in optimizers for slot in adam.state.values() for each in slot]
    arrays = [model.x_train, model.y_train, *(p for layer in learning for p in layer.parameters()), *kept]
    wanted = (
        (on_gpu(model), "the model is not on the GPU, where lm.to_gpu() would put it"),
        (is_ours(model), f"{type(model).__name__} has a forward, backward or update of its own"),
        (all(map(is_ours, model.layers)), "a layer has a forward, backward or update of its own"),
        (watchers((model, *model.layers)) is not None, "a hook watches the layers one by one"),
        (augment is None or type(augment) is Augment, "batches are changed by an augment of another kind"),
        (stepper.clip_value is None and stepper.clip_norm is None, "gradients are clipped"),
        (model.dtype == "float32", f"the model is of {model.dtype}"),
        (all(layer.optimizer is not None for layer in learning), "a layer has no optimizer"),
        (all(type(each) is Adam for each in optimizers), "an optimizer is not Adam"),
        (all(each.dtype == "float32" for each in arrays), "an array is not of float32"),
        (all(each.flags.c_contiguous for each in arrays), "an array does not lie in one stretch"),
        (all(map(_is_as_built, learning)), "a parameter has another shape than its layer was built with"),
        (len(model.x_train) < 2**31, "there are too many images"),
    )
    return next((reason for fits, reason in wanted if not fits), "") or _kernels(model.layers)[1]


def _is_as_built(layer: Any) -> bool:
    """Whether the weights and biases of a convolution or a dense layer have the shapes they had at first."""
    if type(layer) is Conv2d:
        filters, *window = layer.F_shape
        return bool(layer.W.shape == (filters, layer.I_shape[0], *window) and layer.b.shape == (filters,))
    return not hasattr(layer, "prev") or bool(layer.W.shape == (layer.prev, layer.n) and layer.b.shape == (layer.n,))


class Captured:
    """Trains a model that has no `misfit`: its parameters and what Adam keeps are changed in place.

    The order of the images, the optimizers' numbers of each step (learning rates, bias corrections) and the step
    itself lie on the device, so that a graph can be launched again and again. What layers keep for a backward and
    their gradients are not written.
    """

    def __init__(
        self, model: Any, n_batch: int, stepper: Stepper, device: Device, augment: Augment | None = None
    ) -> None:
        self.model, self.n_batch, self.stepper, self.device, self.augment = model, n_batch, stepper, device, augment
        self.learning = [layer for layer in model.layers if layer.optimizer is not None]
        for layer in self.learning:
            begin(layer)
        steps = -(-len(model.x_train) // n_batch)
        xp = device.xp
        self.orders = xp.zeros((steps + 1) * n_batch, "int32")
        self.table = xp.zeros((steps, len(self.learning), 8), "float32")
        self.at = xp.zeros(3, "int32")
        self.net: Shallow | Deep = _kernels(model.layers)[0](model.layers, n_batch, device, augment)
        self.replays: dict[int, Any] = {}  # by the number of steps, a graph
        self.work: dict[tuple[int, int], Work] = {}  # by the numbers of steps and of images
        self.watchers: tuple[Watcher, ...] = ()
        self.in_a_graph = STEPS
        self.last = n_batch  # images of the last step
        self.ahead: Ahead | None = None
        self.there: Ahead | None = None  # whose order is on the device

    def try_out(self) -> None:
        """Record a step, which does not run it: what the driver refuses is known before any training."""
        with self.device.working():
            self.device.recorded(lambda: self._steps(1, self.n_batch))

    @property
    def title(self) -> str:
        """What it does, in words."""
        return f"steps captured in CUDA graphs, {self.net.kernels} kernels a step"

    def epoch(self, steps: int) -> Generator[int, None, None]:
        """The next `steps` of one pass over the images in a new order; gives now and then how many were launched."""
        model, n_batch = self.model, self.n_batch
        self.watchers = watchers((model, *model.layers)) or ()
        for layer in self.learning:
            for name in layer.parameter_names:
                setattr(layer, f"d{name}", None)  # a gradient of before belongs to no step of these
        drawn = self._drawn()
        whole, rest = divmod(min(steps * n_batch, len(drawn.order)), n_batch)
        pieces = [(count, n_batch) for count in _cut(whole, self.in_a_graph)] + [(1, rest)] * (rest > 0)
        with self.device.working():
            self._put(drawn)
            self.at[:] = self.device.xp.asarray(np.array([0, model.steps, drawn.seed], "int32"))
            self.net.begin(self.orders)
            done = known = 0
            for count, n in pieces:
                if done == known:  # numbers for more and more steps, while the device works on those before
                    known = min(steps, done + max(count, 8 * done))
                    self.table[done:known] = self.device.xp.asarray(self.numbers(known - done))
                self._launch(count, n)
                done += self._count(count, n)
                yield count
            self.ahead = Ahead(model.rng, len(model.x_train), self.augment)  # while the device is still busy
            self._put(self.ahead)

    def numbers(self, steps: int) -> NDArray[np.float32]:
        """The optimizers' numbers for the next `steps`, (steps, layers, 8), as the kernels read them."""
        model, factors = self.model, np.ones((steps, len(self.learning)))
        known: dict[int, list[float]] = {}  # most layers have the same schedule
        for i, layer in enumerate(self.learning):
            for each in (self.stepper.schedule, layer.optimizer.schedule):
                if each is not None and id(each) not in known:
                    moments = (Moment(model.steps + step, model.epochs, model.span) for step in range(steps))
                    known[id(each)] = [each.factor(moment) for moment in moments]
                if each is not None:
                    factors[:, i] *= known[id(each)]
        rows = [adam_rows(layer.optimizer, factors[:, i]) for i, layer in enumerate(self.learning)]
        return np.stack(rows, axis=1)

    def get_error(self, t: Array) -> Array:  # noqa: ARG002  # as the output layer's, for the progress bar
        """The mean loss of the last step's images, a scalar on the device."""
        return self.net.loss[: self.last].mean()

    def _drawn(self) -> Ahead:
        """The order of the images in the next epoch, and the seed of how they are moved."""
        model, ahead = self.model, self.ahead
        if ahead is None or ahead.before != _state(model.rng):
            ahead = Ahead(model.rng, len(model.x_train), self.augment)
        model.rng.bit_generator.state = ahead.after
        return ahead

    def _put(self, drawn: Ahead) -> None:
        """The order on the device, if it is not there."""
        if drawn is not self.there:
            self.orders[: len(drawn.order)] = self.device.xp.asarray(drawn.order)
            self.there = drawn

    def _count(self, steps: int, last: int) -> int:
        """Note that so many steps were launched; waits while too many are in line."""
        self.last = last
        self.model.steps += steps
        self.model.batch = (None, None)
        for layer in self.learning:
            layer.optimizer.t += steps
        self.device.keep_up(AHEAD)
        return steps

    def _launch(self, count: int, n: int) -> None:
        """So many steps on `n` images each: one graph, if the batches are whole."""
        with launching(self.watchers, self._work(count, n)):
            if n < self.n_batch:
                self._steps(count, n)
                return
            if count not in self.replays:
                with making(self.watchers):
                    self.replays[count] = self.device.recorded(lambda: self._steps(count, self.n_batch))
            self.replays[count]()

    def _work(self, count: int, n: int) -> Work:
        """What so many steps are for those who watch; only they ask for it."""
        if not self.watchers or (count, n) in self.work:
            return self.work.get((count, n), _UNWATCHED)
        names = tuple(launch.kernel for launch in self._launches(count, n))
        self.work[count, n] = Work(count, names, self.net.does, n == self.n_batch)
        return self.work[count, n]

    def _steps(self, count: int, n: int) -> None:
        """Launch so many steps on `n` images each, and count on."""
        for launch in self._launches(count, n):
            self.net.run(launch)

    def _launches(self, count: int, n: int) -> Iterator[Launch]:
        model = self.model
        for offset in range(count):
            yield from self.net.launches(model.x_train, model.y_train, self.orders, self.table, self.at, offset, n)
        yield from self.net.end(self.orders, self.table, self.at, count)


class Ahead:
    """What an epoch draws, as `batches` would, from a copy of `rng`: the model's own is set on when it is used.

    Attributes:
        before, after: the state of the generator.
        order: of the images; seed: of how they are moved.
    """

    def __init__(self, rng: np.random.Generator, images: int, augment: Augment | None) -> None:
        rng = copy.deepcopy(rng)
        self.before = _state(rng)
        self.order: NDArray[np.int32] = rng.permutation(images).astype("int32")
        self.seed = 0 if augment is None else int(rng.integers(2**31))
        self.after = rng.bit_generator.state


def _state(rng: np.random.Generator) -> bytes:
    return pickle.dumps(rng.bit_generator.state)


def _kernels(layers: list[Any]) -> tuple[type[Shallow | Deep], str]:
    """The kernels for these layers, and why they do not fit, or ""."""
    convolutions = sum(type(layer) is Conv2d for layer in layers)
    return (Shallow, shallow.misfit(layers)) if convolutions == 1 else (Deep, pattern.misfit(layers))


def begin(layer: Any) -> None:
    """Give the optimizer of `layer` its slots, if it has none yet, as its first update would."""
    layer.optimizer.make_slots(layer.parameters(), layer.parameters())


def adam_rows(optimizer: Adam, factors: NDArray[np.float64]) -> NDArray[np.float32]:
    """The numbers of an `Adam` for its next steps, a row each: of its `plan`, and of its weight decay."""
    t = optimizer.t + 1 + np.arange(len(factors))
    scale = np.sqrt(1 - optimizer.beta2**t)
    rows = np.zeros((len(factors), 8), "float32")
    rows[:, 0], rows[:, 1] = 1 - optimizer.beta1, 1 - optimizer.beta2
    rows[:, 2] = factors * optimizer.alpha * scale / (1 - optimizer.beta1**t)
    rows[:, 3] = optimizer.eps * scale
    decay = optimizer.weight_decay
    rows[:, 4] = 0 if optimizer.decoupled else decay
    rows[:, 5] = 1 - factors * optimizer.alpha * decay if optimizer.decoupled else 1
    return rows


def _cut(steps: int, size: int) -> Iterator[int]:
    """`steps` in pieces: of `size`, then what is left."""
    for _ in range(steps // size):
        yield size
    if steps % size:
        yield steps % size
