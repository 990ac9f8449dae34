"""Ways to run the same thing, in turns: each round all of them once, in an order drawn anew."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Mapping

from gpuprof.results.profile import Profile

Seconds = list[float]


def in_turns(ways: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, Seconds]:
    """What each way gave, a number a round."""
    found: dict[str, Seconds] = {name: [] for name in ways}
    draw = random.Random(0)
    for _ in range(rounds):
        for name in draw.sample(list(ways), len(ways)):
            found[name].append(ways[name]())
    return found


def ratio(times: Mapping[str, Seconds], way: str, base: str = "plain") -> float:
    """The median over the rounds of one way against another."""
    return statistics.median(a / b for a, b in zip(times[way], times[base], strict=True))


def added(times: Mapping[str, Seconds], way: str, base: str = "plain") -> float:
    """The median over the rounds of what one way takes more than another, seconds."""
    return statistics.median(a - b for a, b in zip(times[way], times[base], strict=True))


def step_lengths(profile: Profile) -> dict[str, Seconds]:
    """The host's time from each step's beginning to the next one's, by the step's mode; the first and last left out."""
    calls, account = profile.log, profile.account
    steps, first = [], -1
    for call, step in enumerate(account.call_step):
        if step != first and step >= 0:
            steps.append(int(calls["host_start"][call]))
            first = step
    found: dict[str, Seconds] = {}
    for step in range(1, len(steps) - 1):
        mode = str(int(account.step_mode[step]))
        found.setdefault(mode, []).append((steps[step + 1] - steps[step]) * 1e-9)
    return found
