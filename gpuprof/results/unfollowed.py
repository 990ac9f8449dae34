"""Why no call of a function was followed, so that its lines have no figures; and what to do or to type."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from gpuprof.record.calls import LINE, REPLAY, Calls, Scope
from gpuprof.record.schedule import Mode

_MOST = 4  # names of what was called instead


def unfollowed(name: str, calls: Calls, cut: int = 0, anew: bool = False) -> str:
    """A sentence or two.

    `cut`: how often passes took turns in a call of it; `anew`: its name stands for another function now.
    """
    layers, _ = calls.without(LINE)
    path, _, method = name.rpartition(".")
    of_layer = any(scope.path == path for scope in calls.scopes)
    expression = f'lm["{path}"].{method}' if of_layer else name
    itself = f"%layertime --lines {expression}(...), which makes the call itself."
    followed = layers["mode"] & int(Mode.LINES) > 0
    elsewhere = int(np.array([scope == (path, method) for scope in calls.scopes])[layers["scope"]].sum())
    if anew:
        return (
            f"The cell defines {name} anew, and what was followed is the function of before, which was not called: "
            "put the definition into a cell before this one."
        )
    if cut:
        return (
            f"Passes take turns at the beginnings of steps, and each call of {name} held one, so none was followed "
            f"from beginning to end. Next: {itself}"
        )
    if not len(layers):
        return (
            f"No line of {name} was followed, for that is done from step to step, and the cell called no layer. "
            f"Next: {itself}"
        )
    if any(scope.phase == REPLAY for scope in calls.scopes) and not (elsewhere and followed.any()):
        return (
            f"No line of {name} was followed: steps ran as captured graphs, in which no layer is called; graph=False "
            "trains layer by layer."
        )
    if not followed.any():
        return (
            f"The cell had ended before it came to the steps in which lines of {name} are followed: let it run a "
            f"dozen. Or: {itself}"
        )
    scopes = [calls.scopes[scope] for scope in dict.fromkeys(layers["scope"][followed].tolist())]
    its_own = [scope.phase for scope in scopes if scope.path == path]
    called = f"of {path} they called {_listed(its_own)}" if its_own else f"they called {_listed(map(_named, scopes))}"
    text = f"{name} was not called in the steps in which lines were followed: {called}."
    times = "once" if elsewhere == 1 else f"{elsewhere} times"
    return f"{text} Others called it {times}: let the cell run more of them." if elsewhere else text


def _named(scope: Scope) -> str:
    """Such as "Pool1.backward"; a function or a region goes by its name alone."""
    return scope.path if scope.phase in ("call", "region") else f"{scope.path}.{scope.phase}"


def _listed(names: Iterable[str]) -> str:
    """Such as "a, b and c"; of many the first, and how many more."""
    known = list(names)
    shown = known if len(known) <= _MOST else [*known[: _MOST - 1], f"{len(known) - _MOST + 1} more"]
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))
