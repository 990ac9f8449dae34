"""`Progress`: a bar for an epoch, with the running error, that does not make the device wait."""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO

from cnn.xp import Array, Later

INTERVAL = 0.5  # seconds between looks at the error, and between drawings of the bar


class Progress:
    """A tqdm bar, or nothing at all when it is not `shown`.

    The text bar, not the widget: it needs no ipywidgets and survives in a saved notebook.

    The running error is computed at most twice a second, on the device, and shown at a later look,
    once it has arrived on the host: no step waits for it.
    """

    def __init__(self, title: str, steps: int, shown: bool) -> None:
        self.bar: Any = None
        self.asked: Later | None = None
        self.looked = time.perf_counter()
        self.paused: float | None = None
        if shown:
            from tqdm.std import tqdm

            self.bar = tqdm(total=steps, desc=title, unit="step", file=_stream(), mininterval=INTERVAL)

    def step(self, output: Any, t: Array, count: int = 1) -> None:
        """So many training steps are done; now and then, `output` is asked for its error against `t`."""
        if self.bar is None:
            return
        now = time.perf_counter()
        if now - self.looked >= INTERVAL:
            if self.asked is not None and self.asked.ready():
                self.bar.set_postfix(error=f"{self.asked.value():.4f}", refresh=False)
                self.asked = None
            if self.asked is None:
                self.asked = Later(output.get_error(t))
            self.looked = now
        self.bar.update(count)

    def pause(self) -> None:
        """The steps are done: what follows until `close` is not to count in the steps per second."""
        self.paused = time.perf_counter()

    def close(self, **errors: float) -> None:
        """Leave the bar as it is, with these errors beside it."""
        if self.bar is None:
            return
        if self.paused is not None:
            pause = time.perf_counter() - self.paused
            self.bar.start_t += pause
            self.bar.last_print_t += pause  # a bar that was last drawn before its start ends without a line
        if errors:
            self.bar.set_postfix({name: f"{value:.4f}" for name, value in errors.items()}, refresh=False)
        self.bar.close()


def _stream() -> TextIO:
    """Standard error, as bars go; in a notebook, which shows that as an alarm, standard output."""
    return sys.stdout if type(sys.stderr).__module__.startswith("ipykernel") else sys.stderr
