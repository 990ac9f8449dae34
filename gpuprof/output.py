"""What a statement prints, shown once: it is run hundreds of times."""

from __future__ import annotations

import sys
import threading
from contextlib import ExitStack
from io import TextIOBase
from types import TracebackType
from typing import Any, TextIO


class Output:
    """While entered, what this thread prints passes through until `hide()`; from then on it is only counted."""

    def __init__(self) -> None:
        self.hidden = 0
        """Pieces of output that were not shown."""
        self._hiding = False
        self._thread = threading.get_ident()
        self._stack = ExitStack()

    def hide(self) -> None:
        """Show no more."""
        self._hiding = True

    def passes(self) -> bool:
        """Whether output may be shown now; counts it where it may not."""
        hiding = self._hiding and threading.get_ident() == self._thread  # other threads are none of the statement's
        self.hidden += hiding
        return not hiding

    def __enter__(self) -> Output:
        for name in ("stdout", "stderr"):
            before, ours = getattr(sys, name), _Through(getattr(sys, name), self)
            setattr(sys, name, ours)
            self._stack.callback(_put_back, name, ours, before)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hiding = False  # whoever still writes here, through what another has put back, is shown
        self._stack.close()


def _put_back(name: str, ours: object, before: object) -> None:
    """Unless another has taken its place meanwhile, which will put back what it found."""
    if getattr(sys, name) is ours:
        setattr(sys, name, before)


class _Through(TextIOBase):
    """A stdout or stderr in front of the real one."""

    def __init__(self, real: TextIO, output: Output) -> None:
        super().__init__()
        self._real = real
        self._output = output

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)  # `buffer`, and what else a real one has

    def fileno(self) -> int:
        """The real one's."""
        return self._real.fileno()

    def write(self, text: str, /) -> int:
        """Pass it on, or not."""
        if text and self._output.passes():
            self._real.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush the real one."""
        self._real.flush()
