"""What each layer takes of a typical step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from gpuprof.judge.account import OUTSIDE, Account
from gpuprof.judge.pace import Pace
from gpuprof.record.calls import Scope
from gpuprof.views.grid import LayerStep


def calls_a_step(table: Any, steps: int) -> dict[tuple[str, str], float]:
    """How often a step has a call of each row of `Profile.table`, by path and phase; for "(outside)" once."""
    often = {(row.path, row.phase): row.calls / max(1, steps) for row in table.itertuples()}
    return often | {OUTSIDE: 1.0}


def layer_steps(account: Account, pace: Pace, table: Any) -> dict[str, LayerStep]:
    """By path, over its phases but evaluations; nothing where there is no typical step."""
    if not pace.steps:
        return {}
    numbers: dict[str, list[int]] = {}
    scopes = account.rows
    for number, scope in enumerate(scopes):
        if scope.phase != "evaluate":
            numbers.setdefault(scope.path, []).append(number)
    figures = {(row.path, row.phase): row for row in table.itertuples()}
    times = calls_a_step(table, account.steps)
    found = {path: _layer(pace, numbers[path], [scopes[n] for n in numbers[path]], figures, times) for path in numbers}
    if table.loc[table["phase"] != "", "host_us"].isna().all():  # kernel records slowed the host in every step
        return {path: step._replace(host=math.nan) for path, step in found.items()}
    return found


def _layer(
    pace: Pace,
    numbers: Sequence[int],
    scopes: Sequence[Scope],
    figures: Mapping[tuple[str, str], Any],
    times: Mapping[tuple[str, str], float],
) -> LayerStep:
    known = [(figures[scope], times[scope]) for scope in scopes if figures[scope].busy_us == figures[scope].busy_us]
    return LayerStep(
        host=float(pace.host[numbers].sum()),
        busy=sum(row.busy_us * often for row, often in known) * 1e-6 if known else math.nan,
        idle=sum(row.idle_us * often for row, often in known) * 1e-6 if known else math.nan,
        launches=float(pace.launches[numbers].sum()) if pace.launches is not None else math.nan,
        gain=pace.without(*numbers),
    )
