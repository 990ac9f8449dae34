"""What a notebook shows while something is measured: a statement's output once, and one line of progress."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from gpuprof.output import Output
from gpuprof.passes.subject import Progress

_OURS = f"{Path(__file__).parent}{os.sep}"


class NotebookOutput(Output):
    """What a statement prints and displays, shown once."""

    def __init__(self, shell: Any) -> None:
        super().__init__()
        self._shell = shell

    def __enter__(self) -> NotebookOutput:
        super().__enter__()
        publisher = self._shell.display_pub
        publish, others = publisher.publish, "publish" in vars(publisher)

        def once(*args: Any, **keywords: Any) -> Any:
            return publish(*args, **keywords) if self.passes() else None

        publisher.publish = once
        if others:
            self._stack.callback(setattr, publisher, "publish", publish)
        else:
            self._stack.callback(vars(publisher).pop, "publish", None)
        return self


@contextmanager
def progress() -> Iterator[Progress]:
    """Tells, on one line that is wiped at the end, what is being measured."""
    real, longest = sys.stdout, 0

    def tell(text: str) -> None:
        nonlocal longest
        longest = max(longest, len(text) + 12)
        print(f"\rmeasuring: {text}".ljust(longest), end="", flush=True, file=real)

    try:
        yield tell
    finally:
        if longest:
            print("\r" + " " * longest + "\r", end="", flush=True, file=real)


class UsersFrames:
    """What rises inside rises without the frames of our own files, unless there are no others."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        kept, part = [], trace
        while part:
            if not part.tb_frame.f_code.co_filename.startswith(_OURS):
                kept.append(part)
            part = part.tb_next
        if error is not None and kept:
            part = None
            for one in reversed(kept):
                part = TracebackType(part, one.tb_frame, one.tb_lasti, one.tb_lineno)
            error.__traceback__ = part
