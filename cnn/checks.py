"""Checks of what a caller hands in: each says what was expected, what came and what to do."""

from __future__ import annotations

import difflib
import inspect
import math
import numbers
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")
LARGEST = 2**31 - 1  # a size along one axis
MOST = 2**29  # numbers in one array: 2 GiB of float32


def plain(name: str) -> str:
    """`name` in lower case with letters and digits only: "Soft-Max" and "softmax" are one name."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def choose(what: str, name: object, table: Mapping[str, T]) -> T:
    """The entry of `table` under `name`, regardless of case and punctuation.

    Raises:
        TypeError: `name` is not a string.
        ValueError: no such entry; the text names the nearest and all known ones.
    """
    if not isinstance(name, str):
        raise TypeError(f"{what} is {name!r}, a {type(name).__name__}; expected a name out of {', '.join(table)}")
    entries = {plain(key): value for key, value in table.items()}
    if plain(name) not in entries:
        raise ValueError(f"unknown {what} {name!r};{_nearest(name, table)} known: {', '.join(table)}")
    return entries[plain(name)]


def keywords_of(func: Callable[..., Any]) -> list[str]:
    """The names that `func` (or a class) takes as keywords."""
    return [
        p.name for p in inspect.signature(func).parameters.values() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    ]


def required_keywords(func: Callable[..., Any]) -> list[str]:
    """Those of them that have no default."""
    parameters = inspect.signature(func).parameters
    return [name for name in keywords_of(func) if parameters[name].default is inspect.Parameter.empty]


def check_keywords(what: str, func: Callable[..., Any], given: Iterable[str], hidden: Iterable[str] = ()) -> None:
    """Raise TypeError if `func` does not take one of the `given` keywords; `hidden` ones are not offered."""
    known = [name for name in keywords_of(func) if name not in set(hidden)]
    for name in given:
        if name not in known:
            offer = f"known: {', '.join(known)}" if known else "it takes none"
            raise TypeError(f"{what} has no keyword {name!r};{_nearest(name, known)} {offer}")


def named(what: str, keywords: Any) -> dict[str, Any]:
    """`keywords` as a dictionary with texts as keys; None is an empty one. TypeError for anything else."""
    if keywords is None:
        return {}
    if not isinstance(keywords, Mapping) or not all(isinstance(key, str) for key in keywords):
        raise TypeError(f"the keywords of {what} are {keywords!r}; expected a dictionary by name, such as {{'a': 1}}")
    return dict(keywords)


def build(what: str, name: object, table: Mapping[str, type[T]], keywords: Mapping[str, Any] | None) -> T:
    """An object of the class that `table` holds under `name`, made with `keywords`, all of them known."""
    cls = choose(what, name, table)
    given = named(f"{what} {cls.__name__}", keywords)
    check_keywords(f"{what} {cls.__name__}", cls, given)
    return cls(**given)


def whole(what: str, value: Any, least: int = 1, most: int | None = None) -> int:
    """`value` as an int of `least` to `most`; TypeError for a fraction, a text or True, ValueError for one outside."""
    refused = f"{what} is {value!r}; expected a whole number, {least} or more"
    if isinstance(value, bool):
        raise TypeError(refused)
    try:
        size = operator.index(value)
    except TypeError:
        raise TypeError(refused) from None
    if size < least:
        raise ValueError(f"{what} is {size}; expected {least} or more")
    if most is not None and size > most:
        raise ValueError(f"{what} is {size}; expected {most} or less")
    return size


def number(what: str, value: Any, least: float = 0.0, below: float = math.inf) -> float:
    """`value` as a Python float, which never widens a float32 array, as a NumPy float64 would.

    Raises:
        TypeError: no number: a text, True, an array.
        ValueError: not finite, or outside of least <= value < below.
    """
    bound = "a finite number" + (f", {least:g} or more" if least > -math.inf else "")
    bound = bound if below == math.inf else f"{least:g} <= value < {below:g}"
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{what} is {value!r}; expected {bound}")
    try:
        plain_number = float(value)
    except OverflowError:  # a whole number beyond all floats
        plain_number = math.inf
    if not (least <= plain_number < below and math.isfinite(plain_number)):
        raise ValueError(f"{what} is {value!r}; expected {bound}")
    return plain_number


def generator(what: str, seed: Any) -> np.random.Generator:
    """NumPy's generator of `seed`: None for another one each time, a number of 0 or more, or a generator itself."""
    if isinstance(seed, np.random.Generator):
        return seed
    return np.random.default_rng(None if seed is None else whole(what, seed, least=0))


@contextmanager
def naming(who: str) -> Iterator[None]:
    """Within the `with`, what a TypeError or ValueError says begins with `who` it is about."""
    try:
        yield
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError  # theirs may take no text
        raise kind(f"{who}: {error}") from None


def whole_shape(what: str, value: Any, letters: str) -> tuple[int, ...]:
    """`value` as a tuple of sizes, one for each of the `letters` (such as "C, H, W"), each 1 or more."""
    names = letters.split(", ")
    if not isinstance(value, (tuple, list)) or len(value) != len(names):
        raise ValueError(f"{what} is {value!r}; expected ({letters})")
    return tuple(
        whole(f"{name} of {what}={value!r}", size, most=LARGEST) for name, size in zip(names, value, strict=True)
    )


def sizes(what: str, value: Any) -> tuple[int, ...]:
    """`value`, a size or a tuple of one or more, as a tuple of sizes, each 1 or more."""
    given = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if not given:
        raise ValueError(f"{what} is {value!r}; expected one size or more")
    name = f"a size in {what}={value!r}" if len(given) > 1 else what
    return tuple(whole(name, size, most=LARGEST) for size in given)


def pair(what: str, value: Any, least: int = 1) -> tuple[int, int]:
    """`value` as (for the height, for the width): one number counts for both."""
    first, second = value if isinstance(value, (tuple, list)) and len(value) == 2 else (value, value)
    return whole(what, first, least, LARGEST), whole(what, second, least, LARGEST)


def shown(shape: Iterable[object], batch: str = "N") -> str:
    """A shape for a message, with a letter for the batch: "(N, 1, 28, 28)"."""
    return f"({', '.join([batch, *map(str, shape)])})"


def _nearest(name: str, known: Iterable[str]) -> str:
    names = {plain(key): key for key in known}
    close = difflib.get_close_matches(plain(name), list(names), n=1)
    return f" did you mean {names[close[0]]!r}?" if close else ""
