"""Rules to sentences: what sets the step's length, which layer to look at, and what mending it would gain."""

from __future__ import annotations

import numpy as np

from gpuprof.judge.account import OUTSIDE
from gpuprof.judge.findings import label
from gpuprof.judge.pace import Floats, Pace
from gpuprof.record.calls import Scope
from gpuprof.units import count, digits, percent, seconds_text, several

_NOTHING = 0.03  # a gain below this share of the step is called next to nothing
_NOTICED = 0.1  # beyond this share of the step the profiler's own code may decide what bounds it
_MOST = 8  # names in a sentence
_HOLDS = 0.3  # a row with this share of the GPU's certain work is worth a word even where it decides nothing


def nothing_called(scopes: tuple[Scope, ...]) -> str:
    """What to say where none of the layers found was called."""
    names = list(dict.fromkeys(scope.path for scope in scopes))
    paths = ", ".join(names[:_MOST])
    if len(names) > _MOST:
        paths += f" and {len(names) - _MOST} more"
    return (
        f"No layer was called: expected the code to call forward, backward or update of {paths}; it called none of "
        "them. Does it run this very object, and not a copy made before?"
    )


def verdict(rows: tuple[Scope, ...], pace: Pace, evaluated: float = 0.0) -> str:
    """Two or three sentences about the step as a whole.

    `evaluated` is the share of the cell that evaluations took.
    """
    if not pace.host.any() and not pace.work.any():
        return "No step took any time." if pace.steps else "No step was marked inside, so there is none to judge."
    if not pace.on_device:
        sentences = _on_the_host(rows, pace)
    elif pace.bound == "device":
        sentences = _by_the_device(rows, pace)
    else:
        sentences = _by_launches(rows, pace)
    if _blurred(pace):
        sentences.append(
            f"The profiler's own code is {percent(pace.own / pace.step)} of these short steps: whether host or GPU "
            "bounds them without it, this run cannot tell."
        )
    if evaluated > 0.25:
        sentences.append(f"Evaluation took {percent(evaluated)} of the cell besides.")
    if pace.first_included:
        sentences.append(
            "Only one step was run, so what the first one costs (compiling, allocating) is in these figures."
        )
    return " ".join(sentences)


def _on_the_host(rows: tuple[Scope, ...], pace: Pace) -> list[str]:
    top = _largest_gain(rows, pace)
    if rows[top] == OUTSIDE:
        first = _largest_gain(rows[:-1], pace)
        share = percent(pace.host[first] / pace.host.sum())
        return [
            _outside(pace, top),
            f"Of the layers, {label(rows[first])} takes longest ({seconds_text(pace.host[first])}, {share}).",
        ]
    return [
        f"{label(rows[top])} is {percent(pace.without(top))} of the step on the host clock "
        f"({seconds_text(pace.host[top])} of {seconds_text(pace.plain)}).",
        _without(rows, pace, top),
    ]


def _by_the_device(rows: tuple[Scope, ...], pace: Pace) -> list[str]:
    top = _largest_gain(rows, pace)
    issue = (
        f"the host issues it in {seconds_text(pace.host.sum())}"
        if pace.host_known
        else "how fast the host alone would be did not show, for the full queue held it up in every step"
    )
    wait = f" It waited {seconds_text(pace.waited)} a step for the GPU." if pace.waited > 0.05 * pace.step else ""
    certainly = "" if pace.work_known else "certainly "
    share = f", {percent(pace.work[top] / pace.work.sum())} of it all" if pace.work_known and pace.work[top] > 0 else ""
    # kernels and steps were timed in different steps: the kernels may come out a little longer than a step
    fits = min(1.0, pace.step / work) if (work := float(pace.work.sum())) > 0 else 1.0
    return [
        f"The step is GPU-bound: the GPU {certainly}works {seconds_text(pace.work.sum() * fits)} of its "
        f"{seconds_text(pace.step)}, and {issue}.{wait}",
        f"{label(rows[top])} decides it, with {seconds_text(pace.work[top] * fits)} of GPU work{share}.",
        _without(rows, pace, top),
    ]


def _by_launches(rows: tuple[Scope, ...], pace: Pace) -> list[str]:
    top, slowest = _largest_gain(rows[:-1], pace), int(np.argmax(pace.host))
    one_call = pace.host[slowest] > float(pace.host.sum()) / 2
    if pace.launches is None:
        sentences = [_slow_host(pace, one_call), _held_longest(rows, pace)]
    else:
        sentences = [_slow_launches(pace.launches, pace, one_call), _most_of_the_work(rows, pace)]
    sentences = [sentence for sentence in sentences if sentence]
    if rows[slowest] == OUTSIDE and one_call:
        sentences.append(_outside(pace, slowest))
    elif one_call:
        sentences.append(
            f"{label(rows[slowest])} keeps the host {seconds_text(pace.host[slowest])}: it works there, or waits for "
            f"the GPU inside the call (.get(), float(), printing). {_without(rows, pace, slowest)}"
        )
    else:
        sentences.append(f"What helps is fewer launches: {_largest_phase(rows, pace)}. {_without(rows, pace, top)}")
    return sentences


def _slow_host(pace: Pace, one_call: bool) -> str:
    work, host = float(pace.work.sum()), float(pace.host.sum())
    gpu = (
        f"certainly works {seconds_text(work)} of that; how much of the rest it idles, kernel records would tell"
        if work > _NOTHING * host
        else "keeps up; how much of that time it idles, kernel records would tell"
    )
    return (
        f"The step is {'bound by the host' if one_call else 'launch-bound'}: the host takes {seconds_text(host)} to "
        f"issue it, and the GPU {gpu}."
    )


def _slow_launches(launches: Floats, pace: Pace, one_call: bool) -> str:
    """The same where kernel records tell."""
    host, number = seconds_text(pace.host.sum()), several(launches.sum(), "launch", "launches")
    gpu = f"the GPU works {seconds_text(pace.work.sum())} of it"
    if one_call:
        return f"The step is bound by the host: it takes {host}, with {number}, and {gpu}."
    if number == "1 launch":
        return f"The step is bound by its one launch: it takes the host {host}, {gpu}."
    return f"The step is bound by launches: {count(launches.sum())} of them take the host {host}, {gpu}."


def _held_longest(rows: tuple[Scope, ...], pace: Pace) -> str:
    """A word about the row with most work for sure, though it decides nothing; "" where that is little."""
    longest = int(np.argmax(pace.work))
    if pace.work[longest] <= _HOLDS * float(pace.host.sum()) or _blurred(pace):
        return ""
    gain = pace.without(longest, host=False)
    gains = "next to nothing" if gain < _NOTHING else f"only {percent(gain)}"
    return (
        f"{label(rows[longest])} holds the GPU longest ({seconds_text(pace.work[longest])}), but the GPU waits for "
        f"the host anyway: mending its GPU work gains {gains}."
    )


def _most_of_the_work(rows: tuple[Scope, ...], pace: Pace) -> str:
    """The same where kernel records tell."""
    longest, work = int(np.argmax(pace.work)), float(pace.work.sum())
    if pace.work[longest] <= _HOLDS * work or work <= _NOTICED * float(pace.host.sum()) or _blurred(pace):
        return ""
    gain = pace.without(longest, host=False)
    gains = "next to nothing" if gain < _NOTHING else percent(gain)
    share = percent(pace.work[longest] / work)
    return f"{label(rows[longest])} is {share} of the GPU's work, but mending it gains {gains} at this batch."


def _blurred(pace: Pace) -> bool:
    """Whether the profiler itself takes so much of a step that the two clocks cannot be told apart without it.

    What the GPU works by kernel records is the same without it, so then only clocks that are that near are blurred.
    """
    apart = abs(float(pace.host.sum() - pace.work.sum())) if pace.work_known else 0.0
    return pace.on_device and pace.own > _NOTICED * pace.step and apart <= pace.own


def _largest_gain(rows: tuple[Scope, ...], pace: Pace) -> int:
    return max(range(len(rows)), key=lambda row: (pace.without(row), pace.host[row]))


def _largest_phase(rows: tuple[Scope, ...], pace: Pace) -> str:
    """The phase in which the host spends most of the step."""
    hosts: dict[str, float] = {}
    for scope, host in zip(rows, pace.host, strict=True):
        if scope.phase:
            hosts[scope.phase] = hosts.get(scope.phase, 0.0) + float(host)
    phase = max(hosts, key=hosts.__getitem__)
    share = hosts[phase] / float(pace.host.sum())
    number = ""
    if pace.launches is not None:
        own = sum(float(n) for scope, n in zip(rows, pace.launches, strict=True) if scope.phase == phase)
        number = f", {count(own)} of the {several(pace.launches.sum(), 'launch', 'launches')}"
    return f"all layers' {phase} takes the host {seconds_text(hosts[phase])} ({percent(share)}{number})"


def _outside(pace: Pace, row: int) -> str:
    share = percent(pace.host[row] / pace.host.sum())
    return (
        f"The largest part of the host's time in a step ({seconds_text(pace.host[row])} of "
        f"{seconds_text(pace.host.sum())}, {share}) lies outside the layers: fetching the batch, the loss, the loop."
    )


def _without(rows: tuple[Scope, ...], pace: Pace, row: int) -> str:
    """What the step would take without `row`."""
    gain = pace.without(row)
    then = pace.plain * (1 - gain)
    what = f"Without {label(rows[row])} the step would"
    if not pace.host_known:
        return f"Without {label(rows[row])} the step could be as short as {seconds_text(then)}, if the host keeps up."
    if gain < _NOTHING:
        return f"{what} be hardly shorter ({percent(gain)})."
    if gain > 0.9995:
        return f"{what} take next to nothing."
    if gain < 0.5:
        return f"{what} take {seconds_text(then)}, {percent(gain)} less."
    return f"{what} take {seconds_text(then)} ({digits(1 / (1 - gain), 2)}× faster)."
