"""Options at the front of a magic's line; the rest is the user's, and is not touched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
        word, _, after = rest.partition(" ")
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
        value, after = (joined, after) if joined else after.lstrip().partition(" ")[::2]
        found[name] = read(value)
        rest = after.lstrip()
    return found, rest if found else line


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


def variable(text: str) -> str:
    """The name of a variable; ValueError for anything else."""
    if not text.isidentifier():
        raise ValueError(f"-v needs a variable's name; got {text!r}")
    return text
