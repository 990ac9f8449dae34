"""The stored cases: what each asks for, in cases.json, and its numbers, in cases.npz."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Case:
    """One case of the backend test.

    Attributes:
        name: as in ONNX; kind: "node", "pytorch-converted", "pytorch-operator" or "simple".
        ops: the operators of its graph, one as a rule; attributes: of the one that is ours.
        opset: the version of the operators.
        inputs, outputs: (shape, dtype) of each; None for one that is left out.
        keys: in cases.npz, of inputs and outputs; None where the numbers are too many to keep here.
        rtol, atol: what ONNX asks for.
    """

    name: str
    kind: str
    ops: tuple[str, ...]
    attributes: dict[str, Any]
    opset: int
    inputs: tuple[tuple[tuple[int, ...], str] | None, ...]
    outputs: tuple[tuple[tuple[int, ...], str] | None, ...]
    keys: tuple[tuple[str | None, ...], tuple[str | None, ...]] | None
    rtol: float
    atol: float


@cache
def cases() -> list[Case]:
    """All of them, in the order of their names."""
    return [_case(each) for each in json.loads((HERE / "cases.json").read_text(encoding="utf-8"))["cases"]]


@cache
def about() -> dict[str, Any]:
    """What they were taken from."""
    found: dict[str, Any] = json.loads((HERE / "cases.json").read_text(encoding="utf-8"))["about"]
    return found


def arrays(case: Case) -> tuple[list[Any], list[Any]]:
    """Inputs and outputs of a case whose numbers are stored."""
    assert case.keys is not None, f"{case.name} is not stored"
    inputs, outputs = ([None if key is None else _numbers()[key] for key in keys] for keys in case.keys)
    return inputs, outputs


@cache
def _numbers() -> dict[str, Any]:
    with np.load(HERE / "cases.npz", allow_pickle=False) as file:
        return dict(file)


def _case(fields: dict[str, Any]) -> Case:
    shapes = {
        key: tuple(None if each is None else (tuple(each[0]), each[1]) for each in fields[key])
        for key in ("inputs", "outputs")
    }
    keys = fields["keys"] and tuple(tuple(each) for each in fields["keys"])
    return Case(**fields | shapes | {"ops": tuple(fields["ops"]), "keys": keys})
