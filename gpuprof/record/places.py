"""The user's line in a stack: the innermost that is neither gpuprof's own nor a library's."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path
from types import CodeType, FrameType
from typing import NamedTuple

_OURS = f"{Path(__file__).parent.parent}{os.sep}"
_HOOKS = (f"{_OURS}hooks{os.sep}", f"{_OURS}record{os.sep}taped.py")
_PYTHONS = (*(f"{sysconfig.get_path(name)}{os.sep}" for name in ("stdlib", "platstdlib")), "<frozen", "<__array")
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_THROUGH, _USERS, _STOP = range(3)


class Place(NamedTuple):
    """A line of source."""

    file: str
    line: int
    function: str


NOWHERE = Place("", 0, "")
"""On a thread without any code of the user's, such as one of a library's own."""


class Places:
    """Lines by number. What is known of a piece of code is kept, never a frame: asking costs a microsecond.

    also: top-level packages whose code counts as the user's, wherever it is installed.
    """

    def __init__(self, also: frozenset[str] = frozenset()) -> None:
        self._also = also
        self._whose: dict[int, int] = {}
        self._codes: list[CodeType] = []  # kept, so that none of their ids is used again
        self._at: dict[tuple[int, int], int] = {}
        self._numbers = {NOWHERE: 0}

    @property
    def table(self) -> list[Place]:
        """The lines, each at its number."""
        return list(self._numbers)

    def of(self, frame: FrameType | None) -> int:
        """The number of the user's line that called `frame` or is in it; -1 where what ran is gpuprof's own."""
        while frame is not None:
            code = frame.f_code
            whose = self._whose.get(id(code))
            if whose is None:
                whose = self._whose[id(code)] = _whose(frame, self._also)
                self._codes.append(code)
            if whose != _THROUGH:
                return self._number(frame) if whose == _USERS else -1
            frame = frame.f_back
        return 0

    def _number(self, frame: FrameType) -> int:
        code = frame.f_code
        key = (id(code), frame.f_lasti)
        number = self._at.get(key)
        if number is None:
            place = Place(code.co_filename, frame.f_lineno or 0, code.co_qualname)
            number = self._at[key] = self._numbers.setdefault(place, len(self._numbers))
        return number


def _whose(frame: FrameType, also: frozenset[str]) -> int:
    """The user's code, a library's or our hooks' that the user's has called or is called by, or the rest of ours."""
    file = frame.f_code.co_filename
    if file.startswith(_OURS):
        return _THROUGH if file.startswith(_HOOKS) else _STOP
    if str(frame.f_globals.get("__name__")).partition(".")[0] in also:
        return _USERS
    library = file.startswith(_PYTHONS) or any(folder in file for folder in _INSTALLED)
    return _THROUGH if library else _USERS
