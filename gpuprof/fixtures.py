"""The pytest fixture `layer_profile`: see gpuprof.testing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from gpuprof.measure import layertime
from gpuprof.record.clocks import Clock
from gpuprof.results.profile import Profile

LayerProfile: TypeAlias = Callable[..., Profile]
"""What the fixture gives, for a test's annotation."""


@pytest.fixture(scope="session")
def layer_profile() -> LayerProfile:
    """`layer_profile(model, step, *args, steps=8, kernels="needed", clock=None, **kwargs)`: the Profile of some steps.

    Calls `step(*args, **kwargs)` once unmeasured, for what only a first call does, then `steps` times within
    `gpuprof.layertime(model, kernels=True, clock=clock)`. How many kernels a call launches is the same on every
    machine of one kind and every day, so a test may hold a layer to it: `profile["Pool1", "backward"].launches <= 3`.

    Without kernel records (no GPU, no CUPTI, another tool has it) the test is skipped with the reason; with
    `kernels="optional"` it goes on, and `launches` and `busy_us` are NaN.
    """
    return _profile


def _profile(
    model: object,
    step: Callable[..., object],
    *args: Any,
    steps: int = 8,
    kernels: str = "needed",
    clock: Clock | None = None,
    **kwargs: Any,
) -> Profile:
    __tracebackhide__ = True
    if kernels not in ("needed", "optional"):
        raise ValueError(f'kernels must be "needed" or "optional"; got {kernels!r}')
    if steps < 1:
        raise ValueError(f"steps must be 1 or more; got {steps}")
    step(*args, **kwargs)
    with layertime(model, kernels=True, clock=clock) as run:
        # a step that is itself profiled, such as layer.forward, was looked up before it was wrapped
        wrapped = next((method for method in run._methods if method.method == step), step)
        for _ in range(steps):
            wrapped(*args, **kwargs)
    why = _no_records(run.profile)
    if why and kernels == "needed":
        pytest.skip(f"no kernel records: {why}")
    return run.profile


def _no_records(profile: Profile) -> str:
    """Why there are none, or not all; "" where there are, or none was launched."""
    kernels = profile.seen.kernels
    if not profile.log.on_device:
        return "no GPU in use"
    if kernels.dropped:
        return f"CUPTI dropped {kernels.dropped} of them, so launches cannot be counted"
    return "" if len(kernels) else profile.seen.no_records
