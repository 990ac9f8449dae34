"""`Optimizer`: what all optimizers share, and how one step runs over the parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, TypeAlias

import numpy as np

from cnn.checks import naming, number
from cnn.kernels.layerwise import overrides
from cnn.kernels.rules import rule_text
from cnn.schedules import Moment, Schedule, get_schedule
from cnn.xp import Array, get_array_module, is_array

Rule: TypeAlias = Callable[..., None]

# What a hyper-parameter may be, by its name: at least the first, below the second. All others: 0 or more.
LIMITS = dict.fromkeys(("mu", "nu", "rho", "sigma", "beta1", "beta2", "beta3"), (0.0, 1.0))
LIMITS |= {"c": (1.0, math.inf), "N": (1.0, math.inf), "q": (1.0, math.inf), "f_star": (-math.inf, math.inf)}

# NumPy works through a large array in pieces of so many numbers, that what a rule computes in between
# stays in the cache: on a 2-core Xeon 428 µs instead of 575 for Adam on the article's net.
PIECE = 2**15

# A running average of zeros ends among the subnormal numbers, with which a processor takes many times as long. NumPy's
# are set to 0 before that, every so many steps: from the least that stays, 0.9 to the power of 64 leads to none.
REST = 64
LEAST = {np.dtype("float32"): 1e-30, np.dtype("float64"): 1e-300}


@dataclass(frozen=True)
class Told:
    """What a model tells its optimizers about the step they are to do; one that is updated alone hears nothing."""

    factor: float = 1.0  # of the model's schedule
    moment: Moment | None = None
    loss: float | None = None
    climbed: bool = False  # whether the gradients are those at SAM's climbed point


ALONE = Told()


@dataclass
class Optimizer:
    """What all share: weight decay, a schedule, the step count, and what is kept beside each parameter.

    Args:
        weight_decay: λ. Added to the gradient as λ p (the L2 penalty λ/2 p²), or, if `decoupled`, taken
            off the parameter as (learning rate) λ p before the step: Loshchilov and Hutter (2019), so that
            Adam becomes AdamW. All parameters of the layer decay, the biases too, but for those that its
            activation learns, such as PReLU's alpha: see `Learned`.
        decoupled: see there.
        schedule: of this optimizer's learning rate, times the model's own; a `Schedule`, a name, or a
            name with keywords, as in `cnn.schedules`.

    To write one: a dataclass whose fields are the hyper-parameters; `slots`, what it keeps beside each
    parameter; `rule`, the formula for one parameter, elementwise and in place; `plan`, the numbers that
    the rule takes after the arrays, of this step. A rule has no branches and calls nothing but
    operators and `xp`'s elementwise functions, so that it can be made one kernel.
    Hyper-parameters become Python floats, which never widen a float32 array.

    Attributes:
        t: the steps done.
        state: for each slot one array beside each parameter; empty before the first step.
    """

    slots: ClassVar[tuple[str, ...]] = ()
    fading: ClassVar[tuple[str, ...]] = ()  # slots that run down to nothing where the gradient is 0
    numbers: ClassVar[tuple[str, ...]] = ()  # attributes that change from step to step: saved with the state
    operations: ClassVar[int] = 0  # arithmetic on one parameter in one step, as `rule` is written
    limits: ClassVar[Mapping[str, tuple[float, float]]] = LIMITS
    rule: ClassVar[Rule]
    kernel: ClassVar[str] = ""  # the rule in CUDA C++: on the GPU one kernel for all, not one an operation
    rate: ClassVar[str | None] = "eta"  # the field that is the learning rate
    wants_loss: ClassVar[bool] = False

    weight_decay: float = field(default=0.0, kw_only=True)
    decoupled: bool = field(default=False, kw_only=True)
    schedule: Any = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        who = type(self).__name__
        for each in fields(self):
            if each.type == "float":
                limits = self.limits.get(each.name, (0.0, math.inf))
                setattr(self, each.name, number(f"{who}: {each.name}", getattr(self, each.name), *limits))
        if not isinstance(self.decoupled, bool):
            raise TypeError(f"{who}: decoupled is {self.decoupled!r}; expected True or False")
        with naming(who):
            self.schedule: Schedule | None = get_schedule(self.schedule)
        self.told = ALONE
        self.begin()

    def begin(self) -> None:
        """Stand before the first step."""
        self.t: int = 0
        self.state: dict[str, list[Array]] = {}

    @property
    def title(self) -> str:
        """What it is called in a file."""
        return type(self).__name__

    @property
    def stepper(self) -> Optimizer:
        """Whose steps, slots and numbers they are: another optimizer's, where one only stands around it."""
        return self

    @property
    def flops(self) -> int:
        """Arithmetic on one parameter in one step."""
        return self.operations + self.decay_flops

    @property
    def decay_flops(self) -> int:
        """What of it is weight decay."""
        return (1 if self.decoupled else 2) if self.weight_decay else 0

    @property
    def listens(self) -> bool:
        """Whether it needs to be told about a step by a model."""
        return self.wants_loss or self.schedule is not None

    def update(self, params: Sequence[Array], grads: Sequence[Array], spared: Collection[int] = ()) -> None:
        """One step: change each of `params` in place by its gradient; always the same ones in one order.

        The places in `params` that are in `spared` do not decay. ValueError where a gradient has another shape.
        """
        told, self.told = self.told, ALONE
        self.hear(told)
        factor = told.factor
        if self.schedule is not None:
            factor *= self.schedule.factor(told.moment or Moment(self.t))
        self.make_slots(params, grads)
        self.t += 1
        self._step(params, grads, spared, factor)
        if self.t % REST == 0:
            for slot in self.fading:
                _cleared(self.state[slot])

    def make_slots(self, params: Sequence[Array], grads: Sequence[Array]) -> None:
        """Make what is kept beside each parameter, if nothing is yet; ValueError where a gradient has another shape."""
        if self.state:
            return
        both = list(zip(params, grads, strict=True))
        for p, g in both:
            _check_pair(self.title, p, g)
        self.state = {slot: [self.first(slot, p, g) for p, g in both] for slot in self.slots}

    def _step(self, params: Sequence[Array], grads: Sequence[Array], spared: Collection[int], factor: float) -> None:
        """Step `t`: the rule for each parameter, or one kernel for all."""
        rule, numbers = self.formula(), self.plan(factor)
        if self.weight_decay:
            both = enumerate(zip(params, grads, strict=True))
            grads = [g if i in spared else self._decay(p, g, factor) for i, (p, g) in both]
        jobs = list(zip(params, grads, *(self.state[slot] for slot in self.slots), strict=True))
        kernels = overrides(params[0]) if self.kernel and params else None
        if kernels is not None:
            text = rule_text(rule, len(self.slots), self.kernel, len(params))
            if kernels.update(text, jobs, numbers):
                return
        for p, g, *beside in jobs:
            arrays = (p, g, *beside, *self.noise(p))
            if p.size > PIECE:
                _in_pieces(rule, arrays, numbers)
            else:
                rule(*arrays, *numbers)

    def seeded(self, rng: np.random.Generator) -> None:
        """Draw the seed of what is random from `rng`; most have nothing random."""

    def hear(self, told: Told) -> None:
        """Take what is needed from `told`; raise RuntimeError where it is not there."""

    def plan(self, factor: float) -> tuple[float, ...]:
        """The numbers that the rule takes in step `t`, the learning rate multiplied by `factor`; once a step."""
        raise NotImplementedError(f"{type(self).__name__} has no plan(factor)")

    def formula(self) -> Rule:
        """The rule of step `t`."""
        return self.rule

    def first(self, slot: str, p: Array, g: Array) -> Array:  # noqa: ARG002
        """What `slot` holds for `p` before the first step, whose gradient is `g`."""
        return get_array_module(p).zeros_like(p)

    def noise(self, p: Array) -> tuple[Array, ...]:  # noqa: ARG002
        """Random arrays beside `p` that the rule takes after the slots."""
        return ()

    def _decay(self, p: Array, g: Array, factor: float) -> Array:
        """The gradient with the penalty's; or the same one, and `p` smaller."""
        if not self.decoupled:
            return g + self.weight_decay * p
        rate = 1.0 if self.rate is None else getattr(self, self.rate)
        p *= 1 - factor * rate * self.weight_decay
        return g


def _check_pair(title: str, p: Any, g: Any) -> None:
    """Raise ValueError unless a parameter and its gradient are arrays of one shape."""
    came = [tuple(each.shape) if is_array(each) else f"a {type(each).__name__}" for each in (p, g)]
    if not is_array(p) or came[0] != came[1]:
        raise ValueError(f"{title}: a parameter is {came[0]}, its gradient {came[1]}; expected two arrays of one shape")


def _in_pieces(rule: Rule, arrays: Sequence[Array], numbers: tuple[float, ...]) -> None:
    """The rule piece by piece on NumPy, if the arrays lie in one stretch; else on whole arrays."""
    p, _, *beside = arrays
    if get_array_module(p) is not np or not all(each.flags.c_contiguous for each in (p, *beside)):
        rule(*arrays, *numbers)
        return
    flat = [each.reshape(-1) for each in arrays]
    for start in range(0, p.size, PIECE):
        rule(*(each[start : start + PIECE] for each in flat), *numbers)


def _cleared(arrays: Sequence[Array]) -> None:
    """Set what is nearly 0 to 0, of arrays of NumPy."""
    for each in arrays:
        if get_array_module(each) is np:
            each[abs(each) < LEAST.get(each.dtype, 0)] = 0
