"""What the charts share: the Axes to draw on, names as they are, the small print below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

FINE: dict[str, Any] = {"fontsize": "x-small", "color": "0.35"}


def axes(ax: Any, size: tuple[float, float]) -> Any:
    """`ax`, or the one of a new figure so many inches wide and high."""
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1] if ax is None else ax


def plain(name: str) -> str:
    """A name as it is: matplotlib takes what stands between two $ for mathematics."""
    return name.replace("$", r"\$")


def print_small(ax: Any, notes: Sequence[str], below: float = 34) -> None:
    """The machine and the like, so many points below the Axes."""
    text = plain(" · ".join(filter(None, notes)))
    if text:
        at = {"xycoords": ("axes fraction", "axes fraction"), "textcoords": "offset points"}
        ax.annotate(text, (0, 0), (0, -below), ha="left", va="top", **at, **FINE)
