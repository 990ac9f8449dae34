"""Whether a case passes."""

from __future__ import annotations

from typing import Any

import numpy as np

from cnn.xp import to_cpu
from tests.cnn.onnx_cases.runner import run
from tests.cnn.onnx_cases.stored import Case


def misfit(case: Case, inputs: list[Any], outputs: list[Any]) -> str:
    """What is wrong with our outputs, in words; empty where they have the shapes, types and numbers expected."""
    ours = run(case, inputs)
    if len(ours) != len(outputs):
        return f"{case.name}: {len(ours)} outputs, expected {len(outputs)}"
    for i, (here, expected) in enumerate(zip(ours, outputs, strict=True)):
        if expected is None:
            continue
        if (here.shape, here.dtype) != (expected.shape, expected.dtype):
            return f"{case.name}, output {i}: {here.shape} {here.dtype}, expected {expected.shape} {expected.dtype}"
        try:
            np.testing.assert_allclose(to_cpu(here), expected, case.rtol, case.atol)
        except AssertionError as error:
            return f"{case.name}, output {i}: {error}"
    return ""
