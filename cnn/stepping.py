"""`Stepper`: what a model does between its gradients and its layers' own updates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from cnn.checks import number
from cnn.clipping import clip_by_norm, clip_by_value, power_sum
from cnn.optimizers import ALONE, SAM, Told
from cnn.schedules import Moment, Span, get_schedule
from cnn.xp import Array


class Model(Protocol):
    """What a step needs of a model."""

    layers: list[Any]
    steps: int
    epochs: int
    span: Span | None
    batch: tuple[Array, Array]  # the inputs of the last forward, the targets of the backward since; None if not there

    def forward(self, x: Array, train: bool = False) -> Array:
        """The outputs."""
        ...

    def backward(self, t: Array) -> Array:
        """The gradients."""
        ...


@dataclass(frozen=True)
class Stepper:
    """A learning-rate schedule for all layers, and clipping of all gradients; for SAM and Eve what they ask for.

    A training of one's own has `lm.stepper = Stepper(schedule="cosine", clip_norm=1)`, and `lm.training` takes the
    same as keywords.

    Args:
        schedule: multiplies each layer's learning rate; one of `cnn.schedules`, its name, or a name with keywords.
        clip_value: the most that any number of a gradient may be, up or down.
        clip_norm: the most that the norm of all gradients of all layers together may be; after clip_value. Nothing
            waits for it. With SAM it is the gradients of the second pass that are clipped.
    """

    schedule: Any = None
    clip_value: float | None = None
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "schedule", get_schedule(self.schedule))
        for key in ("clip_value", "clip_norm"):
            value = getattr(self, key)
            object.__setattr__(self, key, None if value is None else number(key, value))
            if value == 0:
                raise ValueError(f"{key} is 0, which leaves no gradient; expected a number above it, or None for none")

    def changed(self, **given: Any) -> Stepper:
        """This one with what is given, and is not None, in the place of its own."""
        return replace(self, **{key: value for key, value in given.items() if value is not None})

    def step(self, model: Model) -> None:
        """Update every layer of `model`, from the gradients that its layers have."""
        learning = [layer for layer in model.layers if layer.optimizer is not None]
        told = self.schedule is not None or any(layer.optimizer.listens for layer in learning)
        if told:
            self._tell(model, learning)
        self._clip(learning)
        try:
            for layer in model.layers:
                layer.update()
        finally:
            for layer in learning if told else ():
                layer.optimizer.told = ALONE

    def _tell(self, model: Model, learning: Sequence[Any]) -> None:
        moment = Moment(model.steps, model.epochs, model.span)
        factor = 1.0 if self.schedule is None else self.schedule.factor(moment)
        loss = _loss(model) if any(layer.optimizer.wants_loss for layer in learning) else None
        climbers = [layer for layer in learning if isinstance(layer.optimizer, SAM)]
        if climbers:
            _second_pass(model, climbers)
        for layer in learning:
            layer.optimizer.told = Told(factor, moment, loss, climbed=True)

    def _clip(self, learning: Sequence[Any]) -> None:
        if self.clip_value is None and self.clip_norm is None:
            return
        grads = [g for layer in learning for g in layer.gradients()]
        if self.clip_value is not None:
            clip_by_value(grads, self.clip_value)
        if self.clip_norm is not None and grads:
            clip_by_norm(grads, self.clip_norm)


def _loss(model: Model) -> float:
    """The loss of the last forward against the targets of the last backward; waits for it."""
    _, t = _batch(model, "Eve")
    return float(model.layers[-1].get_error(t))


def _second_pass(model: Model, climbers: Sequence[Any]) -> None:
    """The gradients of the last batch at the point that SAM climbs to; the parameters are then where they were."""
    x, t = _batch(model, "SAM")
    grads = [layer.gradients() for layer in climbers]
    totals = {q: _total(climbers, grads, q) for q in {layer.optimizer.q for layer in climbers}}
    statistics = [(each, name, getattr(each, name).copy()) for each in model.layers for name in each.statistic_names]
    try:
        for layer, own in zip(climbers, grads, strict=True):
            layer.optimizer.climb(layer.parameters(), own, totals[layer.optimizer.q])
        model.forward(x, train=True)
        model.backward(t)
    finally:
        for layer in climbers:
            layer.optimizer.go_back(layer.parameters())
        for layer, name, value in statistics:  # a batch counts once, where the parameters are
            getattr(layer, name)[...] = value


def _total(climbers: Sequence[Any], grads: Sequence[Sequence[Array]], q: float) -> Array:
    return power_sum([g for layer, own in zip(climbers, grads, strict=True) if layer.optimizer.q == q for g in own], q)


def _batch(model: Model, who: str) -> tuple[Array, Array]:
    if any(each is None for each in model.batch):
        raise RuntimeError(
            f"{who} needs the batch of this step: call lm.forward(x) and then lm.backward(t), of the model and not of "
            "its layers, and nothing between them and lm.update()"
        )
    return model.batch
