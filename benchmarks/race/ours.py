"""cnn's side of the race: an epoch through CUDA graphs; on a CPU layer by layer."""

from __future__ import annotations

import math
from typing import Any

from benchmarks.accuracy.recipes import Images, Recipe
from benchmarks.accuracy.runs import accuracy
from benchmarks.epoch.ours import drain
from cnn import batches
from cnn.captured import captured
from cnn.schedules import Span
from cnn.training import step


class Ours:
    """A recipe's model and its training, without bar and evaluation."""

    def __init__(self, recipe: Recipe, data: Images, mode: str, seed: int) -> None:
        self.model = model = recipe.net(data, mode=mode, seed=seed, **recipe.given)
        self.n_batch = int(recipe.training["n_batch"])
        self.augment = recipe.training.get("augment")
        model.stepper = model.stepper.changed(schedule=recipe.training.get("schedule"))
        self.steps = math.ceil(len(model.x_train) / self.n_batch)
        self.first = [p.copy() for layer in model.layers for p in layer.parameters()]
        self.random = model.rng.bit_generator.state
        self.fast: Any = None
        drain(model)

    def record(self) -> None:
        """Compile what is not compiled yet; graphs are recorded by the first training that needs them."""
        model = self.model
        self.fast, _ = captured(model, self.n_batch, model.stepper, self.augment, model.mode == "gpu")

    def train(self) -> None:
        """One epoch, done at the end."""
        model = self.model
        model.span = Span(model.steps, self.steps, model.epochs, 1)
        for layer in model.layers:
            layer.begin_epoch(model.steps)
        if self.fast is not None:
            for _ in self.fast.epoch(self.steps):
                pass
            return
        for x, t in batches(model.x_train, model.y_train, self.n_batch, augment=self.augment, seed=model.rng):
            step(model, x, t)

    def reset(self) -> None:
        """First weights, averages of nothing, the first order; waits until they are there."""
        model = self.model
        for p, first in zip((p for layer in model.layers for p in layer.parameters()), self.first, strict=True):
            p[...] = first
        for layer in model.layers:
            if layer.optimizer is not None:
                layer.optimizer.t = 0
                for slots in layer.optimizer.state.values():
                    for slot in slots:
                        slot[...] = 0
        model.steps = model.epochs = 0
        model.rng.bit_generator.state = self.random
        drain(model)

    def accuracy(self) -> float:
        """The share of the test images whose class is found."""
        return accuracy(self.model, self.model.x_test, self.model.y_test)
