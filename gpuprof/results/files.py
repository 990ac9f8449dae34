"""Results on disk: JSON with a schema number, no pickle."""

from __future__ import annotations

import base64
import gzip
import json
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from gpuprof.record.calls import COLUMNS, Bearing, Calls, Scope
from gpuprof.record.clocks import Ints
from gpuprof.record.leftout import LeftOut
from gpuprof.record.schedule import Mode
from gpuprof.results.seen import Seen

SCHEMA = 1
PACKED = 2
"""The schema of files with columns in them, long ones packed; before there was that, columns were lists."""
_SHORT = 1000  # a column of so many numbers is a list, which people can read


def write_json(path: Path, kind: str, content: dict[str, Any], schema: int = SCHEMA) -> Path:
    """`path`, with `content` under the name of its kind and the schema number; compressed for .gz.

    Arrays of int64 in it are columns, and need the schema for these.
    """
    strict = {name: _without_nan(value) for name, value in content.items()}
    return write_plain(path, {"gpuprof": kind, "schema": schema, **strict})


def write_plain(path: Path, content: dict[str, Any]) -> Path:
    """`path`, with `content` as JSON; compressed for .gz."""
    text = json.dumps(content, allow_nan=False, default=_packed).encode()
    path.write_bytes(gzip.compress(text, compresslevel=1) if path.suffix == ".gz" else text)
    return path


def _packed(array: object) -> list[int] | dict[str, str]:
    """A column as JSON: a list; a long one as its differences, their bytes by rank, all first ones first, deflated."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"a file holds text, numbers, lists and columns; got {type(array).__name__}")
    if len(array) <= _SHORT:
        return [int(value) for value in array]
    ranks = np.diff(array, prepend=0).astype("<i8").view(np.uint8).reshape(-1, 8).T
    return {"packed": base64.b64encode(zlib.compress(ranks.tobytes(), 1)).decode()}


def _column(stored: list[int] | dict[str, str]) -> Ints:
    """The column that was stored so. Raises KeyError, TypeError or ValueError for what is none."""
    if not isinstance(stored, dict):
        return np.array(stored, dtype=np.int64)
    try:
        ranks = np.frombuffer(zlib.decompress(base64.b64decode(stored["packed"], validate=True)), dtype=np.uint8)
    except zlib.error as error:
        raise ValueError(f"a column cannot be unpacked: {error}") from None
    return np.cumsum(ranks.reshape(8, -1).T.copy().view("<i8").ravel(), dtype=np.int64)


def _without_nan(value: Any) -> Any:
    """JSON has no NaN: None stands for it, also in a tuple of numbers."""
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, dict):
        return {name: _without_nan(part) for name, part in value.items()}
    return [_without_nan(part) for part in value] if isinstance(value, tuple) else value


def read_json(path: Path, kind: str) -> dict[str, Any]:
    """What `write_json` wrote. ValueError says what the file is instead."""
    content = _parsed(path, kind)
    if not isinstance(content, dict) or _kind(content) != kind:
        found = _kind(content)
        raise ValueError(f"{path} should hold a gpuprof {kind}; it holds {found or 'other JSON'}")
    if content.get("schema") not in (SCHEMA, PACKED):
        raise ValueError(
            f"{path} has schema {content.get('schema')}; this gpuprof reads {SCHEMA} and {PACKED}: update gpuprof"
        )
    return content


def kind_of(path: Path) -> str:
    """What the file at `path` says it holds: "profile", "timing"; "" for other JSON. ValueError for no JSON at all."""
    return _kind(_parsed(path, "result"))


def _kind(content: Any) -> str:
    return str(content.get("gpuprof", "")) if isinstance(content, dict) else ""


def _parsed(path: Path, kind: str) -> Any:
    data = path.read_bytes()
    try:
        return json.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
    except (ValueError, OSError, EOFError, RecursionError) as error:
        raise ValueError(f"{path} is not a gpuprof {kind}, or it is cut off: {error}") from None


def calls_content(calls: Calls) -> dict[str, Any]:
    """What a file can hold of a log; `calls_from` reads it."""
    return {
        "columns": calls.columns,
        "scopes": calls.scopes,
        "shapes": calls.shapes,
        "window": calls.window,
        "host_window": calls.host_window,
        "bearings": calls.bearings,
        "on_device": calls.on_device,
        "lost": calls.lost,
        "failure": calls.failure,
        "left_out": calls.left_out.to_dict(),
    }


def _columns(stored: dict[str, Any]) -> dict[str, Ints]:
    """The columns of one table."""
    columns = {name: _column(each) for name, each in stored.items()}
    if len({len(column) for column in columns.values()}) > 1:
        raise ValueError(f"of {', '.join(columns)} some are longer than others")
    return columns


def _as_of_now(content: dict[str, Any]) -> dict[str, Any]:
    """A profile of before there were several passes: all its steps were marked, and nothing else was seen."""
    if "mode" in content["columns"] or "seen" in content:
        return content
    columns = content["columns"]
    columns = columns | {"mode": [int(Mode.EVENTS)] * len(columns["call"])}
    return content | {"columns": columns, "seen": Seen().to_dict(), "followed": []}


def calls_from(content: dict[str, Any]) -> tuple[Calls, dict[str, Any]]:
    """The log in what a file has of a profile, and the rest of what the profile is made from.

    Raises AttributeError, KeyError, TypeError, ValueError or OverflowError for anything else.
    """
    content = _as_of_now(content)
    missing = set(COLUMNS) - content["columns"].keys()
    if missing:
        raise KeyError(", ".join(sorted(missing)))
    calls = Calls(
        columns=_columns(content["columns"]),
        scopes=tuple(Scope(*scope) for scope in content["scopes"]),
        shapes=tuple(tuple(shape) for shape in content["shapes"]),
        window=tuple(content["window"]),
        host_window=tuple(content["host_window"]),
        bearings=tuple(Bearing(*bearing) for bearing in content["bearings"]),
        **{name: content[name] for name in ("on_device", "lost", "failure")},
        left_out=LeftOut.from_dict(content["left_out"]) if "left_out" in content else LeftOut(),
    )
    seen = content["seen"]
    about = {name: content[name] for name in ("clock", "about", "ended_by", "followed")}
    return calls, about | {"seen": seen | {name: _columns(seen[name]) for name in ("kernels", "memory")}}
