"""What a profile says of steps that ran as captured graphs, beside their table."""

from __future__ import annotations

from gpuprof.judge.replays import ReplayFigures
from gpuprof.units import count, percent, seconds_text, several


def replay_verdict(figures: ReplayFigures, on_device: bool, evaluated: float = 0.0, others: int = 0) -> str:
    """What sets the length of a step, which kernel takes most of it, and how far that is known.

    `evaluated` is the share of the cell that evaluations took; `others` are the steps that went layer by layer.
    """
    step = seconds_text(figures.step.median)
    if figures.step.median != figures.step.median:
        return "Steps ran as captured graphs; none of them could be timed."
    found = []
    if not on_device or figures.waited != figures.waited:
        clock = "" if on_device else " on the host clock"
        found.append(f"A step, run as part of a captured graph, takes {step}{clock}.")
    elif figures.bound == "host":
        found.append(
            f"Steps ran as captured graphs, {step} each, and the host sets the pace: for {percent(figures.waited)} of "
            "the time the GPU has no graph to run."
        )
    else:
        host = f"; the host launches one in {seconds_text(figures.host)}" if figures.host == figures.host else ""
        found.append(f"The step is GPU-bound: it runs as part of a captured graph and takes {step}{host}.")
    if figures.parts:
        longest = figures.longest
        idle = figures.idle / figures.step.median if figures.step.median > 0 else 0.0
        found.append(
            f"The GPU runs kernels for {percent(1 - idle)} of it. Longest is {longest.kernel} "
            f"({longest.row.name}), {seconds_text(longest.seconds)} or "
            f"{percent(longest.seconds / figures.step.median)} of a step."
        )
    if others:
        found.append(f"Besides, {several(others, 'step')} went layer by layer, whose rows are of a call.")
    if evaluated > 0.25:
        found.append(f"Evaluation took {percent(evaluated)} of the cell besides.")
    return " ".join(found)


def told(figures: ReplayFigures) -> str:
    """What ran, and how to see its layers."""
    number = sum(round(part.launches) for part in figures.parts)
    kernels = f" of {several(number, 'fused kernel')} a step" if number else ""
    return f"{several(figures.steps, 'step')} ran as captured graphs{kernels}; graph=False shows them layer by layer"


def measured(figures: ReplayFigures, clock: str) -> list[str]:
    """The small print: how steps and their kernels were timed."""
    way = "recorded ones, for there are no others" if figures.recorded_only else "not recorded"
    of = f"{count(figures.samples)} of {several(figures.launches, 'graph')}"
    found = [f"{clock} around {of}, each of {several(figures.in_a_graph, 'step')} at most ({way})"]
    if figures.parts:
        step, traced = seconds_text(figures.step.median), seconds_text(figures.traced)
        run = sum(part.busy for part in figures.parts)
        both = f", scaled to steps not recorded: {step} a step, {traced} where recorded"
        alike = ", all shortened alike" if run > figures.step.median else ""
        scaled = "" if figures.recorded_only else both + alike
        found.append(f"kernels from records of {several(figures.verified, 'graph')}{scaled}")
    return found


def unknown(figures: ReplayFigures, on_device: bool, no_records: str) -> list[str]:
    """What could not be had of them, and why."""
    if figures.parts or not on_device:
        return []
    why = figures.why or no_records or "the cell was too short for kernel records; --kernels takes them from the start"
    return [f"the kernels of captured steps ({why}); graph=False shows the layers one by one."]


def refused(figures: ReplayFigures) -> list[str]:
    """That kernels were not those the model said."""
    if not figures.refused:
        return []
    return [
        f"{several(figures.refused, 'graph')} ran other kernels than the model says it launches, and of these none is "
        f"given to a layer: {figures.why}."
    ]
