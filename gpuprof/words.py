"""What a magic's line says: the options each magic knows, and where they may stand."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gpuprof.options import Reader, parse, positive, share, steps, variable, words

TIMEIT: Mapping[str, Reader | None] = {
    "n": positive,
    "r": positive,
    "p": positive,
    "q": None,
    "o": None,
    "v": variable,
    "width": share,
    "cold": None,
    "bytes": words,
    "flops": words,
    "over": words,
}
LAYERTIME: Mapping[str, Reader | None] = {
    "o": None,
    "q": None,
    "v": variable,
    "w": positive,
    "r": positive,
    "no-chart": None,
    "kernels": None,
    "lines": words,
    "hot": None,
    "graph": None,
    "nvtx": None,
    "schedule": steps,
    "vs": words,
}
_SAID = r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|"""
_VS = re.compile(_SAID + r"(?P<vs>(?:^|(?<=\s))--vs(?=\s|$))")
_LATE = re.compile(_SAID + r"\#.*|(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<late>(?<=\s)--(?=[a-z]{2}))")


class WordsError(ValueError):
    """Something on a magic's line is not understood."""


def timeit_words(line: str) -> tuple[dict[str, Any], str, str]:
    """The options of %gpu_timeit, its statement or setup, and the statement after `--vs`. Raises WordsError."""
    first, other = _split_at_vs(line)
    options, rest = _parsed(first, TIMEIT)
    if other and (unused := options.keys() - {"n", "q", "o", "v"}):
        raise WordsError(f"--vs goes with -n, -q, -o and -v; not with {', '.join(sorted(unused))}")
    return options, rest, other


def layertime_words(line: str) -> tuple[dict[str, Any], str]:
    """The options of %%layertime, before its model and long ones after it, and the model. Raises WordsError.

    Strings, comments and brackets are left alone; nobody writes `lm --hot` and means `lm - (-hot)`.
    """
    options, model = _parsed(line, LAYERTIME)
    place = _late(model)
    if place is None:
        return options, model
    late, rest = _parsed(model[place:], LAYERTIME)
    if rest.strip() and not rest.lstrip().startswith("#"):
        raise WordsError(f"the model stands before the options or after them; got {rest.strip()!r} besides")
    return options | late, model[:place]


def call_words(line: str) -> tuple[dict[str, Any], str]:
    """The options of %layertime as a line, and the call to be made. Raises WordsError."""
    options, rest = _parsed(line, LAYERTIME)
    if "lines" not in options:
        raise WordsError("%layertime as a line needs --lines and a call: %layertime --lines lm[0].backward(dy)")
    if unused := options.keys() - {"lines", "o", "q", "v", "r"}:
        raise WordsError(f"%layertime --lines goes with -o, -q, -r and -v; not with {', '.join(sorted(unused))}")
    return options, f"{options['lines']} {rest}".strip()


def _parsed(line: str, known: Mapping[str, Reader | None]) -> tuple[dict[str, Any], str]:
    try:
        return parse(line, known)
    except ValueError as error:
        raise WordsError(str(error)) from None


def _split_at_vs(text: str) -> tuple[str, str]:
    """What is before and after a `--vs` that stands alone, outside of strings; nobody writes Python like that."""
    found = next((match for match in _VS.finditer(text) if match["vs"]), None)
    if not found:
        return text, ""
    after = text[found.end() :].strip()
    if not after:
        raise WordsError("--vs needs a statement after it: %gpu_timeit x @ y --vs x.dot(y)")
    return text[: found.start()].rstrip(), after


def _late(text: str) -> int | None:
    """Where the options after a model begin."""
    depth = 0
    for match in _LATE.finditer(text):
        depth += bool(match["open"]) - bool(match["close"])
        if match["late"] is not None and depth <= 0:
            return match.start()
    return None
