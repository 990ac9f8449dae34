"""Two models in turns: round after round fresh copies of both, blocks of their steps as ABBA or BAAB, one process."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gpuprof.agreeing import agreements
from gpuprof.device import machine
from gpuprof.judge.ratio import orders
from gpuprof.judge.steptimes import StepTimes, step_times
from gpuprof.latest import keep, one_run
from gpuprof.profiling import LayerTime
from gpuprof.progressline import ProgressLine
from gpuprof.record.clocks import Clock, Ints
from gpuprof.record.interrupts import undisturbed
from gpuprof.record.schedule import KERNELS, Mode
from gpuprof.results.profilecomparison import Agreement, ProfileComparison
from gpuprof.results.taketurns import Taken, compare_turns

Step = Callable[[Any], Any]

ROUNDS = 48
_SECONDS = 10.0  # of steps, where their number is not given
_STEPS = (96, 500)
_WARM, _RECORDED, _WATCHED = 3, 6, 3
_SEED = 20_303
_UNCHECKED = (
    "Nothing was checked: the step returns no array, and no layer has a gradient (dW beside W, or PyTorch's grad)."
)


@one_run
def compare_models(
    first: object,
    second: object,
    step: Step,
    *,
    steps: int | None = None,
    check: bool = False,
    copies: bool = True,
    progress: bool = False,
    names: tuple[str, str] = ("A", "B"),
    clock: Clock | None = None,
) -> ProfileComparison:
    """`gpuprof.compare` of two models."""
    if not callable(step):
        raise TypeError(
            f"step must be a function that makes a step of the model it is given; got {type(step).__name__}"
        )
    if first is second:
        raise ValueError("expected two models; got the same object twice (copy.deepcopy makes another of it)")
    if steps is not None and (not isinstance(steps, int) or steps < 1):
        raise ValueError(f"steps must be a whole number from 1 up; got {steps!r}")
    pair = _Pair(first, second, "" if copies else "none were asked for")
    if copies:
        pair.try_copies(step)
    pair.refuse_shared(clock)
    agreed: tuple[Agreement, ...] = ()
    if check:
        a, b = pair.taken(np.random.default_rng(_SEED))
        agreed = agreements(a, b, step)
    with ProgressLine("stderr") if progress else nullcontext() as line:
        taken = _in_turns(pair, step, steps, clock, line)
    taken.names = names
    with undisturbed():
        result = compare_turns(taken, agreed, pair.no_copies)
        if check and not agreed:
            result = replace(result, warnings=(*result.warnings, _UNCHECKED))
        keep(result)
    if taken.ended_by is not None and not isinstance(taken.ended_by, KeyboardInterrupt):
        taken.ended_by.add_note("What gpuprof had compared until then is in gpuprof.last.")
        raise taken.ended_by
    return result


@dataclass
class _Pair:
    """Both models, and why each round is not of fresh copies; "" where it is."""

    first: object
    second: object
    no_copies: str

    def taken(self, random: np.random.Generator) -> list[object]:
        """Copies, over memory that lies elsewhere each time; or the models."""
        if self.no_copies:
            return [self.first, self.second]
        with _scattered(random):
            return [copy.deepcopy(self.first), copy.deepcopy(self.second)]

    def try_copies(self, step: Step) -> None:
        """Find out whether models can be copied, and the step works on copies."""
        try:
            copied = self.taken(np.random.default_rng(_SEED))
            if copied[0] is self.first or copied[1] is self.second:
                raise TypeError("a deep copy is the model itself")
            for model in copied:
                step(model)
        except Exception as error:  # the models' own, the user's step's, or a device's without room
            self.no_copies = f"{type(error).__name__}: {error}"

    def refuse_shared(self, clock: Clock | None) -> None:
        """Raises ValueError where both hold the same layer, and what `LayerTime` does for what is no model."""
        layers = [LayerTime((model,), clock, blocks=()).layers for model in (self.first, self.second)]
        theirs = {id(layer) for _, layer in layers[1]}
        shared = next((path for path, layer in layers[0] if id(layer) in theirs), None)
        if shared is not None:
            raise ValueError(f"both models hold the very same layer, {shared}; give models that share none")


def _in_turns(pair: _Pair, step: Step, steps: int | None, clock: Clock | None, line: ProgressLine | None) -> Taken:
    """All rounds; an interrupt or an error ends it with those there are, and rises where there is none."""
    random, about = np.random.default_rng(_SEED), machine()
    taken = Taken()
    for number, order in enumerate(orders(ROUNDS, random)):
        last = number == ROUNDS - 1
        try:
            if line:
                line.tell(f"round {number + 1} of {ROUNDS}")
            members = [
                _Member(LayerTime((model,), clock, blocks=(), about=None if last else about), model, step)
                for model in pair.taken(random)
            ]
            _round(members, order, steps, last)
            taken.add([member.times() for member in members], [member.run.profile for member in members])
            keep(members[1].run.profile)
        except BaseException as error:
            if not taken.rounds:
                raise
            taken.ended_by = error
            break
    return taken


def _round(members: Sequence[_Member], order: str, steps: int | None, last: bool) -> None:
    """Blocks of both in this order; in the last round a look at their kernels and waits."""
    with members[0].run, members[1].run:
        pace = max(member.pace() for member in members)
        wanted = steps or int(np.clip(_SECONDS / (2 * pace), *_STEPS))
        for letter in order:
            members["AB".index(letter)].block(max(_WARM, -(-wanted // (2 * ROUNDS))))
        for member in members if last else ():
            member.look()


@dataclass
class _Member:
    """One of the two in a round: its profile, and when its steps began; of those that count, their numbers."""

    run: LayerTime
    model: object
    step: Step
    begun: list[int] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)

    def block(self, kept: int) -> None:
        """So many steps, one before that fills the queue and one after that marks the end, on a drained device."""
        self._steps(kept + 2, Mode.EVENTS)
        self.kept += range(len(self.begun) - kept - 1, len(self.begun) - 1)

    def pace(self) -> float:
        """Seconds a step, of the last ones that warm up, all work done."""
        self._steps(_WARM, Mode.EVENTS)
        self.run.switch(Mode.EVENTS)
        return max(1e-6, (self.run.now() - self.begun[-_WARM + 1]) * 1e-9 / (_WARM - 1))

    def look(self) -> None:
        """A few steps with kernel records, and watched: after all others, for records leave something behind."""
        self._steps(_RECORDED, KERNELS)
        self._steps(_WATCHED, Mode.INSPECT)
        self.run.switch(Mode.EVENTS)

    def _steps(self, number: int, mode: Mode) -> None:
        self.run.to_front()
        self.run.switch(mode)
        for _ in range(number):
            self.begun.append(self.run.now())
            self.step(self.model)

    def times(self) -> StepTimes:
        """Of the steps that count."""
        profile = self.run.profile
        account = profile.account
        first = np.searchsorted(account.call_step, np.arange(len(account.step_mode)))
        at = np.searchsorted(self.begun, profile.log["host_start"][first], side="right") - 1
        number: Ints = np.full(len(self.begun) + 1, -1, dtype=np.int64)
        number[self.kept] = np.arange(len(self.kept))
        return step_times(account, number[at], len(self.kept))


@contextmanager
def _scattered(random: np.random.Generator) -> Iterator[None]:
    """Memory with holes of all sizes, so that what is made inside lies elsewhere each time.

    As in Curtsinger & Berger, Stabilizer, ASPLOS 2013: what the layout of memory does is then among the noise that
    the interval is about, and not in the difference.
    """
    blocks = [np.empty(size, dtype=np.uint8) for size in random.integers(64, 1 << 16, 400)]
    blocks = blocks[::2]
    try:
        yield
    finally:
        del blocks
