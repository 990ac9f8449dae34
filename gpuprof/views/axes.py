"""What the charts share: the Axes to draw on, the user's own ink and paper, names as they are, the small print."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import Any

from gpuprof.units import unit_for
from gpuprof.views.colours import mixed, text_on

_FAINT = 0.72  # of the ink: small print that is still read, on white and on black
_A_INCH = 17  # characters of small print


def axes(ax: Any, size: tuple[float, float]) -> Any:
    """`ax`, or the one of a new figure so many inches wide and high."""
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1] if ax is None else ax


def plain(name: str) -> str:
    """A name as it is: matplotlib takes what stands between two $ for mathematics."""
    return name.replace("$", r"\$")


def paper(ax: Any) -> str:
    """The colour behind the Axes; where all is transparent, white or black, as the user's text asks."""
    from matplotlib import colors, rcParams

    for colour in (ax.get_facecolor(), ax.figure.get_facecolor()):
        if colors.to_rgba(colour)[3] > 0:
            return str(colors.to_hex(colour))
    return text_on(str(colors.to_hex(rcParams["text.color"])))


def ink(ax: Any, strength: float = 1.0) -> str:
    """The colour of the user's text, as matplotlib's style has it, or so much of it on the paper."""
    from matplotlib import colors, rcParams

    return mixed(str(colors.to_hex(rcParams["text.color"])), paper(ax), strength)


def fine(ax: Any) -> dict[str, Any]:
    """The style of small print."""
    return {"fontsize": "x-small", "color": ink(ax, _FAINT)}


def width_of(ax: Any) -> float:
    """How many inches the Axes are wide, as far as that is known before they are drawn."""
    return float(ax.figure.get_figwidth() * ax.get_position().width)


def print_small(ax: Any, notes: Sequence[str], below: float = 34) -> None:
    """The machine and the like, so many points below the Axes, in as many lines as that takes."""
    alone = ax.get_position().width > 0.7  # its layout is yet to give it what room there is
    wide = 0.88 * ax.figure.get_figwidth() if alone else width_of(ax)
    text = fill(plain(" · ".join(filter(None, notes))), max(20, round(_A_INCH * wide)))
    if text:
        at = {"xycoords": ("axes fraction", "axes fraction"), "textcoords": "offset points"}
        ax.annotate(text, (0, 0), (0, -below), ha="left", va="top", **at, **fine(ax))


def time_text(seconds: float) -> str:
    """A tick such as "20 µs", "1 ms", "0"."""
    size, unit = unit_for([seconds * (1 + 1e-9)])
    return f"{seconds / size:.3g} {unit}" if seconds else "0"
