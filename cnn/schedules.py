"""Learning-rate schedules: by how much a step's learning rate is multiplied, from where a training stands.

Each counts in steps or in epochs (`by`) of the model's whole life, `lm.steps` and `lm.epochs`, which are
saved with it: a training that goes on, also from a file, finds its place again. One that lasts for a
`total` and was given none lasts as long as the call of `lm.training` it runs in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from cnn.checks import build, number, whole

UNITS = ("step", "epoch")
SHAPES = ("cosine", "linear")


@dataclass(frozen=True)
class Span:
    """One call of `training`: the steps and epochs done before it, and how many it may do itself."""

    first_step: int
    steps: int
    first_epoch: int
    epochs: int


@dataclass(frozen=True)
class Moment:
    """Where a step stands: how many steps and epochs are behind it, and the training it belongs to, if any."""

    step: int
    epoch: int | None = None
    span: Span | None = None


@dataclass(frozen=True)
class Schedule:
    """What all share.

    Args:
        by: "step" or "epoch": what is counted; by epochs the rate stays the same within one.
        start: at how many steps or epochs of the model's life it begins; before that it stands at its beginning.
    """

    by: str = field(default="step", kw_only=True)
    start: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        if self.by not in UNITS:
            raise ValueError(f"{type(self).__name__}: by is {self.by!r}; expected 'step' or 'epoch'")
        self._set("start", whole(f"{type(self).__name__}: start", self.start, least=0))

    def factor(self, moment: Moment) -> float:
        """What the learning rate of the step at `moment` is multiplied by."""
        return self.at(max(0, self._count(moment) - self.start), 0)

    def at(self, i: int, total: int) -> float:
        """The factor after `i` steps (or epochs) out of `total`, where a total means something."""
        raise NotImplementedError(f"{type(self).__name__} has no at(i, total)")

    def _count(self, moment: Moment) -> int:
        count = moment.step if self.by == "step" else moment.epoch
        if count is None:
            raise ValueError(
                f"{type(self).__name__} by epochs: a layer or an optimizer that is updated alone knows no epochs; use "
                "lm.update(), where lm.epochs counts them, or by='step'"
            )
        return count

    def _set(self, key: str, value: float) -> None:
        object.__setattr__(self, key, value)


@dataclass(frozen=True)
class Constant(Schedule):
    """Always `rate`: 1 leaves the learning rate as it is."""

    rate: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("rate", number(f"{type(self).__name__}: rate", self.rate))

    def at(self, i: int, total: int) -> float:  # noqa: ARG002
        """The same for all."""
        return self.rate


@dataclass(frozen=True)
class StepDecay(Schedule):
    """gamma to the power of i // every: multiplied by `gamma` after each `every` epochs (or steps).

    Args:
        every: how many.
        gamma: by what.
        by: "epoch" unless said otherwise; start: as in `Schedule`.
    """

    every: int = 1
    gamma: float = 0.1
    by: str = field(default="epoch", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("every", whole(f"{type(self).__name__}: every", self.every))
        self._set("gamma", number(f"{type(self).__name__}: gamma", self.gamma))

    def at(self, i: int, total: int) -> float:  # noqa: ARG002
        """As the class says."""
        with suppress(OverflowError):
            return float(self.gamma ** (i // self.every))
        return math.inf


@dataclass(frozen=True)
class InverseRoot(Schedule):
    """1 / √(1 + i): α/√t, as the proofs of AMSGrad and its kin (and the author's code) have it."""

    def at(self, i: int, total: int) -> float:  # noqa: ARG002
        """As the class says."""
        return 1 / math.sqrt(1 + i)


@dataclass(frozen=True)
class Lasting(Schedule):
    """A schedule with an end, after which it stays where it is.

    Args:
        total: its length in steps (or epochs); None: that of the call of `training` it runs in, from there.
        by, start: as in `Schedule`; `start` counts where a total is given.
    """

    total: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.total is not None:
            self._set("total", whole(f"{type(self).__name__}: total", self.total))

    def factor(self, moment: Moment) -> float:
        """What the learning rate of the step at `moment` is multiplied by."""
        start, total = (self.start, self.total) if self.total is not None else self._of_training(moment.span)
        return self.at(min(max(0, self._count(moment) - start), total), total)

    def _of_training(self, span: Span | None) -> tuple[int, int]:
        if span is None:
            raise ValueError(
                f"{type(self).__name__} does not know how long it lasts: give it total=, the number of {self.by}s, "
                "or let lm.training do the steps"
            )
        return (span.first_step, span.steps) if self.by == "step" else (span.first_epoch, span.epochs)


@dataclass(frozen=True)
class Cosine(Lasting):
    """From 1 down to `least` along half a cosine. Loshchilov and Hutter (2017), "SGDR", without restarts.

    Args:
        least: the factor at the end.
        total, by, start: as in `Lasting`.
    """

    least: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("least", number(f"{type(self).__name__}: least", self.least))

    def at(self, i: int, total: int) -> float:
        """As the class says."""
        return self.least + (1 - self.least) * (1 + math.cos(math.pi * i / total)) / 2


@dataclass(frozen=True)
class OneCycle(Lasting):
    """From `first` up to 1 and down to `last`: the optimizer's own learning rate is the highest.

    Smith and Topin (2018), "Super-convergence", in the two-phase form of fast.ai and PyTorch; momentum
    stays as it is.

    Args:
        rise: the share of the steps in which the rate rises.
        first, last: the factors of the first and the last step; the defaults are PyTorch's.
        shape: "cosine" or "linear".
        total, by, start: as in `Lasting`.
    """

    rise: float = 0.3
    first: float = 1 / 25
    last: float = 1 / 25e4
    shape: str = "cosine"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("rise", number(f"{type(self).__name__}: rise", self.rise, below=1))
        for key in ("first", "last"):
            self._set(key, number(f"{type(self).__name__}: {key}", getattr(self, key)))
        if self.shape not in SHAPES:
            raise ValueError(f"{type(self).__name__}: shape is {self.shape!r}; expected 'cosine' or 'linear'")

    def at(self, i: int, total: int) -> float:
        """As the class says."""
        top, end = self.rise * total - 1, total - 1
        if i < top:
            return self._between(self.first, 1, i / top)
        return self._between(1, self.last, min(1, (i - max(top, 0)) / max(end - max(top, 0), 1)))

    def _between(self, start: float, end: float, way: float) -> float:
        way = way if self.shape == "linear" else (1 - math.cos(math.pi * way)) / 2
        return start + (end - start) * way


SCHEDULES: dict[str, type[Schedule]] = {
    "constant": Constant,
    "step": StepDecay,
    "cosine": Cosine,
    "one-cycle": OneCycle,
    "inverse-root": InverseRoot,
}


def get_schedule(given: Any) -> Schedule | None:
    """The schedule that `given` means: one, a name, a name with keywords, or None for none.

    With keywords: {"name": "step", "every": 3, "gamma": 0.5}.

    Raises:
        TypeError: something else, or an unknown keyword.
        ValueError: an unknown name, with the nearest one, or a number out of its range.
    """
    if given is None or isinstance(given, Schedule):
        return given
    if isinstance(given, str):
        return build("schedule", given, SCHEDULES, None)
    if isinstance(given, Mapping) and "name" in given:
        return build("schedule", given["name"], SCHEDULES, {k: v for k, v in given.items() if k != "name"})
    raise TypeError(
        f"schedule is {given!r}; expected a name out of {', '.join(SCHEDULES)}, one with keywords such as "
        '{"name": "step", "every": 3}, or an object such as cnn.schedules.Cosine()'
    )
