"""One line that says how far a long cell is, written between the user's own lines and wiped at the end."""

from __future__ import annotations

import sys
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Any


class ProgressLine:
    """While entered, `tell(text)` shows "measuring: …" on one line of stdout, or of stderr.

    The user's output passes through untouched: it wipes the line before itself, and where it has not ended its own
    line (a progress bar, dots), nothing is told. What a notebook displays through `publisher` wipes it, too.
    """

    def __init__(self, stream: str = "stdout", publisher: Any = None) -> None:
        self._name = stream
        self._publisher = publisher
        self._watched: dict[str, _Watched] = {}
        self._stack = ExitStack()
        self._longest = 0
        self._shown = False

    def __enter__(self) -> ProgressLine:
        for name in ("stdout", "stderr"):
            real = getattr(sys, name)
            if real is not None:  # a process without a console has none
                self._watched[name] = ours = _Watched(real, self)
                setattr(sys, name, ours)
                self._stack.callback(_put_back, name, ours, real)
        if self._publisher is not None:
            self._watch(self._publisher)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        self.wipe()
        self._watched.clear()

    def tell(self, text: str) -> None:
        """Show this, unless the user is in the midst of a line."""
        ours = self._watched.get(self._name)
        if ours is None or not all(each.at_start for each in self._watched.values()):
            return
        self._longest = max(self._longest, len(text) + 12)
        self._shown = True
        ours.real.write(f"\rmeasuring: {text}".ljust(self._longest))
        ours.real.flush()

    def wipe(self) -> None:
        """Show nothing."""
        ours = self._watched.get(self._name)
        if self._shown and ours is not None:
            self._shown = False
            with suppress(OSError, ValueError):  # somebody has closed it
                ours.real.write("\r" + " " * self._longest + "\r")
                ours.real.flush()

    def _watch(self, publisher: Any) -> None:
        """Wipe the line before anything is displayed."""
        publish, others = publisher.publish, "publish" in vars(publisher)

        def wiping(*args: Any, **keywords: Any) -> Any:
            self.wipe()
            return publish(*args, **keywords)

        publisher.publish = wiping
        if others:
            self._stack.callback(setattr, publisher, "publish", publish)
        else:
            self._stack.callback(vars(publisher).pop, "publish", None)


class _Watched:
    """A stdout or stderr in front of the real one: all but writing is the real one's."""

    def __init__(self, real: Any, line: ProgressLine) -> None:
        self.real = real
        self.at_start = True
        self._line = line

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def write(self, text: str, /) -> Any:
        """Pass it on."""
        if text:
            self._line.wipe()
            self.at_start = text.endswith("\n")
        return self.real.write(text)

    def writelines(self, lines: Any, /) -> None:
        """Pass them on."""
        for line in lines:
            self.write(line)


def _put_back(name: str, ours: object, before: object) -> None:
    """Unless another has taken its place meanwhile, which will put back what it found."""
    if getattr(sys, name) is ours:
        setattr(sys, name, before)
