"""`History`: what a training did, as a value that shows itself."""

from __future__ import annotations

import html
import math
import os
import sys
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Epoch:
    """One pass over the training images, and the errors after it (mean loss over all images).

    Attributes:
        epoch: its number, from 1.
        train_error: NaN where it was not asked for.
        test_error: of the test images.
        seconds: wall time of the steps and of the evaluation after them.
    """

    epoch: int
    train_error: float
    test_error: float
    seconds: float


@dataclass(frozen=True)
class History:
    """The epochs of one call of `training`.

    Attributes:
        epochs: one `Epoch` each; the last may be a part of one, where `steps` ended it.
        steps: training steps done.
        reason: why it ended, in words.
        graph: whether its steps were captured in CUDA graphs, and if not, why; "" on the CPU.
    """

    epochs: tuple[Epoch, ...]
    steps: int
    reason: str
    graph: str = ""

    @property
    def table(self) -> Any:
        """A pandas DataFrame: epoch, train_error, test_error, seconds."""
        import pandas as pd

        columns = [each.name for each in fields(Epoch)]
        return pd.DataFrame([asdict(epoch) for epoch in self.epochs], columns=columns)

    def show(self, ax: Axes | None = None) -> Axes:
        """Draw the error curve: epochs across, error on a log axis, test and (where measured) train.

        The axis is linear where no error is above 0: none was measured, or all are NaN or 0.

        Args:
            ax: where to draw; a new figure by default.

        Returns:
            The matplotlib Axes.
        """
        import matplotlib.pyplot as plt
        from matplotlib.ticker import MaxNLocator

        axes = plt.subplots()[1] if ax is None else ax
        epochs = [each.epoch for each in self.epochs]
        axes.plot(epochs, [each.test_error for each in self.epochs], marker="o", label="test")
        if any(each.train_error == each.train_error for each in self.epochs):  # NaN differs from itself
            axes.plot(epochs, [each.train_error for each in self.epochs], marker="o", label="train")
        axes.set(xlabel="epoch", ylabel="error (mean loss)", title="Error after each epoch")
        if any(0 < error < math.inf for each in self.epochs for error in (each.test_error, each.train_error)):
            axes.set_yscale("log")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(visible=True, which="both", alpha=0.3)
        axes.legend()
        return axes

    def __str__(self) -> str:
        graph = f"; {self.graph}" if self.graph else ""
        return f"{self.steps} steps, epochs: {len(self.epochs)}; ended: {self.reason}{graph}"

    def __repr__(self) -> str:
        return f"{self.table.to_string(index=False)}\n{self}" if self.epochs else str(self)

    def _repr_html_(self) -> str:
        return f"{self.table.to_html(index=False, border=0)}<p>{html.escape(str(self))}</p>"


def chart_is_seen() -> bool:
    """Whether a figure drawn now would be seen: in a notebook, or where matplotlib is interactive."""
    # Matplotlib is loaded by whoever wants charts, or named in the environment by a notebook's kernel.
    if "matplotlib" not in sys.modules and "MPLBACKEND" not in os.environ:
        return False
    import matplotlib as mpl

    backend = mpl.get_backend().lower()
    return mpl.is_interactive() or any(word in backend for word in ("inline", "ipympl", "widget", "nbagg"))
