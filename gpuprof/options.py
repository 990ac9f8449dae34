"""Options at the front of a magic's line; the rest is the user's, and is not touched."""

from __future__ import annotations

import ast
import keyword
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

Reader: TypeAlias = Callable[[str], Any]


def parse(line: str, known: Mapping[str, Reader | None]) -> tuple[dict[str, Any], str]:
    """The options at the front of `line`, and the rest of it untouched; `--` ends the options.

    `known` gives each option's reader, or None for one without a value. Letters may be joined (-qo) and values too
    (-n5), as in getopt. ValueError says which option was not understood.
    """
    found: dict[str, Any] = {}
    rest = line.lstrip()
    while rest.startswith("-"):
        word, after = _value(rest)
        if word == "--":
            return found, after
        name, joined = _split(word)
        if name not in known:
            names = ", ".join(f"-{key}" if len(key) == 1 else f"--{key}" for key in known)
            raise ValueError(
                f"unknown option {word!r}; known are {names} (a statement that begins with - goes after --)"
            )
        read = known[name]
        if read is None:
            found[name] = True
            rest = (f"-{joined} {after}" if joined else after).lstrip()
            continue
        value, after = _value(f"{joined} {after}" if joined else after)
        found[name] = _read(read, value, f"-{name}" if len(name) == 1 else f"--{name}")
        rest = after.lstrip()
    return found, rest if found else line


def _read(read: Reader, text: str, option: str) -> Any:
    try:
        return read(text)
    except ValueError as error:
        raise ValueError(f"{option}: {error}") from None


def _value(text: str) -> tuple[str, str]:
    """The first word of `text`, and what is after it; blanks within brackets or quotes do not end the word."""
    text, depth, quote = text.lstrip(), 0, ""
    for place, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter.isspace() and depth <= 0:
            return text[:place], text[place + 1 :]
        else:
            depth += (letter in "([{") - (letter in ")]}")
    return text, ""


def _split(word: str) -> tuple[str, str]:
    """An option's name, and what is joined to it: "-n5" is ("n", "5"), "--cold" is ("cold", "")."""
    if word.startswith("--"):
        name, _, value = word[2:].partition("=")
        return (name if len(name) > 1 else word), value
    return word[1:2], word[2:]


def positive(text: str) -> int:
    """A whole number from 1 up; ValueError for anything else."""
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"expected a whole number from 1 up; got {text!r}")
    return int(text)


def steps(text: str) -> tuple[int, ...]:
    """Numbers of steps such as "10,5,100,3", or with brackets around; ValueError for anything else."""
    numbers = [part.strip() for part in text.strip("()[]").split(",")]
    if not all(part.isdecimal() for part in numbers):
        raise ValueError(f"expected numbers of steps, as in 10,5,100,3 (skip, warm up, measure, repeat); got {text!r}")
    return tuple(map(int, numbers))


def share(text: str) -> float:
    """A share such as "1%" or "0.01"; ValueError for anything else."""
    number, percent = text.strip().removesuffix("%"), text.strip().endswith("%")
    try:
        value = float(number) / (100 if percent else 1)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise ValueError(f"expected a share such as 1% or 0.01; got {text!r}")
    return value


def words(text: str) -> str:
    """The text itself, without the quotes around it; ValueError for nothing."""
    quoted = re.fullmatch(r"""'[^']*'|"[^"]*\"""", text)
    stripped = text[1:-1] if quoted else text
    if not stripped.strip():
        raise ValueError("expected an expression; got nothing")
    return stripped


def variable(text: str) -> str:
    """The name of a variable; ValueError for anything else."""
    if not _is_name(text):
        raise ValueError(f"expected a variable's name; got {text!r}")
    return text


def points(text: str, namespace: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """The variable and the values of "n=2**10:2**20" (doubling, the end included) or "n=[1, 2, 3]".

    The expressions are evaluated in `namespace`. ValueError says what was expected and what came.
    """
    name, equals, values = text.partition("=")
    name = name.strip()
    if not (equals and _is_name(name) and values.strip()):
        raise ValueError(f"expected n=2**10:2**20 or n=[1, 2, 3]; got {text!r}")
    try:
        tree = ast.parse(f"x[{values.strip()}]", mode="eval").body
        if not (isinstance(tree, ast.Subscript) and isinstance(tree.value, ast.Name)):
            raise ValueError(f"expected n=2**10:2**20 or n=[1, 2, 3]; got {text!r}")
        if isinstance(tree.slice, ast.Slice):
            return name, _doubled(tree.slice, namespace)
        value = _evaluated(tree.slice, namespace)
        if not isinstance(value, Iterable):
            raise ValueError(f"expected n=2**10:2**20 or n=[1, 2, 3]; got {text!r}")
        found = list(value)
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(f"{values.strip()!r}: {type(error).__name__}: {error}") from None
    if not found:
        raise ValueError(f"expected values of {name} to go over; {values.strip()!r} holds none")
    return name, found


def _doubled(ends: ast.Slice, namespace: Mapping[str, Any]) -> list[Any]:
    """From the first to the last, each twice the one before; a third part, as in a:b:4, is the factor."""
    if ends.lower is None or ends.upper is None:
        raise ValueError("expected both ends, as in n=2**10:2**20")
    value, last = _evaluated(ends.lower, namespace), _evaluated(ends.upper, namespace)
    factor = 2 if ends.step is None else _evaluated(ends.step, namespace)
    if not (0 < value <= last < math.inf and factor > 1):
        raise ValueError(f"expected a:b with 0 < a ≤ b < ∞ and a factor above 1; got {value}:{last}:{factor}")
    found = []
    while value <= last:
        found.append(value)
        value *= factor
    return found


def _evaluated(tree: ast.expr, namespace: Mapping[str, Any]) -> Any:
    code = compile(ast.Expression(tree), "<--over>", "eval")
    return eval(code, dict(namespace))  # noqa: S307 - the user's own words


def _is_name(text: str) -> bool:
    """Whether a variable may be called that."""
    return text.isidentifier() and not keyword.iskeyword(text)
