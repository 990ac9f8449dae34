"""The training loop: shuffle, step, measure, and know when to end."""

from __future__ import annotations

import math
import time
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

import numpy as np

from cnn.batches import Change, batches
from cnn.captured import Captured, captured
from cnn.checks import number, whole
from cnn.history import Epoch, History, chart_is_seen
from cnn.progress import Progress
from cnn.schedules import Span
from cnn.stepping import Stepper
from cnn.watching import is_ours
from cnn.xp import Array


class Model(Protocol):
    """What `train` needs of a model."""

    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array
    layers: list[Any]
    rng: np.random.Generator
    history: History | None
    steps: int
    epochs: int
    stepper: Stepper
    span: Span | None

    def forward(self, x: Array, train: bool = False) -> Array:
        """The outputs."""
        ...

    def backward(self, t: Array) -> Array:
        """The gradients."""
        ...

    def update(self) -> None:
        """The step of every optimizer."""
        ...

    def error(self, x: Array, t: Array) -> float:
        """The mean error over all images."""
        ...


@dataclass
class Run:
    """One call of `train`: its settings, and how far it has come."""

    model: Model
    epochs: int
    n_batch: int
    threshold: float
    shown: bool
    train_error: bool
    limit: int | None
    stepper: Stepper
    augment: Change | None = None
    captured: Captured | None = None
    graph: str = ""  # whether steps are captured, in words
    steps: int = 0
    done: list[Epoch] = field(default_factory=list)

    def go(self) -> str:
        """Train until a reason to end comes up, and return that reason."""
        for epoch in range(1, self.epochs + 1):
            started = time.perf_counter()
            progress = Progress(f"epoch {epoch}/{self.epochs}", self._steps_ahead(), self.shown)
            errors: dict[str, float] = {}
            try:
                self._pass_over(progress)
                progress.pause()
                errors = self._errors()
            finally:  # the bar ends its line, whatever happened
                progress.close(**errors)
            train_error = errors.get("train", math.nan)
            self.done.append(Epoch(epoch, train_error, errors["test"], time.perf_counter() - started))
            reason = self._reason_to_end(errors)
            if reason is not None:
                return reason
        return "all epochs are done"

    def span(self) -> Span:
        """Where this training begins, and how far it may go."""
        steps = self.epochs * self._of_epoch()
        steps = steps if self.limit is None else min(steps, self.limit)
        return Span(self.model.steps, steps, self.model.epochs, self.epochs)

    def _of_epoch(self) -> int:
        return math.ceil(len(self.model.x_train) / self.n_batch)

    def _steps_ahead(self) -> int:
        return self._of_epoch() if self.limit is None else min(self._of_epoch(), self.limit - self.steps)

    def _pass_over(self, progress: Progress) -> None:
        """All images once, in a new order; the last batch may be short. The data stays where it is."""
        model, ahead = self.model, self._steps_ahead()
        for layer in model.layers:
            layer.begin_epoch(model.steps)
        if self.captured is not None:
            before, done = model.steps, self.steps
            try:
                with closing(self.captured.epoch(ahead)) as counts:
                    for count in counts:
                        progress.step(self.captured, None, count)
            finally:
                self.steps = done + model.steps - before
            model.epochs += ahead == self._of_epoch()
            return
        cut = batches(model.x_train, model.y_train, self.n_batch, augment=self.augment, seed=model.rng)
        for x, t in islice(cut, ahead):
            step(model, x, t)
            self.steps += 1
            progress.step(model.layers[-1], t)
        model.epochs += ahead == self._of_epoch()

    def _errors(self) -> dict[str, float]:
        model = self.model
        errors = {"train": model.error(model.x_train, model.y_train)} if self.train_error else {}
        return errors | {"test": model.error(model.x_test, model.y_test)}

    def _reason_to_end(self, errors: dict[str, float]) -> str | None:
        last = self.done[-1]
        for name, error in errors.items():
            if not math.isfinite(error):
                return f"the {name} error is {error} after epoch {last.epoch}: try a smaller learning rate"
        if self.limit is not None and self.steps >= self.limit:
            return f"the {self.limit} steps asked for are done"
        if len(self.done) > 1:
            moved = abs(last.test_error - self.done[-2].test_error)
            if moved < self.threshold:
                return f"the test error moved by {moved:.3g}, less than the threshold {self.threshold:g}"
        return None


def step(model: Model, x: Array, t: Array) -> None:
    """One training step on one batch: all layers forward, all backward, all updated.

    Nobody asks for the gradient by the images, so the first layer need not compute it; unless the model or that layer
    has a backward that is not cnn's own, and may look at it.
    """
    model.forward(x, train=True)
    first = model.layers[0]
    first.wants_dx = not (_goes_back_as_built(model) and _goes_back_as_built(first))
    try:
        model.backward(t)
    finally:
        first.wants_dx = True
    model.update()


def _goes_back_as_built(each: Any) -> bool:
    """Whether the backward of a model or layer is cnn's own, or what watches it."""
    over = vars(each).get("backward")
    watched = over is None or hasattr(type(over), "graphs") or over.__module__.startswith("cnn.")
    return bool(watched and is_ours(each, ("backward",)))


def _history(model: Model, run: Run) -> History:
    """Go, and keep the history; what a layer raises goes on after that, Ctrl-C does not."""
    stepper, span = model.stepper, model.span
    try:
        model.stepper, model.span = run.stepper, run.span()
        reason = run.go()
    except KeyboardInterrupt:  # weights and history are kept: that is the result
        reason = "interrupted"
    except BaseException as error:
        reason = f"{type(error).__name__}: {error}"
        raise
    finally:
        model.stepper, model.span = stepper, span
        model.history = history = History(tuple(run.done), run.steps, reason, run.graph)
    return history


def train(
    model: Model,
    epoch: int,
    n_batch: int = 16,
    threshold: float = 1e-8,
    show_error: bool = True,
    show_train_error: bool = False,
    steps: int | None = None,
    stepper: Stepper | None = None,
    augment: Change | None = None,
    graph: bool | str = "auto",
) -> History:
    """Train `model` and return what happened, which is also left in `model.history`, whatever ends it.

    `LayerManager.training` says what the arguments mean; `stepper` is the model's until the end.
    """
    limit = None if steps is None else whole("steps", steps)
    epoch, n_batch, threshold = whole("epoch", epoch), whole("n_batch", n_batch), number("threshold", threshold)
    stepper = model.stepper if stepper is None else stepper
    fast, words = captured(model, n_batch, stepper, augment, graph)
    run = Run(model, epoch, n_batch, threshold, show_error, show_train_error, limit, stepper, augment, fast, words)
    history = _history(model, run)
    if show_error and history.epochs and chart_is_seen():
        history.show()
    return history
