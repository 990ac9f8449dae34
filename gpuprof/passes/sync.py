"""Does the statement wait for the GPU inside? A probe that cannot hang, and the line on which the host waits."""

from __future__ import annotations

import linecache
import os
import sys
import threading
from pathlib import Path
from types import FrameType

from gpuprof.passes.subject import Subject
from gpuprof.record.clocks import DeviceClock
from gpuprof.record.gate import GateTakenError
from gpuprof.statement import Timed

_SPIN_S = 2e-3
_LONGEST_S = 0.25
_OURS = f"{Path(__file__).parent.parent}{os.sep}"


def waits_inside(subject: Subject, host: float) -> str:
    """Where the statement waits for the GPU ("line 2: y.get()"), or "" where it does not.

    It is called behind a spin on the GPU that ends by itself. Where the call returns only then, twice in a row, it
    waits. A third call, while another thread watches, shows the line. Not asked where a gate is forbidden.
    """
    clock: DeviceClock = subject.clock  # type: ignore[assignment]
    spin = min(_LONGEST_S, _SPIN_S + 2 * host)
    if clock.no_gate() or host > _LONGEST_S / 2:
        return ""
    try:
        if not all(_late(subject, clock, spin) for _ in range(2)):
            return ""
        watch = _Watch(spin / 2 + host)
        _late(subject, clock, 2 * spin + host, watch)
    except GateTakenError:
        return ""
    return watch.line(subject.code) or "inside"


def _late(subject: Subject, clock: DeviceClock, spin: float, watch: _Watch | None = None) -> bool:
    """Whether a call behind a spin came back only once that had ended."""
    run = subject.code.prepared(1)
    clock.wait()
    with clock.gate(spin) as gate:
        if watch:
            watch.start()
        start = clock.host()
        run()
        took = (clock.host() - start) * 1e-9
        late = gate.expired
    clock.wait()
    if watch:
        watch.join()
    return late and took > 0.9 * spin


class _Watch(threading.Thread):
    """Looks once, after a while, at where the thread that made it is."""

    def __init__(self, after: float) -> None:
        super().__init__(daemon=True, name="gpuprof-watch")
        self._after = after
        self._watched = threading.get_ident()
        self._stack: list[tuple[str, int, str]] = []

    def run(self) -> None:
        """Wait, then look."""
        threading.Event().wait(self._after)
        frame: FrameType | None = sys._current_frames().get(self._watched)
        while frame:
            self._stack.append((frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name))
            frame = frame.f_back

    def line(self, code: Timed) -> str:
        """The innermost line of the user's, with its text."""
        inside = [place for place in self._until_ours() if _of_the_user(place[0], code.filename)]
        if not inside:
            return ""
        file, number, function = inside[0]
        text = linecache.getline(file, number).strip()
        if file != code.filename or not code.tree:
            where = f"{Path(file).name}:{number} in {function}"
        else:
            lines = code.text.splitlines()
            where, text = f"line {number}", text or (lines[number - 1].strip() if number <= len(lines) else "")
        return f"{where}: {text}" if text else where

    def _until_ours(self) -> list[tuple[str, int, str]]:
        """The frames from the innermost to the first of gpuprof's own."""
        ours = [place for place, (file, *_) in enumerate(self._stack) if file.startswith(_OURS)]
        return self._stack[: ours[0]] if ours else self._stack


def _of_the_user(file: str, statement: str) -> bool:
    """Not a library's: what is installed beside the packages, or belongs to Python, is not where one would mend it."""
    return file == statement or not ("site-packages" in file or file.startswith((sys.base_prefix, "<frozen", _OURS)))
