"""What the statements of a function assign to: the names by which their results can be looked at."""

from __future__ import annotations

import ast
import sys
from types import CodeType, FrameType
from typing import Any

from gpuprof.arrays import array_library, type_name
from gpuprof.hooks.source import node_of


def assigned(code: CodeType) -> dict[int, str]:
    """By the first line of each assignment in a function the name that it assigns to, or to a part of."""
    node = node_of(code)
    found: dict[int, str] = {}
    for statement in ast.walk(node) if node is not None else ():
        match statement:
            case ast.Assign(targets=[target]) | ast.AugAssign(target=target) | ast.AnnAssign(target=target):
                while isinstance(target, (ast.Subscript, ast.Starred)):
                    target = target.value
                if isinstance(target, ast.Name):
                    found[statement.lineno] = target.id
            case ast.Return(value=ast.Name(id=name)):
                found[statement.lineno] = name
    return found


def result_in(code: CodeType, name: str) -> str:
    """What the name stands for in the innermost frame of `code`: "float32 (8, 10)"; "" unless it is an array."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    value: Any = frame.f_locals.get(name) if frame is not None else None
    if not array_library(value):
        return ""
    return f"{type_name(value)} {tuple(int(n) for n in value.shape)}"
